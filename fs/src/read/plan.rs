//! What a reader sees while updates are pending: the published bytes below, each layer of changes above. Pure.

use weft_common::weave::ByteRange;

use crate::write::pending::{Pending, Source};

/// A part of what is to be read. The range is the file's.
#[derive(Clone, Debug)]
pub(crate) enum Segment {
    /// From the published tree.
    Base(ByteRange),
    /// Zeros.
    Zero(ByteRange),
    /// From a pending update.
    Dirty(ByteRange, Source),
}

/// The size that a reader sees: a file of `base` bytes under `layers`, oldest first.
pub(crate) fn size(base: u64, layers: &[&Pending]) -> u64 {
    layers.iter().fold(base, |size, layer| layer.size_over(size))
}

/// The segments that make up `range`, in order and without gaps, up to the end of the file.
pub(crate) fn plan(base: u64, layers: &[&Pending], range: ByteRange) -> Vec<Segment> {
    let mut segments = Vec::new();
    let range = ByteRange::new(range.start, range.end.min(size(base, layers)));
    resolve(base, layers, range, &mut segments);
    segments
}

fn resolve(base: u64, layers: &[&Pending], range: ByteRange, out: &mut Vec<Segment>) {
    if range.is_empty() {
        return;
    }
    let Some((top, below)) = layers.split_last() else {
        return split(range, base, Segment::Base, out);
    };
    let size_below = size(base, below);
    let origin = top.origin_over(size_below);
    let mut at = range.start;
    let wanted = ByteRange::new(range.start.saturating_sub(origin), range.end.saturating_sub(origin));
    for (part, source) in top.data().within(wanted) {
        let part = ByteRange::new(part.start + origin, part.end + origin);
        uncovered(base, below, top, ByteRange::new(at, part.start), out);
        at = part.end;
        out.push(Segment::Dirty(part, source));
    }
    uncovered(base, below, top, ByteRange::new(at, range.end), out);
}

/// A range in which `top` has no data: its holes and what it cut off are zeros, the rest shines through.
fn uncovered(base: u64, below: &[&Pending], top: &Pending, range: ByteRange, out: &mut Vec<Segment>) {
    let visible = ByteRange::new(range.start, range.end.min(top.cut()).min(size(base, below)));
    let mut at = range.start;
    for hole in top.holes() {
        let hole = hole.intersection(&visible);
        if !hole.is_empty() {
            resolve(base, below, ByteRange::new(at, hole.start), out);
            push_zero(hole, out);
            at = hole.end;
        }
    }
    if at < visible.end {
        resolve(base, below, ByteRange::new(at, visible.end), out);
        at = visible.end;
    }
    push_zero(ByteRange::new(at, range.end), out);
}

/// `range` up to `limit` as `make` says, zeros behind it.
fn split(range: ByteRange, limit: u64, make: impl Fn(ByteRange) -> Segment, out: &mut Vec<Segment>) {
    let inside = ByteRange::new(range.start, range.end.min(limit));
    if !inside.is_empty() {
        out.push(make(inside));
    }
    push_zero(ByteRange::new(range.start.max(limit), range.end), out);
}

fn push_zero(range: ByteRange, out: &mut Vec<Segment>) {
    if !range.is_empty() {
        out.push(Segment::Zero(range));
    }
}

impl Segment {
    /// The file's range that it stands for.
    pub(crate) fn range(&self) -> ByteRange {
        match self {
            Self::Base(range) | Self::Zero(range) | Self::Dirty(range, _) => *range,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use proptest::prelude::*;

    const SPAN: u64 = 48;

    #[derive(Clone, Debug)]
    enum Step {
        Write(u64, u64),
        Append(u64),
        Truncate(u64),
        Punch(u64, u64),
        Grow(u64),
        /// What is pending goes on its way; later changes are a layer above it.
        Publish,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..SPAN, 1..12u64).prop_map(|(offset, length)| Step::Write(offset, length)),
            (1..12u64).prop_map(Step::Append),
            (0..SPAN).prop_map(Step::Truncate),
            (0..SPAN, 1..20u64).prop_map(|(offset, length)| Step::Punch(offset, length)),
            (0..SPAN).prop_map(Step::Grow),
            Just(Step::Publish),
        ]
    }

    fn text(mark: u8, length: u64) -> Vec<u8> {
        (0..length).map(|at| mark.wrapping_mul(31).wrapping_add(at as u8) | 1).collect()
    }

    fn write_at(model: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
        model.resize(model.len().max(offset + bytes.len()), 0);
        model[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    fn bytes_of(base: &[u8], segments: &[Segment], start: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        for segment in segments {
            let range = segment.range();
            assert_eq!(range.start, start + bytes.len() as u64, "segments follow each other");
            match segment {
                Segment::Base(range) => bytes.extend_from_slice(&base[range.start as usize..range.end as usize]),
                Segment::Zero(range) => bytes.resize(bytes.len() + (range.end - range.start) as usize, 0),
                Segment::Dirty(range, Source::Buffer(buffer)) => {
                    assert_eq!(buffer.len() as u64, range.end - range.start);
                    bytes.extend_from_slice(buffer);
                }
                Segment::Dirty(_, Source::Object(..)) => panic!("nothing was uploaded"),
            }
        }
        bytes
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]
        #[test]
        fn layers_over_a_base_equal_the_byte_array(
            base_size in 0..SPAN,
            steps in prop::collection::vec(step(), 0..24),
            probe in (0..SPAN * 2, 0..SPAN),
        ) {
            let base = text(200, base_size);
            let mut model = base.clone();
            let mut layers = vec![Pending::default()];
            for (mark, step) in steps.into_iter().enumerate() {
                let mark = mark as u8 + 1;
                let kind = matches!(step, Step::Append(_));
                if matches!(step, Step::Publish) || !layers.last().unwrap().takes(kind) {
                    layers.push(Pending::default());
                }
                let (top, below) = layers.split_last_mut().unwrap();
                let below_size = size(base_size, &below.iter().collect::<Vec<_>>());
                match step {
                    Step::Write(offset, length) => {
                        let bytes = text(mark, length);
                        write_at(&mut model, offset as usize, &bytes);
                        top.write(offset, Bytes::from(bytes));
                    }
                    Step::Append(length) => {
                        let bytes = text(mark, length);
                        let end = model.len();
                        write_at(&mut model, end, &bytes);
                        top.append(below_size, Bytes::from(bytes));
                    }
                    Step::Truncate(to) => {
                        model.resize(to as usize, 0);
                        top.truncate(below_size, to);
                    }
                    Step::Punch(offset, length) => {
                        let end = ((offset + length) as usize).min(model.len());
                        if (offset as usize) < end {
                            model[offset as usize..end].fill(0);
                        }
                        top.punch(below_size, ByteRange::new(offset, offset + length));
                    }
                    Step::Grow(to) => {
                        model.resize(model.len().max(to as usize), 0);
                        top.grow(to);
                    }
                    Step::Publish => {}
                }
                let view: Vec<&Pending> = layers.iter().collect();
                prop_assert_eq!(size(base_size, &view), model.len() as u64);
            }
            let view: Vec<&Pending> = layers.iter().collect();
            let whole = plan(base_size, &view, ByteRange::new(0, u64::MAX));
            prop_assert_eq!(bytes_of(&base, &whole, 0), model.clone());
            let range = ByteRange::new(probe.0, probe.0 + probe.1);
            let part = plan(base_size, &view, range);
            let from = (range.start as usize).min(model.len());
            let to = (range.end as usize).min(model.len());
            prop_assert_eq!(bytes_of(&base, &part, range.start), model[from..to].to_vec());
        }
    }
}
