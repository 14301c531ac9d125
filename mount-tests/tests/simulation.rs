//! The whole cluster in simulation: many seeds hold, the same seed gives the same trace, and planted bugs are found.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use weft_mount_tests::sim::{Report, plant::Plant, simulate};

/// Seeds of one run; many more with `WEFT_LONG_TESTS=1`.
const SEEDS: u64 = 200;
const SEEDS_LONG: u64 = 10_000;
/// A planted bug has to be found within so many seeds.
const SEEDS_PER_PLANT: u64 = 60;

/// What has to happen now and then in [`SEEDS`] seeds, or the promises hold vacuously.
const SOMETIMES: [(&str, u64); 45] = [
    ("attribute read", 200),
    ("bit flipped", 3),
    ("blackout", 20),
    ("change done", 10_000),
    ("change refused", 500),
    ("change unknown", 20),
    ("checked after losses", 8),
    ("checked clean", 100),
    ("client crash", 50),
    ("clock skewed", 30),
    ("clone done", 40),
    ("crash", 100),
    ("create done", 500),
    ("damage told", 20),
    ("directory cloned", 20),
    ("disk fault", 50),
    ("edit done", 5_000),
    ("group commit", 500),
    ("held read", 2_000),
    ("helper commits", 50),
    ("link done", 20),
    ("log fault", 5),
    ("lost from all disks", 8),
    ("manager lost power", 2),
    ("message duplicated", 1000),
    ("message lost", 1000),
    ("mode done", 50),
    ("newcomer", 30),
    ("partition met", 200),
    ("past refused", 100),
    ("provider left", 15),
    ("read of an open old file", 200),
    ("rename done", 200),
    ("restore done", 100),
    ("share done", 20),
    ("sweep asked for", 50),
    ("sync", 500),
    ("synced bytes read", 2_000),
    ("tag removed", 50),
    ("tag set", 200),
    ("tagged read", 1_000),
    ("thinned by policy", 20),
    ("thinning", 500),
    ("tree restored", 20),
    ("unsynced object lost", 20),
];

/// Runs seeds on both cores.
fn run_all(seeds: u64, each: impl Fn(u64, Report) + Sync) {
    let next = AtomicU64::new(0);
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds {
                return;
            }
            each(seed, simulate(seed, Plant::Nothing));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        scope.spawn(work);
    });
}

#[test]
fn every_promise_holds_under_every_seed() {
    let is_long = std::env::var_os("WEFT_LONG_TESTS").is_some();
    let seeds = if is_long { SEEDS_LONG } else { SEEDS };
    let counts: Mutex<BTreeMap<&'static str, u64>> = Mutex::default();
    let failures: Mutex<Vec<String>> = Mutex::default();
    run_all(seeds, |seed, report| {
        let mut counts = counts.lock().unwrap();
        for (what, count) in report.counts {
            *counts.entry(what).or_default() += count;
        }
        if !report.violations.is_empty() {
            failures.lock().unwrap().push(format!("seed {seed}: {:?}", report.violations));
        }
    });
    let failures = failures.into_inner().unwrap();
    let how = "cargo run -p weft-mount-tests --bin sim -- --from SEED";
    assert!(failures.is_empty(), "{} of {seeds} seeds fail; see `{how}`:\n{}", failures.len(), failures.join("\n"));
    let counts = counts.into_inner().unwrap();
    for (what, least) in SOMETIMES {
        let count = counts.get(what).copied().unwrap_or(0);
        assert!(count >= least, "'{what}' happened {count} times in {seeds} seeds, at least {least} are expected: {counts:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in [3, 11, 42] {
        let (first, second) = (simulate(seed, Plant::Nothing), simulate(seed, Plant::Nothing));
        let differs = first.trace.lines().zip(second.trace.lines()).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert!(first == second, "seed {seed}");
    }
    assert_ne!(simulate(1, Plant::Nothing).trace, simulate(2, Plant::Nothing).trace);
}

#[test]
fn every_planted_bug_is_found() {
    let missed: Vec<Plant> = Plant::ALL
        .into_iter()
        .filter(|plant| !(0..SEEDS_PER_PLANT).any(|seed| !simulate(seed, *plant).violations.is_empty()))
        .collect();
    assert_eq!(missed, []);
}
