//! Random histories in bulk: `histories --count 1000000 --from 0`.
//!
//! Of each seed, a history of weaving and collection on its own (`weft_common::weave::testing`): short ones, and every hundredth a
//! long one of small writes with compaction. Every tenth seed is also a random walk of the whole cluster's cores, with sessions
//! and a faulty network (`weft_mount_tests::explore::walk`).

#![allow(clippy::print_stdout, reason = "a tool")]

use clap::Parser;
use std::process::ExitCode;
use std::time::{Duration, Instant};
use weft_common::weave::testing::faults::{Builder, Collector};
use weft_common::weave::testing::history::History;
use weft_mount_tests::explore::walk::walk;
use weft_mount_tests::explore::world::Seen;

/// Runs random histories and compares them with the model. The same seed is the same history for ever.
#[derive(Debug, Parser)]
struct Options {
    /// How many.
    #[arg(long, default_value_t = 10_000)]
    count: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Steps of a short history.
    #[arg(long, default_value_t = 18)]
    steps: usize,
}

/// Steps of a history of small writes: enough for pages to fill with fragments.
const STEPS_OF_SMALL_WRITES: usize = 120;
/// How often it says how far it is.
const REPORT: Duration = Duration::from_secs(60);

fn history(seed: u64) -> (History, bool) {
    let is_long = seed.is_multiple_of(100);
    let history = History::new(seed, Builder::Weaver, Collector::Right);
    (if is_long { history.of_small_writes() } else { history }, is_long)
}

/// One seed; the text of what went wrong.
fn run(seed: u64, steps: usize, seen: &mut Seen, walked: &mut u64) -> Result<(), String> {
    let (mut tested, is_long) = history(seed);
    let steps = if is_long { STEPS_OF_SMALL_WRITES } else { steps };
    if let Err(violation) = tested.run(steps) {
        let mut again = history(seed).0.traced();
        let _ = again.run(steps);
        return Err(format!("{}\n{violation:?}", again.trace().join("\n")));
    }
    for (what, count) in &tested.seen {
        *seen.entry(what).or_default() += count;
    }
    if seed.is_multiple_of(10) {
        *walked += walk(seed, seen).map_err(|failure| failure.to_string())? as u64;
    }
    Ok(())
}

fn main() -> ExitCode {
    let options = Options::parse();
    let (started, mut reported) = (Instant::now(), Instant::now());
    let (mut seen, mut walked) = (Seen::new(), 0);
    for seed in options.from..options.from.saturating_add(options.count) {
        if let Err(what) = run(seed, options.steps, &mut seen, &mut walked) {
            println!("{what}\nseed {seed} fails: `histories --from {seed} --count 1 --steps {}`", options.steps);
            return ExitCode::FAILURE;
        }
        if reported.elapsed() > REPORT {
            reported = Instant::now();
            println!("{} histories in {} s", seed - options.from + 1, started.elapsed().as_secs());
        }
    }
    println!("{} histories and {walked} steps of walks in {} s, no violation", options.count, started.elapsed().as_secs());
    seen.iter().for_each(|(what, count)| println!("{count:12}  {what}"));
    ExitCode::SUCCESS
}
