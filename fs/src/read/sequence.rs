//! Read-ahead: when a handle reads one range after the other, what follows is asked for before the program wants it.
//!
//! The window doubles with each sequential read, from twice what was read up to a bound, and starts anew after a jump. The
//! kernel's own read-ahead hides the FUSE round trip; this one hides the network's.

use weft_common::weave::ByteRange;

/// How a handle has been read so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sequence {
    next: u64,
    window: u64,
    asked: u64,
}

impl Sequence {
    /// Takes in a read of `range` from a file of `size` bytes. Answers what to fetch ahead, at most `window_max` bytes.
    pub(crate) fn read(&mut self, range: ByteRange, size: u64, window_max: u64) -> Option<ByteRange> {
        let length = range.end - range.start;
        // The kernel sends reads of one sequence in parallel, so that they arrive slightly out of order.
        let slack = length.max(self.window / 2);
        let is_sequential = range.start <= self.next + slack && range.start + slack >= self.next && self.next > 0;
        if !is_sequential {
            *self = Self { next: range.end, window: 0, asked: range.end };
            if range.start > 0 {
                return None;
            }
        }
        self.next = self.next.max(range.end);
        self.window = (self.window * 2).max(length * 2).min(window_max);
        let ahead = ByteRange::new(self.asked.max(range.end), (self.next + self.window).min(size));
        // Small steps would cost a call for every read.
        if ahead.is_empty() || (ahead.end < size && ahead.end - ahead.start < self.window / 4) {
            return None;
        }
        self.asked = ahead.end;
        Some(ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: u64 = 128 << 10;
    const MAX: u64 = 8 << 20;

    #[test]
    fn a_sequence_is_asked_for_once_and_in_full() {
        let size = 40 * STEP + 7;
        let mut sequence = Sequence::default();
        let mut asked = STEP;
        for at in 0..41 {
            let range = ByteRange::new(at * STEP, ((at + 1) * STEP).min(size));
            if let Some(ahead) = sequence.read(range, size, MAX) {
                assert_eq!(ahead.start, asked.max(range.end), "no gap, nothing twice");
                assert!(ahead.end <= size && ahead.end - range.end <= MAX);
                asked = ahead.end;
            }
        }
        assert_eq!(asked, size);
    }

    #[test]
    fn random_reads_ask_for_nothing() {
        let mut sequence = Sequence::default();
        for at in [900, 17, 500, 3, 777] {
            assert_eq!(sequence.read(ByteRange::new(at * STEP, at * STEP + 4096), 1000 * STEP, MAX), None);
        }
    }
}
