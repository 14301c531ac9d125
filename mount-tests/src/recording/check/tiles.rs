//! One file of slices that belong to different writers. Nothing is asked of the volume's log.

use super::violation::{Promise, Violation};
use crate::recording::record::{Operation, Outcome, Record};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Judges the operations on one file of slices, sorted by their start.
pub(super) fn check(about: &[&Record]) -> Vec<Violation> {
    let writes = about.iter().filter_map(|record| match record.operation {
        Operation::WriteTile { slice, .. } => Some((record.number, (slice, record.start))),
        _ => None,
    });
    let mut tiles = Tiles { writes: writes.collect(), ending: BinaryHeap::new(), newest: HashMap::new() };
    about.iter().filter_map(|record| tiles.judge(record).err()).collect()
}

struct Tiles {
    /// Where and since when each writer writes.
    writes: HashMap<u32, (u16, u64)>,
    /// Operations by their end, with a slice and what it has held since then at least.
    ending: BinaryHeap<Reverse<(u64, u16, u32)>>,
    /// The newest write that a slice has held for sure. A slice has one writer, whose operations have rising numbers.
    newest: HashMap<u16, u32>,
}

impl Tiles {
    fn judge(&mut self, record: &Record) -> Result<(), Violation> {
        while let Some(Reverse((_, slice, number))) = self.ending.peek().copied().filter(|Reverse((end, ..))| *end < record.start)
        {
            self.ending.pop();
            let newest = self.newest.entry(slice).or_default();
            *newest = number.max(*newest);
        }
        match (&record.operation, &record.outcome) {
            (Operation::WriteTile { slice, .. }, Outcome::Done) => self.ending.push(Reverse((record.end, *slice, record.number))),
            (Operation::ReadTiles { .. }, Outcome::Tiles(numbers)) => self.read(record, numbers)?,
            (_, Outcome::Torn(at)) => {
                return Err(Violation::new(Promise::NoMix, record, format!("nobody wrote the slice at byte {at}")));
            }
            _ => return Err(Violation::new(Promise::Refused, record, "there is no reason to fail".to_owned())),
        }
        Ok(())
    }

    fn read(&mut self, record: &Record, numbers: &[u32]) -> Result<(), Violation> {
        for (slice, number) in numbers.iter().enumerate().map(|(slice, number)| (slice as u16, *number)) {
            let newest = self.newest.get(&slice).copied().unwrap_or(0);
            if number < newest {
                let why = format!("slice {slice} had been written by operation {newest}, and shows {number}");
                return Err(Violation::new(Promise::Slices, record, why));
            }
            let is_possible = |(place, start): &(u16, u64)| *place == slice && *start < record.end;
            if number != 0 && !self.writes.get(&number).is_some_and(is_possible) {
                return Err(Violation::new(Promise::NoMix, record, format!("operation {number} did not write slice {slice}")));
            }
            self.ending.push(Reverse((record.end, slice, number)));
        }
        Ok(())
    }
}
