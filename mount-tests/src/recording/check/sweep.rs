//! The pass in order of time: which versions an operation may have seen.

use super::violation::Violation;
use crate::recording::log::Change;
use crate::recording::past::Past;
use crate::recording::record::{Family, Moment, Operation, Outcome, Record};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use weft_common::wire::ChangeKind;

/// Versions that an operation may have seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// The newest one that a change acknowledged before its start had made, or that anybody had seen by then.
    pub(super) first: u64,
    /// The newest one that can have been there at its end.
    pub(super) last: u64,
}

impl Window {
    pub(super) fn versions(self) -> std::ops::RangeInclusive<u64> {
        self.first..=self.last
    }
}

/// A handle that is open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) inode: u64,
    /// The version whose content it showed last.
    pub(super) shows: u64,
}

/// What is known of the operations that were gone through.
#[derive(Debug)]
pub(super) struct Sweep<'a> {
    pub(super) past: &'a Past,
    pub(super) records: &'a HashMap<u32, &'a Record>,
    pub(super) held: HashMap<u32, Held>,
    /// Writes that were acknowledged and made no version: their files had lost their names.
    pub(super) unlogged: Vec<&'a Record>,
    /// Operations by their end, with the newest version that they made or saw.
    ending: BinaryHeap<Reverse<(Moment, u64)>>,
    /// The newest version that was there for sure.
    known: u64,
}

impl<'a> Sweep<'a> {
    pub(super) fn new(past: &'a Past, records: &'a HashMap<u32, &'a Record>) -> Self {
        let unlogged = records.values().copied().filter(|record| {
            let writes =
                matches!(record.operation, Operation::Overwrite { .. } | Operation::Cut { .. } | Operation::Create { .. });
            let is_written = |change: &Change| change.kind == ChangeKind::Write;
            writes && record.outcome == Outcome::Done && !past.made_by(record.number).iter().any(is_written)
        });
        Self { past, records, held: HashMap::new(), unlogged: unlogged.collect(), ending: BinaryHeap::new(), known: 0 }
    }

    /// Judges the next operation. Of one that is about something else than whole files and names, only what it changed is looked at.
    pub(super) fn judge(&mut self, record: &Record) -> Result<(), Violation> {
        let window = self.window(record);
        let seen = if record.operation.family() == Family::Tree { self.answer(record, window) } else { Ok(0) };
        self.note(record, *seen.as_ref().unwrap_or(&0));
        seen.map(|_| ())
    }

    fn window(&mut self, record: &Record) -> Window {
        while let Some(Reverse((_, version))) = self.ending.peek().copied().filter(|Reverse((end, _))| *end < record.start) {
            self.ending.pop();
            self.known = self.known.max(version);
        }
        // The log is held to real time elsewhere; a window is never empty.
        let last = self.past.newest_before(record.end).max(self.known);
        Window { first: self.known, last }
    }

    fn note(&mut self, record: &Record, seen: u64) {
        let made = match record.outcome {
            Outcome::Failed(_) => 0,
            // What a growing file's handle publishes later is known by the operation that opened it.
            _ if record.operation.family() == Family::Growing => 0,
            _ => self.past.made_by(record.number).iter().map(|change| change.version).max().unwrap_or(0),
        };
        self.ending.push(Reverse((record.end, made.max(seen))));
    }
}
