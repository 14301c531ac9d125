//! Page descriptors: laying newer bytes over older ones, byte for byte.
//!
//! A descriptor is always in one normal form: fragments sorted, disjoint, none empty, and no two neighbours that continue each
//! other in the same object (they would be one). The form depends only on *which byte of the page comes from where*, not on the
//! order in which it came about. That is what makes a leaf the same whoever computes it, from whatever base.

use crate::limits::FRAGMENTS_BEFORE_COMPACTION;
use crate::weave::{Fragment, PageDescriptor};
use std::ops::Range;

impl Fragment {
    /// One past its last byte within the page.
    #[must_use]
    pub fn page_end(&self) -> u32 {
        self.page_offset + self.length
    }

    /// The part of it that lies in `range` of the page; `None` if nothing does.
    #[must_use]
    pub fn part(&self, range: &Range<u32>) -> Option<Self> {
        let start = self.page_offset.max(range.start);
        let end = self.page_end().min(range.end);
        let object_offset = self.object_offset + start.saturating_sub(self.page_offset);
        (start < end).then(|| Self { page_offset: start, length: end - start, object_offset, ..*self })
    }

    /// Whether `next` is the next bytes of the same object at the next bytes of the page.
    fn continues_in(&self, next: &Self) -> bool {
        self.object == next.object
            && self.page_end() == next.page_offset
            && self.object_offset + self.length == next.object_offset
    }
}

impl PageDescriptor {
    /// Makes `range` of the page zero.
    pub fn clip(&mut self, range: Range<u32>) {
        self.replace(range, None);
    }

    /// Lays `fragment` over what is there. One of length 0 changes nothing.
    pub fn overlay(&mut self, fragment: Fragment) {
        self.replace(fragment.page_offset..fragment.page_end(), Some(fragment));
    }

    /// Whether reading the page costs so many requests that it should be rewritten as one object.
    #[must_use]
    pub fn needs_compaction(&self) -> bool {
        self.fragments.len() > FRAGMENTS_BEFORE_COMPACTION
    }

    fn replace(&mut self, range: Range<u32>, fragment: Option<Fragment>) {
        if range.start >= range.end {
            return;
        }
        let first = self.fragments.partition_point(|old| old.page_end() <= range.start);
        let count = self.fragments[first..].partition_point(|old| old.page_offset < range.end);
        let hit = &self.fragments[first..first + count];
        let before = hit.first().and_then(|old| old.part(&(0..range.start)));
        let after = hit.last().and_then(|old| old.part(&(range.end..u32::MAX)));
        self.fragments.splice(first..first + count, before.into_iter().chain(fragment).chain(after));
        if let Some(fragment) = fragment {
            let place = self.fragments[first..].partition_point(|old| old.page_offset < fragment.page_offset) + first;
            self.join(place);
            if place > 0 {
                self.join(place - 1);
            }
        }
    }

    /// Makes one of the fragments at `place` and behind it if they continue each other.
    fn join(&mut self, place: usize) {
        let Some([left, right]) = self.fragments.get(place..place + 2) else { return };
        if left.continues_in(right) {
            let length = left.length + right.length;
            self.fragments[place].length = length;
            self.fragments.remove(place + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checksum::Digest;
    use crate::id::BlobVersion;
    use crate::id::{GroupId, PageObjectId, SessionId};
    use crate::weave::{Birth, PageObject};
    use proptest::prelude::*;

    const PAGE: usize = 48;

    fn fragment(sequence: u64, page_offset: u32, length: u32, object_offset: u32) -> Fragment {
        let object = PageObject {
            id: PageObjectId { session: SessionId(1), sequence },
            length: 64,
            digest: Digest(sequence),
            group: GroupId(1),
        };
        let born = Birth { blob: 1, version: BlobVersion(1), border: None };
        Fragment { page_offset, length, object, object_offset, born }
    }

    /// Each byte's source; the naive form of a page.
    fn spread(page: &PageDescriptor) -> Vec<Option<(u64, u32)>> {
        let mut bytes = vec![None; PAGE];
        for part in &page.fragments {
            for i in 0..part.length {
                assert!(bytes[(part.page_offset + i) as usize].is_none(), "fragments overlap: {page:?}");
                bytes[(part.page_offset + i) as usize] = Some((part.object.id.sequence, part.object_offset + i));
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn replacing_is_byte_exact_and_the_form_is_normal(
            steps in proptest::collection::vec((0u64..4, 0u32..40, 0u32..9, 0u32..6, any::<bool>()), 0..25)
        ) {
            let mut page = PageDescriptor::default();
            let mut bytes = vec![None; PAGE];
            for (object, offset, length, object_offset, hole) in steps {
                // Offsets in the object follow those in the page, so that neighbours often continue each other.
                let object_offset = if object_offset < 4 { offset } else { object_offset };
                let part = fragment(object, offset, length, object_offset);
                if hole { page.clip(offset..offset + length) } else { page.overlay(part) }
                for i in 0..length {
                    bytes[(offset + i) as usize] = (!hole).then_some((object, object_offset + i));
                }
                prop_assert_eq!(&spread(&page), &bytes);
                for pair in page.fragments.windows(2) {
                    prop_assert!(pair[0].page_end() <= pair[1].page_offset && !pair[0].continues_in(&pair[1]), "{:?}", page);
                }
                prop_assert!(page.fragments.iter().all(|f| f.length > 0));
            }
        }
    }

    #[test]
    fn seventeen_fragments_are_too_many() {
        let mut page = PageDescriptor::default();
        for i in 0..FRAGMENTS_BEFORE_COMPACTION as u32 {
            page.overlay(fragment(7, i * 2, 1, 0));
        }
        assert!(!page.needs_compaction());
        page.overlay(fragment(8, 40, 1, 0));
        assert!(page.needs_compaction());
    }
}
