//! The same work on every filesystem, side by side in one run.

use crate::baseline;
use crate::machine::{Meter, Usage, drop_caches, forget_peak, peak_mib, settle};
use crate::report::{Figure, Report, median};
use crate::system::{Baseline, Disk, PageServer, System, Weft};
use crate::work::{Before, Crew, Row, chosen};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// What to measure, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// An existing folder on the disk to measure; everything made in it is removed again.
    #[arg(long)]
    dir: PathBuf,
    /// Rows, by name or all of a letter; all if none is given.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Systems: disk, null (FUSE alone), proto (FUSE, QUIC and files, no metadata), L (weft mount --local), C (a cluster),
    /// C2 (with two copies).
    #[arg(long, value_delimiter = ',', default_value = "disk,null,proto,L,C,C2")]
    systems: Vec<String>,
    /// Rounds; medians are printed. In each, every row is done on every system before the next row. WeftFS keeps every state of what a
    /// round writes: a full round takes about 12 GB of disk for each copy.
    #[arg(long, default_value_t = 4)]
    rounds: usize,
    /// Sizes and counts are divided by this.
    #[arg(long, default_value_t = 1)]
    shrink: u64,
    /// Waits so many seconds, before each measurement, for other processes to leave the processors alone.
    #[arg(long, default_value_t = 5)]
    patience: u64,
    /// Options for every `weft mount`.
    #[arg(long, allow_hyphen_values = true, value_delimiter = ' ')]
    mount_options: Vec<String>,
    /// Writes every figure of every round to this file, a JSON object on a line.
    #[arg(long)]
    json: Option<PathBuf>,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    let rows = chosen(&arguments.rows)?;
    let folder = tempfile::tempdir_in(&arguments.dir)?;
    let mut systems: Vec<Box<dyn System>> = Vec::new();
    for name in &arguments.systems {
        systems.push(start(name, folder.path(), &arguments.mount_options)?);
    }
    let names = systems.iter().map(|system| system.name().to_owned()).collect();
    let mut report = Report::new(names, arguments.json.as_deref())?;
    let mut failures = Vec::new();
    let calls_to = PageServer::start(&folder.path().join("calls"))?;
    let mut calls = Vec::new();
    for round in 0..arguments.rounds {
        calls.push(calls_to.calls((1 << 30) / arguments.shrink)?);
        for system in &mut systems {
            fs::create_dir(round_folder(system.as_ref(), round))?;
        }
        for row in &rows {
            // Whoever is first in one round is last in the next.
            let mut order: Vec<usize> = (0..systems.len()).collect();
            if round % 2 == 1 {
                order.reverse();
            }
            for place in order.into_iter().filter(|place| systems[*place].takes(row)).collect::<Vec<_>>() {
                match measure(row, systems[place].as_mut(), round, arguments) {
                    Ok(figure) => report.add(row.name, place, round, figure)?,
                    // The others' figures are worth as much without it.
                    Err(error) => failures.push(format!("{} on {}: {error}", row.name, systems[place].name())),
                }
            }
        }
        for system in &mut systems {
            fs::remove_dir_all(round_folder(system.as_ref(), round))?;
        }
    }
    print!("{report}");
    println!(
        "page calls of 1 MiB over QUIC, {} at once, to a process that keeps them in files: {:.0} MB/s written, {:.0} MB/s read",
        baseline::IN_FLIGHT,
        median(calls.iter().map(|rates| rates[0])),
        median(calls.iter().map(|rates| rates[1]))
    );
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ").into()) }
}

fn start(name: &str, folder: &Path, options: &[String]) -> Outcome<Box<dyn System>> {
    Ok(match name {
        "disk" => {
            let path = folder.join("disk");
            fs::create_dir(&path)?;
            Box::new(Disk(path))
        }
        "null" => Box::new(Baseline::null(folder)?),
        "proto" => Box::new(Baseline::prototype(folder)?),
        "L" => Box::new(Weft::local(folder, options)?),
        "C" => Box::new(Weft::cluster(folder, 1, options)?),
        "C2" => Box::new(Weft::cluster(folder, 2, options)?),
        other => return Err(format!("there is no system {other:?}; there are disk, null, proto, L, C and C2").into()),
    })
}

fn round_folder(system: &dyn System, round: usize) -> PathBuf {
    system.folder().join(format!("round{round}"))
}

fn measure(row: &Row, system: &mut dyn System, round: usize, arguments: &Arguments) -> Outcome<Figure> {
    let patience = Duration::from_secs(arguments.patience);
    let folder = round_folder(system, round);
    if row.needs_setup(&folder) {
        Crew::assemble(row, &folder, arguments.shrink, system.keep(), true)?.work()?;
    }
    if row.before == Before::Cold {
        system.remount()?;
        drop_caches()?;
    }
    settle(patience)?;
    let folder = round_folder(system, round);
    let mut crew = Crew::assemble(row, &folder, arguments.shrink, system.keep(), false)?;
    let processes = system.processes();
    processes.iter().for_each(|process| forget_peak(*process));
    let meter = Meter::start(&processes);
    let done = crew.work()?;
    let Usage { cpu_seconds, machine_seconds } = meter.stop();
    // From the first worker's first step to the last one's last; waking them and hearing them is not the system's.
    let seconds = done.ended - done.began;
    let memory_mib = processes.iter().map(|process| peak_mib(*process)).fold(0.0, f64::max);
    Ok(Figure::new(&done, seconds, cpu_seconds + done.cpu_seconds, machine_seconds, memory_mib))
}
