//! Slots: places in the tree, independent of any version.

use crate::id::{BlobId, NodeId, VolumeId};
use crate::weave::{Geometry, NodeRef};
use std::ops::Range;

/// A place in the tree: covers pages `[index·F^level, (index+1)·F^level)`. Level 1 is a leaf; level 0 would be a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    /// Height above the pages.
    pub level: u8,
    /// Place among the slots of its level.
    pub index: u64,
}

impl Slot {
    /// The slot of a root of height `level`: index 0.
    #[must_use]
    pub fn root(level: u8) -> Self {
        Self { level, index: 0 }
    }

    /// The pages below it.
    #[must_use]
    pub fn pages(self, geometry: Geometry) -> Range<u64> {
        let width = geometry.slot_pages(self.level);
        let start = self.index.saturating_mul(width);
        start..start.saturating_add(width)
    }

    /// Its child at `place`, `0 <= place < F`. Meaningful for levels above 1.
    #[must_use]
    pub fn child(self, geometry: Geometry, place: usize) -> Self {
        let first = self.index.saturating_mul(u64::from(geometry.fan_out()));
        Self { level: self.level.saturating_sub(1), index: first.saturating_add(place as u64) }
    }
}

impl Geometry {
    /// Pages that a slot of `level` covers: F^level, at most `u64::MAX`.
    #[must_use]
    pub fn slot_pages(self, level: u8) -> u64 {
        let bits = self.fan_out().trailing_zeros() * u32::from(level);
        1u64.checked_shl(bits).unwrap_or(u64::MAX)
    }

    /// The least height, at least 1, whose root covers `size` bytes.
    #[must_use]
    pub fn height(self, size: u64) -> u8 {
        let pages = self.pages(size);
        let mut height = 1;
        while self.slot_pages(height) < pages {
            height += 1;
        }
        height
    }
}

impl NodeRef {
    /// The id of the node that a reference found at `slot` names. A shortened one is always of index 0.
    #[must_use]
    pub fn node_id(self, volume: VolumeId, slot: Slot) -> NodeId {
        let index = if self.level == slot.level { slot.index } else { 0 };
        NodeId { blob: BlobId { volume, number: self.blob }, version: self.version, level: self.level, index }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn height_is_the_least_that_covers() {
        let geometry = Geometry::new(1 << 16, 32).unwrap();
        let page = 1u64 << 16;
        for (pages, height) in [(0, 1), (1, 1), (32, 1), (33, 2), (1024, 2), (1025, 3)] {
            assert_eq!(geometry.height(pages * page), height, "{pages} pages");
        }
        assert_eq!(geometry.height(32 * page + 1), 2);
        assert_eq!(Geometry::new(1 << 16, 2).unwrap().height(crate::limits::FILE_BYTES_MAX), 47);
    }

    #[test]
    fn absurd_levels_saturate() {
        let geometry = Geometry::new(1 << 16, 256).unwrap();
        assert_eq!(geometry.slot_pages(255), u64::MAX);
        assert_eq!(Slot { level: 200, index: 7 }.pages(geometry), u64::MAX..u64::MAX);
    }
}
