//! One growing file with one writer. Nothing is asked of the volume's log.

use super::violation::{Promise, Violation};
use crate::recording::record::{Operation, Outcome, Record};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// Judges the operations on one growing file, sorted by their start.
pub(super) fn check(about: &[&Record]) -> Vec<Violation> {
    let mut growth = Growth::default();
    about.iter().filter_map(|record| growth.judge(record).err()).collect()
}

#[derive(Default)]
struct Growth {
    /// Operations by their end, with the length that was sure by then.
    ending: BinaryHeap<Reverse<(u64, u64)>>,
    sure: u64,
    /// What each reader saw at the handle that it keeps.
    followed: HashMap<u16, u64>,
}

impl Growth {
    fn judge(&mut self, record: &Record) -> Result<(), Violation> {
        while let Some(Reverse((_, length))) = self.ending.peek().copied().filter(|Reverse((end, _))| *end < record.start) {
            self.ending.pop();
            self.sure = self.sure.max(length);
        }
        match (&record.operation, &record.outcome) {
            (Operation::Grow { to, .. }, Outcome::Done) => self.ending.push(Reverse((record.end, *to))),
            (Operation::ReadGrown { .. }, Outcome::Grown(length)) => {
                if *length < self.sure {
                    return Err(Violation::new(Promise::GrowthSeen, record, format!("{} bytes were there before", self.sure)));
                }
                self.ending.push(Reverse((record.end, *length)));
            }
            (Operation::Follow { .. }, Outcome::Grown(length)) => {
                let before = self.followed.insert(record.client, *length).unwrap_or(0);
                if *length < before {
                    return Err(Violation::new(Promise::GrowthSeen, record, format!("the handle showed {before} bytes before")));
                }
            }
            (_, Outcome::Torn(at)) => {
                return Err(Violation::new(Promise::Growth, record, format!("byte {at} is not what was written there")));
            }
            _ => return Err(Violation::new(Promise::Refused, record, "there is no reason to fail".to_owned())),
        }
        Ok(())
    }
}
