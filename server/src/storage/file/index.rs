//! Where each object lies, in memory: 28 bytes an object in the table, about 46 with the table's free slots.
//!
//! Keys are 32 bytes; the table holds their [fingerprints](weft_common::fingerprint) instead. The full key stands in the record's
//! header and is compared on every read. A hash table is between 7/16 and 7/8 full, because it doubles; so this one is cut into
//! shards of sizes from 1 to 2, of which at any time one is about to double and one has just done so. That keeps the whole at its
//! mean, and growing copies only a small part at a time.

use super::record::Place;
use crate::storage::Key;
use std::sync::{PoisonError, RwLock};
use weft_common::fingerprint::{Fingerprint, FingerprintMap, Fingerprints};

const SHARDS: usize = 16;

/// Where an object's record lies and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Location {
    pub(super) place: Place,
    /// Without padding.
    pub(super) record_bytes: u32,
}

/// The table.
#[derive(Debug, Default)]
pub(super) struct Index {
    fingerprints: Fingerprints,
    shards: [RwLock<FingerprintMap<Location>>; SHARDS],
}

impl Index {
    pub(super) fn fingerprint(&self, key: &Key) -> Fingerprint {
        self.fingerprints.of(&key.0)
    }

    pub(super) fn get(&self, fingerprint: Fingerprint) -> Option<Location> {
        self.shard(fingerprint).read().unwrap_or_else(PoisonError::into_inner).get(&fingerprint).copied()
    }

    /// Sets the location, and returns the one before.
    pub(super) fn insert(&self, fingerprint: Fingerprint, location: Location) -> Option<Location> {
        self.shard(fingerprint).write().unwrap_or_else(PoisonError::into_inner).insert(fingerprint, location)
    }

    pub(super) fn remove(&self, fingerprint: Fingerprint) -> Option<Location> {
        self.shard(fingerprint).write().unwrap_or_else(PoisonError::into_inner).remove(&fingerprint)
    }

    pub(super) fn len(&self) -> u64 {
        self.shards.iter().map(|shard| shard.read().unwrap_or_else(PoisonError::into_inner).len() as u64).sum()
    }

    fn shard(&self, fingerprint: Fingerprint) -> &RwLock<FingerprintMap<Location>> {
        &self.shards[shard_of(fingerprint.spare_bits())]
    }
}

/// Shard `i` gets the share `2^((i+1)/SHARDS) - 2^(i/SHARDS)` of all values.
fn shard_of(random: u32) -> usize {
    let place = 1.0 + f64::from(random) / (f64::from(u32::MAX) + 1.0);
    ((place.log2() * SHARDS as f64) as usize).min(SHARDS - 1)
}

const _: () = assert!(size_of::<(Fingerprint, Location)>() == 28);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_put_and_nothing_else() {
        let index = Index::default();
        let key = |number: u64| {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            Key(bytes)
        };
        let location = |number: u64| Location { place: Place::new(1, number * 8), record_bytes: 9 };
        for number in 0..1000 {
            assert_eq!(index.insert(index.fingerprint(&key(number)), location(number)), None);
        }
        assert_eq!(index.len(), 1000);
        for number in 0..1000 {
            assert_eq!(index.get(index.fingerprint(&key(number))), Some(location(number)));
        }
        assert_eq!(index.get(index.fingerprint(&key(1000))), None);
        assert_eq!(index.remove(index.fingerprint(&key(5))), Some(location(5)));
        assert_eq!(index.get(index.fingerprint(&key(5))), None);
    }

    #[test]
    fn memory_stays_near_its_mean_whatever_the_count() {
        let index = Index::default();
        for number in 0..400_000_u64 {
            let mut bytes = [0; 32];
            bytes[..8].copy_from_slice(&number.to_le_bytes());
            index.insert(index.fingerprint(&Key(bytes)), Location { place: Place::new(1, number * 8), record_bytes: 9 });
            if number > 50_000 && number.is_multiple_of(10_000) {
                let slots: usize = index.shards.iter().map(|shard| shard.read().unwrap().capacity() * 8 / 7).sum();
                let bytes = slots * (size_of::<(Fingerprint, Location)>() + 1) / number as usize;
                assert!((38..56).contains(&bytes), "{bytes} bytes an object with {number} objects");
            }
        }
    }
}
