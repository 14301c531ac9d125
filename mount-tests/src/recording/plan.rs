//! What a client does next: drawn from a seed, on few paths, so that clients meet.

use super::content::{RECORD_MAX, SLICES, WHOLE_MAX, WHOLE_MIN};
use super::record::{Operation, Outcome, Record};
use crate::random::Random;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// Files whose whole content is written again and again, and which are never missing.
const FRAMES: u64 = 6;
/// Names that come and go in a directory that stays, and in one that comes and goes itself.
const NAMES: [(&str, u64); 4] = [("names/a", 3), ("names/b", 3), ("names/s0", 1), ("names/s1", 1)];
/// Handles that a client holds at most.
const HELD_MAX: usize = 3;
/// A log, or a file of slices, is left for a new one after so many writes: what a reader says of one stays short.
const WRITES_PER_FILE: u32 = 150;
/// A growing file is left for a new one at this length.
const GROWN_MAX: u64 = 200_000;
/// Old versions that clients look at again and again.
const VERSIONS_MAX: usize = 64;

/// What all clients of a history know.
#[derive(Debug)]
pub struct Shared {
    clients: u16,
    next: AtomicU32,
    appended: AtomicU32,
    tiled: AtomicU32,
    /// The length of each client's growing file, and how many there were before it.
    growing: Vec<(AtomicU32, AtomicU64)>,
    versions: Mutex<VecDeque<(u64, String)>>,
}

impl Shared {
    /// For so many clients.
    #[must_use]
    pub fn new(clients: u16) -> Self {
        Self {
            clients,
            next: AtomicU32::new(1),
            appended: AtomicU32::new(0),
            tiled: AtomicU32::new(0),
            growing: (0..clients).map(|_| (AtomicU32::new(0), AtomicU64::new(0))).collect(),
            versions: Mutex::default(),
        }
    }

    /// The number of the next operation.
    pub fn number(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// What has to be there before the clients start: directories that stay, and frames.
    #[must_use]
    pub fn setup() -> Vec<Operation> {
        let directories = ["names", "names/a", "names/b", "frames", "drafts", "private", "logs", "tiles", "growing"];
        let directories = directories.iter().map(|path| Operation::MakeDirectory { path: (*path).to_owned() });
        let frames = (0..FRAMES).map(|frame| Operation::Create { path: format!("frames/f{frame}"), size: 1000 });
        directories.chain(frames).collect()
    }

    /// What is looked at when all clients are done: every log, every file of slices, all growing files.
    #[must_use]
    pub fn last_looks(&self) -> Vec<Operation> {
        let files = |count: &AtomicU32| 0..=count.load(Ordering::Relaxed) / WRITES_PER_FILE;
        let logs = files(&self.appended).map(|log| Operation::ReadLog { path: format!("logs/l{log}") });
        let tiles = files(&self.tiled).map(|file| Operation::ReadTiles { path: format!("tiles/t{file}") });
        let growing = (0..self.clients).flat_map(|client| {
            let rounds = self.growing[usize::from(client)].0.load(Ordering::Relaxed);
            (0..=rounds).map(move |round| Operation::ReadGrown { path: growing_path(client, round) })
        });
        logs.chain(tiles).chain(growing).collect()
    }

    fn version(&self, random: &mut Random) -> Option<(u64, String)> {
        let versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let place = random.below(versions.len().max(1) as u64) as usize;
        versions.get(place).cloned()
    }

    fn note_version(&self, version: u64, path: &str) {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions.push_back((version, path.to_owned()));
        if versions.len() > VERSIONS_MAX {
            versions.pop_front();
        }
    }
}

fn growing_path(client: u16, round: u32) -> String {
    format!("growing/g{client}-{round}")
}

/// Draws one client's operations.
#[derive(Debug)]
pub struct Planner<'a> {
    shared: &'a Shared,
    client: u16,
    random: Random,
    /// What has to come next.
    script: VecDeque<Operation>,
    held: Vec<(u32, String)>,
    privates: u32,
}

impl<'a> Planner<'a> {
    /// Of the client `client`.
    #[must_use]
    pub fn new(shared: &'a Shared, client: u16, seed: u64) -> Self {
        let random = Random::new(seed ^ (u64::from(client) << 48));
        Self { shared, client, random, script: VecDeque::new(), held: Vec::new(), privates: 0 }
    }

    /// What to do next.
    pub fn draw(&mut self) -> Operation {
        if let Some(operation) = self.script.pop_front() {
            return operation;
        }
        match self.random.below(100) {
            0..=24 => self.on_a_frame(),
            25..=34 => self.on_a_handle(),
            35..=41 => self.on_the_past(),
            42..=71 => self.on_names(),
            72..=80 => self.on_a_log(),
            81..=89 => self.on_tiles(),
            _ => self.on_growth(),
        }
    }

    /// Takes in what came of the last one.
    pub fn learn(&mut self, record: &Record) {
        match (&record.operation, &record.outcome) {
            (Operation::Hold { path }, Outcome::Content { .. }) => {
                self.held.push((record.number, path.clone()));
                if path.starts_with("private/") {
                    self.script.push_back(Operation::Unlink { path: path.clone() });
                }
            }
            (Operation::Create { path, .. }, Outcome::Done) if path.starts_with("private/") => {
                self.script.push_back(Operation::Hold { path: path.clone() });
            }
            (Operation::Version { path }, Outcome::Version(version)) => self.shared.note_version(*version, path),
            (Operation::Append { .. }, _) => {
                self.shared.appended.fetch_add(1, Ordering::Relaxed);
            }
            (Operation::WriteTile { .. }, _) => {
                self.shared.tiled.fetch_add(1, Ordering::Relaxed);
            }
            (Operation::Grow { to, .. }, _) => {
                let (round, length) = &self.shared.growing[usize::from(self.client)];
                let is_long = *to >= GROWN_MAX;
                length.store(if is_long { 0 } else { *to }, Ordering::Relaxed);
                round.fetch_add(u32::from(is_long), Ordering::Relaxed);
            }
            _ => {}
        }
    }

    fn size(&mut self) -> u32 {
        WHOLE_MIN + self.random.below(u64::from(WHOLE_MAX - WHOLE_MIN)) as u32
    }

    fn frame(&mut self) -> String {
        format!("frames/f{}", self.random.below(FRAMES))
    }

    fn name(&mut self) -> String {
        let (directory, names) = NAMES[self.random.below(NAMES.len() as u64) as usize];
        format!("{directory}/n{}", self.random.below(names))
    }

    fn on_a_frame(&mut self) -> Operation {
        let (path, size) = (self.frame(), self.size());
        match self.random.below(30) {
            0..=6 => Operation::Overwrite { path, size },
            7..=10 => Operation::Replace { draft: format!("drafts/d{}", self.client), path, size },
            11..=13 => Operation::Cut { path, size },
            14..=18 => Operation::Stat { path },
            _ => Operation::Read { path },
        }
    }

    fn on_a_handle(&mut self) -> Operation {
        let place = self.random.below(self.held.len().max(1) as u64) as usize;
        let is_full = self.held.len() >= HELD_MAX;
        match (self.random.below(12), self.held.get(place).cloned()) {
            (0..=1, Some((hold, path))) if is_full => {
                self.held.remove(place);
                Operation::LetGo { hold, path }
            }
            (2..=11, Some((hold, path))) if is_full || self.random.below(2) == 0 => Operation::ReadHeld { hold, path },
            (0..=5, _) if !is_full => {
                self.privates += 1;
                Operation::Create { path: format!("private/p{}-{}", self.client, self.privates), size: self.size() }
            }
            _ if !is_full => Operation::Hold { path: if self.random.below(3) == 0 { self.name() } else { self.frame() } },
            _ => Operation::Read { path: self.frame() },
        }
    }

    fn on_the_past(&mut self) -> Operation {
        match (self.random.below(3), self.shared.version(&mut self.random)) {
            (1.., Some((version, path))) => Operation::ReadOld { version, path },
            _ => Operation::Version { path: self.frame() },
        }
    }

    fn on_names(&mut self) -> Operation {
        let (path, other) = (self.name(), self.name());
        let directory = |random: &mut Random| format!("names/s{}", random.below(2));
        match self.random.below(21) {
            0..=4 => Operation::Create { path, size: self.size() / 20 + WHOLE_MIN },
            5..=7 => Operation::Unlink { path },
            8..=10 => Operation::Rename { from: path, to: other },
            11..=12 => Operation::Link { from: path, to: other },
            13..=14 => Operation::Stat { path },
            15 => Operation::Read { path },
            16 => Operation::MakeDirectory { path: directory(&mut self.random) },
            17 => Operation::RemoveDirectory { path: directory(&mut self.random) },
            _ => Operation::List { path: NAMES[self.random.below(NAMES.len() as u64) as usize].0.to_owned() },
        }
    }

    fn on_a_log(&mut self) -> Operation {
        let path = format!("logs/l{}", self.shared.appended.load(Ordering::Relaxed) / WRITES_PER_FILE);
        match self.random.below(3) {
            0 => Operation::ReadLog { path },
            _ => Operation::Append { path, size: 8 + self.random.below(u64::from(RECORD_MAX - 8)) as u32 },
        }
    }

    fn on_tiles(&mut self) -> Operation {
        let path = format!("tiles/t{}", self.shared.tiled.load(Ordering::Relaxed) / WRITES_PER_FILE);
        // Each client has slices of its own, among those of all others.
        let (clients, first) = (u64::from(self.shared.clients), u64::from(self.client));
        let slice = first + clients * self.random.below(SLICES as u64 / clients);
        match self.random.below(3) {
            0 => Operation::ReadTiles { path },
            _ => Operation::WriteTile { path, slice: slice as u16 },
        }
    }

    fn on_growth(&mut self) -> Operation {
        let grows = self.random.below(3) == 0;
        // Few files have many readers.
        let client = if grows { u64::from(self.client) } else { self.random.below(2) };
        let (round, length) = &self.shared.growing[client as usize];
        let path = growing_path(client as u16, round.load(Ordering::Relaxed));
        match self.random.below(2) {
            _ if grows => Operation::Grow { path, to: length.load(Ordering::Relaxed) + 1 + self.random.below(10_000) },
            0 => Operation::ReadGrown { path },
            _ => Operation::Follow { path },
        }
    }
}
