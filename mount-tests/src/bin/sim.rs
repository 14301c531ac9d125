//! Runs simulations of the whole cluster: `sim --seeds N --from S`. Prints failing seeds with what was broken; with one seed its
//! trace as well.

use clap::Parser;
use std::collections::BTreeMap;
use std::process::ExitCode;
use weft_mount_tests::sim::{plant::Plant, simulate};

/// Simulates the whole cluster.
#[derive(Debug, Parser)]
struct Options {
    /// How many seeds.
    #[arg(long, default_value_t = 1)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Prints the trace of every seed, not only of failing ones.
    #[arg(long)]
    trace: bool,
    /// Plants every bug instead, and says which of the seeds finds it.
    #[arg(long)]
    plants: bool,
}

/// Says of each planted bug which seed finds it. Whether all are found.
#[expect(clippy::print_stdout, reason = "a command-line tool")]
fn plant_all(seeds: std::ops::Range<u64>) -> bool {
    let mut all = true;
    for plant in Plant::ALL {
        let found = seeds.clone().find_map(|seed| Some((seed, simulate(seed, plant).violations.into_iter().next()?)));
        match &found {
            Some((seed, violation)) => println!("{plant:?}: seed {seed}: {violation}"),
            None => println!("{plant:?}: NOT FOUND"),
        }
        all &= found.is_some();
    }
    all
}

#[expect(clippy::print_stdout, reason = "a command-line tool")]
fn main() -> ExitCode {
    let options = Options::parse();
    if options.plants {
        return if plant_all(options.from..options.from + options.seeds) { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut failed = Vec::new();
    for seed in options.from..options.from + options.seeds {
        let report = simulate(seed, Plant::Nothing);
        for (what, count) in &report.counts {
            *counts.entry(what).or_default() += count;
        }
        if options.trace || !report.violations.is_empty() {
            println!("{}", report.trace);
        }
        if !report.violations.is_empty() {
            println!("seed {seed} FAILED:");
            report.violations.iter().for_each(|violation| println!("  {violation}"));
            failed.push(seed);
        }
    }
    for (what, count) in &counts {
        println!("{count:>10}  {what}");
    }
    println!("{} seeds, {} failed: {failed:?}", options.seeds, failed.len());
    if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
