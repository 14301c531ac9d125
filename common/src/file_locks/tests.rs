//! Ranges against a model that keeps each byte's holders apart.

use super::{all_in_the_way, with, without};
use crate::id::SessionId;
use crate::wire::{FileLock, LockKind, LockOwner, LockRange};

const BYTES: u64 = 12;

fn owner(session: u64, number: u64) -> LockOwner {
    LockOwner { session: SessionId(session), number }
}

fn lock(owner: LockOwner, kind: LockKind, first: u64, last: u64) -> FileLock {
    FileLock { owner, kind, range: LockRange { first, last }, pid: 1 }
}

/// What each byte is locked by.
type Model = std::collections::BTreeMap<(u64, LockOwner), LockKind>;

fn spread(locks: &[FileLock]) -> Model {
    let bytes = |lock: &FileLock| {
        let (owner, kind) = (lock.owner, lock.kind);
        (lock.range.first..=lock.range.last.min(BYTES)).map(move |byte| ((byte, owner), kind))
    };
    locks.iter().flat_map(bytes).collect()
}

#[test]
fn ranges_agree_with_a_model_of_single_bytes() {
    let mut random = fastrand::Rng::with_seed(1);
    let (mut refused, mut split, mut joined) = (0, 0, 0);
    for _ in 0..2000 {
        let (mut held, mut model) = (Vec::new(), Model::new());
        for _ in 0..30 {
            let first = random.u64(0..=BYTES);
            let last = random.u64(first..=BYTES);
            // The last byte of the model stands for all behind it.
            let range = LockRange { first, last: if last == BYTES { u64::MAX } else { last } };
            let who = owner(random.u64(1..3), random.u64(1..3));
            let bytes = range.first..=range.last.min(BYTES);
            if random.bool() {
                let kind = if random.bool() { LockKind::Shared } else { LockKind::Exclusive };
                let wanted = FileLock { owner: who, kind, range, pid: 1 };
                let excluded = |((byte, holder), held): (&(u64, LockOwner), &LockKind)| {
                    *holder != who && bytes.contains(byte) && (*held == LockKind::Exclusive || kind == LockKind::Exclusive)
                };
                let is_free = !model.iter().any(excluded);
                assert_eq!(all_in_the_way(&held, &wanted).next().is_none(), is_free, "{wanted:?} in {held:?}");
                if !is_free {
                    refused += 1;
                    continue;
                }
                let before = held.len();
                held = with(&held, wanted);
                joined += usize::from(held.len() < before);
                model.extend(bytes.map(|byte| ((byte, who), kind)));
            } else {
                let before = held.len();
                held = without(&held, who, range);
                split += usize::from(held.len() > before);
                model.retain(|(byte, holder), _| *holder != who || !bytes.contains(byte));
            }
            assert_eq!(spread(&held), model, "{held:?}");
            let apart = |pair: &[FileLock]| {
                let (one, other) = (pair[0], pair[1]);
                one.owner < other.owner
                    || (one.range.last < other.range.first && (one.kind != other.kind || one.range.last + 1 < other.range.first))
            };
            assert!(held.windows(2).all(apart), "sorted, disjoint and joined: {held:?}");
        }
    }
    assert!(refused > 1000 && split > 300 && joined > 300, "{refused} {split} {joined}");
}

#[test]
fn a_lock_to_the_last_byte_there_can_be_is_cut_without_overflow() {
    let who = owner(1, 1);
    let all = with(&[], lock(who, LockKind::Exclusive, 0, u64::MAX));
    let cut = without(&all, who, LockRange { first: u64::MAX, last: u64::MAX });
    assert_eq!(cut, [lock(who, LockKind::Exclusive, 0, u64::MAX - 1)]);
    assert_eq!(with(&cut, lock(who, LockKind::Exclusive, u64::MAX, u64::MAX)), all);
    assert!(without(&all, who, LockRange::ALL).is_empty());
}
