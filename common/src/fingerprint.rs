//! Fingerprints: 16 bytes that stand for a longer key in a table of very many.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hash, Hasher, RandomState};

/// Stands for a key: 128 bits of a hash that is keyed at random for each table, so that two keys meet by no accident and by
/// nobody's intent. In four parts, so that an entry of a table needs no padding behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint([u32; 4]);

impl Fingerprint {
    /// 32 of its bits that a [`FingerprintMap`] does not look at: to choose among several maps by.
    #[must_use]
    pub fn spare_bits(self) -> u32 {
        self.0[3]
    }
}

impl Hash for Fingerprint {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(u64::from(self.0[0]) | u64::from(self.0[1]) << 32);
    }
}

/// Makes the fingerprints of one table; those of another differ.
#[derive(Debug, Default)]
pub struct Fingerprints {
    seeds: [RandomState; 2],
}

impl Fingerprints {
    /// The fingerprint of `key`.
    pub fn of(&self, key: &impl Hash) -> Fingerprint {
        let [first, second] = [self.seeds[0].hash_one(key), self.seeds[1].hash_one(key)];
        Fingerprint([first as u32, (first >> 32) as u32, second as u32, (second >> 32) as u32])
    }
}

/// A map by fingerprint, which does not hash again what is a hash already.
pub type FingerprintMap<V> = HashMap<Fingerprint, V, BuildHasherDefault<FirstHalf>>;

/// The first half of a [`Fingerprint`] is its hash.
#[derive(Debug, Default)]
pub struct FirstHalf(u64);

impl Hasher for FirstHalf {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        // Not reached by `Fingerprint`; still a hash.
        self.0 = bytes.iter().fold(self.0, |sum, byte| sum.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_fingerprint_in_a_table_and_another_in_the_next() {
        let (table, other) = (Fingerprints::default(), Fingerprints::default());
        let mut map = FingerprintMap::default();
        for key in 0..10_000_u64 {
            assert_eq!(map.insert(table.of(&key), key), None);
            assert_ne!(table.of(&key), other.of(&key));
        }
        assert!((0..10_000).all(|key: u64| map.get(&table.of(&key)) == Some(&key)));
    }
}
