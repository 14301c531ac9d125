//! A store in memory: for tests, simulation, and as the reference that the conformance suite was written against.

use super::{EXTRA_BYTES_MAX, Key, Listing, NewObject, ObjectStore, StoreError, StoreStatistics, StoredObject, VisitKey};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use weft_common::id::Incarnation;
use weft_common::limits::BODY_BYTES_MAX;

/// Objects in a map. "Survives the death of the process" is the one promise it cannot keep.
#[derive(Debug)]
pub struct MemoryStore {
    objects: Mutex<BTreeMap<Key, (Bytes, Bytes)>>,
    capacity_bytes: u64,
    incarnation: Incarnation,
}

impl MemoryStore {
    /// A store with room for `capacity_bytes` of bodies and extras.
    #[must_use]
    pub fn new(capacity_bytes: u64) -> Self {
        Self { objects: Mutex::default(), capacity_bytes, incarnation: Incarnation(RandomState::new().hash_one(0)) }
    }

    /// The same, as a machine would show it that has lost power `incarnation` times.
    #[must_use]
    pub fn in_incarnation(self, incarnation: Incarnation) -> Self {
        Self { incarnation, ..self }
    }

    fn objects(&self) -> MutexGuard<'_, BTreeMap<Key, (Bytes, Bytes)>> {
        // A panic of another thread cannot leave the map half changed: each change is one call.
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new(u64::MAX)
    }
}

fn used(objects: &BTreeMap<Key, (Bytes, Bytes)>) -> u64 {
    objects.values().map(|(extra, body)| (extra.len() + body.len()) as u64).sum()
}

/// Refuses parts that are too long for any store.
pub(super) fn check_size(object: &NewObject<'_>) -> Result<(), StoreError> {
    let limits = [("extra", object.extra.len(), EXTRA_BYTES_MAX), ("body", object.body.len(), BODY_BYTES_MAX as usize)];
    for (part, actual, limit) in limits {
        if actual > limit {
            return Err(StoreError::TooLarge { what: format!("{part} of {}", object.key), actual, limit });
        }
    }
    Ok(())
}

impl ObjectStore for MemoryStore {
    fn blocks(&self) -> bool {
        false
    }

    fn put(&self, new: &[NewObject<'_>]) -> Result<(), StoreError> {
        let mut objects = self.objects();
        let mut taken = used(&objects);
        for object in new {
            check_size(object)?;
            if let Some((extra, body)) = objects.get(&object.key) {
                if extra == object.extra && body == object.body {
                    continue;
                }
                let what = format!("{} is stored with other bytes", object.key);
                return Err(StoreError::Damaged { what, file: PathBuf::from("memory"), offset: 0 });
            }
            let wanted = (object.extra.len() + object.body.len()) as u64;
            let free = self.capacity_bytes.saturating_sub(taken);
            if wanted > free {
                return Err(StoreError::NoSpace { folder: PathBuf::from("memory"), wanted, free, reserve: 0 });
            }
            taken += wanted;
            objects.insert(object.key, (Bytes::copy_from_slice(object.extra), Bytes::copy_from_slice(object.body)));
        }
        Ok(())
    }

    fn get(&self, key: &Key) -> Result<Option<StoredObject>, StoreError> {
        self.get_part(key, 0..u32::MAX)
    }

    fn get_now(&self, key: &Key) -> Option<Result<Option<StoredObject>, StoreError>> {
        Some(self.get(key))
    }

    fn get_part(&self, key: &Key, range: Range<u32>) -> Result<Option<StoredObject>, StoreError> {
        Ok(self.objects().get(key).map(|(extra, body)| {
            let end = (range.end as usize).min(body.len());
            let start = (range.start as usize).min(end);
            StoredObject { extra: extra.clone(), body_bytes: body.len() as u32, body: body.slice(start..end) }
        }))
    }

    fn contains(&self, key: &Key) -> bool {
        self.objects().contains_key(key)
    }

    fn delete(&self, keys: &[Key]) -> Result<usize, StoreError> {
        let mut objects = self.objects();
        Ok(keys.iter().filter(|key| objects.remove(key).is_some()).count())
    }

    fn sync(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn incarnation(&self) -> Incarnation {
        self.incarnation
    }

    fn keys(&self, visit: &mut VisitKey<'_>) -> Result<(), StoreError> {
        let keys: Vec<Key> = self.objects().keys().copied().collect();
        keys.iter().all(visit);
        Ok(())
    }

    fn list(&self, after: &[u8], limit: usize) -> Result<Listing, StoreError> {
        let objects = self.objects();
        let behind = objects.iter().skip_while(|(key, _)| key.0[..] <= *after);
        let entry = |(key, (extra, body)): (&Key, &(Bytes, Bytes))| (*key, (extra.len() + body.len()) as u32);
        let mut entries: Vec<(Key, u32)> = behind.map(entry).take(limit + 1).collect();
        let has_more = entries.len() > limit;
        entries.truncate(limit);
        let next = entries.last().filter(|_| has_more).map(|(key, _)| key.0.to_vec());
        Ok(Listing { entries, next })
    }

    fn statistics(&self) -> Result<StoreStatistics, StoreError> {
        let objects = self.objects();
        let live_bytes = used(&objects);
        Ok(StoreStatistics {
            objects: objects.len() as u64,
            live_bytes,
            file_bytes: live_bytes,
            disk_total_bytes: self.capacity_bytes,
            disk_free_bytes: self.capacity_bytes.saturating_sub(live_bytes),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conforms() {
        super::super::conformance::run(&|| MemoryStore::default());
    }

    #[test]
    fn a_full_store_refuses_and_takes_again_after_a_delete() {
        let store = MemoryStore::new(10);
        let (a, b) = (Key([1; 32]), Key([2; 32]));
        store.put(&[NewObject { key: a, extra: b"", body: b"12345678" }]).unwrap();
        assert!(matches!(store.put(&[NewObject { key: b, extra: b"", body: b"123" }]), Err(StoreError::NoSpace { .. })));
        store.delete(&[a]).unwrap();
        store.put(&[NewObject { key: b, extra: b"", body: b"123" }]).unwrap();
    }
}
