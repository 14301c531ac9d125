//! Sets of numbers kept as sorted, disjoint, merged ranges, so that every question is one binary search.

use std::ops::Range;

/// A set of `u64`; touching ranges are merged, so a range lies in the set exactly if it lies in one of its ranges.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ranges(Vec<Range<u64>>);

impl Ranges {
    /// The union of `ranges`, in any order; empty ones are passed over.
    pub(crate) fn union(ranges: impl IntoIterator<Item = Range<u64>>) -> Self {
        let mut sorted: Vec<_> = ranges.into_iter().filter(|range| range.start < range.end).collect();
        sorted.sort_unstable_by_key(|range| range.start);
        let mut merged: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
        for range in sorted {
            match merged.last_mut() {
                Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
                _ => merged.push(range),
            }
        }
        Self(merged)
    }

    /// What of this set is not in `other`.
    pub(crate) fn without(&self, other: &Self) -> Self {
        let mut rest = Vec::with_capacity(self.0.len());
        for range in &self.0 {
            let mut start = range.start;
            for cut in other.overlapping(range) {
                if start < cut.start {
                    rest.push(start..cut.start);
                }
                start = start.max(cut.end);
            }
            if start < range.end {
                rest.push(start..range.end);
            }
        }
        Self(rest)
    }

    /// The ranges, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u64>> + '_ {
        self.0.iter().cloned()
    }

    /// The ranges that have something in common with `range`, ascending, uncut.
    pub(crate) fn overlapping(&self, range: &Range<u64>) -> &[Range<u64>] {
        let first = self.0.partition_point(|own| own.end <= range.start);
        let count = self.0[first..].partition_point(|own| own.start < range.end);
        &self.0[first..first + count]
    }

    /// Whether any number of `range` is in the set.
    pub(crate) fn meets(&self, range: &Range<u64>) -> bool {
        let first = self.0.partition_point(|own| own.end <= range.start);
        range.start < range.end && self.0.get(first).is_some_and(|own| own.start < range.end)
    }

    /// Whether all of `range` is in the set. An empty range is.
    pub(crate) fn contains(&self, range: &Range<u64>) -> bool {
        let first = self.0.partition_point(|own| own.end <= range.start);
        range.start >= range.end || self.0.get(first).is_some_and(|own| own.start <= range.start && range.end <= own.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn members(ranges: &Ranges) -> Vec<u64> {
        ranges.iter().flatten().collect()
    }

    proptest! {
        #[test]
        fn sets_of_ranges_are_sets_of_numbers(
            a in proptest::collection::vec((0u64..40, 0u64..8), 0..6),
            b in proptest::collection::vec((0u64..40, 0u64..8), 0..6),
            probe in (0u64..50, 0u64..9),
        ) {
            let numbers = |list: &[(u64, u64)]| list.iter().flat_map(|(s, n)| *s..s + n).collect::<std::collections::BTreeSet<_>>();
            let set = |list: &[(u64, u64)]| Ranges::union(list.iter().map(|(s, n)| *s..s + n));
            let (left, right) = (set(&a), set(&b));
            prop_assert_eq!(members(&left), numbers(&a).into_iter().collect::<Vec<_>>());
            prop_assert_eq!(members(&left.without(&right)), numbers(&a).difference(&numbers(&b)).copied().collect::<Vec<_>>());
            let range = probe.0..probe.0 + probe.1;
            prop_assert_eq!(left.meets(&range), range.clone().any(|n| numbers(&a).contains(&n)));
            prop_assert_eq!(left.contains(&range), range.clone().all(|n| numbers(&a).contains(&n)));
        }
    }
}
