//! The cores of common and server, taken through every interleaving of a small cluster; and the proof that this finds bugs.

use weft_mount_tests::explore::Fault;
use weft_mount_tests::explore::search::explore;
use weft_mount_tests::explore::setups::{Size, explore_all, setup_for, setups};
use weft_mount_tests::explore::walk::walk;
use weft_mount_tests::explore::world::Seen;

/// What must have happened.
const SOMETIMES: [&str; 41] = [
    "a collector that was stopped goes on",
    "answer lost",
    "answer to a renewal lost",
    "append behind something in flight",
    "base collected under a writer",
    "clone removed",
    "cloned from a thinned version",
    "cloned under writers",
    "collected",
    "collected beside a clone",
    "collected reported twice",
    "collected the manager's way",
    "collection interrupted before its nodes",
    "commit waits for another",
    "compaction granted behind something in flight",
    "compaction refused",
    "dropped with others in flight",
    "entered a version that was thinned meanwhile",
    "helper before a late writer",
    "helper with others in flight",
    "late commit of a collected version",
    "late request for a ticket",
    "looked up in a thinned version",
    "manager restarted",
    "offered",
    "offered beside a clone",
    "offered beside an open content",
    "offered with others in flight",
    "opened a content that no kept version shows",
    "origin of a clone removed",
    "orphans freed",
    "published without a number",
    "renewal late or twice",
    "restored under writers",
    "session of a reader lapsed",
    "several published at once",
    "thinned under a reader",
    "ticket of a lapsed session refused",
    "ticket repeated",
    "two in flight before a ticket",
    "late commit",
];

#[test]
fn every_interleaving_of_the_small_setups_keeps_every_invariant() {
    let explored = explore_all(&setups(Size::Small), 2, u64::MAX, &|_, _, _| {}).unwrap_or_else(|failure| panic!("{failure}"));
    assert!(explored.states > 100_000, "only {} states", explored.states);
    for what in SOMETIMES {
        assert!(explored.seen.get(what).is_some_and(|count| *count > 0), "`{what}` never happened");
    }
}

#[test]
fn every_planted_bug_is_found() {
    for fault in Fault::ALL {
        match explore(&setup_for(fault), u64::MAX) {
            Ok(_) => panic!("{fault:?} was not found"),
            Err(failure) => assert!(fault.shows_as(&failure.violation), "{fault:?} shows as something else:\n{failure}"),
        }
    }
}

#[test]
fn what_the_planted_bugs_are_found_in_is_right_without_them() {
    for fault in Fault::ALL {
        let mut setup = setup_for(fault);
        setup.fault = Fault::None;
        explore(&setup, u64::MAX).unwrap_or_else(|failure| panic!("{failure}"));
    }
}

#[test]
fn random_walks_through_large_setups() {
    for seed in 0..200 {
        walk(seed, &mut Seen::new()).unwrap_or_else(|failure| panic!("seed {seed}\n{failure}"));
    }
}
