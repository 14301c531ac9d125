//! The pass in order of time: which versions an operation may have seen.
//!
//! What is promised is that each directory's changes happen at one moment between their beginning and their end, for everybody. Changes
//! of different directories that are under way at the same time get their numbers in one order and may happen in another: the one waits until a
//! mount that remembers its directory has let go, the other for nobody. So an operation need not have seen a version whose maker was under way
//! still, though a later one was known; unless somebody had seen so much of the same directory.

use super::violation::Violation;
use crate::recording::log::Change;
use crate::recording::past::Past;
use crate::recording::record::{Family, Moment, Operation, Outcome, Record};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, HashMap};
use weft_common::wire::ChangeKind;

/// Versions that an operation may have seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    /// The newest one up to which everything was acknowledged before its start, or that anybody had seen of its directories by then.
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
    ending: BinaryHeap<Reverse<(Moment, u64, u32)>>,
    /// The newest version that was there for sure.
    known: u64,
    /// The newest version that anybody made or saw, by directory.
    known_of: HashMap<&'a str, u64>,
    /// Versions up to `known` whose makers had not ended, with the ends.
    under_way: BTreeMap<u64, Moment>,
}

impl<'a> Sweep<'a> {
    pub(super) fn new(past: &'a Past, records: &'a HashMap<u32, &'a Record>) -> Self {
        let unlogged = records.values().copied().filter(|record| {
            let writes =
                matches!(record.operation, Operation::Overwrite { .. } | Operation::Cut { .. } | Operation::Create { .. });
            let is_written = |change: &Change| change.kind == ChangeKind::Write;
            writes && record.outcome == Outcome::Done && !past.made_by(record.number).iter().any(is_written)
        });
        Self {
            past,
            records,
            held: HashMap::new(),
            unlogged: unlogged.collect(),
            ending: BinaryHeap::new(),
            known: 0,
            known_of: HashMap::new(),
            under_way: BTreeMap::new(),
        }
    }

    /// Judges the next operation. Of one that is about something else than whole files and names, only what it changed is looked at.
    pub(super) fn judge(&mut self, record: &Record) -> Result<(), Violation> {
        let window = self.window(record);
        let seen = if record.operation.family() == Family::Tree { self.answer(record, window) } else { Ok(0) };
        self.note(record, *seen.as_ref().unwrap_or(&0));
        seen.map(|_| ())
    }

    fn window(&mut self, record: &Record) -> Window {
        while let Some(Reverse((_, version, number))) =
            self.ending.peek().copied().filter(|Reverse((end, ..))| *end < record.start)
        {
            self.ending.pop();
            self.know(version);
            let directories = self.records.get(&number).map(|ended| ended.operation.directories());
            for directory in directories.into_iter().flatten() {
                let known = self.known_of.entry(directory).or_default();
                *known = version.max(*known);
            }
        }
        self.under_way.retain(|_, end| *end >= record.start);
        let settled = self.under_way.keys().next().map_or(self.known, |oldest| oldest - 1);
        let directories = record.operation.directories();
        let known = directories.iter().filter_map(|directory| self.known_of.get(directory)).max().copied().unwrap_or(0);
        // The log is held to real time elsewhere; a window is never empty.
        let last = self.past.newest_before(record.end).max(self.known);
        Window { first: settled.max(known), last }
    }

    /// A version was there for sure, and its number says that so were all before it or were under way.
    fn know(&mut self, version: u64) {
        for version in self.known + 1..=version {
            let maker = self.past.maker(version).and_then(|number| self.records.get(&number));
            // A growing file's versions are not acknowledged by the operation that makes them.
            if let Some(maker) = maker.filter(|maker| maker.operation.family() != Family::Growing) {
                self.under_way.insert(version, maker.end);
            }
        }
        self.known = self.known.max(version);
    }

    fn note(&mut self, record: &Record, seen: u64) {
        let made = match record.outcome {
            Outcome::Failed(_) => 0,
            // What a growing file's handle publishes later is known by the operation that opened it.
            _ if record.operation.family() == Family::Growing => 0,
            _ => self.past.made_by(record.number).iter().map(|change| change.version).max().unwrap_or(0),
        };
        self.ending.push(Reverse((record.end, made.max(seen), record.number)));
    }
}
