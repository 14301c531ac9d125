//! A map from disjoint byte ranges to where their bytes are. Pure; a later insertion wins over earlier ones.

use std::collections::BTreeMap;
use weft_common::weave::ByteRange;

/// What a range maps to: something that can be cut.
pub(crate) trait Piece: Clone {
    /// The part that starts `offset` bytes in and is `length` bytes long.
    fn part(&self, offset: u64, length: u64) -> Self;
}

/// Disjoint ranges in order, each with its piece.
#[derive(Clone, Debug)]
pub(crate) struct Extents<P> {
    by_start: BTreeMap<u64, (u64, P)>,
}

impl<P> Default for Extents<P> {
    fn default() -> Self {
        Self { by_start: BTreeMap::new() }
    }
}

impl<P: Piece> Extents<P> {
    /// Whether no byte is mapped.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_start.is_empty()
    }

    /// How many pieces there are.
    pub(crate) fn count(&self) -> usize {
        self.by_start.len()
    }

    /// One past the last byte that is mapped; 0 if none is.
    pub(crate) fn end(&self) -> u64 {
        self.by_start.last_key_value().map_or(0, |(_, (end, _))| *end)
    }

    /// Maps `range` to `piece`, whatever was there.
    pub(crate) fn insert(&mut self, range: ByteRange, piece: P) {
        if !range.is_empty() {
            self.remove(range);
            self.by_start.insert(range.start, (range.end, piece));
        }
    }

    /// Forgets `range`; pieces that reach over its ends are cut.
    pub(crate) fn remove(&mut self, range: ByteRange) {
        if range.is_empty() {
            return;
        }
        let first = self.by_start.range(..range.start).next_back().filter(|(_, (end, _))| *end > range.start);
        let first = first.map_or(range.start, |(start, _)| *start);
        let touched: Vec<u64> = self.by_start.range(first..range.end).map(|(start, _)| *start).collect();
        for start in touched {
            let Some((end, piece)) = self.by_start.remove(&start) else { continue };
            if start < range.start {
                self.by_start.insert(start, (range.start, piece.part(0, range.start - start)));
            }
            if end > range.end {
                self.by_start.insert(range.end, (end, piece.part(range.end - start, end - range.end)));
            }
        }
    }

    /// All pieces in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (ByteRange, &P)> {
        self.by_start.iter().map(|(start, (end, piece))| (ByteRange::new(*start, *end), piece))
    }

    /// The parts of pieces that lie within `range`, in order.
    pub(crate) fn within(&self, range: ByteRange) -> impl Iterator<Item = (ByteRange, P)> {
        let before = self.by_start.range(..range.start).next_back().filter(|(_, (end, _))| *end > range.start);
        let first = before.map_or(range.start, |(start, _)| *start);
        let last = range.end.max(first);
        self.by_start.range(first..last).map(move |(start, (end, piece))| {
            let part = ByteRange::new(*start, *end).intersection(&range);
            (part, piece.part(part.start - start, part.end - part.start))
        })
    }

    /// Whether every byte of `range` is mapped.
    pub(crate) fn covers(&self, range: ByteRange) -> bool {
        let mut covered = range.start;
        for (part, _) in self.within(range) {
            if part.start != covered {
                return false;
            }
            covered = part.end;
        }
        covered >= range.end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Bytes of write `write`, starting at its byte `offset`: a piece that remembers who it is.
    #[derive(Clone, Copy, Debug, PartialEq)]
    struct Mark {
        write: usize,
        offset: u64,
    }

    impl Piece for Mark {
        fn part(&self, offset: u64, _: u64) -> Self {
            Self { write: self.write, offset: self.offset + offset }
        }
    }

    const SPAN: u64 = 64;

    fn bytes_of(extents: &Extents<Mark>) -> Vec<Option<Mark>> {
        let mut bytes = vec![None; SPAN as usize];
        for (range, mark) in extents.iter() {
            for at in range.start..range.end {
                assert!(bytes[at as usize].is_none(), "ranges overlap at {at}");
                bytes[at as usize] = Some(mark.part(at - range.start, 1));
            }
        }
        bytes
    }

    proptest! {
        #[test]
        fn any_history_equals_the_byte_array(
            steps in prop::collection::vec((any::<bool>(), 0..SPAN, 0..SPAN), 0..40),
            probe in (0..SPAN, 0..SPAN),
        ) {
            let mut extents = Extents::default();
            let mut model = vec![None; SPAN as usize];
            for (write, (insert, a, b)) in steps.into_iter().enumerate() {
                let range = ByteRange::new(a.min(b), a.max(b));
                if insert {
                    extents.insert(range, Mark { write, offset: 0 });
                } else {
                    extents.remove(range);
                }
                for at in range.start..range.end {
                    model[at as usize] = insert.then_some(Mark { write, offset: at - range.start });
                }
            }
            prop_assert_eq!(bytes_of(&extents), model.clone());
            let end = model.iter().rposition(Option::is_some).map_or(0, |last| last as u64 + 1);
            prop_assert_eq!(extents.end(), end);

            let range = ByteRange::new(probe.0.min(probe.1), probe.0.max(probe.1));
            let mut inside = Extents::default();
            for (part, mark) in extents.within(range) {
                prop_assert!(part.start >= range.start && part.end <= range.end);
                inside.insert(part, mark);
            }
            for (at, expected) in model.iter().enumerate() {
                let wanted = if (range.start..range.end).contains(&(at as u64)) { *expected } else { None };
                prop_assert_eq!(bytes_of(&inside)[at], wanted);
            }
            let covered = (range.start..range.end).all(|at| model[at as usize].is_some());
            prop_assert_eq!(extents.covers(range), covered);
        }
    }
}
