//! Names: refusals, listings, and what the log itself says of them.

use super::sweep::{Sweep, Window};
use super::violation::{Promise, Violation};
use crate::recording::past::{Impossible, split};
use crate::recording::record::{Operation, Record};
use std::collections::{BTreeSet, HashMap};
use weft_common::wire::ChangeKind;

/// What an impossible change of the log breaks.
pub(super) fn impossible(wrong: &Impossible, records: &HashMap<u32, &Record>) -> Violation {
    let promise = match wrong.change.kind {
        _ if wrong.why.contains("version") => Promise::Order,
        ChangeKind::Write => Promise::Size,
        ChangeKind::Create | ChangeKind::Link => Promise::Exclusive,
        ChangeKind::Rename => Promise::MovedOnce,
        ChangeKind::Remove => Promise::RemovedOnce,
        _ => Promise::Order,
    };
    let record = wrong.change.by.and_then(|number| records.get(&number)).map(|record| Box::new((*record).clone()));
    Violation { promise, record, why: format!("{}: {:?}", wrong.why, wrong.change) }
}

impl Sweep<'_> {
    /// An operation that failed had a reason to, at some version of its window, and changed nothing.
    pub(super) fn refusal(&self, record: &Record, errno: i32, window: Window) -> Result<u64, Violation> {
        if let Some(change) = self.past.made_by(record.number).first() {
            return Err(Violation::new(Promise::Refused, record, format!("it failed and happened: {change:?}")));
        }
        if let Some(version) = window.versions().find(|version| self.explains(&record.operation, errno, *version)) {
            return Ok(version);
        }
        // The file that is to be linked was found by its name, and had lost it when the link came: Linux says ENOENT on any filesystem.
        if let (Operation::Link { from, .. }, libc::ENOENT) = (&record.operation, errno)
            && self.changes_meaning(from, window)
        {
            return Ok(0);
        }
        let asks = matches!(
            record.operation,
            Operation::Read { .. } | Operation::Stat { .. } | Operation::Hold { .. } | Operation::Version { .. }
        );
        let promise = if asks && errno == libc::ENOENT { Promise::Replaced } else { Promise::Refused };
        Err(Violation::new(promise, record, format!("at none of the versions {:?} is there a reason", window.versions())))
    }

    /// Whether the operation has to fail like that at `version`.
    fn explains(&self, operation: &Operation, errno: i32, version: u64) -> bool {
        let there = |path: &str| self.past.resolve(path, version);
        let parent = |path: &str| there(split(path).0);
        match (operation, errno) {
            (Operation::Create { path, .. } | Operation::MakeDirectory { path }, libc::EEXIST) => there(path).is_some(),
            (Operation::Create { path, .. } | Operation::MakeDirectory { path }, libc::ENOENT) => parent(path).is_none(),
            (Operation::Link { to, .. }, libc::EEXIST) => there(to).is_some(),
            (Operation::Link { from, to } | Operation::Rename { from, to }, libc::ENOENT) => {
                there(from).is_none() || parent(to).is_none()
            }
            (Operation::RemoveDirectory { path }, libc::ENOTEMPTY) => {
                there(path).is_some_and(|directory| !self.past.listing(directory, version).is_empty())
            }
            (_, libc::ENOENT) => there(operation.path()).is_none(),
            _ => false,
        }
    }

    /// What is there is listed, once, and nothing else.
    pub(super) fn list_answer(&self, record: &Record, path: &str, names: &[String], window: Window) -> Result<u64, Violation> {
        let listed: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        if listed.len() < names.len() {
            return Err(Violation::new(Promise::ListedOnce, record, "a name is there twice".to_owned()));
        }
        let (mut ever, mut always) = (BTreeSet::new(), None::<BTreeSet<&str>>);
        for version in window.versions() {
            let Some(directory) = self.past.resolve(path, version) else { continue };
            let there = self.past.listing(directory, version);
            if there == listed {
                return Ok(version);
            }
            always = Some(always.map_or_else(|| there.clone(), |always| always.intersection(&there).copied().collect()));
            ever.extend(there);
        }
        let missing: Vec<_> = always.iter().flatten().filter(|name| !listed.contains(*name)).collect();
        let ghosts: Vec<_> = listed.iter().filter(|name| !ever.contains(*name)).collect();
        match (missing.is_empty(), ghosts.is_empty()) {
            // Names of different moments: a listing is no snapshot.
            (true, true) => Ok(0),
            (false, _) => Err(Violation::new(Promise::Listed, record, format!("{missing:?} were there all the time"))),
            _ => Err(Violation::new(Promise::NotListed, record, format!("{ghosts:?} were not there"))),
        }
    }
}
