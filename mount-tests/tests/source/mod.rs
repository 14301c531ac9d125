//! Source files as the layering test sees them: comments and literals blanked, grouped imports spelled out.

use std::path::{Path, PathBuf};

/// One file, ready to be searched.
#[derive(Debug)]
pub(crate) struct SourceFile {
    /// Path from the workspace root, with `/`.
    pub(crate) path: String,
    /// The text, comments and literals replaced by blanks, line by line as in the file.
    pub(crate) code: String,
}

impl SourceFile {
    /// Prepares `text` for searching.
    pub(crate) fn new(path: String, text: &str) -> Self {
        Self { path, code: blank(text) }
    }

    /// Numbers of the lines on which `name` stands as whole tokens: `rand` is not found in `operand`, `std::fs` is found
    /// in `use std::{fs, io}` as well, and generic arguments between a call's name and its parentheses are passed over.
    pub(crate) fn lines_naming(&self, name: &str) -> Vec<usize> {
        let mut found = Vec::new();
        for (index, line) in self.code.lines().enumerate() {
            if contains_path(&normal_form(line), name) || grouped_import_names(line, name) {
                found.push(index + 1);
            }
        }
        found
    }
}

/// The line without blanks and without turbofish arguments.
fn normal_form(line: &str) -> String {
    let mut words = line.split_whitespace().fold(String::new(), |mut text, word| {
        let glued = |c: char| c.is_alphanumeric() || c == '_';
        if text.ends_with(glued) && word.starts_with(glued) {
            text.push(' ');
        }
        text.push_str(word);
        text
    });
    while let Some(start) = words.find("::<") {
        let Some(length) = words[start..].find('>') else { break };
        words.replace_range(start..=start + length, "");
    }
    words
}

fn contains_path(line: &str, name: &str) -> bool {
    let part_of_word = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(name).any(|(at, _)| {
        let free_before = !line[..at].ends_with(part_of_word) && !line[..at].ends_with('.');
        let closed = name.ends_with(')');
        free_before && (closed || !line[at + name.len()..].starts_with(part_of_word))
    })
}

/// `use std::{fs, io::Read}` names `std::fs`.
fn grouped_import_names(line: &str, name: &str) -> bool {
    let Some((parent, child)) = name.split_once("::") else { return false };
    let Some((_, group)) = line.split_once(&format!("use {parent}::{{")) else { return false };
    group.split([',', '}']).any(|item| item.trim().split("::").next() == Some(child))
}

/// Replaces comments and the insides of string and character literals by blanks; keeps the lines.
fn blank(text: &str) -> String {
    let bytes: Vec<char> = text.chars().collect();
    let mut output = String::with_capacity(text.len());
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_or_comment_end(&bytes, at);
        if end > at {
            output.extend(bytes[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            output.push(bytes[at]);
            at += 1;
        }
    }
    output
}

/// Where the comment or literal that starts at `at` ends; `at` itself if none starts there.
fn literal_or_comment_end(text: &[char], at: usize) -> usize {
    let rest = &text[at..];
    let after_word = at > 0 && (text[at - 1].is_alphanumeric() || text[at - 1] == '_');
    match rest {
        ['/', '/', ..] => at + rest.iter().position(|c| *c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment_end(text, at),
        ['r', '"' | '#', ..] if !after_word => raw_string_end(text, at + 1).unwrap_or(at),
        ['b', 'r', '"' | '#', ..] if !after_word => raw_string_end(text, at + 2).unwrap_or(at),
        ['"', ..] => quoted_end(text, at, '"'),
        ['\'', '\\', ..] => quoted_end(text, at, '\''),
        ['\'', _, '\'', ..] => at + 3,
        _ => at,
    }
}

fn block_comment_end(text: &[char], mut at: usize) -> usize {
    let mut depth = 0;
    while at < text.len() {
        match text[at..] {
            ['/', '*', ..] => (depth, at) = (depth + 1, at + 2),
            ['*', '/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn raw_string_end(text: &[char], hashes_start: usize) -> Option<usize> {
    let hashes = text[hashes_start..].iter().take_while(|c| **c == '#').count();
    let open = hashes_start + hashes;
    if text.get(open) != Some(&'"') {
        return None;
    }
    let closes = |at: &usize| text[*at] == '"' && text[at + 1..].iter().take_while(|c| **c == '#').count() >= hashes;
    Some((open + 1..text.len()).find(closes).map_or(text.len(), |end| end + 1 + hashes))
}

fn quoted_end(text: &[char], start: usize, quote: char) -> usize {
    let mut at = start + 1;
    while at < text.len() && text[at] != quote {
        at += if text[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(text.len())
}

/// The folder of the workspace's Cargo.toml.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the package lies in the workspace").to_owned()
}

/// A file of the workspace as it is.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every Rust file of every package.
pub(crate) fn workspace_sources() -> Vec<SourceFile> {
    let mut files = Vec::new();
    for package in ["common", "server", "fs", "mount-tests", "benches"] {
        collect(&root().join(package), &mut files);
    }
    files
}

fn collect(folder: &Path, files: &mut Vec<SourceFile>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("a directory entry").path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "target") {
                collect(&path, files);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let name = path.strip_prefix(root()).expect("below the root").to_string_lossy().into_owned();
            files.push(SourceFile::new(name, &text));
        }
    }
}
