//! What an operation costs as everything grows: the versions of a file, its size, the files of the volume, its clients, and the writers
//! of one file at the same moment.
//!
//! What is counted comes first: nodes, messages, bytes, bytes of the log. There is no noise in it, and it shows what times on one machine
//! cannot, because the machine has only so much memory: that a write costs a way down the tree, log_F of the file's size, and that nothing
//! else matters. Times stand beside it.

mod measure;
mod report;
mod volume;

pub(crate) use measure::Cost;
use measure::{OPERATIONS, measure};
use serde::Serialize;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;
use volume::Growing;
use weft_benches::Outcome;
use weft_common::limits::SESSIONS_MAX;
use weft_common::weave::Geometry;
use weft_common::wire::{BlobReply, Reply, encode};

/// How far, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// An existing folder for the volumes, 4 GiB at most; everything made in it is removed again. Without it that of the system.
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Also writes each figure as a line of JSON into this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Also writes a report with charts into this file, as an HTML page.
    #[arg(long)]
    report: Option<PathBuf>,
    /// The most versions, files and clients, divided by this.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    shrink: u64,
    /// Times that each operation is done at each point.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..))]
    repetitions: u32,
}

const PAGE: u32 = 64 << 10;
const FAN_OUTS: [u32; 2] = [32, 2];
/// Size of the file whose size is not what grows.
const FILE_BYTES: u64 = 1 << 30;
const VERSIONS_MAX: u64 = 1_000_000;
const FILES_MAX: u64 = 1_000_000;
/// A few are left for the clients that measure.
const CLIENTS_MAX: u64 = SESSIONS_MAX - 384;

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Series {
    /// Versions of the file.
    Versions,
    /// Bytes of the file.
    Size,
    /// Files of the volume.
    Files,
    /// Open sessions.
    Clients,
}

impl Series {
    fn title(self) -> &'static str {
        match self {
            Self::Versions => "versions of a file of 1 GiB",
            Self::Size => "size of the file (sparse)",
            Self::Files => "files in one directory",
            Self::Clients => "clients with a session",
        }
    }
}

/// The costs at one point of a series.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Point {
    pub(crate) series: Series,
    pub(crate) fan_out: u32,
    /// How much there is of what grows.
    pub(crate) amount: u64,
    /// Levels of the file's tree.
    pub(crate) height: u64,
    pub(crate) costs: Vec<Cost>,
}

/// What a ticket costs behind others.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Crowded {
    pub(crate) fan_out: u32,
    /// Updates of the same file that are ordered and not published.
    pub(crate) in_flight: u64,
    /// The answer to the request for a ticket.
    pub(crate) ticket_bytes: u64,
    pub(crate) nodes_put: u64,
    pub(crate) nodes_got: u64,
    pub(crate) weave_micros: f64,
}

pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    let runtime = weft_common::rpc::runtime("weft-growth")?;
    let dir = arguments.dir.clone().unwrap_or_else(std::env::temp_dir);
    let mut lines = arguments.json.as_ref().map(File::create).transpose()?;
    let mut all = Vec::new();
    for series in [Series::Versions, Series::Size, Series::Files, Series::Clients] {
        for fan_out in FAN_OUTS {
            // Names and sessions know nothing of trees.
            if fan_out == 2 && matches!(series, Series::Files | Series::Clients) {
                continue;
            }
            let points = runtime.block_on(grow(series, fan_out, arguments, &dir))?;
            print(&points);
            for point in &points {
                if let Some(lines) = &mut lines {
                    writeln!(lines, "{}", serde_json::to_string(point)?)?;
                }
            }
            all.extend(points);
        }
    }
    let crowded = crowd(&dir)?;
    print_crowded(&crowded);
    if let Some(report) = &arguments.report {
        std::fs::write(report, report::page(arguments, &dir, &all, &crowded)?)?;
    }
    for line in &crowded {
        if let Some(lines) = &mut lines {
            writeln!(lines, "{}", serde_json::to_string(line)?)?;
        }
    }
    Ok(())
}

/// 1, 10, 100 … and at last `most`.
fn decades(first: u64, most: u64) -> Vec<u64> {
    let mut amounts: Vec<u64> =
        std::iter::successors(Some(first), |amount| amount.checked_mul(10)).take_while(|a| *a < most).collect();
    amounts.push(most.max(first));
    amounts
}

fn geometry(fan_out: u32) -> Outcome<Geometry> {
    Ok(Geometry::new(PAGE, fan_out)?)
}

async fn grow(series: Series, fan_out: u32, arguments: &Arguments, dir: &Path) -> Outcome<Vec<Point>> {
    let (geometry, shrink) = (geometry(fan_out)?, arguments.shrink);
    let amounts = match series {
        // A binary tree has five times as many nodes, and shows the same.
        Series::Versions => decades(1, VERSIONS_MAX / shrink / if fan_out == 2 { 10 } else { 1 }),
        Series::Size => (20..=40).step_by(4).map(|power| 1 << power).collect(),
        Series::Files => decades(100, FILES_MAX / shrink),
        Series::Clients => decades(1, CLIENTS_MAX / shrink),
    };
    let mut growing = Growing::new(dir, geometry, FILE_BYTES)?;
    let (mut points, mut reached) = (Vec::new(), 0);
    for amount in amounts {
        let started = Instant::now();
        match series {
            Series::Versions => growing.overwrite(amount - reached)?,
            Series::Size => growing = Growing::new(dir, geometry, amount)?,
            Series::Files => growing.create_files(amount)?,
            Series::Clients => growing.open_sessions(amount - reached)?,
        }
        reached = amount;
        let costs = measure(&mut growing, arguments.repetitions).await?;
        eprintln!("{}: {amount} in {:.1} s", series.title(), started.elapsed().as_secs_f64());
        points.push(Point { series, fan_out, amount, height: growing.height(), costs });
    }
    Ok(points)
}

/// Tickets behind so many others of the same file.
fn crowd(dir: &Path) -> Outcome<Vec<Crowded>> {
    let mut all = Vec::new();
    for fan_out in FAN_OUTS {
        for in_flight in [0, 1, 10, 100, 1000] {
            let mut growing = Growing::new(dir, geometry(fan_out)?, FILE_BYTES)?;
            let (ticket, loom) = growing.crowd(in_flight)?;
            let fetched = loom.fetched;
            let started = Instant::now();
            let woven = loom.plan(&ticket)?;
            let weave_micros = started.elapsed().as_secs_f64() * 1e6;
            let nodes_got = loom.fetched - fetched;
            let ticket_bytes = encode(&Reply::Blob(BlobReply::Granted(Box::new(ticket))))?.len() as u64;
            all.push(Crowded { fan_out, in_flight, ticket_bytes, nodes_put: woven.len() as u64, nodes_got, weave_micros });
        }
    }
    Ok(all)
}

fn print(points: &[Point]) {
    let Some(first) = points.first() else { return };
    println!("\n{}, fan-out {}, pages of 64 KiB", first.series.title(), first.fan_out);
    for (place, operation) in OPERATIONS.iter().enumerate() {
        println!("  {operation}");
        println!(
            "  {:>14} {:>6} {:>7} {:>7} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8} {:>8}",
            "", "height", "stored", "fetched", "messages", "manager B", "nodes B", "log cmds", "log B", "us", "sync us"
        );
        for point in points {
            let Some(cost) = point.costs.get(place) else { continue };
            println!(
                "  {:>14} {:>6} {:>7.1} {:>7.1} {:>9.1} {:>9.0} {:>9.0} {:>9.1} {:>9.0} {:>8.0} {:>8.0}",
                point.amount,
                point.height,
                cost.nodes_put,
                cost.nodes_got,
                cost.messages(),
                cost.manager_bytes,
                cost.node_bytes,
                cost.commands,
                cost.logged_bytes,
                cost.micros,
                cost.sync_micros
            );
        }
    }
}

fn print_crowded(all: &[Crowded]) {
    println!("\na ticket behind others of the same file that are in flight (cores alone)");
    println!("  {:>8} {:>10} {:>9} {:>7} {:>7} {:>8}", "fan-out", "in flight", "ticket B", "stored", "fetched", "weave us");
    for Crowded { fan_out, in_flight, ticket_bytes, nodes_put, nodes_got, weave_micros } in all {
        println!("  {fan_out:>8} {in_flight:>10} {ticket_bytes:>9} {nodes_put:>7} {nodes_got:>7} {weave_micros:>8.0}");
    }
}

#[cfg(test)]
mod tests;
