//! The locks of one file as a list: who is in the way of whom, and what is left of a range when part of it changes.
//!
//! The rules are those of `fcntl(2)`. Each byte has at most one kind of lock for each owner; taking one replaces what the owner
//! had there, so that ranges split and grow together. The version manager decides by them, and a mount knows by them what it holds. A lock never is in the way of its own owner's.

#[cfg(test)]
mod tests;

use crate::wire::{FileLock, LockKind, LockOwner, LockRange};

/// The first lock that keeps `wanted` from being taken.
#[must_use]
pub fn in_the_way<'a>(held: &'a [FileLock], wanted: &FileLock) -> Option<&'a FileLock> {
    all_in_the_way(held, wanted).next()
}

/// All of them.
pub fn all_in_the_way<'a>(held: &'a [FileLock], wanted: &FileLock) -> impl Iterator<Item = &'a FileLock> {
    let (owner, kind, range) = (wanted.owner, wanted.kind, wanted.range);
    held.iter().filter(move |lock| {
        let excludes = lock.kind == LockKind::Exclusive || kind == LockKind::Exclusive;
        lock.owner != owner && excludes && lock.range.meets(&range)
    })
}

/// `held` once `owner` holds nothing of `range`. Locks stay in the order of owner and first byte.
#[must_use]
pub fn without(held: &[FileLock], owner: LockOwner, range: LockRange) -> Vec<FileLock> {
    let mut left = Vec::with_capacity(held.len() + 1);
    for lock in held {
        if lock.owner != owner || !lock.range.meets(&range) {
            left.push(*lock);
            continue;
        }
        if lock.range.first < range.first {
            left.push(FileLock { range: LockRange { last: range.first - 1, ..lock.range }, ..*lock });
        }
        if lock.range.last > range.last {
            left.push(FileLock { range: LockRange { first: range.last + 1, ..lock.range }, ..*lock });
        }
    }
    left
}

/// `held` once `taken` is held as well. Nothing may be in its way.
#[must_use]
pub fn with(held: &[FileLock], taken: FileLock) -> Vec<FileLock> {
    let mut locks = without(held, taken.owner, taken.range);
    let mut grown = taken;
    locks.retain(|lock| {
        let joins = lock.owner == grown.owner && lock.kind == grown.kind && touches(&lock.range, &grown.range);
        if joins {
            grown.range.first = grown.range.first.min(lock.range.first);
            grown.range.last = grown.range.last.max(lock.range.last);
        }
        !joins
    });
    let place = locks.partition_point(|lock| (lock.owner, lock.range) < (grown.owner, grown.range));
    locks.insert(place, grown);
    locks
}

/// Whether one ends right before the other, or they meet.
fn touches(one: &LockRange, other: &LockRange) -> bool {
    one.meets(other) || one.last.checked_add(1) == Some(other.first) || other.last.checked_add(1) == Some(one.first)
}
