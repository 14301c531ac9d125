//! Several mounts, each in a network namespace of its own, and everything that programs do: what they see is written down and
//! held against every promise.
//!
//! Only root can make network namespaces. Without it the mounts run where the test runs, and reach the servers by loopback.
//! `WEFT_SEED` and `WEFT_RECORDED_OPERATIONS` ask for another run than the usual one. A run is not the same again, as threads and
//! networks are not; a violation is told with what happened around it.

use std::path::PathBuf;
use std::time::Instant;
use weft_mount_tests::cluster::{Cluster, Shape, long_tests};
use weft_mount_tests::mount::Mount;
use weft_mount_tests::network::Network;
use weft_mount_tests::recording::check::{Promise, Violation, check};
use weft_mount_tests::recording::log::{Change, changes};
use weft_mount_tests::recording::record::{Operation, Record};
use weft_mount_tests::recording::story::story;
use weft_mount_tests::recording::tally::Tally;
use weft_mount_tests::recording::worker::{Run, record};

const MOUNTS: usize = 4;
const VOLUME: &str = "show";

/// Operations of a run.
fn operations() -> u32 {
    let asked = std::env::var("WEFT_RECORDED_OPERATIONS").ok().and_then(|number| number.parse().ok());
    asked.unwrap_or(if long_tests() { 120_000 } else { 4_000 })
}

/// What the operations are drawn from.
fn seed() -> u64 {
    std::env::var("WEFT_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

#[test]
fn what_four_mounts_see_keeps_every_promise() {
    let network = Network::new(MOUNTS);
    let network = network.inspect_err(|why| eprintln!("no network namespaces, so everything is on loopback: {why}")).ok();
    let mut cluster = network.as_ref().map_or_else(|| Cluster::start(2, 2), |network| Cluster::start_in(network, 2, 2));
    cluster.create_volume(VOLUME, Shape { page_kib: 64, fan_out: 2, copies: 2 });
    let mounts: Vec<Mount> = (0..MOUNTS)
        .map(|number| {
            let site = network.as_ref().map(|network| network.spoke(number));
            cluster.mount_at(site.as_ref(), VOLUME, &[])
        })
        .collect();
    let places: Vec<PathBuf> = mounts.iter().map(|mount| mount.path().to_owned()).collect();

    let started = Instant::now();
    let run = Run { operations: operations(), clients_per_mount: 2, seed: seed() };
    let records = record(&places, run);
    let recorded = started.elapsed();
    let hub = network.as_ref().map(Network::hub);
    let log = changes(&cluster, hub.as_ref(), VOLUME);
    let started = Instant::now();
    let violations = check(&records, &log);
    let tally = Tally::of(&records);
    println!("{} operations and {} versions in {recorded:?}, checked in {:?}", records.len(), log.len(), started.elapsed());
    println!("{tally}");

    for violation in violations.iter().take(20) {
        eprintln!("{violation}\n{}", story(violation, &records, &log));
    }
    assert!(violations.is_empty(), "{} violations of seed {}", violations.len(), run.seed);
    check_that_everything_happened(&tally);
    check_that_an_old_answer_is_found(records, &log);
}

/// The same history, but whoever reads a frame in its second half is answered what the first one was.
fn check_that_an_old_answer_is_found(mut records: Vec<Record>, log: &[Change]) {
    let reads = |record: &&mut Record| matches!(&record.operation, Operation::Read { path } if path == "frames/f0");
    let mut found: Vec<&mut Record> = records.iter_mut().filter(reads).collect();
    found.sort_by_key(|record| record.start);
    let first = found.first().map(|record| record.outcome.clone()).expect("a frame that was read");
    let half = found.len() / 2;
    found.into_iter().skip(half).for_each(|record| record.outcome = first.clone());
    let violations = check(&records, log);
    let is_stale = |violation: &Violation| matches!(violation.promise, Promise::CloseToOpen | Promise::Monotone);
    assert!(!violations.is_empty() && violations.iter().all(is_stale), "stale answers are planted, found is {violations:?}");
}

/// What meets another mount's operation in every run, however small. The rest is rare, or quick, or both.
const OFTEN: [&str; 8] =
    ["overwrite", "replace by rename", "truncate", "read", "stat", "append", "write a slice", "read all slices"];

/// A run in which nothing met anything would prove nothing.
fn check_that_everything_happened(tally: &Tally) {
    let least = if long_tests() { 100 } else { 5 };
    for (kind, counts) in &tally.0 {
        assert!(counts.done >= least, "{kind} succeeded only {} times", counts.done);
        let has_to_meet = OFTEN.contains(kind) || (long_tests() && *kind != "close a held handle");
        let met = counts.contended;
        assert!(!has_to_meet || met >= least / 5, "{kind} met an operation of another mount only {met} times");
    }
    for kind in ["create O_EXCL", "rename", "link", "unlink", "mkdir", "rmdir"] {
        let refused = tally.0.get(kind).map_or(0, |counts| counts.refused);
        assert!(refused >= least, "{kind} was refused only {refused} times");
    }
}
