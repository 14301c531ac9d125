//! What programs on this mount hold and wait for of one file's locks.
//!
//! The kernel keeps no locks of its own where a filesystem answers for them, so it is known here alone what has to go when a descriptor
//! is closed. It is the mount's copy of what the version manager granted; that is the truth as long as the session lives that
//! it was granted to. When the client has another session, the locks are lost.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;
use weft_common::client::LockWish;
use weft_common::file_locks;
use weft_common::id::SessionId;
use weft_common::wire::{FileLock, LockOwner, LockRange};

use super::HandleId;
use crate::lock;

/// Tells who waits for a lock to stop.
pub(crate) type Stop = Arc<Notify>;

#[derive(Debug, Default)]
struct Owner {
    held: Vec<FileLock>,
    /// Which session holds them.
    session: Option<SessionId>,
    /// Handles by which it asked for locks.
    through: BTreeSet<HandleId>,
    /// Waiting under way.
    waits: BTreeMap<u64, Stop>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct LockBook {
    is_used: AtomicBool,
    owners: Mutex<HashMap<u64, Owner>>,
}

impl LockBook {
    /// Whether anybody asked for a lock since the file was opened here: most files are never locked.
    pub(crate) fn is_used(&self) -> bool {
        self.is_used.load(Ordering::Acquire)
    }

    /// `owner` asks for a lock, by `handle`.
    pub(crate) fn note(&self, owner: u64, handle: HandleId) {
        lock(&self.owners).entry(owner).or_default().through.insert(handle);
        self.is_used.store(true, Ordering::Release);
    }

    /// `owner` waits for a lock; told when it has to stop.
    pub(crate) fn begin_wait(&self, owner: u64, number: u64) -> Stop {
        let stop = Stop::default();
        lock(&self.owners).entry(owner).or_default().waits.insert(number, Arc::clone(&stop));
        stop
    }

    /// The waiting is over.
    pub(crate) fn end_wait(&self, owner: u64, number: u64) {
        if let Some(owner) = lock(&self.owners).get_mut(&owner) {
            owner.waits.remove(&number);
        }
    }

    /// Everything by which `owner` waits for a lock of this file is to stop. Whether there was anything.
    pub(crate) fn stop_waits(&self, owner: u64) -> bool {
        let owners = lock(&self.owners);
        let Some(owner) = owners.get(&owner) else { return false };
        owner.waits.values().for_each(|stop| stop.notify_one());
        !owner.waits.is_empty()
    }

    /// The wish was granted to `session`.
    pub(crate) fn took(&self, wish: &LockWish, session: SessionId) {
        let mut owners = lock(&self.owners);
        let owner = owners.entry(wish.owner).or_default();
        if owner.held.is_empty() {
            owner.session = Some(session);
        }
        // Of an earlier session, everything else is lost: that is known by the older one, which stays.
        owner.session = owner.session.min(Some(session));
        let number = LockOwner { session, number: wish.owner };
        owner.held = file_locks::with(&owner.held, FileLock { owner: number, kind: wish.kind, range: wish.range, pid: wish.pid });
    }

    /// `owner` gave back `range`.
    pub(crate) fn gave_back(&self, owner: u64, range: LockRange) {
        if let Some(owner) = lock(&self.owners).get_mut(&owner) {
            let numbers: BTreeSet<_> = owner.held.iter().map(|lock| lock.owner).collect();
            for number in numbers {
                owner.held = file_locks::without(&owner.held, number, range);
            }
        }
    }

    /// `owner` has closed the file.
    pub(crate) fn forget(&self, owner: u64) {
        lock(&self.owners).remove(&owner);
    }

    /// Whether `owner` is known here.
    pub(crate) fn knows(&self, owner: u64) -> bool {
        lock(&self.owners).contains_key(&owner)
    }

    /// Whether `owner` holds anything of `range`.
    pub(crate) fn holds(&self, owner: u64, range: LockRange) -> bool {
        lock(&self.owners).get(&owner).is_some_and(|owner| owner.held.iter().any(|lock| lock.range.meets(&range)))
    }

    /// Owners that asked for locks by `handle`, which is closed for good.
    pub(crate) fn owners_through(&self, handle: HandleId) -> Vec<u64> {
        let owners = lock(&self.owners);
        owners.iter().filter(|(_, owner)| owner.through.contains(&handle)).map(|(number, _)| *number).collect()
    }

    /// The session whose end would take locks of this file away.
    pub(crate) fn session(&self) -> Option<SessionId> {
        if !self.is_used() {
            return None;
        }
        lock(&self.owners).values().filter(|owner| !owner.held.is_empty()).filter_map(|owner| owner.session).min()
    }

    /// Whether locks were taken by `handle` that are lost, as the client has the session `current` by now.
    pub(crate) fn has_lost(&self, handle: HandleId, current: Option<SessionId>) -> bool {
        let lost = |owner: &Owner| !owner.held.is_empty() && owner.session != current && owner.through.contains(&handle);
        self.is_used() && lock(&self.owners).values().any(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_common::id::InodeNumber;
    use weft_common::wire::LockKind;

    const FIRST: SessionId = SessionId(1);
    const SECOND: SessionId = SessionId(2);

    fn wish(owner: u64, first: u64, last: u64) -> LockWish {
        let range = LockRange { first, last };
        LockWish { inode: InodeNumber(5), owner, kind: LockKind::Exclusive, range, pid: 1 }
    }

    #[test]
    fn a_lock_is_lost_with_its_session_until_it_is_given_back() {
        let book = LockBook::default();
        assert!(!book.is_used() && book.session().is_none());
        book.note(7, HandleId(1));
        book.took(&wish(7, 0, 9), FIRST);
        assert_eq!(book.session(), Some(FIRST));
        assert!(!book.has_lost(HandleId(1), Some(FIRST)) && book.has_lost(HandleId(1), Some(SECOND)));
        assert!(book.has_lost(HandleId(1), None) && !book.has_lost(HandleId(2), None), "only who locked by it");
        book.took(&wish(7, 20, 29), SECOND);
        assert!(book.has_lost(HandleId(1), Some(SECOND)), "a new lock does not bring the old one back");
        book.gave_back(7, LockRange { first: 0, last: 9 });
        book.gave_back(7, LockRange { first: 20, last: 29 });
        assert!(!book.has_lost(HandleId(1), Some(SECOND)) && book.session().is_none());
        book.took(&wish(7, 0, 0), SECOND);
        assert_eq!(book.session(), Some(SECOND));
    }

    #[tokio::test]
    async fn who_closes_a_file_stops_its_own_waits() {
        let book = LockBook::default();
        book.note(7, HandleId(1));
        let (mine, yours) = (book.begin_wait(7, 1), book.begin_wait(8, 2));
        assert!(book.stop_waits(7) && !book.stop_waits(9));
        mine.notified().await;
        assert!(tokio::time::timeout(std::time::Duration::from_millis(10), yours.notified()).await.is_err());
        book.end_wait(7, 1);
        assert!(!book.stop_waits(7));
        assert_eq!(book.owners_through(HandleId(1)), [7]);
        book.forget(7);
        assert!(!book.knows(7) && book.knows(8));
    }
}
