//! Explores every interleaving of the setups of a size: `explore [--large] [--threads N] [--walks N]`. See `weft_mount_tests::explore`.

#![allow(clippy::print_stdout, reason = "a tool")]

use clap::Parser;
use std::process::ExitCode;
use std::time::Instant;
use weft_mount_tests::explore::menu::Choice;
use weft_mount_tests::explore::setups::{Size, explore_all, setups};
use weft_mount_tests::explore::walk::walk;
use weft_mount_tests::explore::world::Seen;
use weft_mount_tests::explore::{Fault, Setup};

/// Takes the cores of WeftFS through every interleaving of a few writers, a helper, readers, collectors and a faulty network.
#[derive(Debug, Parser)]
struct Options {
    /// Every triple of updates, and every pair with all faults at once.
    #[arg(long)]
    large: bool,
    /// How many setups are explored at once.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// States of one setup after which the rest of it is left to random walks.
    #[arg(long, default_value_t = 4_000_000)]
    states_max: u64,
    /// Random walks through larger setups, afterwards.
    #[arg(long, default_value_t = 0)]
    walks: u64,
    /// One setup instead, as pairs: `writers=Page+Append,fan_out=2,thins=1,readers=1,fault=LosesMarks`.
    #[arg(long)]
    setup: Option<String>,
}

fn one(text: &str) -> Option<Setup> {
    let mut setup = Setup::new(2, &[]);
    for pair in text.split(',') {
        let (key, value) = pair.split_once('=')?;
        let number = || value.parse::<u8>().ok();
        match key {
            "writers" => {
                let choice = |name: &str| Choice::ALL.into_iter().find(|choice| format!("{choice:?}") == name);
                setup.writers = value.split('+').map(choice).collect::<Option<_>>()?;
            }
            "fan_out" => setup.fan_out = number()?.into(),
            "parts" => setup.parts = number()?,
            "helper" => setup.has_helper = number()? > 0,
            "repeats" => setup.repeats = number()?,
            "lapses" => setup.lapses = number()?,
            "drops" => setup.drops = number()?,
            "restored" => setup.is_restored = number()? > 0,
            "thins" => setup.thins = number()?,
            "readers" => setup.readers = number()?,
            "opens" => setup.opens = number()?,
            "newest" => setup.opens_newest = number()? > 0,
            "renewals" => setup.renewals = number()?,
            "clones" => setup.clones = number()?,
            "unlinks" => setup.unlinks = number()?,
            "restarts" => setup.restarts = number()?,
            "fault" => setup.fault = Fault::ALL.into_iter().find(|fault| format!("{fault:?}") == value)?,
            _ => return None,
        }
    }
    Some(setup)
}

fn wander(walks: u64) -> ExitCode {
    let (begun, mut steps, mut seen) = (Instant::now(), 0, Seen::new());
    for seed in 0..walks {
        match walk(seed, &mut seen) {
            Ok(taken) => steps += taken,
            Err(failure) => {
                println!("walk {seed}\n{failure}");
                return ExitCode::FAILURE;
            }
        }
        if (seed + 1) % 10_000 == 0 || seed + 1 == walks {
            println!("{} walks, {steps} steps, {:.1} s, no violation", seed + 1, begun.elapsed().as_secs_f64());
        }
    }
    ExitCode::SUCCESS
}

fn main() -> ExitCode {
    let options = Options::parse();
    let setups = match &options.setup {
        Some(text) => match one(text) {
            Some(setup) => vec![setup],
            None => {
                println!("`{text}` is no setup");
                return ExitCode::FAILURE;
            }
        },
        None => setups(if options.large { Size::Large } else { Size::Small }),
    };
    println!("{} setups", setups.len());
    let begun = Instant::now();
    let outcome = explore_all(&setups, options.threads, options.states_max, &|number, setup, explored| {
        let seconds = begun.elapsed().as_secs();
        let cut = if explored.cut > 0 { "  cut" } else { "" };
        println!("{number:5}  {seconds:5} s  {:9} states {:10} steps{cut}  {setup:?}", explored.states, explored.steps);
    });
    match outcome {
        Ok(total) => {
            let seconds = begun.elapsed().as_secs_f64();
            let (states, steps, ends, cut) = (total.states, total.steps, total.ends, total.cut);
            println!("{states} states, {steps} steps, {ends} ends, {cut} setups cut, {seconds:.1} s, no violation");
            total.seen.iter().for_each(|(what, count)| println!("{count:12}  {what}"));
            wander(options.walks)
        }
        Err(failure) => {
            println!("{failure}");
            ExitCode::FAILURE
        }
    }
}
