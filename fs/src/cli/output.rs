//! The only place where commands print. Text is for people: aligned, short, nothing when there is nothing to say. With
//! `--json` a command prints one JSON value instead, with every field, and nothing else on standard output.
//!
//! A reader that goes away (`weft log . | head`) ends the output quietly.

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use std::io::{ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering};

/// Where a command's data goes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Output {
    json: bool,
}

impl Output {
    /// Text, or JSON.
    #[must_use]
    pub(super) fn new(json: bool) -> Self {
        Self { json }
    }

    /// Prints `value` as JSON, or what `text` makes of it.
    pub(super) fn data<T: Serialize + ?Sized>(self, value: &T, text: impl FnOnce(&T) -> String) {
        if !self.json {
            print(&text(value));
            return;
        }
        match serde_json::to_string_pretty(value) {
            Ok(json) => print(&(json + "\n")),
            Err(error) => complain(&format!("the result cannot be shown as JSON: {error}")),
        }
    }

    /// A progress bar on standard error: shown on a terminal only, gone when done.
    #[must_use]
    pub(super) fn progress(self, what: &'static str, total: u64) -> ProgressBar {
        if self.json {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new(total).with_message(what);
        match ProgressStyle::with_template("{msg} [{wide_bar}] {pos}/{len} {eta}") {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        }
    }

    /// A line on standard error that says what is being done: shown on a terminal only, gone when done.
    #[must_use]
    pub(super) fn spinner(self) -> ProgressBar {
        if self.json {
            return ProgressBar::hidden();
        }
        let bar = ProgressBar::new_spinner();
        bar.enable_steady_tick(std::time::Duration::from_millis(200));
        bar
    }
}

/// Whether something could not be printed, and it was not that nobody reads any more.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Whether everything that was printed has got to where it should: else the command has failed, whatever else it did.
#[must_use]
pub(super) fn is_whole() -> bool {
    !FAILED.load(Ordering::Relaxed)
}

/// Prints to standard output.
pub(super) fn print(text: &str) {
    // Who goes on printing after a failure fails again.
    let _ = write(text);
}

/// Prints a line; whether somebody still reads.
#[must_use]
pub(super) fn print_line(line: &str) -> bool {
    write(&format!("{line}\n"))
}

fn write(text: &str) -> bool {
    let mut output = std::io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Ok(()) => true,
        Err(error) => {
            let is_first = error.kind() != ErrorKind::BrokenPipe && !FAILED.swap(true, Ordering::Relaxed);
            if is_first {
                complain(&format!("standard output cannot be written: {error}; what was to be printed is lost"));
            }
            false
        }
    }
}

/// Tells a person what was done.
pub(super) fn note(text: &str) {
    print(&format!("{text}\n"));
}

/// Prints a message for a person to standard error.
pub(super) fn complain(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "weft: {}", visible(text.trim_end()));
}

/// Text with control characters escaped: a file's name must neither move a terminal's cursor nor make a line of its own.
#[must_use]
pub(super) fn visible(text: &str) -> String {
    let escape = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escape).collect()
}

/// Columns as wide as their widest cell; the last one is not padded.
#[must_use]
pub(super) fn table(headers: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| visible(cell)).collect()).collect();
    let mut widths: Vec<usize> = headers.iter().map(|header| header.chars().count()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut text = String::new();
    let headers: Vec<String> = headers.iter().map(|&header| header.to_owned()).collect();
    for row in std::iter::once(&headers).chain(&rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let rows = vec![vec!["1".into(), "créate".into(), "a b".into()], vec!["100".into(), "w".into(), String::new()]];
        assert_eq!(table(&["N", "WHAT", "PATH"], &rows), "N    WHAT    PATH\n1    créate  a b\n100  w\n");
        assert_eq!(table(&["N"], &[]), "N\n");
        assert_eq!(table(&["N"], &[vec!["a\u{1b}[2J\nb".into()]]), "N\na\\u{1b}[2J\\nb\n");
    }
}
