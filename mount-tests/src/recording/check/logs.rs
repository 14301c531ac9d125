//! One log: what was appended, and what its readers saw. Nothing is asked of the volume's log.

use super::violation::{Promise, Violation};
use crate::recording::record::{Operation, Outcome, Record};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Judges the operations on one log, sorted by their start.
pub(super) fn check(about: &[&Record]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let seen = |record: &&Record| match &record.outcome {
        Outcome::Log(numbers) => Some(numbers.clone()),
        _ => None,
    };
    let longest = about.iter().filter_map(seen).max_by_key(Vec::len).unwrap_or_default();
    let mut places = HashMap::new();
    for (place, number) in longest.iter().enumerate() {
        if places.insert(*number, place).is_some()
            && let Some(reader) = about.iter().find(|record| seen(record).as_ref() == Some(&longest))
        {
            violations.push(Violation::new(Promise::AppendedOnce, reader, format!("record {number} is there twice")));
        }
    }
    let mut log = Log { longest, places, ending: BinaryHeap::new(), length: 0 };
    violations.extend(about.iter().filter_map(|record| log.judge(record).err()));
    violations
}

/// A log, while its operations are gone through.
struct Log {
    longest: Vec<u32>,
    /// Where each record is.
    places: HashMap<u32, usize>,
    /// Operations by their end, with the length that the log has from then on at least.
    ending: BinaryHeap<Reverse<(u64, usize)>>,
    /// The length that it has had for sure.
    length: usize,
}

impl Log {
    fn judge(&mut self, record: &Record) -> Result<(), Violation> {
        while let Some(Reverse((_, length))) = self.ending.peek().copied().filter(|Reverse((end, _))| *end < record.start) {
            self.ending.pop();
            self.length = self.length.max(length);
        }
        let length = match (&record.operation, &record.outcome) {
            (Operation::Append { .. }, Outcome::Done) => self.appended(record)?,
            (Operation::ReadLog { .. }, Outcome::Log(numbers)) => self.read(record, numbers)?,
            (_, Outcome::Torn(at)) => {
                return Err(Violation::new(Promise::AppendedWhole, record, format!("no record begins at byte {at}")));
            }
            _ => return Err(Violation::new(Promise::Refused, record, "there is no reason to fail".to_owned())),
        };
        self.ending.push(Reverse((record.end, length)));
        Ok(())
    }

    fn appended(&self, record: &Record) -> Result<usize, Violation> {
        match self.places.get(&record.number) {
            Some(place) if *place >= self.length => Ok(place + 1),
            Some(place) => {
                let why = format!("it is record {place} of a log that had {} before", self.length);
                Err(Violation::new(Promise::AppendedInOrder, record, why))
            }
            None => Err(Violation::new(Promise::AppendedOnce, record, "the record was acknowledged and is not there".to_owned())),
        }
    }

    fn read(&self, record: &Record, numbers: &[u32]) -> Result<usize, Violation> {
        if !self.longest.starts_with(numbers) {
            let same = self.longest.iter().zip(numbers).take_while(|(one, other)| one == other).count();
            let why = format!("from record {same} on another reader saw {:?}", &self.longest[same..]);
            return Err(Violation::new(Promise::AppendedInOrder, record, why));
        }
        if numbers.len() < self.length {
            return Err(Violation::new(Promise::AppendedSeen, record, format!("{} records were there before", self.length)));
        }
        Ok(numbers.len())
    }
}
