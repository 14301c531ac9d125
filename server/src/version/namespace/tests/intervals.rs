//! The history tables by themselves: few names, many versions, so that listings of the past have to jump.

use super::*;
use crate::version::namespace::intervals::{History, Interval};
use proptest::prelude::*;
use std::collections::BTreeMap;

const VALUES: History<u32> = History::new(0x10, 0x11);
const NAMES: [&[u8]; 4] = [b"a", b"a!", b"ab", b"b"];
const OWNER: InodeNumber = InodeNumber(0xff);

type Shown = BTreeMap<Vec<u8>, u32>;

/// Sets (`Some`) and removes (`None`) values, one per version. Returns the table and what each version showed.
fn build(steps: &[(usize, Option<u32>)]) -> (MemoryKv, Vec<Shown>) {
    let (mut kv, mut shown) = (MemoryKv::default(), vec![Shown::new()]);
    // Neighbours, which no listing may show.
    for owner in [InodeNumber(OWNER.0 - 1), InodeNumber(OWNER.0 + 1)] {
        for n in 0..3 {
            VALUES.set(&mut kv, VOLUME, &keys::of_name(owner, b"a"), VolumeVersion(n), &0).unwrap();
        }
    }
    for (index, (name, value)) in steps.iter().enumerate() {
        let (n, name) = (VolumeVersion(index as u64 + 1), NAMES[*name]);
        let key = keys::of_name(OWNER, name);
        let mut now = shown.last().unwrap().clone();
        now.remove(name);
        match value {
            Some(value) => VALUES.set(&mut kv, VOLUME, &key, n, value).unwrap(),
            None => VALUES.remove(&mut kv, VOLUME, &key, n).unwrap(),
        }
        now.extend(value.map(|value| (name.to_vec(), value)));
        shown.push(now);
    }
    (kv, shown)
}

fn list(kv: &MemoryKv, at: At, limit: usize) -> Shown {
    let mut all = Shown::new();
    loop {
        let after = all.last_key_value().map(|(name, _)| name.clone());
        let part = VALUES.list(kv, VOLUME, &keys::of_inode(OWNER), after.as_deref(), at, limit).unwrap();
        let is_last = part.len() < limit;
        all.extend(part.into_iter().map(|(name, value)| (name, value.value)));
        if is_last {
            return all;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_version_lists_what_it_showed(
        steps in prop::collection::vec((0..NAMES.len(), prop::option::weighted(0.7, any::<u32>())), 1..120),
        limit in 1..6_usize,
    ) {
        let (kv, shown) = build(&steps);
        for (n, expected) in shown.iter().enumerate() {
            let at = At::Version(VolumeVersion(n as u64));
            prop_assert_eq!(&list(&kv, at, limit), expected);
            for name in NAMES {
                let found = VALUES.at(&kv, VOLUME, &keys::of_name(OWNER, name), at).unwrap();
                prop_assert_eq!(found.map(|found| found.value), expected.get(name).copied());
            }
        }
        prop_assert_eq!(&list(&kv, At::Head, limit), shown.last().unwrap());
    }
}

#[test]
fn intervals_are_given_oldest_first_and_from_where_they_matter() {
    let (kv, _) = build(&[(0, Some(1)), (0, Some(2)), (0, None), (1, Some(9)), (0, Some(3))]);
    let after = |n| {
        let (mut found, key) = (Vec::new(), keys::of_name(OWNER, NAMES[0]));
        VALUES
            .intervals(&kv, VOLUME, &key, VolumeVersion(n), &mut |interval: Interval<u32>| {
                found.push((interval.from.0, interval.to.map(|to| to.0), interval.value));
                Ok(true)
            })
            .unwrap();
        found
    };
    assert_eq!(after(0), [(1, Some(2), 1), (2, Some(3), 2), (5, None, 3)]);
    assert_eq!(after(1), [(1, Some(2), 1), (2, Some(3), 2), (5, None, 3)]);
    assert_eq!(after(2), [(2, Some(3), 2), (5, None, 3)]);
    assert_eq!(after(3), [(5, None, 3)]);
    assert_eq!(after(99), [(5, None, 3)]);
}

#[test]
fn a_second_change_in_one_version_leaves_no_past() {
    let (mut kv, key) = (MemoryKv::default(), keys::of_name(OWNER, b"a"));
    for value in [1, 2] {
        VALUES.set(&mut kv, VOLUME, &key, VolumeVersion(5), &value).unwrap();
    }
    VALUES.remove(&mut kv, VOLUME, &key, VolumeVersion(5)).unwrap();
    let mut rows = 0;
    kv.scan(&[], &[0xff], Order::Ascending, &mut |_, _| {
        rows += 1;
        true
    })
    .unwrap();
    assert_eq!(rows, 0);
}
