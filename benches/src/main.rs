//! Measurements. Every figure is printed beside one of the machine's own from the same run, because figures of one run alone
//! drift with the machine.
#![allow(clippy::print_stdout, reason = "a measurement speaks on its standard output")]

mod history;
mod store;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// Measures parts of WeftFS against the machine's own limits.
#[derive(Debug, Parser)]
#[command(name = "weft-benches")]
struct Arguments {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The file engine: appends against the bare disk, opening, and redb with the same objects.
    Store(store::Arguments),
    /// Changes of a volume with much history against one with hardly any.
    History(history::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().what {
        What::Store(arguments) => store::run(&arguments),
        What::History(arguments) => history::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}
