//! Bytes of a segment file. All numbers are little-endian.
//!
//! ```text
//! segment = header frame*
//! header  = "WEFTLOG1" first-index:u64 salt:u64 crc:u64                      crc over the 24 bytes before it
//! frame   = "WFRM" payload-bytes:u32 first-index:u64 count:u32 0:u32 salt:u64 payload crc:u64
//!                                                                            crc over everything before it
//! payload = (length:u32 command)*                                            count times
//! ```
//!
//! A frame is what was written and synced at once. The salt is random for each segment: bytes of another segment, or a frame
//! that somebody put into a file's name or attribute, are no frame here. CRC is CRC-64/NVME.

use weft_common::checksum::crc64;

const SEGMENT_MAGIC: &[u8; 8] = b"WEFTLOG1";
const FRAME_MAGIC: &[u8; 4] = b"WFRM";

/// Bytes of a segment's header.
pub(super) const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 32;
const CRC_BYTES: usize = 8;

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    /// Index of its first command.
    pub(super) first: u64,
    /// Its salt.
    pub(super) salt: u64,
}

impl SegmentHeader {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut bytes = [&SEGMENT_MAGIC[..], &self.first.to_le_bytes(), &self.salt.to_le_bytes()].concat();
        let crc = crc64(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// `None` if `bytes` do not start with a whole header.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (body, rest) = bytes.split_at_checked(HEADER_BYTES - CRC_BYTES)?;
        let whole = body.starts_with(SEGMENT_MAGIC) && number(rest, 0)? == crc64(body);
        whole.then_some(Self { first: number(body, 8)?, salt: number(body, 16)? })
    }
}

/// The bytes of a frame.
pub(super) fn encode_frame(salt: u64, first: u64, commands: &[Vec<u8>]) -> Vec<u8> {
    let payload: usize = commands.iter().map(|command| command.len() + 4).sum();
    let mut bytes = Vec::with_capacity(FRAME_HEADER_BYTES + payload + CRC_BYTES);
    bytes.extend_from_slice(FRAME_MAGIC);
    bytes.extend_from_slice(&(payload as u32).to_le_bytes());
    bytes.extend_from_slice(&first.to_le_bytes());
    bytes.extend_from_slice(&(commands.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(&salt.to_le_bytes());
    for command in commands {
        bytes.extend_from_slice(&(command.len() as u32).to_le_bytes());
        bytes.extend_from_slice(command);
    }
    let crc = crc64(&bytes);
    bytes.extend_from_slice(&crc.to_le_bytes());
    bytes
}

/// A frame that was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// Index of its first command.
    pub(super) first: u64,
    /// Its commands.
    pub(super) commands: Vec<&'a [u8]>,
    /// Its length in bytes.
    pub(super) bytes: usize,
}

/// The frame at the start of `bytes`, or what is wrong with it.
pub(super) fn parse_frame(bytes: &[u8], salt: u64) -> Result<Frame<'_>, &'static str> {
    let header = bytes.get(..FRAME_HEADER_BYTES).ok_or("a frame's header is cut short")?;
    if !header.starts_with(FRAME_MAGIC) || number(header, 24) != Some(salt) {
        return Err("no frame starts here");
    }
    let payload = small(header, 4).ok_or("a frame's header is cut short")? as usize;
    let end = FRAME_HEADER_BYTES + payload;
    let crc = bytes.get(end..end + CRC_BYTES).ok_or("a frame is cut short")?;
    if number(crc, 0) != Some(crc64(&bytes[..end])) {
        return Err("a frame's checksum does not match");
    }
    let (Some(first), Some(count)) = (number(header, 8), small(header, 16)) else { return Err("a frame's header is cut short") };
    let commands = split(&bytes[FRAME_HEADER_BYTES..end], count as usize).ok_or("a frame's commands do not fill it")?;
    Ok(Frame { first, commands, bytes: end + CRC_BYTES })
}

/// Whether a whole frame starts anywhere in `bytes`.
pub(super) fn holds_a_frame(bytes: &[u8], salt: u64) -> bool {
    let starts = bytes.windows(FRAME_MAGIC.len()).enumerate().filter(|(_, window)| window == FRAME_MAGIC);
    starts.map(|(at, _)| at).any(|at| parse_frame(&bytes[at..], salt).is_ok())
}

fn split(mut payload: &[u8], count: usize) -> Option<Vec<&[u8]>> {
    let mut commands = Vec::with_capacity(count.min(payload.len()));
    for _ in 0..count {
        let length = small(payload, 0)? as usize;
        commands.push(payload.get(4..4 + length)?);
        payload = &payload[4 + length..];
    }
    payload.is_empty().then_some(commands)
}

fn number(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|chunk| u64::from_le_bytes(*chunk))
}

fn small(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_are_as_documented() {
        let header = SegmentHeader { first: 1, salt: 2 };
        let bytes = header.encode();
        assert_eq!(&bytes[..24], b"WEFTLOG1\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0");
        assert_eq!(SegmentHeader::parse(&bytes), Some(header));
        let frame = encode_frame(2, 3, &[b"ab".to_vec(), Vec::new()]);
        let expected = b"WFRM\x0a\0\0\0\x03\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x02\0\0\0ab\0\0\0\0";
        assert_eq!(&frame[..frame.len() - 8], expected);
        let parsed = parse_frame(&frame, 2).unwrap();
        assert_eq!((parsed.first, parsed.commands, parsed.bytes), (3, vec![&b"ab"[..], b""], frame.len()));
    }

    #[test]
    fn no_flipped_bit_and_no_cut_goes_unnoticed() {
        let frame = encode_frame(7, 1, &[b"command".to_vec()]);
        for bit in 0..frame.len() * 8 {
            let mut damaged = frame.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(parse_frame(&damaged, 7).is_err(), "bit {bit}");
        }
        for length in 0..frame.len() {
            assert!(parse_frame(&frame[..length], 7).is_err(), "length {length}");
        }
        assert!(parse_frame(&frame, 8).is_err());
    }

    #[test]
    fn a_frame_inside_of_a_command_is_found_only_with_the_right_salt() {
        let inner = encode_frame(1, 5, &[b"x".to_vec()]);
        let frame = encode_frame(2, 5, &[inner]);
        let torn = &frame[..frame.len() - 1];
        assert!(!holds_a_frame(&torn[1..], 2));
        assert!(holds_a_frame(&torn[1..], 1));
    }
}
