//! The volume in memory, without bugs.

use crate::recording::log::Change;
use crate::recording::past::split;
use crate::recording::record::{Moment, Operation, Outcome, Value};
use std::collections::{BTreeMap, HashMap};
use weft_common::id::ROOT_INODE;
use weft_common::wire::ChangeKind;

/// A file or directory.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Inode {
    pub(super) value: Value,
    /// What it held before that.
    pub(super) before: Value,
    /// When the operation that wrote its content ends.
    pub(super) written: Moment,
    /// When the first one that saw it ended.
    pub(super) seen: Option<Moment>,
    links: u64,
    touched: u64,
}

/// The volume.
#[derive(Debug, Default)]
pub(super) struct Volume {
    names: BTreeMap<(u64, String), u64>,
    pub(super) inodes: HashMap<u64, Inode>,
    /// What each path has held, for those that are never missing.
    past: HashMap<String, Vec<(u64, Value)>>,
    pub(super) held: HashMap<u32, (u64, Value)>,
    pub(super) logs: HashMap<String, Vec<u32>>,
    pub(super) tiles: HashMap<String, Vec<u32>>,
    grown: HashMap<String, u64>,
    pub(super) changes: Vec<Change>,
}

const NO_ENTRY: Outcome = Outcome::Failed(libc::ENOENT);

impl Volume {
    pub(super) fn resolve(&self, path: &str) -> Option<u64> {
        let mut names = path.split('/').filter(|name| !name.is_empty());
        names.try_fold(ROOT_INODE.0, |directory, name| self.names.get(&(directory, name.to_owned())).copied())
    }

    fn place(&self, path: &str) -> Option<(u64, String)> {
        let (directory, name) = split(path);
        Some((self.resolve(directory)?, name.to_owned()))
    }

    /// Records a change by the operation `by`.
    fn log(&mut self, by: u32, kind: ChangeKind, inode: u64, place: (u64, String), old_place: Option<(u64, String)>) {
        let version = self.changes.len() as u64 + 1;
        let about = self.inodes.entry(inode).or_default();
        about.touched = version;
        let size = (kind == ChangeKind::Write).then_some(u64::from(about.value.size));
        self.changes.push(Change { version, by: Some(by), kind, inode, place: Some(place), old_place, size });
    }

    /// Does an operation that ends at `end`.
    pub(super) fn perform(&mut self, number: u32, end: Moment, operation: &Operation) -> Outcome {
        match operation {
            Operation::Create { path, size } => self.create(number, path, Some((*size, end))),
            Operation::MakeDirectory { path } => self.create(number, path, None),
            Operation::Overwrite { path, size } => self.write(number, path, end, |_| Value::whole(number, *size)),
            Operation::Cut { path, size } => self.write(number, path, end, |value| value.cut(*size)),
            Operation::Replace { draft, path, size } => {
                self.create(number, draft, Some((*size, end)));
                self.rename(number, draft, path)
            }
            Operation::Read { path } => self.read(path, end).map_or(NO_ENTRY, |(_, value)| content(value)),
            Operation::Hold { path } => self.read(path, end).map_or(NO_ENTRY, |(inode, value)| {
                self.held.insert(number, (inode, value));
                content(value)
            }),
            Operation::ReadHeld { hold, .. } => self.held.get(hold).map_or(NO_ENTRY, |(_, value)| content(*value)),
            Operation::LetGo { hold, .. } => {
                self.held.remove(hold);
                Outcome::Done
            }
            Operation::Stat { path } => {
                self.inode(path).map_or(NO_ENTRY, |inode| Outcome::Stat { size: u64::from(inode.value.size), links: inode.links })
            }
            Operation::Version { path } => self.inode(path).map_or(NO_ENTRY, |inode| Outcome::Version(inode.touched)),
            Operation::ReadOld { version, path } => self.old(path, *version).map_or(NO_ENTRY, content),
            Operation::Rename { from, to } => self.rename(number, from, to),
            Operation::Link { from, to } => self.link(number, from, to),
            Operation::Unlink { path } | Operation::RemoveDirectory { path } => self.remove(number, path),
            Operation::List { path } => self.list(path),
            Operation::Append { path, .. } => {
                self.logs.entry(path.clone()).or_default().push(number);
                Outcome::Done
            }
            Operation::ReadLog { path } => Outcome::Log(self.logs.get(path).cloned().unwrap_or_default()),
            Operation::WriteTile { path, slice } => {
                self.slices(path)[usize::from(*slice)] = number;
                Outcome::Done
            }
            Operation::ReadTiles { path } => Outcome::Tiles(self.slices(path).clone()),
            Operation::Grow { path, to } => {
                self.grown.insert(path.clone(), *to);
                Outcome::Done
            }
            Operation::ReadGrown { path } | Operation::Follow { path } => {
                Outcome::Grown(self.grown.get(path).copied().unwrap_or(0))
            }
        }
    }

    fn inode(&self, path: &str) -> Option<Inode> {
        self.inodes.get(&self.resolve(path)?).copied()
    }

    pub(super) fn slices(&mut self, path: &str) -> &mut Vec<u32> {
        self.tiles.entry(path.to_owned()).or_insert_with(|| vec![0; crate::recording::content::SLICES])
    }

    fn create(&mut self, number: u32, path: &str, content: Option<(u32, Moment)>) -> Outcome {
        let Some(place) = self.place(path) else { return NO_ENTRY };
        if self.names.contains_key(&place) {
            return Outcome::Failed(libc::EEXIST);
        }
        let inode = ROOT_INODE.0 + 1 + self.inodes.len() as u64;
        self.names.insert(place.clone(), inode);
        self.inodes.insert(inode, Inode { links: 1, ..Inode::default() });
        self.log(number, ChangeKind::Create, inode, place, None);
        match content {
            Some((size, end)) => self.write(number, path, end, |_| Value::whole(number, size)),
            None => Outcome::Done,
        }
    }

    fn write(&mut self, number: u32, path: &str, end: Moment, change: impl Fn(Value) -> Value) -> Outcome {
        let (Some(place), Some(inode)) = (self.place(path), self.resolve(path)) else { return NO_ENTRY };
        let file = self.inodes.entry(inode).or_default();
        *file = Inode { before: file.value, value: change(file.value), written: end, seen: None, ..*file };
        self.log(number, ChangeKind::Write, inode, place, None);
        self.note(path);
        Outcome::Done
    }

    /// What a path holds from now on.
    fn note(&mut self, path: &str) {
        if let Some(inode) = self.inode(path) {
            self.past.entry(path.to_owned()).or_default().push((self.changes.len() as u64, inode.value));
        }
    }

    fn read(&mut self, path: &str, end: Moment) -> Option<(u64, Value)> {
        let number = self.resolve(path)?;
        let inode = self.inodes.get_mut(&number)?;
        inode.seen = Some(inode.seen.unwrap_or(end).min(end));
        Some((number, inode.value))
    }

    fn old(&self, path: &str, version: u64) -> Option<Value> {
        let states = self.past.get(path)?;
        let behind = states.partition_point(|(from, _)| *from <= version);
        Some(states[behind.checked_sub(1)?].1)
    }

    fn rename(&mut self, number: u32, from: &str, to: &str) -> Outcome {
        let (Some(old), Some(new), Some(inode)) = (self.place(from), self.place(to), self.resolve(from)) else { return NO_ENTRY };
        let replaced = self.names.get(&new).copied();
        if replaced == Some(inode) {
            return Outcome::Done;
        }
        self.names.remove(&old);
        self.names.insert(new.clone(), inode);
        if let Some(replaced) = replaced.and_then(|replaced| self.inodes.get(&replaced).copied()) {
            let moved = self.inodes.entry(inode).or_default();
            moved.before = replaced.value;
        }
        self.log(number, ChangeKind::Rename, inode, new, Some(old));
        if let Some(replaced) = replaced.and_then(|replaced| self.inodes.get_mut(&replaced)) {
            replaced.links -= 1;
            replaced.touched = self.changes.len() as u64;
        }
        self.note(to);
        Outcome::Done
    }

    fn link(&mut self, number: u32, from: &str, to: &str) -> Outcome {
        let (Some(new), Some(inode)) = (self.place(to), self.resolve(from)) else { return NO_ENTRY };
        if self.names.contains_key(&new) {
            return Outcome::Failed(libc::EEXIST);
        }
        self.names.insert(new.clone(), inode);
        self.inodes.entry(inode).or_default().links += 1;
        self.log(number, ChangeKind::Link, inode, new, None);
        Outcome::Done
    }

    fn remove(&mut self, number: u32, path: &str) -> Outcome {
        let (Some(place), Some(inode)) = (self.place(path), self.resolve(path)) else { return NO_ENTRY };
        if self.names.keys().any(|(directory, _)| *directory == inode) {
            return Outcome::Failed(libc::ENOTEMPTY);
        }
        self.names.remove(&place);
        self.inodes.entry(inode).or_default().links -= 1;
        self.log(number, ChangeKind::Remove, inode, place, None);
        Outcome::Done
    }

    fn list(&self, path: &str) -> Outcome {
        let Some(directory) = self.resolve(path) else { return NO_ENTRY };
        let inside = self.names.keys().filter(|(parent, _)| *parent == directory);
        Outcome::Names(inside.map(|(_, name)| name.clone()).collect())
    }
}

fn content(value: Value) -> Outcome {
    Outcome::Content { said: u64::from(value.size), value }
}
