//! Finds the records of a segment file without an index: when one is sealed, and after a crash.
//!
//! Records lie one behind the other, so a scan hops from header to header. Where no valid header stands (a torn record, a page
//! that was never written, damage) it looks at every aligned offset for the next valid one: what was acknowledged behind a
//! damaged place is not lost with it.

use super::disk::DiskFile;
use super::record::{Kind, Place, RECORD_ALIGNMENT, RECORD_HEADER_BYTES, RecordHeader, SEGMENT_HEADER_BYTES, aligned};
use std::io;
use std::ops::Range;

/// How much is read at once where small records lie side by side; and where a hop led over a large one's body.
const WINDOW_BYTES: usize = 1 << 20;
const HOP_BYTES: usize = 4 << 10;

/// A record and where it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) offset: u64,
    pub(super) header: RecordHeader,
}

/// What a segment holds.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Contents {
    /// Every valid header in order of offset. Bodies are not looked at.
    pub(super) records: Vec<Found>,
    /// Where the last record ends, padding included.
    pub(super) end: u64,
    /// Places before `end` without a valid header.
    pub(super) gaps: Vec<Range<u64>>,
    /// Bytes behind `end` up to the last that is not zero: a record that was not written whole.
    pub(super) torn_tail: u64,
}

/// Reads the headers of the first `limit` bytes of `file`.
pub(super) fn scan(file: &dyn DiskFile, salt: u64, limit: u64) -> io::Result<Contents> {
    let mut window = Window { file, limit, start: 0, bytes: Vec::new() };
    let mut contents = Contents { end: SEGMENT_HEADER_BYTES as u64, ..Contents::default() };
    let mut offset = window.next_candidate(contents.end)?;
    while offset + RECORD_HEADER_BYTES as u64 <= limit {
        let header = RecordHeader::decode(window.at(offset, RECORD_HEADER_BYTES)?, salt, offset);
        // A record that reaches beyond the file is one that was never written whole.
        let next = match header.filter(|header| offset + header.record_bytes() <= limit) {
            Some(header) => {
                if contents.end < offset {
                    contents.gaps.push(contents.end..offset);
                }
                contents.records.push(Found { offset, header });
                contents.end = offset + aligned(header.record_bytes());
                contents.torn_tail = 0;
                contents.end
            }
            None => {
                contents.torn_tail = offset + RECORD_ALIGNMENT - contents.end;
                offset + RECORD_ALIGNMENT
            }
        };
        offset = window.next_candidate(next)?;
    }
    Ok(contents)
}

/// The places that a tombstone record names, if its body is whole.
pub(super) fn tombstones(file: &dyn DiskFile, found: &Found) -> io::Result<Option<Vec<Place>>> {
    debug_assert_eq!(found.header.kind, Kind::Tombstones);
    let body = file.read(found.offset + RECORD_HEADER_BYTES as u64, found.header.body_bytes as usize)?;
    Ok(found.header.matches(&[], &body).then(|| Place::decode_all(&body)))
}

/// Whether an object's extra and body are what its header says.
pub(super) fn is_whole(file: &dyn DiskFile, found: &Found) -> io::Result<bool> {
    let record = file.read(found.offset, found.header.record_bytes() as usize)?;
    let extra_end = RECORD_HEADER_BYTES + found.header.extra_bytes as usize;
    Ok(found.header.matches(&record[RECORD_HEADER_BYTES..extra_end], &record[found.header.body_at()..]))
}

struct Window<'a> {
    file: &'a dyn DiskFile,
    limit: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl Window<'_> {
    /// `length` bytes at `offset`, which lie before the limit.
    fn at(&mut self, offset: u64, length: usize) -> io::Result<&[u8]> {
        if offset < self.start || offset + length as u64 > self.start + self.bytes.len() as u64 {
            let hopped = offset > self.start + self.bytes.len() as u64;
            let wanted = if hopped { HOP_BYTES } else { WINDOW_BYTES };
            let readable = (self.limit - offset).min(wanted as u64) as usize;
            self.bytes = self.file.read(offset, readable)?;
            self.start = offset;
        }
        let from = (offset - self.start) as usize;
        Ok(&self.bytes[from..from + length])
    }

    /// The first aligned offset from `offset` on where something other than zeros stands, or the limit.
    fn next_candidate(&mut self, mut offset: u64) -> io::Result<u64> {
        const UNIT: usize = RECORD_ALIGNMENT as usize;
        while offset + UNIT as u64 <= self.limit {
            self.at(offset, UNIT)?;
            let rest = &self.bytes[(offset - self.start) as usize..];
            match rest.chunks_exact(UNIT).position(|unit| unit != [0; UNIT]) {
                Some(units) => return Ok(offset + (units * UNIT) as u64),
                None => offset += (rest.len() / UNIT * UNIT) as u64,
            }
        }
        Ok(self.limit)
    }
}
