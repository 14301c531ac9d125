//! What is read, and what `stat` says.

use super::sweep::{Held, Sweep, Window};
use super::violation::{Promise, Violation};
use crate::recording::record::{Operation, Outcome, Record, Value};

impl Sweep<'_> {
    /// What was read after an open: a version, and the inode that had it.
    pub(super) fn content_answer(
        &self,
        record: &Record,
        path: &str,
        said: u64,
        value: Value,
        window: Window,
    ) -> Result<(u64, Option<u64>), Violation> {
        if let Some((version, inode)) = self.find(path, value, window) {
            let has_size = |(_, other): (u64, Value)| u64::from(other.size) == said;
            let had = window.versions().any(|version| self.past.content(inode, version).is_some_and(has_size));
            if u64::from(value.size) == said || had {
                return Ok((version, Some(inode)));
            }
            return Err(Violation::new(Promise::Size, record, format!("fstat said {said}, and no version of then is so long")));
        }
        if self.is_unlogged(path, value, record, window) {
            return Ok((0, None));
        }
        Err(self.wrong_content(record, path, value, window))
    }

    /// The first version of the window at which the path had that content. A file may have been found by the path and read when the
    /// path meant another one already.
    fn find(&self, path: &str, value: Value, window: Window) -> Option<(u64, u64)> {
        let mut before = None;
        for version in window.versions() {
            let inode = self.past.resolve(path, version);
            if inode.is_some_and(|inode| self.past.content(inode, version).is_some_and(|(_, now)| now == value)) {
                return Some((version, inode?));
            }
            if let Some(lost) = before.filter(|_| before != inode) {
                let mut later = self.past.contents_between(lost, version, window.last);
                if let Some((version, _)) = later.find(|(_, then)| *then == value) {
                    return Some((version, lost));
                }
            }
            before = inode;
        }
        None
    }

    /// Whether the content may be of a file that had lost its name: what is written to it then is no version of the volume.
    fn is_unlogged(&self, path: &str, value: Value, record: &Record, window: Window) -> bool {
        let is_possible = |write: &&Record| {
            let left_this = matches!(write.operation, Operation::Cut { size, .. } if size == value.size);
            write.start < record.end && write.operation.path() == path && (write.number == value.by || left_this)
        };
        let is_known = self.records.get(&value.by).is_some_and(|writer| writer.start < record.end);
        is_known && self.changes_meaning(path, window) && self.unlogged.iter().any(is_possible)
    }

    /// Which promise a content breaks that the path had at no version of the window.
    fn wrong_content(&self, record: &Record, path: &str, value: Value, window: Window) -> Violation {
        let newest = self.past.resolve(path, window.first).and_then(|inode| self.past.content(inode, window.first));
        let why = format!("versions {:?} are possible, the first of them shows {newest:?}", window.versions());
        let was_there = |writer: &&Record| writer.start < record.end;
        if value != Value::default() && !self.records.get(&value.by).is_some_and(was_there) {
            return Violation::new(Promise::NoMix, record, why);
        }
        let newer = newest.and_then(|(since, _)| self.records.get(&self.past.maker(since)?));
        let promise = match newer {
            // It is known only because somebody saw it.
            Some(writer) if writer.end >= record.start => Promise::Monotone,
            _ => Promise::CloseToOpen,
        };
        Violation::new(promise, record, why)
    }

    /// What is read by the operation that opens a handle to be kept.
    pub(super) fn hold(
        &mut self,
        record: &Record,
        path: &str,
        said: u64,
        value: Value,
        window: Window,
    ) -> Result<u64, Violation> {
        let (version, inode) = self.content_answer(record, path, said, value, window)?;
        // An empty file can be any of several.
        if let Some(inode) = inode.filter(|_| value != Value::default()) {
            self.held.insert(record.number, Held { inode, shows: version });
        }
        Ok(version)
    }

    /// What is read at a handle that was opened before.
    pub(super) fn held_answer(
        &mut self,
        record: &Record,
        hold: u32,
        outcome: &Outcome,
        window: Window,
    ) -> Result<u64, Violation> {
        let value = match outcome {
            Outcome::Content { value, .. } => *value,
            Outcome::Torn(at) => {
                return Err(Violation::new(Promise::NoMix, record, format!("nobody wrote what stands at byte {at}")));
            }
            _ => return Err(Violation::new(Promise::Held, record, "the handle cannot be read any more".to_owned())),
        };
        let Some(held) = self.held.get(&hold).copied() else { return Ok(0) };
        let Some((_, shown)) = self.past.content(held.inode, held.shows) else { return Ok(0) };
        if shown == value {
            return Ok(0);
        }
        let mut later = self.past.contents_between(held.inode, held.shows, window.last);
        if let Some((version, _)) = later.find(|(_, then)| *then == value) {
            self.held.insert(hold, Held { shows: version, ..held });
            if is_grown(shown, value) || self.wrote_here(record, held, version, window.last) {
                return Ok(0);
            }
            let why = format!("the handle showed {shown:?}, and nobody wrote to the file on its mount since");
            return Err(Violation::new(Promise::HeldStill, record, why));
        }
        // What was written to a file without a name is no version. The mount that wrote shows it, others show that the file grew.
        let is_shown = |write: &&Record| {
            let is_cut = matches!(write.operation, Operation::Cut { size, .. } if size == value.size);
            let drew_out = is_cut && write.operation.path() == record.operation.path() && is_grown(shown, value);
            write.start < record.end && (write.mount == record.mount || drew_out)
        };
        if self.past.links(held.inode, window.last) == 0 && self.unlogged.iter().any(is_shown) {
            return Ok(0);
        }
        Err(Violation::new(Promise::Held, record, format!("the handle showed {shown:?}, and the file never had this after that")))
    }

    /// Whether somebody on the record's mount wrote to the held file, up to that version or while it showed the same.
    fn wrote_here(&self, record: &Record, held: Held, version: u64, last: u64) -> bool {
        let shown = self.past.content(held.inode, version).map(|(_, value)| value);
        let contents = self.past.contents_between(held.inode, held.shows, last);
        let mut until = contents.take_while(|(at, value)| *at <= version || Some(*value) == shown);
        let is_here = |by: u32| self.records.get(&by).is_some_and(|by| by.mount == record.mount);
        until.any(|(version, _)| self.past.maker(version).is_some_and(is_here))
    }

    /// An old version is what it was.
    pub(super) fn old_answer(&self, record: &Record, version: u64, path: &str, outcome: &Outcome) -> Result<u64, Violation> {
        let then = self.past.resolve(path, version).and_then(|inode| self.past.content(inode, version)).map(|(_, value)| value);
        let is_right = match outcome {
            Outcome::Content { said, value } => Some(*value) == then && *said == u64::from(value.size),
            Outcome::Failed(libc::ENOENT) => then.is_none(),
            _ => false,
        };
        if is_right { Ok(0) } else { Err(Violation::new(Promise::Old, record, format!("at that version it was {then:?}"))) }
    }

    /// Size and number of names.
    pub(super) fn stat_answer(
        &self,
        record: &Record,
        path: &str,
        size: u64,
        links: u64,
        window: Window,
    ) -> Result<u64, Violation> {
        let mut has_size = false;
        for version in window.versions() {
            let Some(inode) = self.past.resolve(path, version) else { continue };
            if self.past.content(inode, version).is_some_and(|(_, value)| u64::from(value.size) == size) {
                has_size = true;
                if self.past.links(inode, version) == links {
                    return Ok(version);
                }
            }
        }
        // A file without a name, found a moment before it lost it.
        if self.changes_meaning(path, window) {
            return Ok(0);
        }
        let promise = if has_size { Promise::Links } else { Promise::Size };
        Err(Violation::new(promise, record, format!("versions {:?} are possible, and none shows this", window.versions())))
    }

    /// The version that last changed the file.
    pub(super) fn version_answer(&self, record: &Record, path: &str, version: u64, window: Window) -> Result<u64, Violation> {
        let touched = |at: u64| self.past.resolve(path, at).and_then(|inode| self.past.touched(inode, at));
        let found = window.versions().find(|at| touched(*at) == Some(version));
        if found.is_some() || self.changes_meaning(path, window) {
            return Ok(found.unwrap_or(0));
        }
        let why = format!(
            "versions {:?} are possible; at the first, {:?} had changed it last",
            window.versions(),
            touched(window.first)
        );
        Err(Violation::new(Promise::CloseToOpen, record, why))
    }
}

/// Whether a file that was one is the other when all that happened to it is that it grew.
fn is_grown(shown: Value, value: Value) -> bool {
    shown.by == value.by && shown.kept == value.kept && value.size > shown.size
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::check::check;
    use crate::recording::log::Change;
    use weft_common::id::ROOT_INODE;
    use weft_common::wire::ChangeKind;

    /// A file that is open on mount 1 loses its name while mount 0 draws it out to 2000 bytes; then the open handle shows `value`.
    fn nameless(value: Value) -> Vec<Promise> {
        let path = || "f".to_owned();
        let shown = Value::whole(1, 1000);
        let content = |value: Value| Outcome::Content { said: u64::from(value.size), value };
        let steps = [
            (0, 0, 1, Operation::Create { path: path(), size: 1000 }, Outcome::Done),
            (1, 2, 3, Operation::Hold { path: path() }, content(shown)),
            (0, 4, 7, Operation::Cut { path: path(), size: 2000 }, Outcome::Done),
            (2, 5, 6, Operation::Unlink { path: path() }, Outcome::Done),
            (1, 8, 9, Operation::ReadHeld { hold: 2, path: path() }, content(value)),
        ];
        let records = steps.into_iter().zip(1..).map(|((mount, start, end, operation, outcome), number)| Record {
            number,
            client: mount,
            mount,
            start,
            end,
            operation,
            outcome,
        });
        let change = |version, by, kind, size| Change {
            version,
            by: Some(by),
            kind,
            inode: 2,
            place: Some((ROOT_INODE.0, path())),
            old_place: None,
            size,
        };
        let log = [
            change(1, 1, ChangeKind::Create, None),
            change(2, 1, ChangeKind::Write, Some(1000)),
            change(3, 4, ChangeKind::Remove, None),
        ];
        let violations = check(&records.collect::<Vec<_>>(), &log);
        violations.into_iter().map(|violation| violation.promise).collect()
    }

    #[test]
    fn a_held_file_without_a_name_may_grow_by_what_another_mount_does_to_it_and_by_nothing_else() {
        let before = Value::whole(1, 1000);
        assert_eq!(nameless(before), []);
        assert_eq!(nameless(before.cut(2000)), []);
        assert_eq!(nameless(before.cut(3000)), [Promise::Held], "nobody drew it out so far");
        assert_eq!(nameless(before.cut(500).cut(2000)), [Promise::Held], "bytes are gone");
    }
}
