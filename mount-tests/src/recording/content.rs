//! Bytes that say who wrote them, and whether they are all there.
//!
//! Every byte of a pattern is other than zero: so what was cut off and drawn out again is told from what was written.

use super::record::{Outcome, Value};
use crate::random::Random;

/// Largest content of a whole file in bytes; more than two pages of 64 KiB.
pub const WHOLE_MAX: u32 = 150_000;
/// The smallest, which names its writer.
pub const WHOLE_MIN: u32 = 64;
/// Slices of a shared file.
pub const SLICES: usize = 48;
/// Bytes of a slice: no divisor of a page.
pub const SLICE_BYTES: usize = 1500;
/// Longest record of a log in bytes.
pub const RECORD_MAX: u32 = 3000;

const HEADER: usize = 8;

/// `length` bytes other than zero that follow from `seed`.
fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut random = Random::new(seed);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&(random.next_u64() | 0x0101_0101_0101_0101).to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// A writer's number and a length, then the pattern: `size` bytes in all.
fn signed(number: u32, size: usize) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.extend_from_slice(&(size as u32).to_le_bytes());
    bytes.extend(pattern(u64::from(number), size - HEADER));
    bytes
}

fn number_at(bytes: &[u8], offset: usize) -> u32 {
    bytes.get(offset..).and_then(<[u8]>::first_chunk).map_or(0, |number| u32::from_le_bytes(*number))
}

fn common(left: &[u8], right: &[u8]) -> usize {
    left.iter().zip(right).take_while(|(left, right)| left == right).count()
}

/// The content of a whole file that the operation `number` writes.
#[must_use]
pub fn whole(number: u32, size: u32) -> Vec<u8> {
    signed(number, size as usize)
}

/// What a whole file holds, or the offset of the first byte that nobody wrote.
///
/// # Errors
/// That offset.
pub fn read_whole(bytes: &[u8]) -> Result<Value, u64> {
    let (by, size) = (number_at(bytes, 0), number_at(bytes, 4));
    let kept = match by {
        0 => 0,
        _ if !(WHOLE_MIN..=WHOLE_MAX).contains(&size) => return Err(0),
        _ => common(bytes, &whole(by, size)),
    };
    match bytes[kept..].iter().position(|byte| *byte != 0) {
        Some(_) => Err(kept as u64),
        None => Ok(Value { by, kept: kept as u32, size: bytes.len() as u32 }),
    }
}

/// One record of a log.
#[must_use]
pub fn record(number: u32, size: u32) -> Vec<u8> {
    signed(number, size as usize)
}

/// The records of a log.
#[must_use]
pub fn read_log(bytes: &[u8]) -> Outcome {
    let (mut numbers, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let (number, size) = (number_at(bytes, at), number_at(bytes, at + 4) as usize);
        if size < HEADER || size > RECORD_MAX as usize || !bytes[at..].starts_with(&signed(number, size)) {
            return Outcome::Torn(at as u64);
        }
        numbers.push(number);
        at += size;
    }
    Outcome::Log(numbers)
}

/// One slice of a shared file.
#[must_use]
pub fn tile(number: u32) -> Vec<u8> {
    signed(number, SLICE_BYTES)
}

/// The slices of a shared file.
#[must_use]
pub fn read_tiles(bytes: &[u8]) -> Outcome {
    let mut numbers = vec![0; SLICES];
    for (slice, content) in bytes.chunks(SLICE_BYTES).enumerate() {
        let number = number_at(content, 0);
        let is_right = if number == 0 { content.iter().all(|byte| *byte == 0) } else { content == tile(number) };
        match numbers.get_mut(slice) {
            Some(place) if is_right => *place = number,
            _ => return Outcome::Torn((slice * SLICE_BYTES) as u64),
        }
    }
    Outcome::Tiles(numbers)
}

/// What stands in a growing file from `from` to `to`.
#[must_use]
pub fn growth(path: &str, from: u64, to: u64) -> Vec<u8> {
    let seed = path.bytes().fold(0, |seed: u64, byte| seed.wrapping_mul(131).wrapping_add(u64::from(byte)));
    pattern(seed, to as usize).split_off(from as usize)
}

/// How much of a growing file there is.
#[must_use]
pub fn read_growth(path: &str, bytes: &[u8]) -> Outcome {
    let right = common(bytes, &growth(path, 0, bytes.len() as u64));
    if right == bytes.len() { Outcome::Grown(right as u64) } else { Outcome::Torn(right as u64) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_content_is_known_again_also_when_it_was_cut_or_drawn_out() {
        let mut bytes = whole(7, 500);
        assert_eq!(read_whole(&bytes), Ok(Value::whole(7, 500)));
        bytes.truncate(100);
        bytes.resize(300, 0);
        assert_eq!(read_whole(&bytes), Ok(Value::whole(7, 500).cut(100).cut(300)));
        assert_eq!(read_whole(&[]), Ok(Value::default()));
    }

    #[test]
    fn a_mix_of_two_contents_is_seen() {
        let mut bytes = whole(7, 500);
        bytes[250..].copy_from_slice(&whole(8, 500)[250..]);
        assert_eq!(read_whole(&bytes), Err(250));
        let mut hole = whole(7, 500);
        hole[100..200].fill(0);
        assert_eq!(read_whole(&hole), Err(100));
    }

    #[test]
    fn records_slices_and_growth_are_known_again_and_damage_is_seen() {
        let log = [record(3, 100), record(9, 2000)].concat();
        assert_eq!(read_log(&log), Outcome::Log(vec![3, 9]));
        assert_eq!(read_log(&log[..log.len() - 1]), Outcome::Torn(100));
        let mut tiles = vec![0; SLICE_BYTES];
        tiles.extend(tile(5));
        let mut numbers = vec![0; SLICES];
        numbers[1] = 5;
        assert_eq!(read_tiles(&tiles), Outcome::Tiles(numbers));
        tiles[SLICE_BYTES + 20] = 0;
        assert_eq!(read_tiles(&tiles), Outcome::Torn(SLICE_BYTES as u64));
        let mut grown = [growth("g", 0, 1000), growth("g", 1000, 5000)].concat();
        assert_eq!(read_growth("g", &grown), Outcome::Grown(5000));
        grown[4096..].fill(0);
        assert_eq!(read_growth("g", &grown), Outcome::Torn(4096));
    }
}
