//! Locks that are to be given back and may still be held, as the version manager did not say that it heard of it.
//!
//! Programs hardly ever look at what giving back a lock answered, and would keep others out until they close the file. So it is said again in
//! the background, one range after the other, until it was heard, or its owner asks for a lock of these bytes, or is gone.

use std::sync::Mutex;
use weft_common::file_locks;
use weft_common::id::SessionId;
use weft_common::wire::{FileLock, LockOwner, LockRange};

use crate::lock;

/// What is owed of one file.
#[derive(Debug, Default)]
pub(crate) struct Owed(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    locks: Vec<FileLock>,
    /// What owners are asking for just now: who gets it holds it, whatever was owed before.
    asked: Vec<(u64, LockRange)>,
    /// Somebody sees to it.
    is_seen_to: bool,
}

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// These bytes of this owner are to be given back.
    GiveBack(u64, LockRange),
    /// Nothing for the moment.
    Wait,
    /// Nothing is owed; nobody sees to it any more.
    Nothing,
}

impl Owed {
    /// `range` of `owner`, which `session` holds, is owed. Whether the caller has to see to it.
    #[must_use]
    pub(crate) fn add(&self, owner: u64, range: LockRange, session: SessionId) -> bool {
        let mut inner = lock(&self.0);
        let owner = LockOwner { session, number: owner };
        let kind = weft_common::wire::LockKind::Exclusive;
        inner.locks = file_locks::with(&inner.locks, FileLock { owner, kind, range, pid: 0 });
        !std::mem::replace(&mut inner.is_seen_to, true)
    }

    /// `owner` asks for `range`.
    pub(crate) fn begin_ask(&self, owner: u64, range: LockRange) {
        lock(&self.0).asked.push((owner, range));
    }

    /// It was answered. What it got is not owed any more.
    pub(crate) fn end_ask(&self, owner: u64, range: LockRange, got_it: bool) {
        let mut inner = lock(&self.0);
        if let Some(place) = inner.asked.iter().position(|asked| *asked == (owner, range)) {
            inner.asked.swap_remove(place);
        }
        if got_it {
            inner.drop_range(owner, range);
        }
    }

    /// `owner` owes `range` no more: it was heard, or refused for good.
    pub(crate) fn settle(&self, owner: u64, range: LockRange) {
        lock(&self.0).drop_range(owner, range);
    }

    /// What is next for a client of `session`. What other sessions held is lost anyway.
    pub(crate) fn next(&self, session: Option<SessionId>) -> Next {
        let mut inner = lock(&self.0);
        inner.locks.retain(|owed| Some(owed.owner.session) == session);
        if inner.locks.is_empty() {
            inner.is_seen_to = false;
            return Next::Nothing;
        }
        let is_asked =
            |owed: &FileLock| inner.asked.iter().any(|(owner, range)| *owner == owed.owner.number && range.meets(&owed.range));
        let free = inner.locks.iter().find(|owed| !is_asked(owed));
        free.map_or(Next::Wait, |owed| Next::GiveBack(owed.owner.number, owed.range))
    }
}

impl Inner {
    fn drop_range(&mut self, owner: u64, range: LockRange) {
        let numbers: Vec<LockOwner> = self.locks.iter().map(|owed| owed.owner).filter(|of| of.number == owner).collect();
        for number in numbers {
            self.locks = file_locks::without(&self.locks, number, range);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: SessionId = SessionId(1);

    fn range(first: u64, last: u64) -> LockRange {
        LockRange { first, last }
    }

    #[test]
    fn what_is_owed_is_what_was_not_asked_for_again() {
        let owed = Owed::default();
        assert!(owed.add(7, range(0, 99), SESSION) && !owed.add(8, range(0, 9), SESSION), "one sees to all");
        owed.begin_ask(7, range(40, 49));
        assert_eq!(owed.next(Some(SESSION)), Next::GiveBack(8, range(0, 9)), "the other may be getting it just now");
        owed.settle(8, range(0, 9));
        assert_eq!(owed.next(Some(SESSION)), Next::Wait);
        owed.end_ask(7, range(40, 49), true);
        assert_eq!(owed.next(Some(SESSION)), Next::GiveBack(7, range(0, 39)));
        owed.settle(7, range(0, 39));
        owed.begin_ask(7, range(60, 60));
        owed.end_ask(7, range(60, 60), false);
        assert_eq!(owed.next(Some(SESSION)), Next::GiveBack(7, range(50, 99)), "it did not get it");
        owed.settle(7, LockRange::ALL);
        assert_eq!(owed.next(Some(SESSION)), Next::Nothing);
        assert!(owed.add(7, range(0, 0), SESSION), "nobody sees to it any more");
        assert_eq!(owed.next(Some(SessionId(2))), Next::Nothing, "it went with its session");
    }
}
