//! What happened around a violation: the operations on the same path shortly before, and the versions that they made.

use super::check::Violation;
use super::log::Change;
use super::record::{Operation, Record};
use std::collections::HashMap;
use std::fmt::Write;

/// Operations that are told.
const TOLD: usize = 20;
/// Of what a handle shows that was opened long before.
const TOLD_OF_HELD: usize = 100;

/// The story of a violation, one operation on a line; times are milliseconds before its end.
#[must_use]
pub fn story(violation: &Violation, records: &[Record], log: &[Change]) -> String {
    let Some(about) = &violation.record else { return String::new() };
    let mut made: HashMap<u32, Vec<&Change>> = HashMap::new();
    for change in log {
        if let Some(by) = change.by {
            made.entry(by).or_default().push(change);
        }
    }
    let path = about.operation.path();
    let is_near = |record: &&Record| record.start < about.end && (record.operation.path() == path || leads_to(record, path));
    let mut near: Vec<&Record> = records.iter().filter(is_near).collect();
    near.sort_by_key(|record| record.start);
    let mut told = near.len().min(TOLD);
    if let Operation::ReadHeld { hold, .. } = &about.operation
        && let Some(opened) = near.iter().position(|record| record.number == *hold)
    {
        told = (near.len() - opened).min(TOLD_OF_HELD).max(told);
    }
    let mut text = String::new();
    for record in &near[near.len() - told..] {
        let before = |moment: u64| (about.end as f64 - moment as f64) / 1e6;
        // Writing to a string never fails.
        let _ = writeln!(
            text,
            "    {:9.3} to {:9.3} mount {} #{} {:?} -> {:?}",
            before(record.start),
            before(record.end),
            record.mount,
            record.number,
            record.operation,
            record.outcome
        );
        for change in made.get(&record.number).into_iter().flatten() {
            let _ = writeln!(text, "        {change:?}");
        }
    }
    text
}

fn leads_to(record: &Record, path: &str) -> bool {
    matches!(&record.operation, Operation::Rename { to, .. } | Operation::Link { to, .. } if to == path)
}
