//! Locks on their way through the state machine.

use super::Cluster;
use crate::version::command::Action;
use crate::version::core::Effect;
use crate::version::locks::of_file;
use weft_common::id::{InodeNumber, SessionId, VolumeId};
use weft_common::limits::LOCKS_PER_FILE_MAX;
use weft_common::wire::{
    ErrorKind, FileLock, LockKind, LockOwner, LockRange, LockReply, LockRequest, Reply, RequestKey, SessionRequest,
};

fn owner(session: u64, number: u64) -> LockOwner {
    LockOwner { session: SessionId(session), number }
}

fn lock(owner: LockOwner, kind: LockKind, first: u64, last: u64) -> FileLock {
    FileLock { owner, kind, range: LockRange { first, last }, pid: 1 }
}

fn take(key: RequestKey, inode: InodeNumber, lock: FileLock) -> Action {
    Action::Lock(LockRequest::Take { volume: VolumeId(1), inode, key, lock, wait: None })
}

fn release(key: RequestKey, inode: InodeNumber, owner: LockOwner, range: LockRange) -> Action {
    Action::Lock(LockRequest::Release { volume: VolumeId(1), inode, key, owner, range })
}

fn key(session: SessionId, sequence: u64) -> RequestKey {
    RequestKey { session, sequence, answered_below: sequence.saturating_sub(1) }
}

#[test]
fn a_lock_excludes_others_until_it_is_given_back_or_its_session_ends() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let (mine, yours) = (cluster.open_session(), cluster.open_session());
    let (me, you) = (owner(mine.0, 1), owner(yours.0, 1));
    let taken = cluster.act(take(key(mine, 1), inode, lock(me, LockKind::Exclusive, 0, 9)));
    assert!(matches!(taken, Ok(Reply::Lock(LockReply::Taken(Some(_))))), "{taken:?}");
    assert!(cluster.effects.is_empty(), "nobody waits for that");
    let refused = cluster.act(take(key(yours, 1), inode, lock(you, LockKind::Shared, 5, 20)));
    assert_eq!(refused, Ok(Reply::Lock(LockReply::InTheWay(lock(me, LockKind::Exclusive, 0, 9)))));
    let beside = cluster.act(take(key(yours, 2), inode, lock(you, LockKind::Shared, 10, 20)));
    assert!(matches!(beside, Ok(Reply::Lock(LockReply::Taken(_)))));
    cluster.act(release(key(mine, 2), inode, me, LockRange { first: 0, last: 4 })).unwrap();
    assert_eq!(cluster.effects, [Effect::Unlocked(VolumeId(1), inode)]);
    let still = cluster.act(take(key(yours, 3), inode, lock(you, LockKind::Shared, 5, 5)));
    assert!(matches!(still, Ok(Reply::Lock(LockReply::InTheWay(_)))));
    cluster.act(Action::Session(SessionRequest::Close(mine))).unwrap();
    assert!(cluster.effects.contains(&Effect::Unlocked(VolumeId(1), inode)), "{:?}", cluster.effects);
    let after = cluster.act(take(key(yours, 4), inode, lock(you, LockKind::Exclusive, 0, 20)));
    assert!(matches!(after, Ok(Reply::Lock(LockReply::Taken(_)))));
    let late = cluster.act(take(key(mine, 3), inode, lock(me, LockKind::Shared, 100, 100)));
    assert_eq!(late.unwrap_err().kind, ErrorKind::SessionExpired);
    cluster.act(Action::Session(SessionRequest::Close(yours))).unwrap();
    assert_eq!(of_file(cluster.machine.kv(), (VolumeId(1), inode)).unwrap(), []);
}

#[test]
fn a_repeated_request_is_answered_and_not_carried_out_again() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let session = cluster.open_session();
    let me = owner(session.0, 1);
    let take_it = take(key(session, 1), inode, lock(me, LockKind::Exclusive, 0, 9));
    let first = cluster.act(take_it.clone());
    let give_it_back = release(key(session, 2), inode, me, LockRange::ALL);
    cluster.act(give_it_back).unwrap();
    assert_eq!(cluster.act(take_it), first, "the late duplicate is told what was told before");
    assert_eq!(of_file(cluster.machine.kv(), (VolumeId(1), inode)).unwrap(), [], "and takes nothing");
}

#[test]
fn locks_are_bounded() {
    let mut cluster = Cluster::new(1);
    let inode = cluster.create("f");
    let session = cluster.open_session();
    let me = owner(session.0, 1);
    for number in 0..LOCKS_PER_FILE_MAX as u64 {
        let byte = lock(me, LockKind::Exclusive, 2 * number, 2 * number);
        let taken = cluster.act(take(key(session, number + 1), inode, byte));
        assert!(matches!(taken, Ok(Reply::Lock(LockReply::Taken(_)))), "{taken:?}");
    }
    let next = LOCKS_PER_FILE_MAX as u64 + 1;
    let one_more = cluster.act(take(key(session, next), inode, lock(me, LockKind::Exclusive, 2 * next, 2 * next)));
    assert_eq!(one_more.unwrap_err().kind, ErrorKind::TooManyLocks);
    let joined = cluster.act(take(key(session, next + 1), inode, lock(me, LockKind::Exclusive, 0, 100)));
    assert!(matches!(joined, Ok(Reply::Lock(LockReply::Taken(_)))), "what becomes fewer is taken");
    let none = cluster.act(take(key(session, next + 2), inode, lock(me, LockKind::Shared, 5, 4)));
    assert_eq!(none.unwrap_err().kind, ErrorKind::InvalidArgument);
    let other = owner(session.0 + 1, 1);
    let foreign = cluster.act(take(key(session, next + 3), inode, lock(other, LockKind::Shared, 1, 1)));
    assert_eq!(foreign.unwrap_err().kind, ErrorKind::InvalidArgument);
}
