//! Runs simulations of the transport: `quic-sim --seeds N --from S`. Prints failing seeds with what was broken and their traces.

use clap::Parser;
use std::collections::BTreeMap;
use std::process::ExitCode;
use weft_common::transport::sim::{Detail, Plant, simulate};

/// Simulates real QUIC over a bad network.
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
    /// Every packet stands in the traces.
    #[arg(long)]
    packets: bool,
}

#[expect(clippy::print_stdout, reason = "a command-line tool")]
fn main() -> ExitCode {
    let options = Options::parse();
    let detail = if options.packets { Detail::Packets } else { Detail::Calls };
    let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
    let mut failed = Vec::new();
    for seed in options.from..options.from + options.seeds {
        let report = simulate(seed, Plant::Nothing, detail);
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
