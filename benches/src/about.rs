//! What a report has to say before its first figure: on which machine, with what, when, and how it is done again.

use serde::{Deserialize, Serialize};
use std::fs;
use std::path::Path;
use std::process::Command;

/// See the module. Read back from a recorded file, so that a report can be made again elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct About {
    /// When the run began: UTC, to the second.
    pub(crate) when: String,
    /// The command that was given.
    pub(crate) command_line: String,
    /// The commit of the sources, with `-dirty` if they differ from it; empty if nobody knows.
    pub(crate) commit: String,
    /// Processor, memory, kernel, disk: names and what they are.
    pub(crate) machine: Vec<(String, String)>,
    /// What was measured, each with its version.
    pub(crate) versions: Vec<(String, String)>,
    /// What was set: rounds, sizes, options.
    pub(crate) settings: Vec<(String, String)>,
}

impl About {
    /// Of this run, which works in `folder`. Versions and settings are to be added.
    pub(crate) fn now(folder: &Path) -> Self {
        let arguments: Vec<String> = std::env::args().skip(1).map(quoted).collect();
        Self {
            when: jiff::Timestamp::now().strftime("%F %T UTC").to_string(),
            command_line: format!("weft-benches {}", arguments.join(" ")),
            commit: commit(),
            machine: machine(folder),
            versions: Vec::new(),
            settings: Vec::new(),
        }
    }

    /// Adds a setting.
    pub(crate) fn setting(mut self, name: &str, value: impl ToString) -> Self {
        self.settings.push((name.to_owned(), value.to_string()));
        self
    }

    /// Everything that is known, in the order in which it is shown.
    pub(crate) fn facts(&self) -> impl Iterator<Item = (&str, &str)> {
        let first = [("date", &self.when), ("command", &self.command_line), ("commit", &self.commit)];
        let rest = self.machine.iter().chain(&self.versions).chain(&self.settings);
        let all = first.into_iter().map(|(name, value)| (name, value.as_str()));
        all.chain(rest.map(|(name, value)| (name.as_str(), value.as_str()))).filter(|(_, value)| !value.is_empty())
    }
}

/// As a shell takes it.
fn quoted(argument: String) -> String {
    let is_plain = |sign: char| sign.is_ascii_alphanumeric() || "-_./,=:+@%".contains(sign);
    if !argument.is_empty() && argument.chars().all(is_plain) {
        argument
    } else {
        format!("'{}'", argument.replace('\'', r"'\''"))
    }
}

/// Of the tree that this program was built from, if it is still there.
fn commit() -> String {
    let mut git = Command::new("git");
    git.args(["-C", env!("CARGO_MANIFEST_DIR"), "describe", "--always", "--dirty", "--abbrev=12"]);
    let output = git.output().ok().filter(|output| output.status.success());
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

fn machine(folder: &Path) -> Vec<(String, String)> {
    let processors = std::thread::available_parallelism().map_or(0, usize::from);
    let memory_kib = field("/proc/meminfo", "MemTotal").and_then(|text| text.trim_end_matches(" kB").parse::<f64>().ok());
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
    let system = field("/etc/os-release", "PRETTY_NAME").unwrap_or_default().trim_matches('"').to_owned();
    let facts = [
        ("processor", field("/proc/cpuinfo", "model name").unwrap_or_default()),
        ("cores", processors.to_string()),
        ("memory", memory_kib.map(|kib| format!("{:.1} GiB", kib / 1_048_576.0)).unwrap_or_default()),
        ("kernel", kernel),
        ("system", system),
        ("disk", filesystem(folder).unwrap_or_default()),
    ];
    facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// What stands behind the first `name` of a file of lines `name: value` or `name=value`.
fn field(file: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(file).ok()?;
    text.lines().find_map(|line| {
        let rest = line.strip_prefix(name)?.trim_start();
        Some(rest.strip_prefix([':', '='])?.trim().to_owned())
    })
}

/// Kind and device of the filesystem that a folder is on: the mount with the longest path above it.
fn filesystem(folder: &Path) -> Option<String> {
    let folder = folder.canonicalize().ok()?;
    let table = fs::read_to_string("/proc/self/mounts").ok()?;
    let mounts = table.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        Some((fields.next()?, Path::new(fields.next()?), fields.next()?))
    });
    // The last of equals covers the others.
    let (device, _, kind) =
        mounts.filter(|(_, path, _)| folder.starts_with(path)).max_by_key(|(_, path, _)| path.as_os_str().len())?;
    Some(format!("{kind} on {device}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described() {
        let about = About::now(Path::new("/")).setting("rounds", 3);
        let facts: Vec<(&str, &str)> = about.facts().collect();
        for name in ["date", "command", "cores", "memory", "kernel", "disk", "rounds"] {
            assert!(facts.iter().any(|(fact, value)| *fact == name && !value.is_empty()), "no {name} in {facts:?}");
        }
    }

    #[test]
    fn a_command_can_be_given_to_a_shell_again() {
        let said: Vec<String> = ["--dir", "a b", "it's", ""].map(|text| quoted(text.to_owned())).into();
        assert_eq!(said, ["--dir", "'a b'", r"'it'\''s'", "''"]);
    }
}
