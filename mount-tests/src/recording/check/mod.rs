//! Whether a history keeps the promises: one pass in order of time for whole files and names, and one for each file of the other kinds.
//!
//! Each answer is compared with the volume's versions of a *window*: from the newest one that was acknowledged, or seen by
//! anybody, before the operation began, to the newest one that can have been there when it ended. A window is as long as there is
//! concurrency, so the whole takes n log n.

mod answers;
mod content;
mod growth;
mod logs;
mod names;
mod sweep;
mod tiles;
mod violation;

pub use violation::{Promise, Violation};

use super::log::Change;
use super::past::Past;
use super::record::{Family, Record};
use std::collections::{BTreeMap, HashMap};
use sweep::Sweep;

/// What is wrong with a history; nothing if it keeps all promises.
#[must_use]
pub fn check(records: &[Record], changes: &[Change]) -> Vec<Violation> {
    let numbered: HashMap<u32, &Record> = records.iter().map(|record| (record.number, record)).collect();
    let past = Past::replay(changes, &numbered);
    let mut violations: Vec<Violation> = past.impossible.iter().map(|wrong| names::impossible(wrong, &numbered)).collect();
    let mut sorted: Vec<&Record> = records.iter().collect();
    sorted.sort_by_key(|record| record.start);

    let mut sweep = Sweep::new(&past, &numbered);
    violations.extend(sorted.iter().filter_map(|record| sweep.judge(record).err()));

    let mut files: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
    for record in sorted.into_iter().filter(|record| record.operation.family() != Family::Tree) {
        files.entry(record.operation.path()).or_default().push(record);
    }
    for about in files.values() {
        violations.extend(match about[0].operation.family() {
            Family::Logs => logs::check(about),
            Family::Tiles => tiles::check(about),
            Family::Growing | Family::Tree => growth::check(about),
        });
    }
    violations
}
