//! Reads. A record never changes, so nothing is locked: the record is read where the index points, and the result counts if the
//! index still points there afterwards. (Space is punched out only after the index has let go of it.)

use super::engine::{Engine, Segment};
use super::index::Location;
use super::index_file::SegmentIndex;
use super::record::{Kind, Place, RECORD_HEADER_BYTES, RecordHeader, aligned};
use super::scan::scan;
use crate::storage::{Key, Listing, StoreError, StoredObject, VisitKey};
use bytes::Bytes;
use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Records up to this length are read with one call, whatever part of them is wanted.
const ONE_READ_BYTES: usize = 16 << 10;
/// Of larger ones this much is read first: header, and the chunk table of up to 2 MiB.
const HEAD_BYTES: usize = 640;

impl Engine {
    pub(super) fn contains(&self, key: &Key) -> bool {
        self.index.get(self.index.fingerprint(key)).is_some()
    }

    /// Whole and verified.
    pub(super) fn get(&self, key: &Key) -> Result<Option<StoredObject>, StoreError> {
        self.read_where_it_lies(key, |location| {
            let (header, object) = self.read_part(key, location, 0..u32::MAX)?;
            self.check_whole(&header, location, &object)?;
            Ok(object)
        })
    }

    pub(super) fn get_part(&self, key: &Key, range: Range<u32>) -> Result<Option<StoredObject>, StoreError> {
        self.read_where_it_lies(key, |location| Ok(self.read_part(key, location, range.clone())?.1))
    }

    /// As `get` if the kernel has the whole record in memory, and it is a small one.
    pub(super) fn get_now(&self, key: &Key) -> Option<Result<Option<StoredObject>, StoreError>> {
        let fingerprint = self.index.fingerprint(key);
        let Some(location) = self.index.get(fingerprint) else { return Some(Ok(None)) };
        if location.record_bytes as usize > ONE_READ_BYTES {
            return None;
        }
        let file = self.file(location.place.segment).ok()?;
        let bytes = file.read_now(location.place.offset(), location.record_bytes as usize).ok()??;
        if self.index.get(fingerprint) != Some(location) {
            return None;
        }
        let object = self.parse(key, location, Bytes::from(bytes)).and_then(|(header, object)| {
            self.check_whole(&header, location, &object)?;
            Ok(Some(object))
        });
        Some(object)
    }

    fn read_where_it_lies<T>(
        &self,
        key: &Key,
        read: impl Fn(Location) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        let fingerprint = self.index.fingerprint(key);
        loop {
            let Some(location) = self.index.get(fingerprint) else { return Ok(None) };
            let outcome = read(location);
            // Moved or deleted meanwhile: what was read, or the failure to read it, means nothing.
            if self.index.get(fingerprint) == Some(location) {
                return outcome.map(Some);
            }
        }
    }

    fn read_part(&self, key: &Key, location: Location, range: Range<u32>) -> Result<(RecordHeader, StoredObject), StoreError> {
        let record_bytes = location.record_bytes as usize;
        let first = if record_bytes <= ONE_READ_BYTES { record_bytes } else { HEAD_BYTES };
        let mut head = self.read_bytes(location.place, 0, first)?;
        let header = self.header(key, location, &head)?;
        let (extra_end, body_at) = (RECORD_HEADER_BYTES + header.extra_bytes as usize, header.body_at());
        if extra_end > head.len() {
            head = self.read_bytes(location.place, 0, extra_end)?;
        }
        let end = range.end.min(header.body_bytes) as usize;
        let start = (range.start as usize).min(end);
        let extra = head.slice(RECORD_HEADER_BYTES..extra_end);
        let body = if body_at + end <= head.len() {
            head.slice(body_at + start..body_at + end)
        } else {
            self.read_bytes(location.place, body_at + start, end - start)?
        };
        if weft_common::checksum::crc64(&extra) != header.extra_checksum {
            return Err(self.damaged(location, format!("the data about {key} does not match its checksum")));
        }
        Ok((header, StoredObject { extra, body_bytes: header.body_bytes, body }))
    }

    /// The object in the bytes of its whole record.
    fn parse(&self, key: &Key, location: Location, record: Bytes) -> Result<(RecordHeader, StoredObject), StoreError> {
        let header = self.header(key, location, &record)?;
        let extra_end = RECORD_HEADER_BYTES + header.extra_bytes as usize;
        let (extra, body) = (record.slice(RECORD_HEADER_BYTES..extra_end), record.slice(header.body_at()..));
        Ok((header, StoredObject { extra, body_bytes: header.body_bytes, body }))
    }

    fn header(&self, key: &Key, location: Location, bytes: &[u8]) -> Result<RecordHeader, StoreError> {
        let Place { segment, .. } = location.place;
        let salt = self.segment(segment).map(|segment| segment.salt);
        let header = salt.and_then(|salt| RecordHeader::decode(bytes, salt, location.place.offset()));
        let right = |header: &RecordHeader| {
            header.kind == Kind::Object && header.key == *key && header.record_bytes() == u64::from(location.record_bytes)
        };
        header.filter(right).ok_or_else(|| self.damaged(location, format!("the record of {key} has a damaged header")))
    }

    fn check_whole(&self, header: &RecordHeader, location: Location, object: &StoredObject) -> Result<(), StoreError> {
        if header.matches(&object.extra, &object.body) {
            return Ok(());
        }
        Err(self.damaged(location, format!("{} does not match its checksum", header.key)))
    }

    /// A put of a key that is there: fine if it is the same object.
    pub(super) fn check_same(&self, location: Location, new: &RecordHeader) -> Result<(), StoreError> {
        let bytes = self.read_bytes(location.place, 0, RECORD_HEADER_BYTES)?;
        if self.header(&new.key, location, &bytes).is_ok_and(|stored| stored.same_object(new)) {
            return Ok(());
        }
        Err(self.damaged(location, format!("{} is stored with other bytes than those put now", new.key)))
    }

    /// The whole record at `location`, verified: header, extra, body.
    pub(super) fn read_record(&self, key: &Key, location: Location) -> Result<(RecordHeader, StoredObject), StoreError> {
        let record = self.read_bytes(location.place, 0, location.record_bytes as usize)?;
        let (header, object) = self.parse(key, location, record)?;
        self.check_whole(&header, location, &object)?;
        Ok((header, object))
    }

    fn read_bytes(&self, place: Place, from: usize, length: usize) -> Result<Bytes, StoreError> {
        let read = || {
            let mut buffer = self.buffers.take(length);
            self.file(place.segment)?.read_into(place.offset() + from as u64, buffer.as_mut_slice())?;
            Ok(buffer.freeze())
        };
        read().map_err(|error: io::Error| match error.kind() {
            io::ErrorKind::UnexpectedEof => {
                let what = "the file ends within a record".into();
                StoreError::Damaged { what, file: self.path(place.segment), offset: place.offset() }
            }
            _ => self.io_error("read", place.segment)(error),
        })
    }

    fn damaged(&self, location: Location, what: String) -> StoreError {
        StoreError::Damaged { what, file: self.path(location.place.segment), offset: location.place.offset() }
    }

    pub(super) fn keys(&self, visit: &mut VisitKey<'_>) -> Result<(), StoreError> {
        // Objects only ever move to segments of higher numbers, so none is passed over.
        let mut next = 0;
        while let Some(segment) = self.segments().into_iter().find(|segment| segment.number >= next) {
            next = segment.number.saturating_add(1);
            let entries = match self.entries(&segment) {
                Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
                entries => entries?,
            };
            for (key, place) in entries {
                let here = self.index.get(self.index.fingerprint(&key)).is_some_and(|location| location.place == place);
                if here && !visit(&key) {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// What lies behind a place, which is a segment and an offset in it. Objects only ever move to segments of higher numbers.
    pub(super) fn list(&self, after: &[u8], limit: usize) -> Result<Listing, StoreError> {
        let behind = after.first_chunk::<12>().map(|place| {
            let (segment, offset) = place.split_at(4);
            let number = |bytes: &[u8]| bytes.iter().fold(0u64, |sum, byte| sum << 8 | u64::from(*byte));
            (number(segment), number(offset))
        });
        let mut listing = Listing::default();
        let mut next = behind.map_or(0, |(segment, _)| segment as u32);
        while let Some(segment) = self.segments().into_iter().find(|segment| segment.number >= next) {
            next = segment.number.saturating_add(1);
            let mut entries = match self.entries(&segment) {
                Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => continue,
                entries => entries?,
            };
            entries.sort_unstable_by_key(|(_, place)| place.offset());
            for (key, place) in entries {
                let at = (u64::from(place.segment), place.offset());
                let location = self.index.get(self.index.fingerprint(&key)).filter(|location| location.place == place);
                let Some(location) = location.filter(|_| behind.is_none_or(|behind| at > behind)) else { continue };
                if listing.entries.len() >= limit {
                    return Ok(listing);
                }
                listing.entries.push((key, aligned(u64::from(location.record_bytes)) as u32));
                listing.next = Some([&place.segment.to_be_bytes()[..], &place.offset().to_be_bytes()].concat());
            }
        }
        listing.next = None;
        Ok(listing)
    }

    /// Keys and places of a segment's objects, also those that were deleted.
    fn entries(&self, segment: &Arc<Segment>) -> Result<Vec<(Key, Place)>, StoreError> {
        if let Some(index) = self.load_index(segment) {
            return Ok(index.entries.iter().map(|entry| (entry.key, Place::new(segment.number, entry.offset))).collect());
        }
        let end = segment.end.load(Ordering::Relaxed);
        let contents = self.file(segment.number).and_then(|file| scan(&*file, segment.salt, end));
        let records = contents.map_err(self.io_error("read", segment.number))?.records;
        let objects = records.iter().filter(|found| found.header.kind == Kind::Object);
        Ok(objects.map(|found| (found.header.key, Place::new(segment.number, found.offset))).collect())
    }

    /// The index file of a sealed segment, if it can be read.
    pub(super) fn load_index(&self, segment: &Segment) -> Option<SegmentIndex> {
        if !segment.sealed.load(Ordering::Acquire) {
            return None;
        }
        let read = || {
            let file = self.disk.open(&Segment::index_name(segment.number), false)?;
            file.read(0, file.size()?.end as usize)
        };
        read().ok().and_then(|bytes| SegmentIndex::decode(&bytes))
    }
}
