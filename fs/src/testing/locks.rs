//! Locks of a volume in memory. Who waits asks again every few milliseconds.

use std::sync::atomic::Ordering;
use std::time::Duration;
use weft_common::client::{ClientError, LockOutcome, LockWish, Locks};
use weft_common::file_locks;
use weft_common::id::{InodeNumber, SessionId};
use weft_common::rpc::{Address, RpcError};
use weft_common::wire::{FileLock, LockOwner, LockRange};

use super::volume::FakeVolume;
use crate::lock;

impl FakeVolume {
    /// Another client takes a lock, whoever holds what.
    pub(crate) fn lock_elsewhere(&self, wish: LockWish) {
        let owner = LockOwner { session: SessionId(1000), number: wish.owner };
        let taken = FileLock { owner, kind: wish.kind, range: wish.range, pid: wish.pid };
        let mut locks = lock(&self.locks);
        let held = locks.entry(wish.inode).or_default();
        *held = file_locks::with(held, taken);
    }

    /// Other clients hold nothing any more.
    pub(crate) fn unlock_elsewhere(&self, inode: InodeNumber) {
        lock(&self.locks).entry(inode).or_default().retain(|lock| lock.owner.session != SessionId(1000));
    }

    /// Ranges that are locked.
    pub(crate) fn locked(&self, inode: InodeNumber) -> Vec<LockRange> {
        lock(&self.locks).get(&inode).into_iter().flatten().map(|lock| lock.range).collect()
    }

    fn wanted(&self, wish: &LockWish) -> FileLock {
        let owner = LockOwner { session: SessionId(self.session.load(Ordering::Relaxed)), number: wish.owner };
        FileLock { owner, kind: wish.kind, range: wish.range, pid: wish.pid }
    }
}

#[async_trait::async_trait]
impl Locks for FakeVolume {
    async fn take_lock(&self, wish: LockWish, wait: Option<u64>) -> Result<LockOutcome, ClientError> {
        let wanted = self.wanted(&wish);
        let in_the_way = {
            let mut locks = lock(&self.locks);
            let held = locks.entry(wish.inode).or_default();
            match file_locks::in_the_way(held, &wanted).copied() {
                Some(in_the_way) => in_the_way,
                None => {
                    *held = file_locks::with(held, wanted);
                    let file = lock(&self.names).inode(wish.inode).cloned().map(Box::new);
                    return Ok(LockOutcome::Taken { session: wanted.owner.session, file });
                }
            }
        };
        if wait.is_some() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(LockOutcome::InTheWay(in_the_way))
    }

    async fn stop_waiting(&self, _: LockWish, _: u64) -> Result<(), ClientError> {
        Ok(())
    }

    async fn release_lock(&self, inode: InodeNumber, owner: u64, range: LockRange) -> Result<(), ClientError> {
        if self.deaf.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |deaf| deaf.checked_sub(1)).is_ok() {
            let address = Address("manager:1".to_owned());
            let last = Box::new(RpcError::Unreachable { address, reason: "it is away".to_owned() });
            return Err(ClientError::Unavailable { attempts: 1, last });
        }
        let owner = LockOwner { session: SessionId(self.session.load(Ordering::Relaxed)), number: owner };
        let mut locks = lock(&self.locks);
        let held = locks.entry(inode).or_default();
        *held = file_locks::without(held, owner, range);
        Ok(())
    }

    async fn test_lock(&self, wish: LockWish) -> Result<Option<FileLock>, ClientError> {
        let wanted = self.wanted(&wish);
        Ok(file_locks::in_the_way(lock(&self.locks).entry(wish.inode).or_default(), &wanted).copied())
    }

    fn session(&self) -> Option<SessionId> {
        Some(SessionId(self.session.load(Ordering::Relaxed)))
    }
}
