//! Upkeep: sealing full segments, and giving back the space of what was deleted.
//!
//! In this order, so that a crash between any two steps loses nothing: tombstone on stable storage, then punch; copies on stable
//! storage, then unlink; segment unlinked, then the tombstones that point into it are forgotten.

use super::append::{NewRecord, Purpose};
use super::engine::{Engine, Segment};
use super::folder::replace;
use super::index::Location;
use super::index_file::{Entry, SegmentIndex};
use super::record::{BLOCK_BYTES, Kind, Place, RECORD_HEADER_BYTES, TOMBSTONES_PER_RECORD};
use super::scan::{Contents, scan, tombstones};
use crate::storage::StoreError;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

/// Shorter records are not punched: they hold too few whole blocks. Compaction gets their space.
const PUNCH_BYTES_MIN: u32 = 16 << 10;
/// Of a store that has collected for long, a sixteenth may be waste.
const WASTE_SHARE: u64 = 16;
/// For less than such a part of the largest segment nothing is written anew: 64 KiB on usual disks …
const WASTE_MIN_SHARE: u64 = 4096;
/// … and for so much: header and last block of a segment are never full.
const WASTE_MIN: u64 = 4 * BLOCK_BYTES;
/// Segments copied in one upkeep.
const COMPACTIONS_PER_UPKEEP: usize = 4;

/// Whether a deleted record's space is punched out.
pub(super) fn is_punched(location: &Location) -> bool {
    location.record_bytes >= PUNCH_BYTES_MIN
}

/// Makes the index of a segment from the records that a scan found.
pub(super) fn index_of(segment: &Segment, contents: &Contents, tombstones: Vec<Place>) -> SegmentIndex {
    let objects = contents.records.iter().filter(|found| found.header.kind == Kind::Object);
    let entry = |found: &super::scan::Found| Entry {
        key: found.header.key,
        offset: found.offset,
        record_bytes: found.header.record_bytes() as u32,
    };
    let entries = objects.map(entry).collect();
    SegmentIndex { number: segment.number, salt: segment.salt, end: contents.end, entries, tombstones }
}

/// Writes a segment's index file, durably.
pub(super) fn write_index(disk: &dyn super::disk::Disk, index: &SegmentIndex) -> io::Result<()> {
    let name = Segment::index_name(index.number);
    replace(disk, &format!("{name}.tmp"), &name, &index.encode())
}

/// What a segment takes on the disk, and how much of that for nothing.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    taken: u64,
    waste: u64,
}

impl Use {
    fn of(segment: &Segment, taken: u64) -> Self {
        let needed = segment.live_bytes.load(Ordering::Relaxed) + segment.tombstone_bytes.load(Ordering::Relaxed);
        Self { taken, waste: taken.saturating_sub(needed) }
    }

    fn is_more_than(&self, share: u64) -> bool {
        self.waste > self.taken / share
    }

    fn per_thousand(&self) -> u64 {
        self.waste.saturating_mul(1000) / self.taken.max(1)
    }
}

impl Engine {
    pub(super) fn maintain(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.upkeep.lock().unwrap_or_else(PoisonError::into_inner);
        self.check_health()?;
        self.seal_full_segments()?;
        self.punch_graves()?;
        self.unlink_dead_segments()?;
        for _ in 0..COMPACTIONS_PER_UPKEEP {
            match self.most_wasteful()? {
                None => break,
                Some(segment) if segment.sealed.load(Ordering::Acquire) => self.compact(&segment)?,
                Some(segment) => self.close_active(&segment)?,
            }
        }
        Ok(())
    }

    /// Ends the segment that is appended to, though it is not full: so much of it is waste that it is to be written anew.
    fn close_active(&self, segment: &Segment) -> Result<(), StoreError> {
        {
            let mut appender = self.appender();
            let active = appender.active.take_if(|active| active.segment.number == segment.number);
            appender.full.extend(active.map(|active| (active.segment, active.file)));
        }
        self.sync()?;
        self.seal_full_segments()
    }

    fn seal_full_segments(&self) -> Result<(), StoreError> {
        loop {
            let Some(segment) = self.backlog().unsealed.last().cloned() else { return Ok(()) };
            self.seal(&segment).map_err(self.io_error("seal", segment.number))?;
            self.backlog().unsealed.retain(|other| other.number != segment.number);
        }
    }

    fn seal(&self, segment: &Segment) -> io::Result<()> {
        let file = self.file(segment.number)?;
        let end = segment.end.load(Ordering::Relaxed);
        file.truncate(end)?;
        let contents = scan(&*file, segment.salt, end)?;
        let mut places = Vec::new();
        for found in contents.records.iter().filter(|found| found.header.kind == Kind::Tombstones) {
            places.extend(tombstones(&*file, found)?.unwrap_or_default());
        }
        write_index(&*self.disk, &index_of(segment, &contents, places))?;
        segment.allocated.store(file.size()?.allocated, Ordering::Relaxed);
        segment.sealed.store(true, Ordering::Release);
        Ok(())
    }

    fn punch_graves(&self) -> Result<(), StoreError> {
        let graves = std::mem::take(&mut self.backlog().graves);
        let mut touched = std::collections::BTreeSet::new();
        for grave in graves {
            // The header stays: it is a link of the chain that a scan follows.
            let start = (grave.place.offset() + RECORD_HEADER_BYTES as u64).next_multiple_of(BLOCK_BYTES);
            let end = (grave.place.offset() + u64::from(grave.record_bytes)) / BLOCK_BYTES * BLOCK_BYTES;
            if start >= end || self.segment(grave.place.segment).is_none() {
                continue;
            }
            match self.file(grave.place.segment).and_then(|file| file.punch(start, end - start)) {
                Ok(()) => touched.insert(grave.place.segment),
                // Compaction will do it.
                Err(error) if error.kind() == io::ErrorKind::Unsupported => break,
                Err(error) => return Err(self.io_error("punch a hole into", grave.place.segment)(error)),
            };
        }
        for segment in touched.into_iter().filter_map(|number| self.segment(number)) {
            if segment.sealed.load(Ordering::Acquire) {
                let size = self.file(segment.number).and_then(|file| file.size());
                let allocated = size.map_err(self.io_error("ask for the size of", segment.number))?.allocated;
                segment.allocated.store(allocated, Ordering::Relaxed);
            }
        }
        Ok(())
    }

    fn unlink_dead_segments(&self) -> Result<(), StoreError> {
        for segment in self.segments() {
            let dead = segment.sealed.load(Ordering::Acquire) && segment.live_bytes.load(Ordering::Relaxed) == 0;
            if dead && !self.tombstones_needed(&segment) {
                self.unlink(&segment)?;
            }
        }
        Ok(())
    }

    /// Whether a segment's tombstones still hold down records of other segments.
    fn tombstones_needed(&self, segment: &Segment) -> bool {
        let targets = segment.targets.lock().unwrap_or_else(PoisonError::into_inner).clone();
        targets.into_iter().any(|target| target != segment.number && self.segment(target).is_some())
    }

    fn unlink(&self, segment: &Segment) -> Result<(), StoreError> {
        let remove = || {
            // The segment goes first: an index file without one is nothing, a segment without an index is scanned.
            self.disk.remove(&Segment::file_name(segment.number))?;
            self.disk.sync_folder()?;
            self.disk.remove(&Segment::index_name(segment.number))
        };
        remove().map_err(self.io_error("remove", segment.number))?;
        self.forget_segment(segment.number);
        tracing::debug!(segment = %Segment::file_name(segment.number), "segment removed");
        Ok(())
    }

    /// The segment to be written anew next: the one of which most is waste. Either that is more than half of it, so that less is copied
    /// than is won; or the waste of the whole store is more than a [`WASTE_SHARE`]th, which is mostly what punching leaves of deleted
    /// objects: a block or two of each. Of all that is ever deleted that is a small part, so winning it may cost several times as much.
    fn most_wasteful(&self) -> Result<Option<Arc<Segment>>, StoreError> {
        let (mut uses, mut all) = (Vec::new(), Use::default());
        for segment in self.segments() {
            let used = {
                let _no_put = self.hold_puts(&segment);
                Use::of(&segment, self.taken(&segment)?)
            };
            (all.taken, all.waste) = (all.taken + used.taken, all.waste + used.waste);
            uses.push((segment, used));
        }
        let min = (self.limits.segment_bytes / WASTE_MIN_SHARE).max(WASTE_MIN);
        let share = if all.is_more_than(WASTE_SHARE) { WASTE_SHARE } else { 2 };
        uses.retain(|(segment, used)| {
            let is_stuck = segment.stuck.load(Ordering::Relaxed);
            !is_stuck && used.is_more_than(share) && used.waste >= min
        });
        Ok(uses.into_iter().max_by_key(|(_, used)| used.per_thousand()).map(|(segment, _)| segment))
    }

    /// Copies what is alive to the end of the store, and removes the segment.
    fn compact(&self, segment: &Arc<Segment>) -> Result<(), StoreError> {
        // Whatever ends this early, the same attempt is not made again at once.
        segment.stuck.store(true, Ordering::Relaxed);
        let Some(index) = self.load_index(segment) else {
            tracing::warn!(file = %Segment::index_name(segment.number), "index file unreadable; the next start makes it again");
            return Ok(());
        };
        let moved = index.entries.iter().try_for_each(|entry| self.move_object(segment.number, entry));
        let moved = moved.and_then(|()| self.move_tombstones(segment.number, &index.tombstones));
        match moved {
            Err(error @ StoreError::NoSpace { .. }) => {
                segment.stuck.store(false, Ordering::Relaxed);
                return Err(error);
            }
            // The record stays where it is, readable as far as it can be; the reader takes another replica.
            Err(error @ StoreError::Damaged { .. }) => {
                tracing::error!(segment = %Segment::file_name(segment.number), %error, "segment not compacted");
                return Ok(());
            }
            moved => moved?,
        }
        self.sync()?;
        tracing::debug!(segment = %Segment::file_name(segment.number), "segment compacted");
        self.unlink(segment)
    }

    fn move_object(&self, number: u32, entry: &Entry) -> Result<(), StoreError> {
        let fingerprint = self.index.fingerprint(&entry.key);
        let here = |location: &Location| location.place == Place::new(number, entry.offset);
        let Some(location) = self.index.get(fingerprint).filter(here) else { return Ok(()) };
        let (header, object) = self.read_record(&entry.key, location)?;
        let mut appender = self.appender();
        // Deleted meanwhile? Deletes hold the same lock.
        if self.index.get(fingerprint) != Some(location) {
            return Ok(());
        }
        let record = NewRecord { header, extra: &object.extra, body: &object.body };
        for location in appender.append(self, &[record], Purpose::Upkeep)? {
            self.point_to(fingerprint, location);
        }
        Ok(())
    }

    fn move_tombstones(&self, number: u32, places: &[Place]) -> Result<(), StoreError> {
        let needed = |place: &Place| place.segment != number && self.segment(place.segment).is_some();
        let needed: Vec<Place> = places.iter().copied().filter(needed).collect();
        for chunk in needed.chunks(TOMBSTONES_PER_RECORD) {
            self.append_tombstones(&mut self.appender(), chunk)?;
        }
        Ok(())
    }
}
