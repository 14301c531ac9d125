//! Opening a store: what is on the disk becomes index, segments, and a place to append to.
//!
//! Sealed segments are read from their index files. The others (the last one, and up to a few full ones whose sealing the crash
//! came before) are scanned and their bodies checked. Everything that was acknowledged before the process died is in the files,
//! in order; what a loss of power tore was not synced, and is dropped and named in the log.
//!
//! Tombstones stand in the segment of their target or a later one. So segments are read from the last to the first, and whoever
//! deletes a record is known before the record is met.

use super::append::{Active, Appender};
use super::disk::{Disk, DiskFile};
use super::engine::{Limits, Segment};
use super::index::{Index, Location};
use super::index_file::SegmentIndex;
use super::reclaim::{index_of, is_punched, write_index};
use super::record::{BadHeader, FORMAT, Kind, Place, SEGMENT_HEADER_BYTES, SegmentHeader, aligned};
use super::scan::{Contents, Found, is_whole, scan, tombstones};
use crate::storage::StoreError;
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;
use weft_common::limits::STORE_SEGMENT_BYTES_MIN;

/// A segment that takes this much more than its objects is punched again at opening.
const PUNCH_AGAIN_BYTES: u64 = 4 << 20;

/// A store as it was found.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    pub(super) segments: BTreeMap<u32, Arc<Segment>>,
    pub(super) appender: Appender,
    /// Deleted records whose space was perhaps not given back.
    pub(super) graves: Vec<Location>,
    /// Second copies of objects, from a move that a crash cut short; they get tombstones.
    pub(super) duplicates: Vec<Location>,
}

/// Reads the store on `disk` into `index`.
pub(super) fn recover(disk: &dyn Disk, index: &Index, limits: &Limits) -> Result<Recovered, StoreError> {
    let started = Instant::now();
    let file = disk.path().to_path_buf();
    let numbers = tidy_names(disk).map_err(|source| StoreError::Io { action: "read", file, source })?;
    let last = numbers.last().copied();
    let mut recovery = Recovery { disk, index, limits, numbers: &numbers, dead: HashSet::new(), found: Recovered::default() };
    recovery.found.appender.next_number = last.map_or(1, |last| last.saturating_add(1));
    for number in numbers.iter().rev() {
        recovery.open_segment(*number, Some(*number) == last)?;
    }
    let found = recovery.found;
    let (objects, segments) = (index.len(), found.segments.len());
    tracing::info!(folder = %disk.path().display(), objects, segments, took = ?started.elapsed(), "store opened");
    Ok(found)
}

/// The numbers of the segments that there are. Removes drafts, and index files without a segment.
fn tidy_names(disk: &dyn Disk) -> io::Result<BTreeSet<u32>> {
    let names = disk.list()?;
    let number = |name: &str, suffix: &str| {
        let digits = name.strip_suffix(suffix).filter(|digits| digits.len() == 8)?;
        u32::from_str_radix(digits, 16).ok()
    };
    let numbers: BTreeSet<u32> = names.iter().filter_map(|name| number(name, ".seg")).collect();
    for name in names {
        let orphan = number(&name, ".idx").is_some_and(|number| !numbers.contains(&number));
        if orphan || number(&name, ".idx.tmp").is_some() {
            disk.remove(&name)?;
        }
    }
    Ok(numbers)
}

/// A segment without an index file, scanned.
struct Scanned {
    salt: u64,
    contents: Contents,
    tombstones: Vec<Place>,
    /// Offsets of records that are not whole.
    torn: Vec<u64>,
}

struct Recovery<'a> {
    disk: &'a dyn Disk,
    index: &'a Index,
    limits: &'a Limits,
    numbers: &'a BTreeSet<u32>,
    /// What the tombstones met so far delete.
    dead: HashSet<Place>,
    found: Recovered,
}

impl Recovery<'_> {
    fn open_segment(&mut self, number: u32, is_last: bool) -> Result<(), StoreError> {
        let name = Segment::file_name(number);
        let path = self.disk.path().join(&name);
        let failed = |action| {
            let file = path.clone();
            move |source| StoreError::Io { action, file, source }
        };
        let file = self.disk.open(&name, false).map_err(failed("open"))?;
        if let Some(sealed) = read_index(self.disk, number) {
            let segment = self.take_in(&sealed, &*file).map_err(failed("read"))?;
            segment.sealed.store(true, Ordering::Release);
            return Ok(());
        }
        let Some(salt) = self.read_header(&*file, number, is_last)? else {
            tracing::warn!(file = %path.display(), "removed a segment file that a crash left without a header; it held nothing");
            return self.disk.remove(&name).map_err(failed("remove"));
        };
        let scanned = self.scan_segment(&*file, number, salt).map_err(failed("recover"))?;
        self.settle(scanned, number, file, is_last).map_err(failed("recover"))
    }

    /// The salt; `None` for a file that was being made when the process died. Its header is on stable storage before the first record.
    fn read_header(&self, file: &dyn DiskFile, number: u32, is_last: bool) -> Result<Option<u64>, StoreError> {
        let path = self.disk.path().join(Segment::file_name(number));
        let io_error = |source| StoreError::Io { action: "read", file: path.clone(), source };
        let end = file.size().map_err(io_error)?.end;
        let bytes = file.read(0, end.min(SEGMENT_HEADER_BYTES as u64) as usize).map_err(io_error)?;
        match SegmentHeader::decode(&bytes) {
            Ok(header) if header.number == number => Ok(Some(header.salt)),
            Err(BadHeader::Format(found)) => Err(StoreError::Format { file: path, found: found.to_string(), expected: FORMAT }),
            Err(BadHeader::Damaged) if is_last && end <= SEGMENT_HEADER_BYTES as u64 => Ok(None),
            _ => Err(StoreError::Damaged { what: "no valid segment header".into(), file: path, offset: 0 }),
        }
    }

    fn scan_segment(&mut self, file: &dyn DiskFile, number: u32, salt: u64) -> io::Result<Scanned> {
        // What the last process wrote reaches the disk now, or the store is not opened; and what is read is what the disk has.
        file.sync()?;
        file.forget_cache();
        let contents = scan(file, salt, file.size()?.end)?;
        let mut scanned = Scanned { salt, contents, tombstones: Vec::new(), torn: Vec::new() };
        let (lists, objects): (Vec<&Found>, Vec<&Found>) =
            scanned.contents.records.iter().partition(|found| found.header.kind == Kind::Tombstones);
        for found in lists {
            match tombstones(file, found)? {
                Some(places) => scanned.tombstones.extend(places),
                None => scanned.torn.push(found.offset),
            }
        }
        self.learn_dead(&scanned.tombstones);
        for found in objects {
            // The space of a deleted object may have been given back.
            if !self.dead.contains(&Place::new(number, found.offset)) && !is_whole(file, found)? {
                scanned.torn.push(found.offset);
            }
        }
        report(self.disk, number, &scanned);
        let torn: HashSet<u64> = scanned.torn.iter().copied().collect();
        scanned.contents.records.retain(|found| !torn.contains(&found.offset));
        Ok(scanned)
    }

    fn learn_dead(&mut self, tombstones: &[Place]) {
        let numbers = self.numbers;
        self.dead.extend(tombstones.iter().filter(|place| numbers.contains(&place.segment)));
    }

    /// A scanned segment is appended to, or sealed, or (when it holds nothing) removed.
    fn settle(&mut self, scanned: Scanned, number: u32, file: Arc<dyn DiskFile>, is_last: bool) -> io::Result<()> {
        let contents = &scanned.contents;
        let end_of = |found: &Found| found.offset + aligned(found.header.record_bytes());
        let whole_end = contents.records.last().map_or(SEGMENT_HEADER_BYTES as u64, end_of);
        let in_order = contents.gaps.is_empty() && scanned.torn.iter().all(|offset| *offset >= whole_end);
        let segment = Segment::new(number, scanned.salt, contents.end);
        let mut index = index_of(&segment, contents, scanned.tombstones);
        if is_last && in_order && whole_end < self.limits.segment_bytes / 2 {
            file.truncate(whole_end)?;
            index.end = whole_end;
            let segment = self.take_in(&index, &*file)?;
            // How much is live is known after the older ones only.
            let full_at = self.limits.segment_bytes.min(STORE_SEGMENT_BYTES_MIN.max(whole_end * 2));
            self.found.appender.active = Some(Active { segment, file, end: whole_end, reserved: whole_end, full_at });
            return Ok(());
        }
        if contents.records.is_empty() {
            return self.disk.remove(&Segment::file_name(number));
        }
        file.truncate(contents.end)?;
        write_index(self.disk, &index)?;
        let segment = self.take_in(&index, &*file)?;
        segment.sealed.store(true, Ordering::Release);
        Ok(())
    }

    /// Points the index to a segment's objects.
    fn take_in(&mut self, index: &SegmentIndex, file: &dyn DiskFile) -> io::Result<Arc<Segment>> {
        self.learn_dead(&index.tombstones);
        let segment = Arc::new(Segment::new(index.number, index.salt, index.end));
        let mut buried = Vec::new();
        let mut live_bytes = 0;
        for entry in &index.entries {
            let place = Place::new(index.number, entry.offset);
            let location = Location { place, record_bytes: entry.record_bytes };
            if self.dead.contains(&place) {
                buried.push(location);
                continue;
            }
            let fingerprint = self.index.fingerprint(&entry.key);
            match self.index.get(fingerprint) {
                Some(_) => self.found.duplicates.push(location),
                None => {
                    self.index.insert(fingerprint, location);
                    live_bytes += aligned(u64::from(entry.record_bytes));
                }
            }
        }
        let tombstone_bytes = index.tombstones.len() as u64 * 8;
        let allocated = file.size()?.allocated;
        segment.live_bytes.store(live_bytes, Ordering::Relaxed);
        segment.tombstone_bytes.store(tombstone_bytes, Ordering::Relaxed);
        segment.allocated.store(allocated, Ordering::Relaxed);
        let mut targets = segment.targets.lock().unwrap_or_else(PoisonError::into_inner);
        targets.extend(index.tombstones.iter().map(|place| place.segment));
        drop(targets);
        if allocated >= live_bytes + tombstone_bytes + PUNCH_AGAIN_BYTES {
            self.found.graves.extend(buried.into_iter().filter(is_punched));
        }
        self.found.segments.insert(index.number, Arc::clone(&segment));
        Ok(segment)
    }
}

/// The index file of a segment, if there is a whole one.
fn read_index(disk: &dyn Disk, number: u32) -> Option<SegmentIndex> {
    let name = Segment::index_name(number);
    let file = disk.open(&name, false).ok()?;
    let read = || file.read(0, file.size()?.end as usize);
    let index = read().ok().and_then(|bytes| SegmentIndex::decode(&bytes)).filter(|index| index.number == number);
    if index.is_none() {
        let path = disk.path().join(&name);
        tracing::warn!(file = %path.display(), "index file damaged; it is made again from the segment");
    }
    index
}

/// Tells what a segment has lost.
fn report(disk: &dyn Disk, number: u32, scanned: &Scanned) {
    let path = disk.path().join(Segment::file_name(number));
    for found in &scanned.contents.records {
        if scanned.torn.contains(&found.offset) {
            let (key, bytes) = (found.header.key, found.header.record_bytes());
            tracing::warn!(file = %path.display(), offset = found.offset, %key, bytes, "dropped a record that is not whole: it was not synced, or is damaged");
        }
    }
    for gap in &scanned.contents.gaps {
        let bytes = gap.end - gap.start;
        tracing::warn!(file = %path.display(), offset = gap.start, bytes, "skipped bytes that are no record: they were not synced, or are damaged");
    }
    if scanned.contents.torn_tail > 0 {
        let (offset, bytes) = (scanned.contents.end, scanned.contents.torn_tail);
        tracing::warn!(file = %path.display(), offset, bytes, "cut a torn tail");
    }
}
