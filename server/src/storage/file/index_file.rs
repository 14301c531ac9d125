//! The index file of a sealed segment: keys, places and lengths, so that opening a store reads 40 bytes an object and no segment.
//!
//! It is derived from the segment: a missing or damaged one is made again by a scan.

use super::record::{FORMAT, Place, RECORD_ALIGNMENT, u32_at, u64_at};
use crate::storage::{KEY_BYTES, Key};
use weft_common::checksum::crc64;

const MAGIC: [u8; 8] = *b"WEFTIDX1";
const HEADER_BYTES: usize = 48;
const ENTRY_BYTES: usize = KEY_BYTES + 8;
const TOMBSTONE_BYTES: usize = 8;

/// An object of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) key: Key,
    /// Where its record starts.
    pub(super) offset: u64,
    /// Length of the record without padding.
    pub(super) record_bytes: u32,
}

/// All that opening needs to know of a sealed segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SegmentIndex {
    pub(super) number: u32,
    pub(super) salt: u64,
    /// Where the segment's last record ends.
    pub(super) end: u64,
    /// Its objects, also those that were deleted since.
    pub(super) entries: Vec<Entry>,
    /// Records, here or in older segments, that its tombstones delete.
    pub(super) tombstones: Vec<Place>,
}

impl SegmentIndex {
    pub(super) fn encode(&self) -> Vec<u8> {
        let length = HEADER_BYTES + self.entries.len() * ENTRY_BYTES + self.tombstones.len() * TOMBSTONE_BYTES + 8;
        let mut bytes = Vec::with_capacity(length);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&self.number.to_le_bytes());
        bytes.extend_from_slice(&self.salt.to_le_bytes());
        bytes.extend_from_slice(&self.end.to_le_bytes());
        bytes.extend_from_slice(&(self.entries.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&(self.tombstones.len() as u64).to_le_bytes());
        for entry in &self.entries {
            bytes.extend_from_slice(&entry.key.0);
            bytes.extend_from_slice(&((entry.offset / RECORD_ALIGNMENT) as u32).to_le_bytes());
            bytes.extend_from_slice(&entry.record_bytes.to_le_bytes());
        }
        bytes.extend_from_slice(&Place::encode_all(&self.tombstones));
        let checksum = crc64(&bytes);
        bytes.extend_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The index in `bytes`, unless they are damaged or of another format.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let body_end = bytes.len().checked_sub(8)?;
        if body_end < HEADER_BYTES || bytes[..8] != MAGIC || u32_at(bytes, 8) != FORMAT {
            return None;
        }
        if crc64(&bytes[..body_end]) != u64_at(bytes, body_end) {
            return None;
        }
        let entries_bytes = usize::try_from(u64_at(bytes, 32)).ok()?.checked_mul(ENTRY_BYTES)?;
        let tombstones_bytes = usize::try_from(u64_at(bytes, 40)).ok()?.checked_mul(TOMBSTONE_BYTES)?;
        if HEADER_BYTES.checked_add(entries_bytes)?.checked_add(tombstones_bytes)? != body_end {
            return None;
        }
        let (entries, tombstones) = bytes[HEADER_BYTES..body_end].split_at(entries_bytes);
        Some(Self {
            number: u32_at(bytes, 12),
            salt: u64_at(bytes, 16),
            end: u64_at(bytes, 24),
            entries: entries.chunks_exact(ENTRY_BYTES).map(decode_entry).collect(),
            tombstones: Place::decode_all(tombstones),
        })
    }
}

fn decode_entry(bytes: &[u8]) -> Entry {
    let mut key = [0; KEY_BYTES];
    key.copy_from_slice(&bytes[..KEY_BYTES]);
    let offset = u64::from(u32_at(bytes, KEY_BYTES)) * RECORD_ALIGNMENT;
    Entry { key: Key(key), offset, record_bytes: u32_at(bytes, KEY_BYTES + 4) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn example() -> SegmentIndex {
        let entry = |number: u8| Entry { key: Key([number; 32]), offset: u64::from(number) * 64, record_bytes: 100 };
        let tombstones = vec![Place::new(1, 64), Place::new(2, 128)];
        SegmentIndex { number: 7, salt: 9, end: 8192, entries: vec![entry(1), entry(2), entry(3)], tombstones }
    }

    #[test]
    fn comes_back_and_keeps_its_bytes() {
        let index = example();
        assert_eq!(SegmentIndex::decode(&index.encode()), Some(index.clone()));
        let bytes = index.encode();
        assert_eq!(u64_at(&bytes, bytes.len() - 8), 12_050_111_570_096_316_478);
    }

    proptest! {
        #[test]
        fn damage_is_noticed(bit in 0..example().encode().len() * 8, cut in 0..example().encode().len()) {
            let mut bytes = example().encode();
            prop_assert_eq!(SegmentIndex::decode(&bytes[..cut]), None);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(SegmentIndex::decode(&bytes), None);
        }
    }
}
