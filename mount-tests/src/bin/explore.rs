//! Explores every interleaving of the setups of a size: `explore [--large] [--threads N]`. See `weft_mount_tests::explore`.

#![allow(clippy::print_stdout, reason = "a tool")]

use clap::Parser;
use std::process::ExitCode;
use weft_mount_tests::explore::setups::{Size, explore_all, setups};

/// Takes the cores of WeftFS through every interleaving of a few writers, a helper, a collector and a faulty network.
#[derive(Debug, Parser)]
struct Options {
    /// Every triple of updates, and every pair with all faults at once: some hours.
    #[arg(long)]
    large: bool,
    /// How many setups are explored at once.
    #[arg(long, default_value_t = 2)]
    threads: usize,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let setups = setups(if options.large { Size::Large } else { Size::Small });
    println!("{} setups", setups.len());
    let outcome = explore_all(&setups, options.threads, &|number, setup, explored| {
        println!("{number:5}  {:9} states {:10} steps  {setup:?}", explored.states, explored.steps);
    });
    match outcome {
        Ok(total) => {
            println!("{} states, {} steps, {} ends, no violation", total.states, total.steps, total.ends);
            total.seen.iter().for_each(|(what, count)| println!("{count:12}  {what}"));
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}
