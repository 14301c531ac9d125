//! What the writer that dies (`crash-writer`) and the test that watches it have to agree on.

use std::ops::Range;

/// The bytes of the file that the dying writer writes: several pages of 64 KiB, cut at both ends.
pub const DEAD_RANGE: Range<u64> = 100_000..300_000;

/// What it writes there.
pub const DEAD_BYTE: u8 = b'd';
