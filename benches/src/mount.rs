//! The same work on every filesystem, side by side in one run.

use crate::machine::{Meter, Usage, drop_caches, forget_peak, peak_mib, settle};
use crate::report::{Figure, Report};
use crate::system::{Baseline, Disk, System, Weft};
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
    /// Rounds; medians are printed. In each, every row is done on every system before the next row.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Sizes and counts are divided by this.
    #[arg(long, default_value_t = 1)]
    shrink: u64,
    /// Waits so many seconds, before each measurement, for other processes to leave the processors alone.
    #[arg(long, default_value_t = 0)]
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
    let mut report = Report::new(systems.iter().map(|system| system.name().to_owned()).collect());
    for round in 0..arguments.rounds {
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
                let figure = measure(row, systems[place].as_mut(), round, arguments)
                    .map_err(|error| format!("{} on {}: {error}", row.name, systems[place].name()))?;
                report.add(row.name, place, round, figure);
            }
        }
        for system in &mut systems {
            fs::remove_dir_all(round_folder(system.as_ref(), round))?;
        }
    }
    for system in &mut systems {
        let processes = system.processes();
        report.note_memory(system.name(), processes.iter().map(|process| peak_mib(*process)).collect());
    }
    if let Some(path) = &arguments.json {
        report.write_json(path)?;
    }
    print!("{report}");
    Ok(())
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
    let Usage { seconds, cpu_seconds, machine_seconds } = meter.stop();
    let memory_mib = processes.iter().map(|process| peak_mib(*process)).fold(0.0, f64::max);
    Ok(Figure::new(&done, seconds, cpu_seconds + done.cpu_seconds, machine_seconds, memory_mib))
}
