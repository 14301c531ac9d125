//! Put and delete: everything that appends to the active segment.

use super::disk::DiskFile;
use super::engine::{Engine, Segment};
use super::index::Location;
use super::reclaim::is_punched;
use super::record::{BLOCK_BYTES, Place, RecordHeader, SEGMENT_HEADER_BYTES, SegmentHeader, TOMBSTONES_PER_RECORD, aligned};
use crate::storage::memory::check_size;
use crate::storage::{Key, NewObject, StoreError};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use weft_common::fingerprint::Fingerprint;
use weft_common::limits::{STORE_GRAVES_MAX, STORE_SEGMENTS_UNSYNCED_MAX};

/// Space for a segment is reserved in so many steps.
const STEPS_PER_SEGMENT: u64 = 8;
/// Records that one write call takes; and bytes, unless one record alone has more.
const GROUP_RECORDS_MAX: usize = 128;
const GROUP_BYTES_MAX: u64 = 1 << 20;

static ZEROS: [u8; BLOCK_BYTES as usize] = [0; BLOCK_BYTES as usize];

/// Who appends. Upkeep and deletes may use the reserve: they are what frees space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    Put,
    Upkeep,
}

/// The end of the store.
#[derive(Debug, Default)]
pub(super) struct Appender {
    pub(super) active: Option<Active>,
    /// Number of the next segment; larger than that of any that ever was.
    pub(super) next_number: u32,
    /// Full segments that are not on stable storage.
    pub(super) full: Vec<(Arc<Segment>, Arc<dyn DiskFile>)>,
    /// Something was appended to the active segment since the last sync.
    pub(super) dirty: bool,
    /// Deleted records whose tombstones are not on stable storage.
    pub(super) graves: Vec<Location>,
}

/// The segment that is appended to.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) segment: Arc<Segment>,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) end: u64,
    /// Up to here the disk has reserved space.
    pub(super) reserved: u64,
    /// Where it is full.
    pub(super) full_at: u64,
}

/// A record about to be appended.
#[derive(Clone, Copy, Debug)]
pub(super) struct NewRecord<'a> {
    pub(super) header: RecordHeader,
    pub(super) extra: &'a [u8],
    pub(super) body: &'a [u8],
}

impl Appender {
    /// Appends records that fit one segment together, with one write call.
    pub(super) fn append(
        &mut self,
        engine: &Engine,
        records: &[NewRecord<'_>],
        purpose: Purpose,
    ) -> Result<Vec<Location>, StoreError> {
        let total = records.iter().map(|record| record.header.room_bytes()).sum();
        let active = self.make_room(engine, total, purpose)?;
        let salt = active.segment.salt;
        let mut offset = active.end;
        let mut heads = Vec::with_capacity(records.len());
        let mut locations = Vec::with_capacity(records.len());
        for record in records {
            let header = record.header.placed_at(offset);
            let place = Place::new(active.segment.number, offset);
            locations.push(Location { place, record_bytes: header.record_bytes() as u32 });
            heads.push((header, header.encode(salt, offset)));
            offset += aligned(header.record_bytes());
        }
        let mut parts: Vec<&[u8]> = Vec::with_capacity(records.len() * 5);
        for ((header, head), record) in heads.iter().zip(records) {
            let padding = (aligned(header.record_bytes()) - header.record_bytes()) as usize;
            let gap = &ZEROS[..usize::from(header.gap_bytes)];
            parts.extend_from_slice(&[head, record.extra, gap, record.body, &ZEROS[..padding]]);
        }
        active.file.write(active.end, &parts).map_err(|source| write_error(engine, active.segment.number, total, source))?;
        active.end = offset;
        active.segment.end.store(offset, Ordering::Relaxed);
        self.dirty = true;
        Ok(locations)
    }

    /// The active segment with room for `bytes`, a new one if need be.
    fn make_room(&mut self, engine: &Engine, bytes: u64, purpose: Purpose) -> Result<&mut Active, StoreError> {
        let fits = |active: &Active| active.end == SEGMENT_HEADER_BYTES as u64 || active.end + bytes <= active.full_at;
        let mut active = match self.active.take() {
            Some(active) if fits(&active) => active,
            other => {
                self.full.extend(other.map(|active| (active.segment, active.file)));
                self.new_segment(engine, bytes, purpose)?
            }
        };
        let reserved = if active.end + bytes > active.reserved { reserve(engine, &mut active, bytes, purpose) } else { Ok(()) };
        let active = self.active.insert(active);
        reserved.map(|()| active)
    }

    fn new_segment(&mut self, engine: &Engine, bytes: u64, purpose: Purpose) -> Result<Active, StoreError> {
        check_space(engine, SEGMENT_HEADER_BYTES as u64 + bytes, purpose)?;
        let number = self.next_number;
        let salt = RandomState::new().hash_one(number);
        let create = || {
            let file = engine.disk.open(&Segment::file_name(number), true)?;
            file.write(0, &[&SegmentHeader { number, salt }.encode()])?;
            // Name and header are durable before the first record: recovery relies on both.
            file.sync()?;
            engine.disk.sync_folder()?;
            Ok(file)
        };
        let file = create().map_err(|source| write_error(engine, number, bytes, source))?;
        self.next_number += 1;
        let segment = Arc::new(Segment::new(number, salt, SEGMENT_HEADER_BYTES as u64));
        engine.add_segment(Arc::clone(&segment));
        let full_at = engine.limits.segment_for(engine.live_bytes());
        Ok(Active { segment, file, end: SEGMENT_HEADER_BYTES as u64, reserved: SEGMENT_HEADER_BYTES as u64, full_at })
    }
}

/// Bytes that may be used for `purpose`, if they are at least `wanted`.
fn check_space(engine: &Engine, wanted: u64, purpose: Purpose) -> Result<u64, StoreError> {
    let folder = || engine.disk.path().to_path_buf();
    let space = engine.disk.space();
    let free = space.map_err(|source| StoreError::Io { action: "ask for the space of", file: folder(), source })?.free;
    let reserve = if purpose == Purpose::Put { engine.limits.reserve_bytes } else { 0 };
    let usable = free.saturating_sub(reserve);
    if wanted > usable { Err(StoreError::NoSpace { folder: folder(), wanted, free, reserve }) } else { Ok(usable) }
}

/// Makes the disk set aside what the next records need, so that a full disk shows before anything is accepted.
fn reserve(engine: &Engine, active: &mut Active, bytes: u64, purpose: Purpose) -> Result<(), StoreError> {
    let needed = active.end + bytes - active.reserved;
    let usable = check_space(engine, needed, purpose)?;
    let step = needed.max(active.full_at / STEPS_PER_SEGMENT).min(usable);
    match active.file.allocate(active.reserved, step) {
        // Where the filesystem cannot reserve, space is only checked from step to step.
        Err(error) if error.kind() != io::ErrorKind::Unsupported => {
            return Err(write_error(engine, active.segment.number, bytes, error));
        }
        _ => {}
    }
    active.reserved += step;
    active.segment.allocated.store(active.reserved, Ordering::Relaxed);
    Ok(())
}

/// A full disk is no damage: what was written behind the end is written over by the next record. Everything else poisons.
fn write_error(engine: &Engine, number: u32, wanted: u64, source: io::Error) -> StoreError {
    if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) {
        let free = engine.disk.space().map_or(0, |space| space.free);
        let reserve = engine.limits.reserve_bytes;
        return StoreError::NoSpace { folder: engine.disk.path().to_path_buf(), wanted, free, reserve };
    }
    engine.poison(engine.io_error("write", number)(source))
}

impl Engine {
    pub(super) fn put(&self, objects: &[NewObject<'_>]) -> Result<(), StoreError> {
        self.check_health()?;
        objects.iter().try_for_each(check_size)?;
        let records = self.distinct(objects)?;
        if self.appender().full.len() >= STORE_SEGMENTS_UNSYNCED_MAX {
            self.sync()?;
        }
        let mut appender = self.appender();
        let mut group: Vec<(Fingerprint, NewRecord<'_>)> = Vec::new();
        let mut group_bytes = 0;
        for (fingerprint, record) in records {
            if let Some(location) = self.index.get(fingerprint) {
                self.check_same(location, &record.header)?;
                continue;
            }
            if group.len() == GROUP_RECORDS_MAX || group_bytes + record.header.room_bytes() > GROUP_BYTES_MAX {
                self.append_objects(&mut appender, &group)?;
                group.clear();
                group_bytes = 0;
            }
            group_bytes += record.header.room_bytes();
            group.push((fingerprint, record));
        }
        self.append_objects(&mut appender, &group)
    }

    /// The records of `objects`; a repetition within the batch is dropped.
    fn distinct<'a>(&self, objects: &[NewObject<'a>]) -> Result<Vec<(Fingerprint, NewRecord<'a>)>, StoreError> {
        let mut seen: HashMap<Key, RecordHeader> = HashMap::with_capacity(objects.len());
        let mut records = Vec::with_capacity(objects.len());
        for NewObject { key, extra, body } in objects.iter().copied() {
            let header = RecordHeader::object(key, extra, body);
            match seen.insert(key, header) {
                None => records.push((self.index.fingerprint(&key), NewRecord { header, extra, body })),
                Some(before) if before == header => {}
                Some(_) => {
                    let what = format!("{key} stands twice, with different bytes, in one put");
                    return Err(StoreError::Damaged { what, file: self.disk.path().to_path_buf(), offset: 0 });
                }
            }
        }
        Ok(records)
    }

    fn append_objects(&self, appender: &mut Appender, group: &[(Fingerprint, NewRecord<'_>)]) -> Result<(), StoreError> {
        if group.is_empty() {
            return Ok(());
        }
        let records: Vec<NewRecord<'_>> = group.iter().map(|(_, record)| *record).collect();
        let locations = appender.append(self, &records, Purpose::Put)?;
        for ((fingerprint, _), location) in group.iter().zip(locations) {
            self.point_to(*fingerprint, location);
        }
        Ok(())
    }

    /// From now on the object is read from `location`.
    pub(super) fn point_to(&self, fingerprint: Fingerprint, location: Location) {
        self.count_live(location, true);
        if let Some(before) = self.index.insert(fingerprint, location) {
            self.count_live(before, false);
        }
    }

    fn count_live(&self, location: Location, alive: bool) {
        if let Some(segment) = self.segment(location.place.segment) {
            let bytes = aligned(u64::from(location.record_bytes));
            match alive {
                true => segment.live_bytes.fetch_add(bytes, Ordering::Relaxed),
                false => segment.live_bytes.fetch_sub(bytes, Ordering::Relaxed),
            };
        }
    }

    pub(super) fn delete(&self, keys: &[Key]) -> Result<usize, StoreError> {
        self.check_health()?;
        if self.backlog().graves.len() + self.appender().graves.len() > STORE_GRAVES_MAX {
            self.sync()?;
            self.maintain()?;
        }
        let mut appender = self.appender();
        let mut found: Vec<(Fingerprint, Location)> = Vec::with_capacity(keys.len());
        for key in keys {
            let fingerprint = self.index.fingerprint(key);
            found.extend(self.index.get(fingerprint).map(|location| (fingerprint, location)));
        }
        found.sort_unstable_by_key(|(_, location)| location.place);
        found.dedup_by_key(|(_, location)| location.place);
        for chunk in found.chunks(TOMBSTONES_PER_RECORD) {
            let places: Vec<Place> = chunk.iter().map(|(_, location)| location.place).collect();
            self.append_tombstones(&mut appender, &places)?;
            for (fingerprint, location) in chunk {
                self.index.remove(*fingerprint);
                self.count_live(*location, false);
            }
            appender.graves.extend(chunk.iter().map(|(_, location)| *location).filter(is_punched));
        }
        Ok(found.len())
    }

    /// Records that what lies at `places` is deleted; at most [`TOMBSTONES_PER_RECORD`].
    pub(super) fn append_tombstones(&self, appender: &mut Appender, places: &[Place]) -> Result<(), StoreError> {
        let body = Place::encode_all(places);
        let record = NewRecord { header: RecordHeader::tombstones(&body), extra: &[], body: &body };
        let locations = appender.append(self, &[record], Purpose::Upkeep)?;
        if let Some(segment) = locations.first().and_then(|location| self.segment(location.place.segment)) {
            segment.tombstone_bytes.fetch_add(record.header.room_bytes(), Ordering::Relaxed);
            let mut targets = segment.targets.lock().unwrap_or_else(PoisonError::into_inner);
            targets.extend(places.iter().map(|place| place.segment));
        }
        Ok(())
    }

    /// Deletes records that the index does not point to: second copies that a crash during a move left behind.
    pub(super) fn bury(&self, duplicates: &[Location]) -> Result<(), StoreError> {
        let mut appender = self.appender();
        for chunk in duplicates.chunks(TOMBSTONES_PER_RECORD) {
            let places: Vec<Place> = chunk.iter().map(|location| location.place).collect();
            self.append_tombstones(&mut appender, &places)?;
            appender.graves.extend(chunk.iter().copied().filter(is_punched));
        }
        Ok(())
    }
}
