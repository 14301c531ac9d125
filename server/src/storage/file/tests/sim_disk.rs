//! A disk in memory that remembers every operation, can fail any of them, and can show what would be left if the process or
//! the machine had died between any two.

use crate::storage::file::disk::{Disk, DiskFile, DiskSpace, FileSize};
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

const BLOCK: u64 = 4096;
/// What a disk writes at once.
const SECTOR: usize = 512;

/// A small generator: tests must not depend on the version of a crate for their sequence.
#[derive(Clone, Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }
}

#[derive(Clone, Debug)]
pub(super) enum Op {
    Create(usize, String),
    Rename(String, String),
    Remove(String),
    SyncFolder,
    Write(usize, u64, Vec<u8>),
    Truncate(usize, u64),
    Allocate(usize, u64, u64),
    Punch(usize, u64, u64),
    Sync(usize),
}

impl Op {
    fn is_name(&self) -> bool {
        matches!(self, Self::Create(..) | Self::Rename(..) | Self::Remove(_))
    }

    fn file(&self) -> Option<usize> {
        match self {
            Self::Write(file, ..)
            | Self::Truncate(file, _)
            | Self::Allocate(file, ..)
            | Self::Punch(file, ..)
            | Self::Sync(file) => Some(*file),
            _ => None,
        }
    }
}

/// How the store dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Crash {
    /// The process: every finished call counts, the last write may be cut short.
    Process,
    /// The machine: what was not synced is there, or not, or in part, in any order.
    Power,
}

#[derive(Clone, Debug, Default)]
struct Content {
    bytes: Vec<u8>,
    blocks: Vec<bool>,
}

impl Content {
    fn mark(&mut self, from: u64, to: u64, allocated: bool) {
        let (first, last) = if allocated { (from / BLOCK, to.div_ceil(BLOCK)) } else { (from.div_ceil(BLOCK), to / BLOCK) };
        if self.blocks.len() < last as usize {
            self.blocks.resize(last as usize, false);
        }
        (first..last).for_each(|block| self.blocks[block as usize] = allocated);
    }

    fn grow(&mut self, end: u64) {
        if (self.bytes.len() as u64) < end {
            self.bytes.resize(end as usize, 0);
        }
    }

    fn write(&mut self, offset: u64, data: &[u8]) {
        let end = offset + data.len() as u64;
        self.grow(end);
        self.bytes[offset as usize..end as usize].copy_from_slice(data);
        self.mark(offset, end, true);
    }

    fn allocated(&self) -> u64 {
        self.blocks.iter().filter(|allocated| **allocated).count() as u64 * BLOCK
    }
}

#[derive(Clone, Debug, Default)]
struct State {
    contents: Vec<Content>,
    names: BTreeMap<String, usize>,
    ops: Vec<Op>,
    writes: u64,
    syncs: u64,
    fail_write: u64,
    fail_sync: u64,
    capacity: u64,
}

impl State {
    fn apply(&mut self, op: &Op) {
        match op {
            Op::Create(file, name) => {
                if self.contents.len() <= *file {
                    self.contents.resize(*file + 1, Content::default());
                }
                self.names.insert(name.clone(), *file);
            }
            Op::Rename(from, to) => {
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                }
            }
            Op::Remove(name) => drop(self.names.remove(name)),
            Op::Write(file, offset, data) => self.contents[*file].write(*offset, data),
            Op::Truncate(file, end) => {
                let content = &mut self.contents[*file];
                content.bytes.resize(*end as usize, 0);
                content.blocks.resize(end.div_ceil(BLOCK) as usize, false);
            }
            Op::Allocate(file, offset, length) => {
                self.contents[*file].grow(offset + length);
                self.contents[*file].mark(*offset, offset + length, true);
            }
            Op::Punch(file, offset, length) => {
                let content = &mut self.contents[*file];
                content.bytes[*offset as usize..(offset + length) as usize].fill(0);
                content.mark(*offset, offset + length, false);
            }
            Op::SyncFolder | Op::Sync(_) => {}
        }
    }

    fn run(&mut self, op: Op) {
        self.apply(&op);
        self.ops.push(op);
    }

    fn used(&self) -> u64 {
        self.names.values().map(|file| self.contents[*file].allocated()).sum()
    }

    fn check_room(&self, more: u64) -> io::Result<()> {
        if self.used() + more > self.capacity { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    }
}

/// The disk. Clones are the same disk.
#[derive(Clone, Debug)]
pub(super) struct SimDisk {
    state: Arc<Mutex<State>>,
}

impl SimDisk {
    pub(super) fn new(capacity: u64) -> Self {
        Self { state: Arc::new(Mutex::new(State { capacity, ..State::default() })) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Operations so far.
    pub(super) fn ops(&self) -> usize {
        self.state().ops.len()
    }

    /// How many of them are like that.
    pub(super) fn count(&self, like: impl Fn(&Op) -> bool) -> usize {
        self.state().ops.iter().filter(|op| like(op)).count()
    }

    pub(super) fn writes(&self) -> u64 {
        self.state().writes
    }

    pub(super) fn syncs(&self) -> u64 {
        self.state().syncs
    }

    /// The write that fails, counted from 1.
    pub(super) fn fail_write(&self, number: u64) {
        self.state().fail_write = number;
    }

    /// The sync that fails, counted from 1; folders' syncs count too.
    pub(super) fn fail_sync(&self, number: u64) {
        self.state().fail_sync = number;
    }

    pub(super) fn used(&self) -> u64 {
        self.state().used()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.state().names.keys().cloned().collect()
    }

    /// Changes a file behind the store's back.
    pub(super) fn meddle(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let file = state.names[name];
        change(&mut state.contents[file].bytes);
    }

    /// A copy, as it is, with no history.
    pub(super) fn copy(&self) -> Self {
        let state = self.state();
        let mut copy = State { capacity: state.capacity, ..State::default() };
        for (name, file) in &state.names {
            let number = copy.contents.len();
            copy.contents.push(state.contents[*file].clone());
            copy.names.insert(name.clone(), number);
        }
        Self { state: Arc::new(Mutex::new(copy)) }
    }

    /// What is left if the store dies after its first `count` operations. The disk must have begun empty.
    pub(super) fn after_crash(&self, count: usize, crash: Crash, random: &mut Random) -> Self {
        let state = self.state();
        let ops = &state.ops[..count];
        let mut left =
            State { capacity: state.capacity, contents: vec![Content::default(); state.contents.len()], ..State::default() };
        match crash {
            Crash::Process => {
                ops.iter().for_each(|op| left.apply(op));
                if let Some(Op::Write(file, offset, data)) = state.ops.get(count) {
                    let cut = random.below(data.len() as u64 + 1) as usize;
                    left.apply(&Op::Write(*file, *offset, data[..cut].to_vec()));
                }
            }
            Crash::Power => lose_power(ops, &mut left, random),
        }
        left.ops.clear();
        Self { state: Arc::new(Mutex::new(left)) }.copy()
    }
}

fn lose_power(ops: &[Op], left: &mut State, random: &mut Random) {
    let last = |wanted: &dyn Fn(&Op) -> bool| ops.iter().rposition(wanted).map_or(0, |at| at + 1);
    // Names change in the order of the journal: some first part of what was not synced is there.
    let safe = last(&|op| matches!(op, Op::SyncFolder));
    let names_until = safe + random.below((ops.len() - safe) as u64 + 1) as usize;
    for (at, op) in ops.iter().enumerate() {
        if op.is_name() && at < names_until {
            left.apply(op);
        }
    }
    for file in 0..left.contents.len() {
        let safe = last(&|op| matches!(op, Op::Sync(other) if *other == file));
        // So do lengths and holes; bytes have no order at all.
        let lengths_until = safe + random.below((ops.len() - safe) as u64 + 1) as usize;
        let luck = random.below(3);
        for (at, op) in ops.iter().enumerate().filter(|(_, op)| op.file() == Some(file)) {
            match op {
                Op::Write(_, offset, data) if at >= safe => {
                    for (number, sector) in data.chunks(SECTOR).enumerate() {
                        if luck == 2 || (luck == 1 && random.below(8) > 0) || random.below(2) == 0 {
                            left.apply(&Op::Write(file, offset + (number * SECTOR) as u64, sector.to_vec()));
                        }
                    }
                }
                Op::Write(..) => left.apply(op),
                _ if at < lengths_until => left.apply(op),
                _ => {}
            }
        }
    }
}

impl Disk for SimDisk {
    fn path(&self) -> &Path {
        Path::new("/sim")
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let mut state = self.state();
        let file = match (state.names.get(name).copied(), create) {
            (Some(_), true) => return Err(io::ErrorKind::AlreadyExists.into()),
            (None, false) => return Err(io::ErrorKind::NotFound.into()),
            (Some(file), false) => file,
            (None, true) => {
                let file = state.contents.len();
                state.run(Op::Create(file, name.into()));
                file
            }
        };
        Ok(Arc::new(SimFile { disk: self.clone(), file }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.state().run(Op::Rename(from.into(), to.into()));
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.run(Op::Remove(name.into()));
        Ok(())
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut state = self.state();
        state.syncs += 1;
        if state.syncs == state.fail_sync {
            return Err(io::Error::other("planned failure"));
        }
        state.run(Op::SyncFolder);
        Ok(())
    }

    fn space(&self) -> io::Result<DiskSpace> {
        let state = self.state();
        Ok(DiskSpace { total: state.capacity, free: state.capacity.saturating_sub(state.used()) })
    }

    fn boot(&self) -> String {
        "simulated".into()
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    file: usize,
}

impl DiskFile for SimFile {
    fn write(&self, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        let mut state = self.disk.state();
        state.writes += 1;
        let data = parts.concat();
        if state.writes == state.fail_write {
            // Some of it may have got through.
            state.run(Op::Write(self.file, offset, data[..data.len() / 2].to_vec()));
            return Err(io::Error::other("planned failure"));
        }
        let beyond = (offset + data.len() as u64).saturating_sub(state.contents[self.file].bytes.len() as u64);
        state.check_room(beyond)?;
        state.run(Op::Write(self.file, offset, data));
        Ok(())
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        let state = self.disk.state();
        let bytes = state.contents[self.file].bytes.get(offset as usize..offset as usize + length);
        bytes.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn read_into(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        bytes.copy_from_slice(&self.read(offset, bytes.len())?);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        state.syncs += 1;
        if state.syncs == state.fail_sync {
            return Err(io::Error::other("planned failure"));
        }
        state.run(Op::Sync(self.file));
        Ok(())
    }

    fn allocate(&self, offset: u64, length: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        state.check_room(length)?;
        state.run(Op::Allocate(self.file, offset, length));
        Ok(())
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        self.disk.state().run(Op::Punch(self.file, offset, length));
        Ok(())
    }

    fn truncate(&self, end: u64) -> io::Result<()> {
        self.disk.state().run(Op::Truncate(self.file, end));
        Ok(())
    }

    fn size(&self) -> io::Result<FileSize> {
        let state = self.disk.state();
        let content = &state.contents[self.file];
        Ok(FileSize { end: content.bytes.len() as u64, allocated: content.allocated() })
    }

    fn forget_cache(&self) {}
}
