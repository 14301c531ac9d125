//! A store that fails on purpose: for tests of what stands above stores.

use super::{Key, Listing, NewObject, ObjectStore, StoreError, StoreStatistics, StoredObject, VisitKey};
use bytes::{Bytes, BytesMut};
use std::collections::HashMap;
use std::io;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use weft_common::id::Incarnation;

/// What is to go wrong. Counts start at 1; 0 means never.
#[derive(Clone, Debug, Default)]
pub struct FaultPlan {
    /// The put call that fails with an I/O error; the store is poisoned from then on.
    pub fail_put: u64,
    /// The put call that fails with `NoSpace`; later ones succeed.
    pub no_space_put: u64,
    /// The sync call that fails; the store is poisoned from then on.
    pub fail_sync: u64,
    /// Every put that this many have preceded fails with `NoSpace`, until something is deleted.
    pub full_after: u64,
}

#[derive(Debug, Default)]
struct State {
    plan: FaultPlan,
    puts: u64,
    syncs: u64,
    poisoned: Option<String>,
    flipped: HashMap<Key, usize>,
}

/// Wraps a store and fails as its [`FaultPlan`] says.
#[derive(Debug)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    state: Mutex<State>,
}

impl FaultyStore {
    /// A store that behaves as `inner` except for what `plan` says.
    #[must_use]
    pub fn new(inner: Arc<dyn ObjectStore>, plan: FaultPlan) -> Self {
        Self { inner, state: Mutex::new(State { plan, ..State::default() }) }
    }

    /// From now on byte `at` of the body of `key` reads with its lowest bit flipped, unnoticed by the store itself.
    pub fn flip_bit(&self, key: Key, at: usize) {
        self.state().flipped.insert(key, at);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn damage(&self, key: &Key, start: usize, found: Option<StoredObject>) -> Option<StoredObject> {
        let at = self.state().flipped.get(key).copied();
        match (found, at) {
            (Some(mut object), Some(at)) if (start..start + object.body.len()).contains(&at) => {
                let mut body = BytesMut::from(&object.body[..]);
                body[at - start] ^= 1;
                object.body = Bytes::from(body);
                Some(object)
            }
            (found, _) => found,
        }
    }
}

fn poison(state: &mut State, action: &'static str) -> StoreError {
    state.poisoned = Some(format!("a planned failure of {action}"));
    StoreError::Io { action, file: PathBuf::from("faulty"), source: io::Error::other("planned failure") }
}

fn check(state: &State) -> Result<(), StoreError> {
    match &state.poisoned {
        Some(reason) => Err(StoreError::Poisoned { folder: PathBuf::from("faulty"), reason: reason.clone() }),
        None => Ok(()),
    }
}

fn no_space() -> StoreError {
    StoreError::NoSpace { folder: PathBuf::from("faulty"), wanted: 1, free: 0, reserve: 0 }
}

impl ObjectStore for FaultyStore {
    fn blocks(&self) -> bool {
        self.inner.blocks()
    }

    fn put(&self, objects: &[NewObject<'_>]) -> Result<(), StoreError> {
        {
            let mut state = self.state();
            check(&state)?;
            state.puts += 1;
            if state.puts == state.plan.fail_put {
                return Err(poison(&mut state, "write"));
            }
            if state.puts == state.plan.no_space_put || (state.plan.full_after > 0 && state.puts > state.plan.full_after) {
                return Err(no_space());
            }
        }
        self.inner.put(objects)
    }

    fn get(&self, key: &Key) -> Result<Option<StoredObject>, StoreError> {
        Ok(self.damage(key, 0, self.inner.get(key)?))
    }

    fn get_part(&self, key: &Key, range: Range<u32>) -> Result<Option<StoredObject>, StoreError> {
        Ok(self.damage(key, range.start as usize, self.inner.get_part(key, range)?))
    }

    fn contains(&self, key: &Key) -> bool {
        self.inner.contains(key)
    }

    fn delete(&self, keys: &[Key]) -> Result<usize, StoreError> {
        {
            let mut state = self.state();
            check(&state)?;
            state.plan.full_after = 0;
        }
        self.inner.delete(keys)
    }

    fn sync(&self) -> Result<(), StoreError> {
        {
            let mut state = self.state();
            check(&state)?;
            state.syncs += 1;
            if state.syncs == state.plan.fail_sync {
                return Err(poison(&mut state, "sync"));
            }
        }
        self.inner.sync()
    }

    fn incarnation(&self) -> Incarnation {
        self.inner.incarnation()
    }

    fn keys(&self, visit: &mut VisitKey<'_>) -> Result<(), StoreError> {
        self.inner.keys(visit)
    }

    fn list(&self, after: &[u8], limit: usize) -> Result<Listing, StoreError> {
        self.inner.list(after, limit)
    }

    fn statistics(&self) -> Result<StoreStatistics, StoreError> {
        self.inner.statistics()
    }
}

#[cfg(test)]
mod tests {
    use super::super::memory::MemoryStore;
    use super::*;

    fn faulty(plan: FaultPlan) -> FaultyStore {
        FaultyStore::new(Arc::new(MemoryStore::default()), plan)
    }

    fn put(store: &FaultyStore, number: u8) -> Result<(), StoreError> {
        store.put(&[NewObject { key: Key([number; 32]), extra: b"", body: b"body" }])
    }

    #[test]
    fn conforms_without_faults() {
        super::super::conformance::run(&|| faulty(FaultPlan::default()));
    }

    #[test]
    fn fails_where_the_plan_says_and_stays_failed() {
        let store = faulty(FaultPlan { fail_put: 3, no_space_put: 2, ..FaultPlan::default() });
        put(&store, 1).unwrap();
        assert!(matches!(put(&store, 2), Err(StoreError::NoSpace { .. })));
        assert!(matches!(put(&store, 3), Err(StoreError::Io { .. })));
        assert!(matches!(put(&store, 4), Err(StoreError::Poisoned { .. })));
        assert!(matches!(store.sync(), Err(StoreError::Poisoned { .. })));
        let store = faulty(FaultPlan { fail_sync: 1, ..FaultPlan::default() });
        assert!(matches!(store.sync(), Err(StoreError::Io { .. })));
        assert!(matches!(put(&store, 1), Err(StoreError::Poisoned { .. })));
    }

    #[test]
    fn flips_the_bit_it_was_told_to() {
        let store = faulty(FaultPlan::default());
        put(&store, 1).unwrap();
        store.flip_bit(Key([1; 32]), 2);
        assert_eq!(store.get(&Key([1; 32])).unwrap().unwrap().body, &b"boey"[..]);
        assert_eq!(store.get_part(&Key([1; 32]), 2..3).unwrap().unwrap().body, &b"e"[..]);
        assert_eq!(store.get_part(&Key([1; 32]), 0..2).unwrap().unwrap().body, &b"bo"[..]);
    }
}
