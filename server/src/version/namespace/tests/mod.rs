//! Tests of the namespace: focused ones, random histories against a model, cost, and the bytes of the rows.

mod acls;
mod clones;
mod cost;
mod errors;
mod golden;
mod intervals;
mod keeping;
mod model;
mod policies;
mod random;
mod semantics;

use super::*;
use crate::version::kv::{MemoryKv, Order, Visit};
use std::cell::Cell;
use weft_common::name::FileName;
use weft_common::weave::{Geometry, Tree};
use weft_common::wire::{
    At, AttributeChange, Author, Change, ChangeRecord, ChangeReply, DirectoryEntry, HistoryState, NamespaceAnswer, NewInode,
    Query, VersionRange, VolumeSettings,
};

const VOLUME: VolumeId = VolumeId(7);

fn name(text: &str) -> FileName {
    FileName::new(text.as_bytes()).unwrap()
}

fn settings() -> VolumeSettings {
    VolumeSettings { geometry: Geometry::new(1 << 20, 32).unwrap(), copies: 1 }
}

fn author() -> Author {
    Author { uid: 1000, host: "desk".into(), program: "test".into() }
}

/// A table that counts what is done to it.
#[derive(Debug, Default)]
struct CountingKv {
    inner: MemoryKv,
    reads: Cell<u64>,
    writes: Cell<u64>,
}

impl Kv for CountingKv {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, KvError> {
        self.reads.set(self.reads.get() + 1);
        self.inner.get(key)
    }

    fn put(&mut self, key: &[u8], value: &[u8]) -> Result<(), KvError> {
        self.writes.set(self.writes.get() + 1);
        self.inner.put(key, value)
    }

    fn delete(&mut self, key: &[u8]) -> Result<(), KvError> {
        self.writes.set(self.writes.get() + 1);
        self.inner.delete(key)
    }

    fn scan(&self, from: &[u8], to: &[u8], order: Order, visit: &mut Visit<'_>) -> Result<(), KvError> {
        self.reads.set(self.reads.get() + 1);
        self.inner.scan(from, to, order, &mut |key, value| {
            self.reads.set(self.reads.get() + 1);
            visit(key, value)
        })
    }
}

/// A volume of which every change comes a second after the one before.
#[derive(Debug)]
struct Volume {
    kv: CountingKv,
    now: Timestamp,
}

impl Volume {
    fn new() -> Self {
        let mut kv = CountingKv::default();
        let created = Timestamp::from_parts(1_000, 0);
        let info = VolumeInfo { id: VOLUME, name: "show".into(), settings: settings(), latest: VolumeVersion(0), created };
        create_volume(&mut kv, &info, (1000, 100), created).unwrap();
        Self { kv, now: created }
    }

    /// Runs one command. A command that is refused must have written nothing.
    fn run<T>(&mut self, command: impl FnOnce(&mut VolumeTxn<'_>) -> Result<T, NamespaceError>) -> Result<T, ErrorKind> {
        self.now = self.now.after(std::time::Duration::from_secs(1));
        let (author, writes) = (author(), self.kv.writes.get());
        let mut txn = VolumeTxn::open(&mut self.kv, VOLUME, self.now, &author).unwrap();
        match command(&mut txn) {
            Ok(answer) => {
                txn.finish().unwrap();
                Ok(answer)
            }
            Err(NamespaceError::Service(error)) => {
                assert_eq!(self.kv.writes.get(), writes, "a refused change wrote something: {error}");
                assert!(!error.message.is_empty());
                Err(error.kind)
            }
            Err(NamespaceError::Kv(error)) => panic!("{error}"),
        }
    }

    fn change(&mut self, change: &Change) -> Result<ChangeReply, ErrorKind> {
        self.run(|txn| apply(txn, change, &settings()))
    }

    fn publish(&mut self, inode: InodeNumber, tree: &Tree) -> Result<Option<VolumeVersion>, ErrorKind> {
        let modified = self.now;
        self.run(|txn| publish_content(txn, inode, tree, modified, 10))
    }

    /// Publishes the next version of a file's blob.
    fn write(&mut self, inode: InodeNumber, size: u64) -> Option<VolumeVersion> {
        let mut tree = self.head(inode).tree.unwrap();
        tree.version.0 += 1;
        tree.size = size;
        self.publish(inode, &tree).unwrap()
    }

    fn make(&mut self, parent: InodeNumber, text: &str, inode: NewInode) -> Result<InodeNumber, ErrorKind> {
        let name = FileName::new(text.as_bytes()).unwrap();
        let change = Change::Create { parent, name, inode, mode: 0o644, uid: 1, gid: 2, exclusive: true, umask: 0 };
        Ok(self.change(&change)?.attributes.unwrap().inode)
    }

    fn file(&mut self, parent: InodeNumber, name: &str) -> InodeNumber {
        self.make(parent, name, NewInode::File).unwrap()
    }

    fn directory(&mut self, parent: InodeNumber, name: &str) -> InodeNumber {
        self.make(parent, name, NewInode::Directory).unwrap()
    }

    fn unlink(&mut self, parent: InodeNumber, text: &str) -> Result<ChangeReply, ErrorKind> {
        self.change(&Change::Unlink { parent, name: name(text) })
    }

    fn rename(&mut self, from: (InodeNumber, &str), to: (InodeNumber, &str)) -> Result<ChangeReply, ErrorKind> {
        self.change(&rename(from, to, false, false))
    }

    fn restore(&mut self, parent: InodeNumber, text: &str, to: VolumeVersion) -> Result<ChangeReply, ErrorKind> {
        self.change(&Change::Restore { parent, name: name(text), source: parent, to })
    }

    fn chmod(&mut self, inode: InodeNumber, mode: u16) -> Result<ChangeReply, ErrorKind> {
        self.change(&Change::SetAttributes { inode, set: AttributeChange { mode: Some(mode), ..Default::default() } })
    }

    fn head(&self, inode: InodeNumber) -> Attributes {
        head_attributes(&self.kv, VOLUME, inode).unwrap().unwrap()
    }

    fn latest(&self) -> VolumeVersion {
        latest(&self.kv, VOLUME).unwrap()
    }

    fn query(&self, at: At, question: &Query) -> Result<NamespaceAnswer, ErrorKind> {
        match query(&self.kv, VOLUME, at, question) {
            Ok(answer) => Ok(answer),
            Err(NamespaceError::Service(error)) => Err(error.kind),
            Err(NamespaceError::Kv(error)) => panic!("{error}"),
        }
    }

    fn attributes(&self, at: At, question: &Query) -> Result<Attributes, ErrorKind> {
        match self.query(at, question)? {
            NamespaceAnswer::Attributes(attributes) => Ok(attributes),
            other => panic!("{other:?}"),
        }
    }

    fn look_up(&self, at: At, parent: InodeNumber, text: &str) -> Result<Attributes, ErrorKind> {
        self.attributes(at, &Query::LookUp { parent, name: name(text) })
    }

    /// A whole directory, asked for in parts of `limit`.
    fn list(&self, at: At, directory: InodeNumber, limit: u32) -> Vec<DirectoryEntry> {
        let mut all: Vec<DirectoryEntry> = Vec::new();
        loop {
            let after = all.last().map(|entry| entry.name.clone());
            match self.query(at, &Query::ReadDirectory { directory, after, limit }).unwrap() {
                NamespaceAnswer::Entries { entries, more } => {
                    assert!(entries.len() <= limit as usize && (entries.len() == limit as usize || !more));
                    all.extend(entries);
                    if !more {
                        return all;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn versions_of(&self, directory: InodeNumber, limit: u32) -> Vec<ChangeRecord> {
        let mut all: Vec<ChangeRecord> = Vec::new();
        loop {
            let after = all.last().map_or(VolumeVersion(0), |change| change.version);
            match self.query(At::Head, &Query::VersionsOf { directory, after, limit }).unwrap() {
                NamespaceAnswer::Changes { changes, more } => {
                    all.extend(changes);
                    if !more {
                        return all;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn history_of(&self, parent: InodeNumber, name: &FileName, limit: u32) -> Vec<HistoryState> {
        let mut all: Vec<HistoryState> = Vec::new();
        loop {
            let after = all.last().map_or(VolumeVersion(0), |state| state.from);
            match self.query(At::Head, &Query::HistoryOf { parent, name: name.clone(), after, limit }).unwrap() {
                NamespaceAnswer::History { states, more } => {
                    all.extend(states);
                    if !more {
                        return all;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn version(&self, question: &Query) -> Result<VolumeVersion, ErrorKind> {
        match self.query(At::Head, question)? {
            NamespaceAnswer::Version(version) => Ok(version),
            other => panic!("{other:?}"),
        }
    }

    fn statistics(&self) -> weft_common::wire::VolumeStatistics {
        match self.query(At::Head, &Query::Statistics).unwrap() {
            NamespaceAnswer::Statistics(statistics) => statistics,
            other => panic!("{other:?}"),
        }
    }
}

fn rename(from: (InodeNumber, &str), to: (InodeNumber, &str), no_replace: bool, exchange: bool) -> Change {
    Change::Rename { parent: from.0, name: name(from.1), new_parent: to.0, new_name: name(to.1), no_replace, exchange }
}
