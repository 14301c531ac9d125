//! The random histories of the normal test run.

use crate::weave::testing::faults::{Builder, Collector};
use crate::weave::testing::history::{History, Seen};

/// Histories in one run, and steps in each: short ones find the same bugs as long ones, and say more about them.
const HISTORIES: u64 = 100_000;
const STEPS: usize = 18;

/// What must have happened, each at least once in a hundred histories.
const SOMETIMES: [&str; 26] = [
    "append in flight behind unpublished",
    "built without reading",
    "clone",
    "clone gone before its origin",
    "collection begun again",
    "collection done",
    "compaction behind other updates",
    "compaction refused",
    "cut",
    "deleted file",
    "difference between blobs",
    "everything deleted",
    "half-finished build",
    "late build of a base that is gone",
    "hole reference",
    "object on two leaves looked up",
    "page of several fragments",
    "pinned version kept",
    "punched hole",
    "reference into another blob",
    "reference into flight",
    "several extents",
    "shortened reference",
    "tree deleted in many batches",
    "tree gets lower",
    "tree grows by two levels",
];

fn run(seeds: impl Iterator<Item = u64>, steps: usize) -> Seen {
    let mut seen = Seen::new();
    for seed in seeds {
        let mut history = History::new(seed, Builder::Weaver, Collector::Right);
        if let Err(violation) = history.run(steps) {
            panic!("seed {seed}, {steps} steps: {violation:?}");
        }
        for (what, count) in history.seen {
            *seen.entry(what).or_default() += count;
        }
    }
    seen
}

#[test]
fn every_history_is_woven_as_defined_and_reads_as_the_model() {
    let workers = std::thread::available_parallelism().map_or(2, |count| count.get() as u64).min(8);
    let seen: Vec<Seen> = std::thread::scope(|scope| {
        let spawn = |worker| scope.spawn(move || run((0..HISTORIES).skip(worker as usize).step_by(workers as usize), STEPS));
        let running: Vec<_> = (0..workers).map(spawn).collect();
        running.into_iter().map(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    });
    for what in SOMETIMES {
        let count: u64 = seen.iter().filter_map(|seen| seen.get(what)).sum();
        assert!(count >= HISTORIES / 100, "`{what}` happened {count} times in {HISTORIES} histories");
    }
}

#[test]
fn long_histories_hold_too() {
    run(1_000_000..1_000_040, 150);
}

#[test]
fn pages_of_many_fragments_are_compacted() {
    let mut rewritten = 0;
    for seed in 0..200 {
        let mut history = History::new(seed, Builder::Weaver, Collector::Right).of_small_writes();
        if let Err(violation) = history.run(120) {
            panic!("seed {seed}: {violation:?}");
        }
        rewritten += history.seen.get("page of too many fragments rewritten").copied().unwrap_or_default();
    }
    assert!(rewritten >= 5, "{rewritten} pages rewritten");
}

#[test]
fn the_same_seed_is_the_same_history() {
    let trace = || {
        let mut history = History::new(77, Builder::Weaver, Collector::Right).traced();
        history.run(STEPS).unwrap();
        history.trace().to_vec()
    };
    assert!(!trace().is_empty());
    assert_eq!(trace(), trace());
}
