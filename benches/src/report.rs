//! What was measured, as a table, and as lines of JSON for whoever wants to draw it.

use crate::work::Done;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

/// One measurement.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    pub(crate) seconds: f64,
    pub(crate) bytes: u64,
    pub(crate) operations: u64,
    /// Of the system's processes and the workers.
    pub(crate) cpu_seconds: f64,
    /// Of the whole machine.
    pub(crate) machine_seconds: f64,
    /// Of the process of the system that took most.
    pub(crate) memory_mib: f64,
    /// Latency of an operation in microseconds: median, 99 of 100, the longest.
    pub(crate) latency_us: Option<[f64; 3]>,
}

impl Figure {
    pub(crate) fn new(done: &Done, seconds: f64, cpu_seconds: f64, machine_seconds: f64, memory_mib: f64) -> Self {
        let mut latencies = done.latencies.clone();
        latencies.sort_unstable();
        let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize] as f64 / 1e3;
        let latency_us = (!latencies.is_empty()).then(|| [at(0.5), at(0.99), at(1.0)]);
        Self { seconds, bytes: done.bytes, operations: done.operations, cpu_seconds, machine_seconds, memory_mib, latency_us }
    }

    /// MB/s if the row is about bytes, operations a second otherwise. Small operations are counted, not their bytes.
    fn rate(&self) -> f64 {
        if self.is_about_bytes() { self.bytes as f64 / 1e6 / self.seconds } else { self.operations as f64 / self.seconds }
    }

    fn is_about_bytes(&self) -> bool {
        self.bytes > 0 && self.bytes >= self.operations * 32_768
    }

    fn cpu_per_gb(&self) -> Option<f64> {
        self.is_about_bytes().then(|| self.cpu_seconds / (self.bytes as f64 / 1e9))
    }
}

/// The median of some figures: of an even number, the mean of the two in the middle; NaN of none.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count => (values[(count - 1) / 2] + values[count / 2]) / 2.0,
    }
}

/// Everything that was measured in one run.
#[derive(Debug)]
pub(crate) struct Report {
    systems: Vec<String>,
    rows: Vec<&'static str>,
    figures: BTreeMap<(&'static str, usize), Vec<Figure>>,
    lines: Option<fs::File>,
}

#[derive(Serialize)]
struct Line<'a> {
    row: &'a str,
    system: &'a str,
    round: usize,
    #[serde(flatten)]
    figure: &'a Figure,
}

impl Report {
    /// Of these systems. Each figure is also written to the file `lines`, as a JSON object on a line of its own.
    pub(crate) fn new(systems: Vec<String>, lines: Option<&Path>) -> io::Result<Self> {
        let lines = lines.map(fs::File::create).transpose()?;
        Ok(Self { systems, rows: Vec::new(), figures: BTreeMap::new(), lines })
    }

    /// Takes a figure in, and says it.
    pub(crate) fn add(&mut self, row: &'static str, system: usize, round: usize, figure: Figure) -> io::Result<()> {
        let unit = if figure.is_about_bytes() { "MB/s" } else { "op/s" };
        eprintln!(
            "round {round}  {row:<24} {:<8} {:>9.0} {unit}  {:>6.2} s, cpu {:>5.2} s of {:>5.2}, {:>4.0} MiB",
            self.systems[system],
            figure.rate(),
            figure.seconds,
            figure.cpu_seconds,
            figure.machine_seconds,
            figure.memory_mib
        );
        if !self.rows.contains(&row) {
            self.rows.push(row);
        }
        if let Some(lines) = &mut self.lines {
            let line = Line { row, system: &self.systems[system], round, figure: &figure };
            writeln!(lines, "{}", serde_json::to_string(&line)?)?;
        }
        self.figures.entry((row, system)).or_default().push(figure);
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<24}", "medians; MB/s or op/s")?;
        for system in &self.systems {
            write!(f, " {system:>22}")?;
        }
        writeln!(f)?;
        for row in &self.rows {
            write!(f, "{row:<24}")?;
            for system in 0..self.systems.len() {
                let figures = self.figures.get(&(*row, system)).map_or(&[][..], Vec::as_slice);
                let rate = median(figures.iter().map(Figure::rate));
                let cpu =
                    figures.first().and_then(Figure::cpu_per_gb).map(|_| median(figures.iter().filter_map(Figure::cpu_per_gb)));
                let latency = |place: usize| median(figures.iter().filter_map(|figure| Some(figure.latency_us?[place])));
                let more = match cpu {
                    Some(cpu) => format!("({cpu:.2} s/GB)"),
                    None if latency(0).is_nan() => String::new(),
                    None => format!("({:.0}/{:.0} us)", latency(0), latency(1)),
                };
                write!(f, " {rate:>9.0} {more:>12}")?;
            }
            writeln!(f)?;
        }
        writeln!(f, "in brackets: CPU seconds for a GB, of all processes; or the latency of an operation, median and 99 of 100")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_in_the_middle() {
        assert_eq!((median([3.0, 1.0, 2.0]), median([4.0, 1.0]), median([7.0])), (2.0, 2.5, 7.0));
        assert!(median([]).is_nan());
    }
}
