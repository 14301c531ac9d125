//! QUIC in simulation: many seeds hold, the same seed gives the same trace, and planted bugs are found.

use crate::transport::sim::{Detail, Plant, Report, simulate};
use std::collections::BTreeMap;

/// Seeds of one run; many more with `WEFT_LONG_TESTS=1`.
const SEEDS: u64 = 80;
const SEEDS_LONG: u64 = 2_000;
/// A planted bug has to be found within so many seeds.
const SEEDS_PER_PLANT: u64 = 40;

/// What has to happen now and then in [`SEEDS`] seeds, or the promises hold vacuously.
const SOMETIMES: [(&str, u64); 29] = [
    ("answered", 4_000),
    ("answered across losses", 1_000),
    ("answered after the connection was lost", 50),
    ("call dropped", 100),
    ("client vanished", 10),
    ("connection carried all it may", 5),
    ("connection closed by its server", 20),
    ("connection timed out idle", 10),
    ("dead connection given up by short calls", SEEDS),
    ("deadline passed", 500),
    ("dialled in vain", 50),
    ("host stood still", 20),
    ("large body answered", 10),
    ("one-way partition", 10),
    ("packet cut off", 500),
    ("packet damaged", 1_000),
    ("packet doubled", 5_000),
    ("packet dropped by a full queue", 5_000),
    ("packet late", 5_000),
    ("packet lost", 10_000),
    ("packet too large", 5_000),
    ("partition", 10),
    ("path carries smaller packets", 20),
    ("refused by its server", 50),
    ("refused where it was sent", 20),
    ("request given up by its server", 1),
    ("send buffer full", 200),
    ("server crash", 20),
    ("told of a restart (stateless reset)", 20),
];

fn run(seed: u64, plant: Plant) -> Report {
    simulate(seed, plant, Detail::Calls)
}

#[test]
fn every_promise_of_the_transport_holds_under_every_seed() {
    let is_long = std::env::var_os("WEFT_LONG_TESTS").is_some();
    let seeds = if is_long { SEEDS_LONG } else { SEEDS };
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut failures = Vec::new();
    for seed in 0..seeds {
        let report = run(seed, Plant::Nothing);
        for (what, count) in report.counts {
            *counts.entry(what).or_default() += count;
        }
        if !report.violations.is_empty() {
            println!("{}", report.trace);
            failures.push(format!("seed {seed}: {:?}", report.violations));
        }
    }
    let how = "cargo run -p weft-mount-tests --bin quic-sim -- --from SEED";
    assert!(failures.is_empty(), "{} of {seeds} seeds fail; see `{how}`:\n{}", failures.len(), failures.join("\n"));
    for (what, least) in SOMETIMES {
        let count = counts.get(what).copied().unwrap_or(0);
        assert!(count >= least, "'{what}' happened {count} times in {seeds} seeds, at least {least} are expected: {counts:?}");
    }
}

#[test]
fn the_same_seed_gives_the_same_packets() {
    // With crashes and stateless resets, with a crowd, with loopback's settings.
    for seed in [1, 4, 9, 10, 25] {
        let [first, second] = [(); 2].map(|()| simulate(seed, Plant::Nothing, Detail::Packets));
        let differs = first.trace.lines().zip(second.trace.lines()).find(|(one, other)| one != other);
        assert_eq!(differs, None, "seed {seed}");
        assert!(first == second, "seed {seed}");
    }
    assert_ne!(run(1, Plant::Nothing).trace, run(2, Plant::Nothing).trace);
}

#[test]
fn every_planted_bug_is_found() {
    let missed: Vec<Plant> = Plant::ALL
        .into_iter()
        .filter(|plant| !(0..SEEDS_PER_PLANT).any(|seed| !run(seed, *plant).violations.is_empty()))
        .collect();
    assert_eq!(missed, []);
}
