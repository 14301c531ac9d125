//! Parts of page objects in memory, bounded by their bytes.
//!
//! Objects never change, so nothing here is ever invalid. An entry holds the parts of one object that were fetched, as
//! they came: a read that lies within one part is a slice of it, without a copy.

use crate::id::PageObjectId;
use crate::limits::{CACHED_PARTS_MAX, MIB};
use bytes::Bytes;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use std::ops::Range;
use std::sync::Arc;

/// Bytes that an entry takes beside the parts themselves.
const ENTRY_BYTES: u64 = 128;

type Parts = Arc<Vec<(u32, Bytes)>>;

/// The cache.
#[derive(Debug)]
pub(crate) struct ObjectCache(Cache<PageObjectId, Parts, ByBytes>);

#[derive(Clone, Copy, Debug)]
struct ByBytes;

impl Weighter<PageObjectId, Parts> for ByBytes {
    fn weight(&self, _: &PageObjectId, parts: &Parts) -> u64 {
        ENTRY_BYTES + parts.iter().map(|(_, bytes)| bytes.len() as u64).sum::<u64>()
    }
}

/// A cache of few shards: an entry larger than a shard would not be kept.
pub(crate) fn byte_bounded<Key, Value, By>(bytes: u64, entry_bytes: u64, weighter: By) -> Cache<Key, Value, By>
where
    Key: Eq + std::hash::Hash,
    Value: Clone,
    By: Weighter<Key, Value> + Clone,
{
    let items = usize::try_from(bytes / entry_bytes).unwrap_or(usize::MAX).clamp(16, 1 << 20);
    let options = OptionsBuilder::new().shards(4).estimated_items_capacity(items).weight_capacity(bytes).build();
    match options {
        Ok(options) => Cache::with_options(options, weighter, DefaultHashBuilder::default(), DefaultLifecycle::default()),
        // Only missing figures are refused, and none is missing.
        Err(_) => Cache::with_weighter(items, bytes, weighter),
    }
}

impl ObjectCache {
    pub(crate) fn new(bytes: u64) -> Self {
        Self(byte_bounded(bytes, MIB, ByBytes))
    }

    /// The bytes of `range` of the object, if one part has them all.
    pub(crate) fn get(&self, object: PageObjectId, range: &Range<u32>) -> Option<Bytes> {
        let parts = self.0.get(&object)?;
        parts.iter().find_map(|(start, bytes)| slice_of(*start, bytes, range))
    }

    /// Keeps a part that begins at `start` of the object.
    pub(crate) fn insert(&self, object: PageObjectId, start: u32, bytes: Bytes) {
        let mut parts = self.0.peek(&object).map(|parts| parts.to_vec()).unwrap_or_default();
        let new = start..start + bytes.len() as u32;
        parts.retain(|(start, bytes)| *start < new.start || *start + bytes.len() as u32 > new.end);
        parts.push((start, bytes));
        if parts.len() > CACHED_PARTS_MAX
            && let Some(smallest) = (0..parts.len() - 1).min_by_key(|place| parts[*place].1.len())
        {
            parts.remove(smallest);
        }
        self.0.insert(object, Arc::new(parts));
    }
}

/// `range` as a slice of the part that begins at `start`, if it lies within.
pub(crate) fn slice_of(start: u32, bytes: &Bytes, range: &Range<u32>) -> Option<Bytes> {
    let end = start + bytes.len() as u32;
    (start <= range.start && range.end <= end).then(|| bytes.slice((range.start - start) as usize..(range.end - start) as usize))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::SessionId;

    fn object(sequence: u64) -> PageObjectId {
        PageObjectId { session: SessionId(1), sequence }
    }

    #[test]
    fn parts_are_found_replaced_and_bounded() {
        let cache = ObjectCache::new(16 * MIB);
        let whole = Bytes::from((0..200u8).collect::<Vec<_>>());
        cache.insert(object(1), 50, whole.slice(50..100));
        assert_eq!(cache.get(object(1), &(60..70)), Some(whole.slice(60..70)));
        assert_eq!(cache.get(object(1), &(40..70)), None);
        assert_eq!(cache.get(object(2), &(60..70)), None);
        cache.insert(object(1), 0, whole.clone());
        assert_eq!(cache.get(object(1), &(40..70)), Some(whole.slice(40..70)));
        assert_eq!(cache.0.peek(&object(1)).map(|parts| parts.len()), Some(1), "a part within a larger one goes");
        for sequence in 0..100 {
            cache.insert(object(sequence), 0, Bytes::from(vec![1; MIB as usize]));
        }
        assert!(cache.0.weight() <= 16 * MIB);
        for start in 0..100 {
            cache.insert(object(1000), start * 2, Bytes::from_static(b"x"));
        }
        assert!(cache.0.peek(&object(1000)).is_some_and(|parts| parts.len() <= CACHED_PARTS_MAX));
    }
}
