//! One bug for each promise.

use super::volume::Volume;
use crate::random::Random;
use crate::recording::check::Promise;
use crate::recording::log::Change;
use crate::recording::record::{Moment, Operation, Outcome, Value};

/// One in so many operations goes wrong, of those that can.
const ONE_IN: u64 = 4;

/// A volume that breaks a promise now and then.
#[derive(Debug)]
pub(super) struct Buggy {
    volume: Volume,
    broken: Option<Promise>,
    random: Random,
    /// Whether the bug may show itself.
    pub(super) armed: bool,
}

impl Buggy {
    pub(super) fn new(seed: u64, broken: Option<Promise>) -> Self {
        Self { volume: Volume::default(), broken, random: Random::new(!seed), armed: false }
    }

    pub(super) fn log(self) -> Vec<Change> {
        self.volume.changes
    }

    pub(super) fn perform(&mut self, number: u32, (start, end): (Moment, Moment), operation: &Operation) -> Outcome {
        let broken = self.broken.filter(|_| self.armed && self.random.below(ONE_IN) == 0);
        let Some(promise) = broken else { return self.volume.perform(number, end, operation) };
        if let Some(outcome) = self.instead(promise, number, operation) {
            return outcome;
        }
        let right = self.volume.perform(number, end, operation);
        self.twist(promise, start, operation, right)
    }

    /// What is done instead of the operation.
    fn instead(&mut self, promise: Promise, number: u32, operation: &Operation) -> Option<Outcome> {
        match (promise, operation) {
            (Promise::Acknowledged, Operation::Overwrite { .. }) => {}
            (Promise::AppendedOnce, Operation::Append { path, .. }) => {
                // Lost, or there twice.
                if self.random.below(2) == 0 {
                    self.volume.logs.entry(path.clone()).or_default().extend([number, number]);
                }
            }
            (Promise::Slices, Operation::WriteTile { path, slice }) => {
                let slices = self.volume.slices(path);
                let neighbour = (usize::from(*slice) + 1) % slices.len();
                slices[usize::from(*slice)] = number;
                slices[neighbour] = 0;
            }
            _ => return None,
        }
        Some(Outcome::Done)
    }

    /// What is answered instead of what is right.
    fn twist(&mut self, promise: Promise, start: Moment, operation: &Operation, right: Outcome) -> Outcome {
        match (promise, operation, right) {
            (Promise::CloseToOpen, Operation::Read { path }, right) => self.older(path, right, |written, _| written < start),
            (Promise::Monotone, Operation::Read { path }, right) => {
                self.older(path, right, |written, seen| written >= start && seen.is_some_and(|seen| seen < start))
            }
            (Promise::Size, Operation::Stat { path }, Outcome::Stat { links, size }) => match self.former(path) {
                Some(before) if u64::from(before.size) != size => Outcome::Stat { links, size: u64::from(before.size) },
                _ => Outcome::Stat { links, size },
            },
            (Promise::NoMix, Operation::Read { .. }, Outcome::Content { .. }) => Outcome::Torn(4096),
            (Promise::Links, _, Outcome::Stat { size, links }) => Outcome::Stat { size, links: links + 1 },
            (Promise::Exclusive, Operation::Create { .. }, Outcome::Failed(libc::EEXIST))
            | (Promise::MovedOnce, Operation::Rename { .. }, Outcome::Failed(libc::ENOENT))
            | (Promise::RemovedOnce, Operation::Unlink { .. }, Outcome::Failed(libc::ENOENT)) => Outcome::Done,
            (Promise::Replaced, Operation::Read { path }, Outcome::Content { .. }) if path.starts_with("frames/") => {
                Outcome::Failed(libc::ENOENT)
            }
            (Promise::Refused, Operation::Create { .. }, Outcome::Done) => Outcome::Failed(libc::EIO),
            (Promise::Order, Operation::Overwrite { .. }, right) => {
                self.swap_newest();
                right
            }
            (Promise::Held, Operation::ReadHeld { .. }, Outcome::Content { .. }) => {
                Outcome::Content { said: 0, value: Value::default() }
            }
            (Promise::HeldStill, Operation::ReadHeld { hold, .. }, right) => self.moved(*hold, right),
            (Promise::Old, Operation::ReadOld { path, .. }, right) => self.volume.resolve(path).map_or(right, |inode| {
                let value = self.volume.inodes[&inode].value;
                Outcome::Content { said: u64::from(value.size), value }
            }),
            (promise, _, Outcome::Names(names)) => twist_names(promise, names),
            (promise, _, Outcome::Log(numbers)) => twist_log(promise, numbers),
            (Promise::Growth, _, Outcome::Grown(length)) => Outcome::Torn(length / 2),
            (Promise::GrowthSeen, _, Outcome::Grown(length)) => Outcome::Grown(length / 2),
            (.., right) => right,
        }
    }

    fn former(&self, path: &str) -> Option<Value> {
        self.volume.resolve(path).map(|inode| self.volume.inodes[&inode].before).filter(|before| *before != Value::default())
    }

    /// What the file held before, if when it was written and seen allows it.
    fn older(&self, path: &str, right: Outcome, when: impl Fn(Moment, Option<Moment>) -> bool) -> Outcome {
        let Some(inode) = self.volume.resolve(path).map(|inode| self.volume.inodes[&inode]) else { return right };
        match self.former(path) {
            Some(value) if when(inode.written, inode.seen) => Outcome::Content { said: u64::from(value.size), value },
            _ => right,
        }
    }

    /// The handle shows what its file holds now.
    fn moved(&mut self, hold: u32, right: Outcome) -> Outcome {
        let Some((inode, _)) = self.volume.held.get(&hold).copied() else { return right };
        let value = self.volume.inodes[&inode].value;
        self.volume.held.insert(hold, (inode, value));
        Outcome::Content { said: u64::from(value.size), value }
    }

    /// The newest two versions change places, if they have nothing to do with each other.
    fn swap_newest(&mut self) {
        let changes = &mut self.volume.changes;
        if let [.., older, newer] = changes.as_mut_slice()
            && older.inode != newer.inode
            && older.by != newer.by
        {
            std::mem::swap(older, newer);
            std::mem::swap(&mut older.version, &mut newer.version);
        }
    }
}

fn twist_names(promise: Promise, mut names: Vec<String>) -> Outcome {
    match promise {
        Promise::Listed => drop(names.pop()),
        Promise::NotListed => names.push("ghost".to_owned()),
        Promise::ListedOnce => names.extend(names.last().cloned()),
        _ => {}
    }
    Outcome::Names(names)
}

fn twist_log(promise: Promise, mut numbers: Vec<u32>) -> Outcome {
    let length = numbers.len();
    match promise {
        Promise::AppendedWhole => return Outcome::Torn(0),
        Promise::AppendedInOrder if length > 1 => numbers.swap(length - 1, length - 2),
        Promise::AppendedSeen => numbers.truncate(length / 2),
        _ => {}
    }
    Outcome::Log(numbers)
}
