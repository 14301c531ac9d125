//! What a log entry touches, by pages: the relation `Touch` and the first half of `Ref` (see the [module](super)).
//!
//! ```text
//! bytes     |    page 0    |    page 1    |    page 2    |    page 3    |    page 4  …
//! update         dddddd    |              |     xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx  dddd     d data, x hole
//! touched   ################              ##############################################
//! holes                                                  ###############                 wiped out and nothing written
//! covered                                                ###############################  nothing older shines through
//! ```
//!
//! A cut is a hole without end. It must not end with the old file: a slot that it empties may reach beyond, and only if the slot
//! lies *wholly* in the hole is its reference a hole; otherwise it would name a node below a root that is too low to have it.

use crate::id::BlobId;
use crate::weave::ranges::Ranges;
use crate::weave::{Birth, ByteRange, DataExtent, Fragment, Geometry, LogEntry, NodeRef, PageDescriptor, Slot, Update};
use std::ops::Range;

/// A log entry with its page sets. Every question is a binary search, however many extents there are.
#[derive(Clone, Debug)]
pub struct Footprint<'e> {
    entry: &'e LogEntry,
    geometry: Geometry,
    /// Zeroed bytes; data may lie over them.
    hole_bytes: Ranges,
    /// Pages with at least one byte of data or hole.
    touched: Ranges,
    /// Pages that are wiped out and get no data.
    holes: Ranges,
    /// Pages of which no older byte remains.
    covered: Ranges,
    /// Of each object, the second of its pages, if it has two.
    borders: Vec<Option<u64>>,
}

impl<'e> Footprint<'e> {
    /// The page sets of `entry`.
    #[must_use]
    pub fn of(entry: &'e LogEntry, geometry: Geometry) -> Self {
        let hole_bytes = hole_bytes(&entry.update);
        let data_bytes = Ranges::union(entry.update.data.iter().map(extent_bytes));
        let data_pages = Ranges::union(data_bytes.iter().map(|bytes| outward(&bytes, geometry)));
        let hole_pages = Ranges::union(hole_bytes.iter().map(|bytes| inward(&bytes, geometry)));
        let hit_pages = hole_bytes.iter().map(|bytes| outward(&bytes, geometry));
        let changed_bytes = Ranges::union(hole_bytes.iter().chain(data_bytes.iter()));
        Self {
            entry,
            geometry,
            touched: Ranges::union(hit_pages.chain(data_pages.iter())),
            holes: hole_pages.without(&data_pages),
            covered: Ranges::union(changed_bytes.iter().map(|bytes| inward(&bytes, geometry))),
            hole_bytes,
            borders: borders(&entry.update, geometry),
        }
    }

    /// The entry.
    #[must_use]
    pub fn entry(&self) -> &'e LogEntry {
        self.entry
    }

    /// `Touch(v, slot)`: its pages meet the update, or the slot is the version's root or above it.
    #[must_use]
    pub fn touches(&self, slot: Slot) -> bool {
        self.has_root_under(slot) || self.touched.meets(&slot.pages(self.geometry))
    }

    /// Whether the slot lies wholly in the version's holes.
    #[must_use]
    pub fn wipes_out(&self, slot: Slot) -> bool {
        self.holes.contains(&slot.pages(self.geometry))
    }

    /// `Ref(v, slot)`, provided that the version touches the slot: a hole, or its own node there. Where the slot lies above the
    /// version's root, the reference is shortened to the root.
    #[must_use]
    pub fn reference(&self, blob: BlobId, slot: Slot) -> Option<NodeRef> {
        if self.wipes_out(slot) && !self.has_root_under(slot) {
            return None;
        }
        Some(NodeRef { blob: blob.number, version: self.entry.version, level: slot.level.min(self.entry.height) })
    }

    /// Whether the version stores a node for a slot below its root: something of it is touched, and something remains.
    #[must_use]
    pub fn weaves(&self, slot: Slot) -> bool {
        self.touched.meets(&slot.pages(self.geometry)) && !self.wipes_out(slot)
    }

    /// Whether any byte of the page is data or hole of this update.
    #[must_use]
    pub fn touches_page(&self, page: u64) -> bool {
        self.touched.meets(&(page..page + 1))
    }

    /// Whether no byte of the page from before this update remains.
    #[must_use]
    pub fn covers_page(&self, page: u64) -> bool {
        self.covered.contains(&(page..page + 1))
    }

    /// The pages of which no byte from before this update remains; ascending, disjoint.
    pub(crate) fn covered(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.covered.iter()
    }

    /// Lays this update's part of `page` over what was there: holes first, then data. `blob` is the entry's.
    pub fn apply(&self, blob: BlobId, page: u64, descriptor: &mut PageDescriptor) {
        let page_size = u64::from(self.geometry.page_size());
        let page_start = page.saturating_mul(page_size);
        let bytes = page_start..page_start.saturating_add(page_size);
        let within = |offset: u64| (offset.clamp(bytes.start, bytes.end) - page_start) as u32;
        for hole in self.hole_bytes.overlapping(&bytes) {
            descriptor.clip(within(hole.start)..within(hole.end));
        }
        let data = &self.entry.update.data;
        let first = data.partition_point(|extent| extent_bytes(extent).end <= bytes.start);
        for extent in data[first..].iter().take_while(|extent| extent.offset < bytes.end) {
            let Some(object) = self.entry.update.objects.get(extent.object as usize) else { continue };
            let (start, end) = (extent.offset.max(bytes.start), extent_bytes(extent).end.min(bytes.end));
            let border = self.borders.get(extent.object as usize).copied().flatten();
            descriptor.overlay(Fragment {
                page_offset: within(start),
                length: (end - start) as u32,
                object: *object,
                object_offset: extent.object_offset + (start - extent.offset) as u32,
                born: Birth { blob: blob.number, version: self.entry.version, border },
            });
        }
    }

    fn has_root_under(&self, slot: Slot) -> bool {
        slot.index == 0 && slot.level >= self.entry.height
    }
}

/// Whether any of `entries` touches a page that `update` writes: then a compaction that read the pages before those entries
/// would bring stale bytes back, and is refused. `entries` are all assigned versions after the one that was read.
#[must_use]
pub fn touches_since<'e>(entries: impl IntoIterator<Item = &'e LogEntry>, update: &Update, geometry: Geometry) -> bool {
    let pages = Ranges::union(update.data.iter().map(|extent| outward(&extent_bytes(extent), geometry)));
    entries.into_iter().any(|entry| Footprint::of(entry, geometry).touched.iter().any(|range| pages.meets(&range)))
}

fn hole_bytes(update: &Update) -> Ranges {
    let cut = update.cut_to.map(|cut| cut..ByteRange::UNBOUNDED);
    Ranges::union(update.holes.iter().map(|hole| hole.start..hole.end).chain(cut))
}

/// Of each object of an update the second page that has bytes of it, if two have.
fn borders(update: &Update, geometry: Geometry) -> Vec<Option<u64>> {
    let mut first: Vec<Option<u64>> = vec![None; update.objects.len()];
    let mut borders = vec![None; update.objects.len()];
    // Extents are in order of offset: the first page that is met is the lower one.
    for extent in &update.data {
        let object = extent.object as usize;
        let (Some(first), Some(border)) = (first.get_mut(object), borders.get_mut(object)) else { continue };
        let pages = outward(&extent_bytes(extent), geometry);
        let lowest = *first.get_or_insert(pages.start);
        if pages.end > lowest + 1 {
            *border = Some(lowest + 1);
        }
    }
    borders
}

fn extent_bytes(extent: &DataExtent) -> Range<u64> {
    extent.offset..extent.offset.saturating_add(u64::from(extent.length))
}

/// The pages that have any of `bytes`.
fn outward(bytes: &Range<u64>, geometry: Geometry) -> Range<u64> {
    bytes.start / u64::from(geometry.page_size())..page_end(bytes.end, geometry, u64::div_ceil)
}

/// The pages that lie wholly in `bytes`.
fn inward(bytes: &Range<u64>, geometry: Geometry) -> Range<u64> {
    geometry.pages(bytes.start)..page_end(bytes.end, geometry, |end, page_size| end / page_size)
}

fn page_end(end: u64, geometry: Geometry, divide: fn(u64, u64) -> u64) -> u64 {
    if end == ByteRange::UNBOUNDED { u64::MAX } else { divide(end, u64::from(geometry.page_size())) }
}
