//! The same work on several systems, side by side in one run: what `mount` and `peers` have in common.

use crate::about::About;
use crate::baseline::IN_FLIGHT;
use crate::machine::{Meter, Usage, drop_caches, forget_peak, peak_mib, settle};
use crate::report::{Contender, Figure, Head, Record, write_page};
use crate::stop;
use crate::system::{PageServer, System};
use crate::work::{Before, Crew, Place, Row, chosen, remove};
use std::error::Error;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// How much is measured, and where it is written.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// An existing folder on the disk to measure; everything made in it is removed again.
    #[arg(long)]
    pub(crate) dir: PathBuf,
    /// Rows, by name or all of a letter; all if none is given.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// Rounds; medians are printed. In each, every row is done on every system before the next row. WeftFS keeps every state of what a
    /// round writes: a full round takes about 12 GB of disk for each copy.
    #[arg(long, default_value_t = 4)]
    rounds: usize,
    /// Sizes and counts are divided by this.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..))]
    shrink: u64,
    /// Waits so many seconds, before each measurement, for other processes to leave the processors alone.
    #[arg(long, default_value_t = 5)]
    patience: u64,
    /// Options for every `weft mount`.
    #[arg(long, allow_hyphen_values = true, value_delimiter = ' ')]
    pub(crate) mount_options: Vec<String>,
    /// Writes every figure of every round to this file, a JSON object on a line; `report` makes a page of it.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Writes a page with tables and charts to this file (HTML).
    #[arg(long)]
    report: Option<PathBuf>,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

impl Arguments {
    /// The rows that were asked for.
    pub(crate) fn chosen_rows(&self) -> Result<Vec<Row>, String> {
        chosen(&self.rows)
    }

    fn head(&self, title: &str, systems: &[Box<dyn System>]) -> Head {
        let about = About::now(&self.dir)
            .setting("page calls at once", IN_FLIGHT)
            .setting("rounds", self.rounds)
            .setting("sizes and counts divided by", self.shrink)
            .setting("options of weft mount", self.mount_options.join(" "));
        let contender = |system: &dyn System| Contender {
            name: system.name().to_owned(),
            version: system.version(),
            kind: system.kind(),
            encrypts: system.encrypts(),
        };
        Head { title: title.to_owned(), about, systems: systems.iter().map(|system| contender(system.as_ref())).collect() }
    }
}

/// Measures all, and says and writes what came out. With a page server, its calls are measured along.
pub(crate) fn side_by_side(
    title: &str,
    arguments: &Arguments,
    systems: &mut [Box<dyn System>],
    calls_to: Option<&PageServer>,
) -> Outcome<()> {
    let rows = arguments.chosen_rows()?;
    let mut record = Record::new(arguments.head(title, systems), arguments.json.as_deref())?;
    let mut failures = Vec::new();
    let outcome = (0..arguments.rounds).try_for_each(|round| {
        if let Some(server) = calls_to {
            record.add_page_calls(server.calls((1 << 30) / arguments.shrink)?)?;
        }
        one_round(round, &rows, arguments, systems, &mut record, &mut failures)
    });
    print!("{record}");
    if let Some(path) = &arguments.report {
        write_page(&record, path)?;
    }
    outcome?;
    if failures.is_empty() { Ok(()) } else { Err(failures.join("; ").into()) }
}

fn one_round(
    round: usize,
    rows: &[Row],
    arguments: &Arguments,
    systems: &mut [Box<dyn System>],
    record: &mut Record,
    failures: &mut Vec<String>,
) -> Outcome<()> {
    for system in systems.iter() {
        fs::create_dir(round_folder(system.as_ref(), round))?;
    }
    for row in rows {
        for place in order(systems.len(), round) {
            stop::check()?;
            let system = systems[place].as_mut();
            if !system.takes(row) {
                continue;
            }
            match measure(row, system, round, arguments) {
                Ok(figure) => record.add(row.name, place, round, figure)?,
                // The others' figures are worth as much without it.
                Err(error) => failures.push(format!("{} on {}: {error}", row.name, system.name())),
            }
        }
    }
    stop::check()?;
    for system in systems.iter() {
        if let Err(error) = remove(&round_folder(system.as_ref(), round), system.keep()) {
            failures.push(format!("removing what round {round} wrote on {}: {error}", system.name()));
        }
    }
    Ok(())
}

/// In which order systems have their turn. What one leaves behind (dirty pages, a busy disk, warm memory) falls on the next, so over as many rounds as
/// there are systems each follows each other one once, if their number is even; if it is odd, twice over double as many (E. J. Williams,
/// "Experimental designs balanced for the estimation of residual effects of treatments", 1949).
fn order(count: usize, round: usize) -> Vec<usize> {
    let zigzag = (0..count).map(|step| if step % 2 == 1 { step.div_ceil(2) } else { count - step / 2 });
    let mut order: Vec<usize> = zigzag.map(|place| (place + round) % count).collect();
    if count % 2 == 1 && round / count % 2 == 1 {
        order.reverse();
    }
    order
}

fn round_folder(system: &dyn System, round: usize) -> PathBuf {
    system.folder().join(format!("round{round}"))
}

fn measure(row: &Row, system: &mut dyn System, round: usize, arguments: &Arguments) -> Outcome<Figure> {
    let patience = Duration::from_secs(arguments.patience);
    let folder = round_folder(system, round);
    let place = Place { shrink: arguments.shrink, keep: system.keep(), network: system.network() };
    if row.needs_setup(&folder) {
        Crew::assemble(row, &folder, place, true)?.work()?;
    }
    stop::check()?;
    if row.before == Before::Cold {
        system.remount()?;
        drop_caches()?;
    }
    stop::check()?;
    settle(patience)?;
    let folder = round_folder(system, round);
    let mut crew = Crew::assemble(row, &folder, place, false)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn each_follows_each_other_one_equally_often() {
        for count in 2..14 {
            let rounds = if count % 2 == 0 { count } else { 2 * count };
            let mut followed = BTreeMap::new();
            for round in 0..rounds {
                let order = order(count, round);
                let mut sorted = order.clone();
                sorted.sort_unstable();
                assert_eq!(sorted, (0..count).collect::<Vec<_>>(), "everybody has a turn");
                for pair in order.windows(2) {
                    *followed.entry((pair[0], pair[1])).or_insert(0) += 1;
                }
            }
            assert_eq!(followed.len(), count * (count - 1), "of {count}");
            let times: Vec<usize> = followed.into_values().collect();
            assert!(times.iter().all(|often| *often == rounds / count), "of {count}: {times:?}");
        }
    }
}
