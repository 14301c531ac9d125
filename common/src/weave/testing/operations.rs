//! Random operations, sized so that borders of pages, leaves and trees are hit often.

use super::random::Random;
use crate::checksum::Digest;
use crate::id::{GroupId, PageObjectId, SessionId};
use crate::weave::{ByteRange, DataExtent, Geometry, Operation, PageObject, Update};

/// Makes operations; every page object is a new one.
#[derive(Clone, Debug)]
pub struct Operations {
    pub geometry: Geometry,
    sequence: u64,
}

impl Operations {
    pub fn new(geometry: Geometry) -> Self {
        Self { geometry, sequence: 0 }
    }

    /// Any operation on a file of `size` bytes, compactions apart.
    pub fn any(&mut self, random: &mut Random, size: u64) -> Operation {
        let mut update = Update::default();
        match random.below(20) {
            0..7 => update = self.data_near(random, size),
            7..9 => {
                let from = self.far(random);
                update = self.data(random, from);
            }
            9..12 => return Operation::Append(self.data(random, 0)),
            12..15 => update.cut_to = Some(self.position(random, size)),
            15..17 => update.holes = self.holes(random, size),
            17 => update.grow_to = Some(if random.chance(50) { self.far(random) } else { self.near(random, size) }),
            18 => {
                // As open-with-truncate, writes and close come together.
                update = self.data(random, 0);
                update.cut_to = Some(if random.chance(70) { 0 } else { self.position(random, size) });
            }
            _ => {
                update = self.data_near(random, size);
                update.holes = self.holes(random, size);
                update.cut_to = random.chance(40).then(|| self.position(random, size));
                update.grow_to = random.chance(30).then(|| self.near(random, size));
            }
        }
        Operation::Write(update)
    }

    /// Rewrites the pages of `[0, size)` around a random place, one object a page, as read at some version of that size.
    pub fn compaction(&mut self, random: &mut Random, size: u64) -> Update {
        let page_size = u64::from(self.geometry.page_size());
        let mut update = Update::default();
        let first = self.position(random, size) / page_size;
        for page in first..first + random.between(1, 2) {
            let (start, end) = (page * page_size, ((page + 1) * page_size).min(size));
            if start < end {
                self.extent(&mut update, start, (end - start) as u32, (0, 0));
            }
        }
        update
    }

    /// A few bytes somewhere in the first two pages.
    pub fn small(&mut self, random: &mut Random) -> Operation {
        let mut update = Update::default();
        let offset = random.below(2 * u64::from(self.geometry.page_size()));
        let length = random.between(1, 300);
        self.extent(&mut update, offset, length as u32, (0, 0));
        Operation::Write(update)
    }

    /// One page of a file of `size` bytes as one object; nothing if the file ends before it.
    pub fn rewrite(&mut self, page: u64, size: u64) -> Update {
        let page_size = u64::from(self.geometry.page_size());
        let (start, end) = (page * page_size, ((page + 1) * page_size).min(size));
        let mut update = Update::default();
        if start < end {
            self.extent(&mut update, start, (end - start) as u32, (0, 0));
        }
        update
    }

    /// These bytes as one object: at most a page's length, on one page or two.
    pub fn bytes(&mut self, offset: u64, length: u32) -> Update {
        let mut update = Update::default();
        self.extent(&mut update, offset, length, (0, 0));
        update
    }

    /// Whole pages, one object each.
    pub fn pages(&mut self, first: u64, end: u64) -> Update {
        let page_size = self.geometry.page_size();
        let mut update = Update::default();
        for page in first..end {
            self.extent(&mut update, page * u64::from(page_size), page_size, (0, 0));
        }
        update
    }

    fn data_near(&mut self, random: &mut Random, size: u64) -> Update {
        let from = self.near(random, size);
        self.data(random, from)
    }

    fn data(&mut self, random: &mut Random, from: u64) -> Update {
        let page_size = u64::from(self.geometry.page_size());
        let mut update = Update::default();
        let mut offset = from;
        let most = if random.chance(30) { 5 } else { 2 };
        for _ in 0..random.between(1, most) {
            let length = match random.below(4) {
                0 => random.between(1, 9),
                1 => random.between(1, page_size),
                _ => page_size,
            };
            let spare = if length < page_size - 64 && random.chance(30) { (random.below(30), random.below(30)) } else { (0, 0) };
            self.extent(&mut update, offset, length as u32, (spare.0 as u32, spare.1 as u32));
            offset += length + if random.chance(60) { 0 } else { self.within_pages(random, 3) };
        }
        update
    }

    fn extent(&mut self, update: &mut Update, offset: u64, length: u32, spare: (u32, u32)) {
        self.sequence += 1;
        let id = PageObjectId { session: SessionId(3), sequence: self.sequence };
        let group = GroupId((self.sequence % 3) as u32);
        let object = PageObject { id, length: spare.0 + length + spare.1, digest: Digest(self.sequence * 77), group };
        let place = update.objects.len() as u32;
        update.objects.push(object);
        // Sometimes two extents come from one object, the bytes of which continue each other.
        if length > 1 && self.sequence.is_multiple_of(5) {
            let half = length / 2;
            update.data.push(DataExtent { offset, length: half, object: place, object_offset: spare.0 });
            let (offset, object_offset) = (offset + u64::from(half), spare.0 + half);
            update.data.push(DataExtent { offset, length: length - half, object: place, object_offset });
        } else {
            update.data.push(DataExtent { offset, length, object: place, object_offset: spare.0 });
        }
    }

    fn holes(&self, random: &mut Random, size: u64) -> Vec<ByteRange> {
        let mut start = self.position(random, size);
        let mut holes = Vec::new();
        for _ in 0..random.between(1, 3) {
            let length = self.within_pages(random, 2 * u64::from(self.geometry.fan_out())) + 1;
            let end = if random.chance(4) { ByteRange::UNBOUNDED } else { start + length };
            holes.push(ByteRange::new(start, end));
            if end == ByteRange::UNBOUNDED {
                break;
            }
            start = end + if random.chance(30) { 0 } else { self.within_pages(random, 3) };
        }
        holes
    }

    /// A place in the file or a little behind it.
    fn position(&self, random: &mut Random, size: u64) -> u64 {
        let page_size = u64::from(self.geometry.page_size());
        let pages = size / page_size + 2;
        // Large files are mostly hole: look near the beginning and near the end.
        let page = if random.chance(50) { random.below(pages.min(12)) } else { pages - 1 - random.below(pages.min(12)) };
        page * page_size + self.remainder(random)
    }

    fn near(&self, random: &mut Random, size: u64) -> u64 {
        if random.chance(60) {
            self.position(random, size)
        } else {
            self.within_pages(random, 2 * u64::from(self.geometry.fan_out()))
        }
    }

    /// Around the border where the tree grows by a level, several levels up.
    fn far(&self, random: &mut Random) -> u64 {
        let highest = if random.chance(10) { 40 / self.geometry.fan_out().trailing_zeros() } else { 4 };
        let pages = self.geometry.slot_pages(random.between(1, u64::from(highest).max(1)) as u8);
        (pages + random.below(3)).saturating_sub(1) * u64::from(self.geometry.page_size()) + self.remainder(random)
    }

    fn within_pages(&self, random: &mut Random, pages: u64) -> u64 {
        random.below(pages) * u64::from(self.geometry.page_size()) + self.remainder(random)
    }

    /// A place within a page: mostly its start.
    fn remainder(&self, random: &mut Random) -> u64 {
        match random.below(8) {
            0..5 => 0,
            5 => random.below(20),
            6 => u64::from(self.geometry.page_size()) - random.between(1, 20),
            _ => random.below(u64::from(self.geometry.page_size())),
        }
    }
}
