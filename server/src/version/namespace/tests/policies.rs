//! Random histories with policies of directories, thinning and clean-up: every version that is kept in a directory shows the
//! directory's whole tree, nothing else is found, and what no policy keeps is gone in the end.

use super::random::{Pair, Step, assert_same, step};
use super::*;
use crate::version::namespace::keys::{DIRECTORY_CHANGES, ENTRIES_PAST, INODES_PAST, PARENTS_PAST, XATTRS_PAST};
use crate::version::namespace::records::{from_dated_row, row_from};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use weft_common::id::ROOT_INODE as ROOT;
use weft_common::retention::Retention;

const HISTORIES: u32 = 200;
const OPERATIONS: usize = 70;

#[derive(Clone, Debug)]
enum Move {
    Step(Step),
    Set { directory: u8, has_one: bool },
    Thin { policy: u8, first: u8, length: u8, read: u8 },
    Purge,
}

fn moves() -> impl Strategy<Value = Move> {
    prop_oneof![
        12 => step().prop_map(Move::Step),
        2 => (any::<u8>(), prop::bool::weighted(0.8)).prop_map(|(directory, has_one)| Move::Set { directory, has_one }),
        3 => (any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>()).prop_map(
            |(policy, first, length, read)| Move::Thin { policy, first, length, read }),
        1 => Just(Move::Purge),
    ]
}

fn everybody_knows() -> Readers {
    Readers { through: u64::MAX, ..Readers::default() }
}

impl Pair {
    fn make(&mut self, what: &Move) {
        match what {
            Move::Step(step) => self.step(step),
            Move::Set { directory, has_one } => self.set_policy(*directory, *has_one),
            Move::Thin { policy, first, length, read } => self.thin(*policy, *first, *length, *read),
            Move::Purge => self.purge(&everybody_knows()),
        }
        self.keeping.forget_removed(&self.model);
    }

    fn set_policy(&mut self, pick: u8, has_one: bool) {
        let mut directory = self.directory(pick);
        if !has_one && let Some(other) = self.keeping.0.keys().nth(usize::from(pick) % 8).filter(|other| **other != ROOT) {
            directory = *other;
        }
        let latest = self.model.versions.last().unwrap();
        let policy = has_one.then(Retention::default);
        let done = set_policy(&mut self.volume.kv, VOLUME, directory, policy);
        let is_possible = latest.is_directory(directory) && (has_one || directory != ROOT);
        assert_eq!(done.is_ok(), is_possible, "{directory}: {done:?}");
        if is_possible {
            let had_one = self.keeping.0.contains_key(&directory);
            self.keeping.set(directory, has_one);
            self.count(match (had_one, has_one) {
                (false, true) => "first policy",
                (true, false) => "policy taken back",
                _ => "same policy",
            });
        }
    }

    /// Lets go of some versions while somebody reads one of them.
    fn thin(&mut self, policy: u8, first: u8, length: u8, read: u8) {
        // The volume keeps less than its directories: that is what they are for.
        let others: Vec<_> = self.keeping.0.keys().filter(|directory| **directory != ROOT).copied().collect();
        let policy = usize::from(policy) % (others.len() + 2);
        let directory = others.get(policy).copied().unwrap_or(ROOT);
        let first = self.version(first);
        let length = u64::from(length) % if directory == ROOT { 32 } else { 6 };
        let range = VersionRange { first, last: VolumeVersion(first.0 + length) };
        let read = VolumeVersion((first.0 + u64::from(read) % (length + 1)).min(self.model.latest().0));
        let state = self.model.versions[read.0 as usize].clone();
        let could_read: Vec<_> = state.0.keys().copied().filter(|inode| self.keeping.keeps(&self.model, *inode, read)).collect();
        let before = self.keeping.0.get(&directory).map_or(0, BTreeSet::len);
        self.keeping.thin(&self.model, directory, range);
        let count = self.volume.run(|txn| thin(txn, directory, &[range])).unwrap();
        assert_eq!(count as usize, self.keeping.0[&directory].len() - before);
        self.count(if directory == ROOT { "the volume thins" } else { "a directory thins" });

        self.purge(&Readers { versions: vec![read], ..everybody_knows() });
        for inode in could_read {
            let found = self.volume.attributes(At::Version(read), &Query::Attributes(inode)).unwrap();
            assert_same(&found, &state.attributes(inode));
        }
    }

    fn purge(&mut self, readers: &Readers) {
        while wants_purge(&self.volume.kv, VOLUME, readers).unwrap() {
            purge(&mut self.volume.kv, VOLUME, readers).unwrap();
        }
    }

    /// Everything that is kept reads as the model, and nothing else is found, if it is purged.
    fn check_kept(&mut self, is_purged: bool) {
        let versions: Vec<_> = self.model.versions.iter().cloned().enumerate().collect();
        for (n, state) in versions {
            let n = VolumeVersion(n as u64);
            if self.keeping.keeps_all(n) {
                self.check_state(At::Version(n), &state);
            } else {
                self.check_parts(n, &state, is_purged);
            }
        }
        self.check_listings();
        self.check_histories_of_kept();
    }

    fn check_parts(&mut self, n: VolumeVersion, state: &super::model::State, is_purged: bool) {
        let at = At::Version(n);
        for (inode, node) in &state.0 {
            let found = self.volume.attributes(at, &Query::Attributes(*inode));
            if self.keeping.keeps(&self.model, *inode, n) {
                assert_same(&found.unwrap(), &state.attributes(*inode));
                self.check_contents(at, *inode, state);
                self.check_xattrs(at, *inode, &node.xattrs);
                self.count("an inode that a directory keeps");
            } else if is_purged {
                // A file with several names may still be there.
                let may_be_there = state.places(*inode).len() > 1 && !state.is_directory(*inode);
                assert!(may_be_there || matches!(found, Err(ErrorKind::Stale)), "{inode} at {n}: {found:?}");
                self.count("an inode that nothing keeps");
            }
        }
    }

    fn check_listings(&self) {
        let (latest, model) = (self.model.latest(), &self.model);
        for directory in model.head.0.keys().copied().filter(|inode| model.head.is_directory(*inode)) {
            let keeps = |n: &u64| self.keeping.keeps(model, directory, VolumeVersion(*n));
            for n in 0..=latest.0 {
                let version = VolumeVersion(n);
                let found = self.volume.version(&Query::Version { directory, version });
                assert_eq!(found.ok(), Some(version).filter(|_| keeps(&n)), "{directory} at {n}");
                let time = n.checked_sub(1).map_or(Timestamp::from_parts(1_000, 0), |n| model.changes[n as usize].time);
                let newest = (0..=n).rev().find(keeps).unwrap();
                assert_eq!(self.volume.version(&Query::VersionAt { directory, time }), Ok(VolumeVersion(newest)));
            }
            let shows = |n: &u64| directory == ROOT || model.changes[*n as usize - 1].directories.contains(&directory);
            let expected: Vec<_> = (1..=latest.0).filter(shows).filter(keeps).collect();
            let found: Vec<_> = self.volume.versions_of(directory, 3).iter().map(|change| change.version.0).collect();
            assert_eq!(found, expected, "{directory}");
        }
    }

    /// Every state that a kept version shows is in its name's history.
    fn check_histories_of_kept(&self) {
        for (directory, name) in &self.model.names_seen {
            let found = self.volume.history_of(*directory, name, 100);
            for (n, state) in self.model.versions.iter().enumerate() {
                let n = VolumeVersion(n as u64);
                let Some(inode) = state.0.get(directory).and_then(|node| node.entries.get(name)) else { continue };
                if self.keeping.keeps(&self.model, *directory, n) {
                    let shown = found.iter().rfind(|state| state.from <= n);
                    assert_eq!(shown.map(|state| state.attributes.inode), Some(*inode), "{name} in {directory} at {n}");
                    if !state.is_directory(*inode) {
                        assert_eq!(shown.map(|state| state.attributes.size), Some(state.attributes(*inode).size));
                    }
                }
            }
        }
    }

    /// Of every row of the past some version is kept.
    fn check_rows(&self) {
        for table in [ENTRIES_PAST, INODES_PAST, XATTRS_PAST, DIRECTORY_CHANGES, PARENTS_PAST] {
            let all = Key::new(table, VOLUME);
            let mut rows = Vec::new();
            let mut collect = |key: &[u8], row: &[u8]| {
                rows.push((key.to_vec(), row.to_vec()));
                true
            };
            self.volume.kv.scan(&all, &all.end(), Order::Ascending, &mut collect).unwrap();
            for (key, row) in rows {
                let (inode, to) = (keys::first_number(&key).map(InodeNumber).unwrap(), keys::last_number(&key).unwrap());
                let versions = if table == DIRECTORY_CHANGES { to..=to } else { row_from(&row).unwrap().0..=to - 1 };
                let is_kept = versions.clone().any(|n| self.keeping.keeps(&self.model, inode, VolumeVersion(n)));
                let has_several_names = match table {
                    INODES_PAST => from_dated_row::<InodeRecord>(&row).unwrap().value.links > 1,
                    XATTRS_PAST => true,
                    _ => false,
                };
                let is_held = has_several_names && self.keeping.any_keeps(versions.clone());
                // Attributes that an inode without a name loses become past late, and go with the next pass.
                let is_late = table == XATTRS_PAST && !self.model.versions[to as usize].0.contains_key(&inode);
                assert!(
                    is_kept || is_held || is_late,
                    "table {table:x} has a row of {inode} for {versions:?}, which nothing keeps"
                );
            }
        }
    }
}

#[test]
fn random_histories_with_policies_read_as_the_model() {
    let config = ProptestConfig { cases: HISTORIES, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new(config);
    let done = RefCell::new(BTreeMap::<&'static str, u32>::new());
    runner
        .run(&prop::collection::vec(moves(), OPERATIONS), |moves| {
            let mut pair = Pair::new();
            for (index, what) in moves.iter().enumerate() {
                pair.make(what);
                if index % 20 == 19 {
                    pair.purge(&everybody_knows());
                }
                if index % 10 == 9 {
                    pair.check_kept(index % 20 == 19);
                }
            }
            pair.purge(&everybody_knows());
            pair.check_kept(true);
            pair.check_rows();
            for (what, count) in pair.done {
                *done.borrow_mut().entry(what).or_default() += count;
            }
            Ok(())
        })
        .unwrap();
    // Nothing passed because it never happened.
    let done = done.into_inner();
    for what in [
        "first policy",
        "policy taken back",
        "the volume thins",
        "a directory thins",
        "an inode that a directory keeps",
        "an inode that nothing keeps",
        "rename",
        "link",
        "clone a tree",
    ] {
        assert!(done.get(what).is_some_and(|count| *count >= HISTORIES / 20), "{what}: {done:?}");
    }
}
