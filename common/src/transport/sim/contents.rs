//! Bodies that prove whose they are: every byte follows from the call, the direction and its place.

use crate::id::RequestId;
use bytes::Bytes;

/// Which way a body goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Request,
    Answer,
}

fn word(id: RequestId, way: Way, place: u64) -> [u8; 8] {
    let mut mixed = (id.0 << 33) ^ ((way as u64) << 32) ^ place;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)).to_le_bytes()
}

/// The body of `length` bytes of this call.
pub(super) fn body(id: RequestId, way: Way, length: usize) -> Bytes {
    let words = length.div_ceil(8) as u64;
    let mut bytes: Vec<u8> = (0..words).flat_map(|place| word(id, way, place)).collect();
    bytes.truncate(length);
    bytes.into()
}

/// What is wrong with `bytes` as the body of this call; nothing if it is just that.
pub(super) fn flaw(bytes: &[u8], id: RequestId, way: Way, length: usize) -> Option<String> {
    if bytes.len() != length {
        return Some(format!("{} bytes instead of {length}", bytes.len()));
    }
    let expected = body(id, way, length);
    let place = bytes.iter().zip(&expected).position(|(got, expected)| got != expected)?;
    Some(format!("a wrong byte at {place} of {length}"))
}
