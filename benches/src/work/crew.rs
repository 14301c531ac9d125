//! Worker processes: started, brought to the line, let go together, and heard.

use super::{CAP, Data, Done, Keep, Part, Row};
use crate::machine::cpu_seconds;
use crate::stop::{self, Stoppable};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// What a worker is told; arguments of a command that is not for people.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Shift {
    #[arg(long)]
    row: String,
    #[arg(long)]
    index: u64,
    #[arg(long)]
    folder: PathBuf,
    #[arg(long)]
    shrink: u64,
    #[arg(long, value_enum)]
    keep: Keep,
    /// Does what has to be there before the row, instead of the row.
    #[arg(long)]
    setup: bool,
}

/// A worker's last words.
#[derive(Debug, Serialize, Deserialize)]
enum Report {
    Done(Done),
    Failed(String),
}

/// The process of a worker: gets ready, waits for a line on its standard input, works, and reports.
pub(crate) fn run_worker(shift: &Shift) -> Result<(), Box<dyn Error>> {
    let row = super::ROWS.iter().find(|row| row.name == shift.row).ok_or("an unknown row")?;
    let mut part = Part {
        index: shift.index,
        of: if shift.setup { 1 } else { row.processes },
        folder: &shift.folder,
        shrink: shift.shrink,
        keep: shift.keep,
        data: Data::new(fastrand::u64(..)),
        done: Done::default(),
        ends: Instant::now(),
    };
    let mut output = io::stdout().lock();
    writeln!(output, "ready")?;
    output.flush()?;
    if io::stdin().lock().read_line(&mut String::new())? == 0 {
        return Err("nobody waits for this worker any more".into());
    }
    part.ends = Instant::now() + if shift.setup { Duration::from_secs(600) } else { CAP };
    let (before, began) = (cpu_seconds(std::process::id()), now());
    let outcome = if shift.setup { row.setup.map_or(Ok(()), |(setup, _)| setup(&mut part)) } else { (row.work)(&mut part) };
    (part.done.began, part.done.ended) = (began, now());
    part.done.cpu_seconds = cpu_seconds(std::process::id()) - before;
    let report = match outcome {
        Ok(()) => Report::Done(part.done),
        Err(error) => Report::Failed(error.to_string()),
    };
    writeln!(output, "{}", serde_json::to_string(&report)?)?;
    Ok(())
}

/// Seconds of a clock that all processes share.
fn now() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Under which conditions a crew works.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    /// Sizes and counts are divided by this.
    pub(crate) shrink: u64,
    /// How old states of files are kept.
    pub(crate) keep: Keep,
    /// A process whose network workers share, if it is not ours.
    pub(crate) network: Option<u32>,
}

impl Place {
    /// This program, started in the right network. `nsenter` becomes it, so that its process id is the worker's.
    fn command(self) -> io::Result<Command> {
        let program = std::env::current_exe()?;
        let Some(process) = self.network else { return Ok(Command::new(program)) };
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{process}/ns/net")).arg("--").arg(program);
        Ok(command)
    }
}

/// A worker, and where it speaks.
#[derive(Debug)]
struct Worker {
    stoppable: Option<Stoppable>,
    process: Child,
    output: BufReader<ChildStdout>,
}

/// All workers of a row, ready.
#[derive(Debug)]
pub(crate) struct Crew(Vec<Worker>);

impl Crew {
    /// Starts the workers of a row, or the one that prepares it, and waits until all are ready.
    pub(crate) fn assemble(row: &Row, folder: &Path, place: Place, setup: bool) -> Result<Self, Box<dyn Error>> {
        let mut crew = Self(Vec::new());
        for index in 0..if setup { 1 } else { row.processes } {
            let mut command = place.command()?;
            command.args(["work", "--row", row.name, "--index", &index.to_string(), "--shrink", &place.shrink.to_string()]);
            command.arg("--folder").arg(folder);
            if let Some(keep) = clap::ValueEnum::to_possible_value(&place.keep) {
                command.args(["--keep", keep.get_name()]);
            }
            if setup {
                command.arg("--setup");
            }
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
            let output = child.stdout.take().ok_or("a worker without output")?;
            let stoppable = Some(Stoppable::new(child.id()));
            crew.0.push(Worker { stoppable, process: child, output: BufReader::new(output) });
        }
        // Whoever was started behind a signal is dropped here.
        stop::check()?;
        for worker in &mut crew.0 {
            worker.output.read_line(&mut String::new())?;
        }
        Ok(crew)
    }

    /// Lets all begin at once and waits for the last one.
    pub(crate) fn work(&mut self) -> Result<Done, Box<dyn Error>> {
        for worker in &mut self.0 {
            worker.process.stdin.take().ok_or("a worker went home")?.write_all(b"go\n")?;
        }
        let mut all = Done { began: f64::INFINITY, ..Done::default() };
        for worker in &mut self.0 {
            let mut line = String::new();
            worker.output.read_line(&mut line)?;
            match serde_json::from_str(&line).map_err(|_| "a worker ended without a report")? {
                Report::Done(done) => {
                    all.bytes += done.bytes;
                    all.operations += done.operations;
                    all.latencies.extend(done.latencies);
                    all.cpu_seconds += done.cpu_seconds;
                    all.began = all.began.min(done.began);
                    all.ended = all.ended.max(done.ended);
                }
                Report::Failed(why) => return Err(why.into()),
            }
        }
        Ok(all)
    }
}

impl Drop for Crew {
    fn drop(&mut self) {
        for worker in &mut self.0 {
            worker.stoppable = None;
            // Whoever reported ends by itself; whoever did not must not stay. An error means that it is gone.
            let _ = worker.process.kill();
            let _ = worker.process.wait();
        }
    }
}
