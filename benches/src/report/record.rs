//! A run that was or is being measured, and its file: lines of JSON, the first of which says what the others are about.
//!
//! Each line is an object with one field that names its kind: `head` once, then a `figure` for each measurement, and `page_calls` once a round.
//! So a file that was cut off is as good as what it holds.

use super::figure::{Figure, Typical};
use crate::about::About;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// A system of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Contender {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) kind: Kind,
    /// Whether what goes over its network is encrypted.
    pub(crate) encrypts: bool,
}

/// What a system is to a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    /// WeftFS, in one of its shapes.
    Weft,
    /// What it cannot be faster than.
    Baseline,
    /// Another filesystem.
    Peer,
}

/// What the lines of the file are about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Head {
    pub(crate) title: String,
    pub(crate) about: About,
    pub(crate) systems: Vec<Contender>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Head(Head),
    Figure {
        row: String,
        system: String,
        round: usize,
        #[serde(flatten)]
        figure: Figure,
    },
    /// MB/s written and read by page calls without a filesystem.
    PageCalls([f64; 2]),
}

/// Everything that was measured in one run.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) head: Head,
    /// In the order in which they were first measured.
    pub(crate) rows: Vec<String>,
    figures: BTreeMap<(String, usize), Vec<Figure>>,
    pub(crate) page_calls: Vec<[f64; 2]>,
    file: Option<File>,
}

impl Record {
    /// Of these systems. Everything is also written to `file`, as it comes.
    pub(crate) fn new(head: Head, file: Option<&Path>) -> io::Result<Self> {
        let file = file.map(|path| File::create(path).map_err(|error| named(path, error))).transpose()?;
        let mut record = Self::empty(head, file);
        record.write(&Line::Head(record.head.clone()))?;
        Ok(record)
    }

    fn empty(head: Head, file: Option<File>) -> Self {
        Self { head, rows: Vec::new(), figures: BTreeMap::new(), page_calls: Vec::new(), file }
    }

    /// Reads a file that an earlier run wrote.
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(path).map_err(|error| named(path, error))?;
        Self::parse(&text).map_err(|why| named(path, io::Error::new(io::ErrorKind::InvalidData, why)))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()).peekable();
        let parsed = |(number, line): (usize, &str)| {
            serde_json::from_str::<Line>(line).map_err(|error| format!("line {}: {error}", number + 1))
        };
        let Some(Line::Head(head)) = lines.next().map(parsed).transpose()? else {
            return Err("its first line is no head: `mount` and `peers` write one with --json".to_owned());
        };
        let mut record = Self::empty(head, None);
        while let Some(line) = lines.next() {
            match parsed(line) {
                Ok(Line::Head(_)) => return Err(format!("line {}: a second head", line.0 + 1)),
                Ok(Line::PageCalls(rates)) => record.page_calls.push(rates),
                Ok(Line::Figure { row, system, figure, .. }) => {
                    let system = record.place_of(&system).ok_or_else(|| format!("line {}: an unknown system", line.0 + 1))?;
                    record.take(&row, system, figure);
                }
                // Whoever wrote it was cut off there.
                Err(_) if lines.peek().is_none() && !text.ends_with('\n') => {}
                Err(why) => return Err(why),
            }
        }
        Ok(record)
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let Some(file) = &mut self.file else { return Ok(()) };
        writeln!(file, "{}", serde_json::to_string(line)?)
    }

    fn take(&mut self, row: &str, system: usize, figure: Figure) {
        if !self.rows.iter().any(|known| known == row) {
            self.rows.push(row.to_owned());
        }
        self.figures.entry((row.to_owned(), system)).or_default().push(figure);
    }

    /// Takes a figure in, and says it.
    pub(crate) fn add(&mut self, row: &str, system: usize, round: usize, figure: Figure) -> io::Result<()> {
        let name = self.head.systems[system].name.clone();
        eprintln!(
            "round {round}  {row:<24} {name:<14} {:>9.0} {}  {:>6.2} s, cpu {:>5.2} s of {:>5.2}, {:>4.0} MiB",
            figure.rate(),
            figure.unit(),
            figure.seconds,
            figure.cpu_seconds,
            figure.machine_seconds,
            figure.memory_mib
        );
        self.take(row, system, figure.clone());
        self.write(&Line::Figure { row: row.to_owned(), system: name, round, figure })
    }

    /// Takes in what page calls without a filesystem reached.
    pub(crate) fn add_page_calls(&mut self, rates: [f64; 2]) -> io::Result<()> {
        self.page_calls.push(rates);
        self.write(&Line::PageCalls(rates))
    }

    /// Where a system stands among the others.
    pub(crate) fn place_of(&self, name: &str) -> Option<usize> {
        self.head.systems.iter().position(|system| system.name == name)
    }

    /// Medians of a row on a system, if it was measured there.
    pub(crate) fn typical(&self, row: &str, system: usize) -> Option<Typical> {
        Typical::of(self.figures.get(&(row.to_owned(), system))?)
    }

    /// The fastest of some systems in a row.
    pub(crate) fn best(&self, row: &str, is_meant: impl Fn(&Contender) -> bool) -> Option<(usize, Typical)> {
        let systems = self.head.systems.iter().enumerate().filter(|(_, system)| is_meant(system));
        let measured = systems.filter_map(|(place, _)| Some((place, self.typical(row, place)?)));
        measured.max_by(|(_, one), (_, other)| one.rate.total_cmp(&other.rate))
    }

    /// Most memory that a process of a system had in any row, in MiB.
    pub(crate) fn memory_mib(&self, system: usize) -> f64 {
        let typical = self.rows.iter().filter_map(|row| self.typical(row, system));
        typical.map(|typical| typical.memory_mib).fold(0.0, f64::max)
    }

    pub(crate) fn has_peers(&self) -> bool {
        self.head.systems.iter().any(|system| system.kind == Kind::Peer)
    }
}

fn named(path: &Path, error: io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{}: {error}", path.display()))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn contender(name: &str, kind: Kind, encrypts: bool) -> Contender {
        Contender { name: name.to_owned(), version: "1".to_owned(), kind, encrypts }
    }

    pub(in super::super) fn figure(rate: f64) -> Figure {
        Figure {
            seconds: 1.0,
            bytes: (rate * 1e6) as u64,
            operations: 0,
            cpu_seconds: 1.5 * rate / 1e3,
            machine_seconds: 2.0,
            memory_mib: rate / 10.0,
            latency_us: Some([1.0, 2.0, 3.0, 4.0, 5.0, 6.0]),
        }
    }

    pub(in super::super) fn record(systems: Vec<Contender>) -> Record {
        Record::empty(Head { title: "a run".to_owned(), about: About::default(), systems }, None)
    }

    fn written(folder: &Path) -> (Record, String) {
        let path = folder.join("run.json");
        let systems = vec![contender("disk", Kind::Baseline, false), contender("weft C", Kind::Weft, true)];
        let head = Head { title: "a run".to_owned(), about: About::now(folder), systems };
        let mut record = Record::new(head, Some(&path)).expect("a file");
        for round in 0..3 {
            record.add("b.read", 0, round, figure(1000.0)).expect("written");
            record.add("a.write", 1, round, figure(100.0 + round as f64)).expect("written");
            record.add_page_calls([5.0, 6.0]).expect("written");
        }
        (record, fs::read_to_string(path).expect("the file"))
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let (record, text) = written(folder.path());
        let again = Record::parse(&text).expect("readable");
        assert_eq!((&again.head, &again.rows), (&record.head, &record.rows));
        assert_eq!((&again.figures, &again.page_calls), (&record.figures, &record.page_calls));
        let typical = again.typical("a.write", 1).expect("measured");
        assert_eq!((typical.rate, typical.memory_mib), (101.0, 10.2));
        assert_eq!(again.typical("a.write", 0), None);
        assert_eq!(again.best("a.write", |_| true).map(|(place, _)| place), Some(1));
    }

    #[test]
    fn a_file_that_was_cut_off_gives_what_it_holds_and_a_damaged_one_says_where() {
        let folder = tempfile::tempdir().expect("a folder");
        let (_, text) = written(folder.path());
        let cut = Record::parse(&text[..text.len() - 10]).expect("readable");
        assert_eq!(cut.figures.values().map(Vec::len).sum::<usize>(), 6);
        let spoiled = text.replacen("\"seconds\"", "\"hours\"", 1);
        let why = Record::parse(&spoiled).expect_err("a figure lacks its time");
        assert!(why.contains("line 2"), "{why}");
        let headless = text.split_once('\n').expect("lines").1;
        assert!(Record::parse(headless).is_err_and(|why| why.contains("--json")));
        let strange = text.replace(r#""system":"disk""#, r#""system":"tape""#);
        assert!(Record::parse(&strange).is_err_and(|why| why.contains("line 2: an unknown system")));
    }
}
