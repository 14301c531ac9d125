//! Bytes of a segment file: a segment header, then records. FORMAT.md has the tables and the reasons.
//!
//! A record's header carries a checksum that is seeded with the segment's random salt and the record's offset. So bytes of a
//! record that are found elsewhere (in the body of an object that is itself a copy of a segment, behind a cut tail) are never
//! taken for a record.

use crate::storage::{EXTRA_BYTES_MAX, KEY_BYTES, Key};
use weft_common::checksum::crc64;
use weft_common::limits::BODY_BYTES_MAX;

/// Format of segment and index files.
pub(super) const FORMAT: u32 = 1;
/// Length of a segment's header; the first record follows.
pub(super) const SEGMENT_HEADER_BYTES: usize = 64;
/// Length of a record's header.
pub(super) const RECORD_HEADER_BYTES: usize = 72;
/// Records start at multiples of this.
pub(super) const RECORD_ALIGNMENT: u64 = 8;
/// Bodies from this length on start at a multiple of [`BLOCK_BYTES`]: the kernel copies whole pages of its cache a quarter faster,
/// and punching gives back all of the body. For the smallest page that costs up to a sixteenth of the space, for 1 MiB nothing.
pub(super) const ALIGNED_BODY_BYTES_MIN: u32 = 64 << 10;
/// Pages of the kernel's cache, and blocks that filesystems give back.
pub(super) const BLOCK_BYTES: u64 = 4096;
/// Entries of one tombstone record.
pub(super) const TOMBSTONES_PER_RECORD: usize = 4096;

const SEGMENT_MAGIC: [u8; 8] = *b"WEFTSEG1";
const RECORD_MAGIC: [u8; 4] = *b"WREC";
const KIND_OBJECT: u8 = 1;
const KIND_TOMBSTONES: u8 = 2;

/// Bytes that `length` take up with padding to the next record.
pub(super) fn aligned(length: u64) -> u64 {
    length.next_multiple_of(RECORD_ALIGNMENT)
}

/// A segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// The segment's number, as in its name; never used twice in a store.
    pub(super) number: u32,
    /// Seeds the checksums of its records' headers.
    pub(super) salt: u64,
}

/// Bytes that are no segment header of this format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BadHeader {
    /// No segment header at all, or a damaged one.
    Damaged,
    /// A segment of another format.
    Format(u32),
}

impl SegmentHeader {
    pub(super) fn encode(self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut bytes = [0; SEGMENT_HEADER_BYTES];
        bytes[..8].copy_from_slice(&SEGMENT_MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.salt.to_le_bytes());
        let checksum = crc64(&bytes[..56]);
        bytes[56..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        if bytes.len() < SEGMENT_HEADER_BYTES || bytes[..8] != SEGMENT_MAGIC || crc64(&bytes[..56]) != u64_at(bytes, 56) {
            return Err(BadHeader::Damaged);
        }
        match u32_at(bytes, 8) {
            FORMAT => Ok(Self { number: u32_at(bytes, 12), salt: u64_at(bytes, 16) }),
            other => Err(BadHeader::Format(other)),
        }
    }
}

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// An object: extra and body follow.
    Object,
    /// Places of objects that were deleted: the body is a list of [`Place`]s.
    Tombstones,
}

/// A record's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct RecordHeader {
    pub(super) kind: Kind,
    pub(super) key: Key,
    /// Zeros between extra and body; follows from where the record is put.
    pub(super) gap_bytes: u16,
    pub(super) extra_bytes: u32,
    pub(super) body_bytes: u32,
    pub(super) extra_checksum: u64,
    pub(super) body_checksum: u64,
}

impl RecordHeader {
    /// The header of an object.
    pub(super) fn object(key: Key, extra: &[u8], body: &[u8]) -> Self {
        Self {
            kind: Kind::Object,
            key,
            gap_bytes: 0,
            extra_bytes: extra.len() as u32,
            body_bytes: body.len() as u32,
            extra_checksum: crc64(extra),
            body_checksum: crc64(body),
        }
    }

    /// The header of a list of deletions.
    pub(super) fn tombstones(body: &[u8]) -> Self {
        Self { kind: Kind::Tombstones, ..Self::object(Key([0; KEY_BYTES]), &[], body) }
    }

    /// The header for a record that starts at `offset`.
    pub(super) fn placed_at(self, offset: u64) -> Self {
        let plain = Self { gap_bytes: 0, ..self };
        if self.body_bytes < ALIGNED_BODY_BYTES_MIN {
            return plain;
        }
        let body = offset + plain.body_at() as u64;
        Self { gap_bytes: (body.next_multiple_of(BLOCK_BYTES) - body) as u16, ..plain }
    }

    /// Whether both stand for the same object, wherever they are put.
    pub(super) fn same_object(&self, other: &Self) -> bool {
        Self { gap_bytes: 0, ..*self } == Self { gap_bytes: 0, ..*other }
    }

    /// Where in the record the body starts.
    pub(super) fn body_at(&self) -> usize {
        RECORD_HEADER_BYTES + self.extra_bytes as usize + usize::from(self.gap_bytes)
    }

    /// Length of the record without padding.
    pub(super) fn record_bytes(&self) -> u64 {
        self.body_at() as u64 + u64::from(self.body_bytes)
    }

    /// Most that the record takes up, wherever it is put.
    pub(super) fn room_bytes(&self) -> u64 {
        let gap = if self.body_bytes < ALIGNED_BODY_BYTES_MIN { 0 } else { BLOCK_BYTES };
        aligned(Self { gap_bytes: 0, ..*self }.record_bytes() + gap)
    }

    /// Whether `extra` and `body` are the bytes that the header was made for.
    pub(super) fn matches(&self, extra: &[u8], body: &[u8]) -> bool {
        crc64(extra) == self.extra_checksum && crc64(body) == self.body_checksum
    }

    pub(super) fn encode(&self, salt: u64, offset: u64) -> [u8; RECORD_HEADER_BYTES] {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        bytes[..4].copy_from_slice(&RECORD_MAGIC);
        bytes[4] = match self.kind {
            Kind::Object => KIND_OBJECT,
            Kind::Tombstones => KIND_TOMBSTONES,
        };
        bytes[6..8].copy_from_slice(&self.gap_bytes.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.extra_bytes.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.body_bytes.to_le_bytes());
        bytes[16..48].copy_from_slice(&self.key.0);
        bytes[48..56].copy_from_slice(&self.extra_checksum.to_le_bytes());
        bytes[56..64].copy_from_slice(&self.body_checksum.to_le_bytes());
        let checksum = header_checksum(&bytes, salt, offset);
        bytes[64..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// The header that starts `bytes`, if one made for this segment and offset does.
    pub(super) fn decode(bytes: &[u8], salt: u64, offset: u64) -> Option<Self> {
        if bytes.len() < RECORD_HEADER_BYTES || bytes[..4] != RECORD_MAGIC {
            return None;
        }
        let kind = match bytes[4] {
            KIND_OBJECT => Kind::Object,
            KIND_TOMBSTONES => Kind::Tombstones,
            _ => return None,
        };
        let mut key = [0; KEY_BYTES];
        key.copy_from_slice(&bytes[16..48]);
        let header = Self {
            kind,
            key: Key(key),
            gap_bytes: u16::from_le_bytes([bytes[6], bytes[7]]),
            extra_bytes: u32_at(bytes, 8),
            body_bytes: u32_at(bytes, 12),
            extra_checksum: u64_at(bytes, 48),
            body_checksum: u64_at(bytes, 56),
        };
        let sane = header.extra_bytes as usize <= EXTRA_BYTES_MAX && header.body_bytes <= BODY_BYTES_MAX;
        (sane && u64_at(bytes, 64) == header_checksum(bytes, salt, offset)).then_some(header)
    }
}

fn header_checksum(header: &[u8], salt: u64, offset: u64) -> u64 {
    let mut seeded = [0; 80];
    seeded[..8].copy_from_slice(&salt.to_le_bytes());
    seeded[8..16].copy_from_slice(&offset.to_le_bytes());
    seeded[16..].copy_from_slice(&header[..64]);
    crc64(&seeded)
}

/// Where a record lies: segment, and offset in units of [`RECORD_ALIGNMENT`] (so a segment has at most 32 GiB).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    pub(super) segment: u32,
    pub(super) unit: u32,
}

impl Place {
    pub(super) fn new(segment: u32, offset: u64) -> Self {
        Self { segment, unit: (offset / RECORD_ALIGNMENT) as u32 }
    }

    pub(super) fn offset(self) -> u64 {
        u64::from(self.unit) * RECORD_ALIGNMENT
    }

    pub(super) fn encode_all(places: &[Self]) -> Vec<u8> {
        places.iter().flat_map(|place| [place.segment.to_le_bytes(), place.unit.to_le_bytes()]).flatten().collect()
    }

    pub(super) fn decode_all(bytes: &[u8]) -> Vec<Self> {
        bytes.chunks_exact(8).map(|bytes| Self { segment: u32_at(bytes, 0), unit: u32_at(bytes, 4) }).collect()
    }
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_only_where_they_were_written() {
        let header = RecordHeader::object(Key([7; 32]), b"extra", b"body");
        let bytes = header.encode(5, 64);
        assert_eq!(RecordHeader::decode(&bytes, 5, 64), Some(header));
        assert_eq!(RecordHeader::decode(&bytes, 6, 64), None);
        assert_eq!(RecordHeader::decode(&bytes, 5, 72), None);
        for bit in 0..RECORD_HEADER_BYTES * 8 {
            let mut damaged = bytes;
            damaged[bit / 8] ^= 1 << (bit % 8);
            // Byte 5 is not interpreted, but it is covered too.
            assert_eq!(RecordHeader::decode(&damaged, 5, 64), None, "bit {bit}");
        }
    }

    #[test]
    fn large_bodies_start_at_a_block() {
        let body = vec![7; ALIGNED_BODY_BYTES_MIN as usize];
        for offset in (64..20_000).step_by(RECORD_ALIGNMENT as usize) {
            let header = RecordHeader::object(Key([7; 32]), b"extra", &body).placed_at(offset);
            assert!((offset + header.body_at() as u64).is_multiple_of(BLOCK_BYTES));
            assert!(aligned(header.record_bytes()) <= header.room_bytes());
            assert_eq!(RecordHeader::decode(&header.encode(5, offset), 5, offset), Some(header));
            assert!(header.same_object(&header.placed_at(offset + 8)));
        }
        let small = RecordHeader::object(Key([7; 32]), b"extra", &body[1..]);
        assert_eq!(small.placed_at(64), small);
    }

    #[test]
    fn bytes_on_disk_stay_what_they_are() {
        let segment = SegmentHeader { number: 3, salt: 0x0102_0304 };
        assert_eq!(u64_at(&segment.encode(), 56), 6_782_704_169_858_455_102);
        assert_eq!(SegmentHeader::decode(&segment.encode()), Ok(segment));
        let record = RecordHeader::object(Key([7; 32]), b"extra", b"body").encode(5, 64);
        assert_eq!(u64_at(&record, 64), 1_372_198_571_140_090_747);
        let place = Place::new(9, 4096);
        assert_eq!(Place::encode_all(&[place]), [9, 0, 0, 0, 0, 2, 0, 0]);
        assert_eq!(Place::decode_all(&Place::encode_all(&[place, place])), [place, place]);
    }

    #[test]
    fn a_segment_of_another_format_is_told_from_a_damaged_one() {
        let mut bytes = SegmentHeader { number: 3, salt: 4 }.encode();
        bytes[12] ^= 1;
        assert_eq!(SegmentHeader::decode(&bytes), Err(BadHeader::Damaged));
        bytes[8] = 9;
        let checksum = crc64(&bytes[..56]);
        bytes[56..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), Err(BadHeader::Format(9)));
    }
}
