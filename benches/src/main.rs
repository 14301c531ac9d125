//! Measurements. Every figure is printed beside one of the machine's own from the same run, because figures of one run alone
//! drift with the machine.
#![allow(clippy::print_stdout, reason = "a measurement speaks on its standard output")]

mod about;
mod baseline;
mod growth;
mod history;
mod html;
mod machine;
mod mount;
mod paper;
mod peers;
mod report;
mod run;
mod scale;
mod stop;
mod store;
mod system;
mod work;

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
    /// The work of the table on WeftFS mounts and on the bare disk.
    Mount(mount::Arguments),
    /// The same work on WeftFS and on other filesystems that are installed.
    Peers(peers::Arguments),
    /// Makes the page of a run that `mount` or `peers` recorded.
    Report(report::Arguments),
    /// The paper's experiments: many processes in network namespaces, on links of a chosen speed.
    Paper(paper::Arguments),
    /// Costs of operations as versions, sizes, files and clients grow.
    Growth(growth::Arguments),
    /// A cluster of 10,000 data providers and 100,000 mounts, from counted messages and measured costs.
    Scale(scale::Arguments),
    /// A worker of such a row (the bench starts itself with this).
    #[command(hide = true)]
    Work(work::Shift),
    /// A baseline's filesystem.
    #[command(hide = true)]
    ServeMount(baseline::MountArguments),
    /// The process that keeps a baseline's pages.
    #[command(hide = true)]
    ServePages(baseline::ServeArguments),
    /// Page calls to such a process.
    #[command(hide = true)]
    PageCalls(baseline::QuicArguments),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().what {
        What::Store(arguments) => store::run(&arguments),
        What::History(arguments) => history::run(&arguments),
        What::Mount(arguments) => mount::run(&arguments),
        What::Peers(arguments) => peers::run(&arguments),
        What::Report(arguments) => report::run(&arguments),
        What::Paper(arguments) => paper::run(&arguments),
        What::Growth(arguments) => growth::run(&arguments),
        What::Scale(arguments) => scale::run(&arguments),
        What::Work(shift) => work::run_worker(&shift),
        What::ServeMount(arguments) => baseline::serve_mount(&arguments),
        What::ServePages(arguments) => baseline::serve_pages(&arguments),
        What::PageCalls(arguments) => baseline::run_quic(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("failed: {error}");
            ExitCode::FAILURE
        }
    }
}
