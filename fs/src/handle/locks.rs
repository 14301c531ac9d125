//! What programs on this mount hold of one file's locks.
//!
//! The kernel keeps no locks of its own where a filesystem answers for them, so it is known here alone what has to go when a descriptor
//! is closed. It is the mount's copy of what the version manager granted; that is the truth as long as the session lives that
//! it was granted to. When the client has another session, the locks are lost.
//!
//! An owner is a number that the kernel makes of an address, so a number may come back. [`LockBook::gate`] keeps the end of an old owner
//! and the beginning of a new one apart.

use std::collections::{BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use weft_common::client::LockWish;
use weft_common::file_locks;
use weft_common::id::SessionId;
use weft_common::wire::{FileLock, LockKind, LockOwner, LockRange};

use super::HandleId;
use super::owed::Owed;
use crate::lock;

#[derive(Debug, Default)]
struct Owner {
    held: Vec<FileLock>,
    /// Which session holds them.
    session: Option<SessionId>,
    /// Handles by which it asked for locks.
    through: BTreeSet<HandleId>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct LockBook {
    is_used: AtomicBool,
    owners: Mutex<HashMap<u64, Owner>>,
    /// What is given back in the background.
    pub(crate) owed: Owed,
    /// Held while an owner's locks are given back because it is gone or was not heard, and while an owner is entered.
    pub(crate) gate: tokio::sync::Mutex<()>,
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

    /// The wish, which came by `handle`, was granted to `session`.
    pub(crate) fn took(&self, wish: &LockWish, session: SessionId, handle: HandleId) {
        let mut owners = lock(&self.owners);
        let owner = owners.entry(wish.owner).or_default();
        owner.through.insert(handle);
        if owner.held.is_empty() {
            owner.session = Some(session);
        }
        // What an earlier session held is lost; that stays known until it is given back.
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
        self.owed.settle(owner, LockRange::ALL);
    }

    /// Whether `owner` is known here.
    pub(crate) fn knows(&self, owner: u64) -> bool {
        self.is_used() && lock(&self.owners).contains_key(&owner)
    }

    /// Whether `owner` keeps everybody else out of some of `range`: then others wait for what it writes.
    pub(crate) fn excludes(&self, owner: u64, range: LockRange) -> bool {
        let excludes = |lock: &FileLock| lock.kind == LockKind::Exclusive && lock.range.meets(&range);
        lock(&self.owners).get(&owner).is_some_and(|owner| owner.held.iter().any(excludes))
    }

    /// A handle is closed for good: the owners that used no other one. The rest goes on by its other handles.
    pub(crate) fn owners_only_through(&self, handle: HandleId) -> Vec<u64> {
        if !self.is_used() {
            return Vec::new();
        }
        let mut gone = Vec::new();
        for (number, owner) in lock(&self.owners).iter_mut() {
            if owner.through.remove(&handle) && owner.through.is_empty() {
                gone.push(*number);
            }
        }
        gone
    }

    /// What is written now belongs to the session `current`, if somebody here holds a lock of the file by it.
    pub(crate) fn fence(&self, current: Option<SessionId>) -> Option<SessionId> {
        let holds = |owner: &Owner| !owner.held.is_empty() && owner.session == current;
        if self.is_used() && lock(&self.owners).values().any(holds) { current } else { None }
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

    const FIRST: SessionId = SessionId(1);
    const SECOND: SessionId = SessionId(2);
    const HANDLE: HandleId = HandleId(1);

    fn wish(owner: u64, first: u64, last: u64) -> LockWish {
        let range = LockRange { first, last };
        LockWish { inode: InodeNumber(5), owner, kind: LockKind::Exclusive, range, pid: 1 }
    }

    #[test]
    fn a_lock_is_lost_with_its_session_until_it_is_given_back() {
        let book = LockBook::default();
        assert!(!book.is_used() && book.fence(Some(FIRST)).is_none());
        book.note(7, HANDLE);
        assert!(book.fence(Some(FIRST)).is_none(), "it holds nothing yet");
        book.took(&wish(7, 0, 9), FIRST, HANDLE);
        assert_eq!(book.fence(Some(FIRST)), Some(FIRST));
        assert!(book.fence(Some(SECOND)).is_none(), "what is lost fences nobody else's writes");
        assert!(!book.has_lost(HANDLE, Some(FIRST)) && book.has_lost(HANDLE, Some(SECOND)));
        assert!(book.has_lost(HANDLE, None) && !book.has_lost(HandleId(2), None), "only who locked by it");
        book.took(&wish(7, 20, 29), SECOND, HANDLE);
        assert!(book.has_lost(HANDLE, Some(SECOND)), "a new lock does not bring the old one back");
        book.gave_back(7, LockRange { first: 0, last: 9 });
        book.gave_back(7, LockRange { first: 20, last: 29 });
        assert!(!book.has_lost(HANDLE, Some(SECOND)) && !book.excludes(7, LockRange::ALL));
        book.took(&wish(7, 0, 0), SECOND, HANDLE);
        assert_eq!(book.fence(Some(SECOND)), Some(SECOND));
        assert!(book.excludes(7, LockRange::ALL) && !book.excludes(7, LockRange { first: 1, last: 9 }));
    }

    #[test]
    fn an_owner_goes_with_its_last_handle() {
        let book = LockBook::default();
        book.note(7, HANDLE);
        book.note(7, HandleId(2));
        book.note(8, HANDLE);
        assert_eq!(book.owners_only_through(HANDLE), [8]);
        assert_eq!(book.owners_only_through(HandleId(2)), [7]);
        book.forget(7);
        assert!(!book.knows(7) && book.knows(8));
    }
}
