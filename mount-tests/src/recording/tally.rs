//! How often everything happened: a history in which nothing met anything proves nothing.

use super::record::{Outcome, Record};
use std::collections::BTreeMap;
use std::fmt;

/// Counts of one kind of operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Operations that succeeded.
    pub done: u64,
    /// Operations that were refused.
    pub refused: u64,
    /// Operations under way at the same time as another mount's on the same path.
    pub contended: u64,
}

/// Counts by kind of operation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally(pub BTreeMap<&'static str, Counts>);

impl Tally {
    /// Counts the operations of a history.
    #[must_use]
    pub fn of(records: &[Record]) -> Self {
        let mut tally = Self::default();
        let mut paths: BTreeMap<&str, Vec<&Record>> = BTreeMap::new();
        for record in records {
            let counts = tally.0.entry(record.operation.kind()).or_default();
            match record.outcome {
                Outcome::Failed(_) => counts.refused += 1,
                _ => counts.done += 1,
            }
            paths.entry(record.operation.path()).or_default().push(record);
        }
        for about in paths.values_mut() {
            about.sort_by_key(|record| record.start);
            tally.add_contended(about);
        }
        tally
    }

    /// Operations on one path, sorted by their start: each that begins before one of another mount has ended met it.
    fn add_contended(&mut self, about: &[&Record]) {
        let mut ends: BTreeMap<u16, u64> = BTreeMap::new();
        for record in about {
            let met = ends.iter().any(|(mount, end)| *mount != record.mount && *end > record.start);
            self.0.entry(record.operation.kind()).or_default().contended += u64::from(met);
            let end = ends.entry(record.mount).or_default();
            *end = record.end.max(*end);
        }
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:24} {:>8} {:>8} {:>10}", "operation", "done", "refused", "contended")?;
        for (kind, counts) in &self.0 {
            writeln!(f, "{kind:24} {:>8} {:>8} {:>10}", counts.done, counts.refused, counts.contended)?;
        }
        Ok(())
    }
}
