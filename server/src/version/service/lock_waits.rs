//! Who waits for a lock, and for whom. Soft: after a restart the clients ask again.
//!
//! A waiter is kept until something of its file is unlocked; then it looks again. Each knows whose locks are in its way, which
//! makes a graph of owners. A waiter that would close a circle in it is refused at once: nobody in the circle could ever go on. Since the graph is
//! complete at every moment (an owner's locks go only with an unlock, which removes the edges), whoever comes last finds the circle.

use crate::version::locks::Place;
use std::collections::{BTreeMap, BTreeSet};
use tokio::sync::oneshot;
use weft_common::id::VolumeId;
use weft_common::wire::LockOwner;

/// Why a waiter is woken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Woken {
    /// Something was unlocked.
    LookAgain,
    /// Its client gave up.
    Cancelled,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    owner: LockOwner,
    number: u64,
    wake: oneshot::Sender<Woken>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct LockWaits {
    files: BTreeMap<Place, Vec<Waiter>>,
    /// The graph: behind whom each waiter of an owner waits, by the waiter's id.
    behind: BTreeMap<LockOwner, BTreeMap<u64, Vec<LockOwner>>>,
    count: usize,
    last_id: u64,
}

impl LockWaits {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Whether `owner` can never get what those `behind` whom it would wait hold.
    pub(super) fn is_deadlock(&self, owner: LockOwner, behind: &[LockOwner]) -> bool {
        let (mut seen, mut next) = (BTreeSet::new(), behind.to_vec());
        while let Some(holder) = next.pop() {
            if holder == owner {
                return true;
            }
            if seen.insert(holder) {
                next.extend(self.behind.get(&holder).into_iter().flat_map(BTreeMap::values).flatten());
            }
        }
        false
    }

    /// `owner` waits behind those whose locks are in its way.
    pub(super) fn wait(
        &mut self,
        place: Place,
        owner: LockOwner,
        number: u64,
        behind: Vec<LockOwner>,
    ) -> oneshot::Receiver<Woken> {
        let (wake, woken) = oneshot::channel();
        self.last_id += 1;
        self.count += 1;
        self.behind.entry(owner).or_default().insert(self.last_id, behind);
        self.files.entry(place).or_default().push(Waiter { id: self.last_id, owner, number, wake });
        woken
    }

    /// The waiting `number` of `owner` is over.
    pub(super) fn cancel(&mut self, place: Place, owner: LockOwner, number: u64) {
        self.end(place, Woken::Cancelled, |waiter| waiter.owner == owner && waiter.number == number);
    }

    /// Something of the file was unlocked: those who wait look again, in the order in which they came.
    pub(super) fn wake(&mut self, place: Place) {
        self.end(place, Woken::LookAgain, |_| true);
    }

    /// A volume is gone.
    pub(super) fn wake_all_in(&mut self, volume: VolumeId) {
        let places: Vec<_> = self.files.keys().filter(|(of, _)| *of == volume).copied().collect();
        places.into_iter().for_each(|place| self.wake(place));
    }

    /// Those whose time ran out need no answer.
    pub(super) fn forget_gone(&mut self) {
        let places: Vec<_> = self.files.keys().copied().collect();
        for place in places {
            self.end(place, Woken::Cancelled, |waiter| waiter.wake.is_closed());
        }
    }

    /// The same, of one file.
    pub(super) fn forget_gone_in(&mut self, place: Place) {
        self.end(place, Woken::Cancelled, |waiter| waiter.wake.is_closed());
    }

    /// Takes the waiters of a file out that `ends` says, and tells them.
    fn end(&mut self, place: Place, why: Woken, ends: impl Fn(&Waiter) -> bool) {
        let Some(waiters) = self.files.remove(&place) else { return };
        let (ended, left): (Vec<_>, Vec<_>) = waiters.into_iter().partition(ends);
        if !left.is_empty() {
            self.files.insert(place, left);
        }
        for waiter in ended {
            self.count -= 1;
            if let Some(edges) = self.behind.get_mut(&waiter.owner) {
                edges.remove(&waiter.id);
                if edges.is_empty() {
                    self.behind.remove(&waiter.owner);
                }
            }
            // It may have gone away.
            let _ = waiter.wake.send(why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_common::id::{InodeNumber, SessionId};

    fn owner(number: u64) -> LockOwner {
        LockOwner { session: SessionId(number / 10), number }
    }

    fn file(number: u64) -> Place {
        (VolumeId(1), InodeNumber(number))
    }

    #[test]
    fn a_circle_is_found_by_whoever_closes_it_and_not_before() {
        let mut waits = LockWaits::default();
        let chain = [(10, 20), (20, 30), (30, 40)];
        let mut woken = Vec::new();
        for (waiter, holder) in chain {
            assert!(!waits.is_deadlock(owner(waiter), &[owner(holder)]));
            woken.push(waits.wait(file(holder), owner(waiter), 1, vec![owner(holder)]));
        }
        assert!(waits.is_deadlock(owner(40), &[owner(99), owner(10)]), "through three others");
        assert!(!waits.is_deadlock(owner(50), &[owner(10)]), "behind a line is no circle");
        waits.wake(file(30));
        assert!(!waits.is_deadlock(owner(40), &[owner(10)]), "20 does not wait any more");
    }

    #[test]
    fn who_stopped_waiting_is_no_edge_and_no_burden() {
        let mut waits = LockWaits::default();
        drop(waits.wait(file(1), owner(10), 1, vec![owner(20)]));
        waits.forget_gone();
        assert!(!waits.is_deadlock(owner(20), &[owner(10)]));
        assert_eq!((waits.len(), waits.behind.len()), (0, 0));
    }

    #[test]
    fn only_the_waiting_that_was_meant_is_cancelled() {
        let mut waits = LockWaits::default();
        let mut first = waits.wait(file(1), owner(10), 1, vec![owner(20)]);
        let mut second = waits.wait(file(1), owner(10), 2, vec![owner(20)]);
        waits.cancel(file(1), owner(10), 2);
        assert_eq!(second.try_recv(), Ok(Woken::Cancelled));
        assert!(first.try_recv().is_err());
        waits.wake(file(1));
        assert_eq!(first.try_recv(), Ok(Woken::LookAgain));
        assert_eq!(waits.len(), 0);
    }
}
