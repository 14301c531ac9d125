//! Which answer is held against what.

use super::sweep::{Sweep, Window};
use super::violation::{Promise, Violation};
use crate::recording::past::split;
use crate::recording::record::{Operation, Outcome, Record};
use std::collections::BTreeSet;
use weft_common::wire::ChangeKind;

impl Sweep<'_> {
    /// The version that the operation saw at the earliest, if that can be told; or what is wrong with its answer.
    pub(super) fn answer(&mut self, record: &Record, window: Window) -> Result<u64, Violation> {
        match (&record.operation, &record.outcome) {
            (Operation::ReadHeld { hold, .. }, outcome) => self.held_answer(record, *hold, outcome, window),
            (Operation::ReadOld { version, path }, outcome) => self.old_answer(record, *version, path, outcome),
            (_, Outcome::Failed(errno)) => self.refusal(record, *errno, window),
            (_, Outcome::Torn(at)) => {
                Err(Violation::new(Promise::NoMix, record, format!("nobody wrote what stands at byte {at}")))
            }
            (Operation::Read { path }, Outcome::Content { said, value }) => {
                self.content_answer(record, path, *said, *value, window).map(|(version, _)| version)
            }
            (Operation::Hold { path }, Outcome::Content { said, value }) => self.hold(record, path, *said, *value, window),
            (Operation::Stat { path }, Outcome::Stat { size, links }) => self.stat_answer(record, path, *size, *links, window),
            (Operation::Version { path }, Outcome::Version(version)) => self.version_answer(record, path, *version, window),
            (Operation::List { path }, Outcome::Names(names)) => self.list_answer(record, path, names, window),
            (_, Outcome::Done) => self.change_answer(record, window),
            _ => Err(Violation::new(Promise::Refused, record, "that is no answer to this".to_owned())),
        }
    }

    /// A change that was acknowledged is in the log.
    fn change_answer(&self, record: &Record, window: Window) -> Result<u64, Violation> {
        let (kind, name, promise) = match &record.operation {
            Operation::Create { path, .. } | Operation::MakeDirectory { path } => (ChangeKind::Create, path, Promise::Exclusive),
            Operation::Overwrite { path, .. } | Operation::Cut { path, .. } => (ChangeKind::Write, path, Promise::Acknowledged),
            Operation::Replace { path, .. } => (ChangeKind::Rename, path, Promise::Acknowledged),
            Operation::Rename { to, .. } => (ChangeKind::Rename, to, Promise::MovedOnce),
            Operation::Link { to, .. } => (ChangeKind::Link, to, Promise::Exclusive),
            Operation::Unlink { path } | Operation::RemoveDirectory { path } => (ChangeKind::Remove, path, Promise::RemovedOnce),
            _ => return Ok(0),
        };
        let made = self.past.made_by(record.number).iter().rfind(|change| {
            // A written file may have another name by then.
            let is_there = change.place.as_ref().is_some_and(|(_, last)| last == split(name).1);
            change.kind == kind && (is_there || kind == ChangeKind::Write)
        });
        match made {
            Some(change) => {
                self.linked_file(record, change.inode, window, change.version)?;
                self.created_content(record, change.inode, window)?;
                Ok(change.version)
            }
            None if self.needs_no_change(record, window) => Ok(0),
            None => {
                Err(Violation::new(promise, record, "it was acknowledged, and the volume's log has no such change".to_owned()))
            }
        }
    }

    /// A new file has its content, unless it lost its name before that was published.
    fn created_content(&self, record: &Record, inode: u64, window: Window) -> Result<(), Violation> {
        let is_written = self.past.made_by(record.number).iter().any(|change| change.kind == ChangeKind::Write);
        let is_file = matches!(record.operation, Operation::Create { .. });
        if !is_file || is_written || self.past.links(inode, window.last) == 0 {
            return Ok(());
        }
        Err(Violation::new(
            Promise::Acknowledged,
            record,
            "the file was made, and its content is not in the volume's log".to_owned(),
        ))
    }

    /// The new name is one of the file that had the old one.
    fn linked_file(&self, record: &Record, inode: u64, window: Window, made: u64) -> Result<(), Violation> {
        let Operation::Link { from, .. } = &record.operation else { return Ok(()) };
        if (window.first..made).any(|version| self.past.resolve(from, version) == Some(inode)) {
            return Ok(());
        }
        Err(Violation::new(Promise::Acknowledged, record, format!("the new name is one of inode {inode}, which {from} was not")))
    }

    /// Whether the volume may have been left as it was: two names of one file were renamed, or the file had lost its name.
    fn needs_no_change(&self, record: &Record, window: Window) -> bool {
        match &record.operation {
            Operation::Rename { from, to } => self.met(from, to, window),
            Operation::Overwrite { path, .. } | Operation::Cut { path, .. } => self.changes_meaning(path, window),
            _ => false,
        }
    }

    /// Whether both paths meant the same file, the second one perhaps a moment later. Linux looks the two up one after the other,
    /// and if both are one file, renaming does nothing and succeeds. So where two mounts rename one name to the same new one, the one
    /// that comes too late may find its file there already; the volume is not even asked.
    fn met(&self, from: &str, to: &str, window: Window) -> bool {
        let mut moved = BTreeSet::new();
        window.versions().any(|version| {
            moved.extend(self.past.resolve(from, version));
            self.past.resolve(to, version).is_some_and(|there| moved.contains(&there))
        })
    }

    /// Whether the path meant another file at the end of the window than at its start, or two in between.
    pub(super) fn changes_meaning(&self, path: &str, window: Window) -> bool {
        let first = self.past.resolve(path, window.first);
        window.versions().any(|version| self.past.resolve(path, version) != first)
    }
}
