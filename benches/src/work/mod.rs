//! The work that every system is given: what renderers, simulations and people at a shell do, a row of the table for each.
//!
//! A row is done by one or several worker processes at once, which this program starts from itself: programs do not share
//! tables of open files, and neither should what stands for them.

mod bulk;
mod crew;
mod random;
mod small;
mod versions;

pub(crate) use crew::{Crew, Place, Shift, run_worker};
pub(crate) use versions::remove;

use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// One mebibyte.
const MIB: u64 = 1 << 20;
/// Bytes of the file that is written and read in one go.
const BIG_BYTES: u64 = 1 << 30;
/// Frames of a sequence, and the bytes of each.
const FRAMES: u64 = 200;
const FRAME_BYTES: u64 = 8 * MIB;
/// Small files, and the bytes of each.
const SMALL_FILES: u64 = 5000;
const SMALL_BYTES: usize = 4096;
/// Operations at random places, and appends.
const RANDOM_OPERATIONS: u64 = 2000;
/// A state of a file that is overwritten again and again, and how often.
const STATE_BYTES: u64 = 64 * MIB;
const STATES: u64 = 20;

/// What stands before a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Before {
    /// Whatever the row before it left.
    Nothing,
    /// No cache knows anything: the system is mounted anew, and the kernel's caches are dropped.
    Cold,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Row {
    /// Its name, as in `--rows`; the letter groups rows that belong together.
    pub(crate) name: &'static str,
    /// Processes that share it.
    pub(crate) processes: u64,
    pub(crate) before: Before,
    /// What has to be there already, made if it is not.
    setup: Option<Setup>,
    work: Work,
}

impl Row {
    /// Whether what has to be there before it is not.
    pub(crate) fn needs_setup(&self, folder: &Path) -> bool {
        self.setup.is_some_and(|(_, file)| !folder.join(file).exists())
    }
}

type Work = fn(&mut Part<'_>) -> io::Result<()>;

/// What makes it, and a file of it by which one sees that it is there.
type Setup = (Work, &'static str);

const BIG: Option<Setup> = Some((bulk::write_big, "big"));
const SEQUENCE: Option<Setup> = Some((bulk::write_frames, "frames"));
const SMALL: Option<Setup> = Some((small::create, "small1"));

const fn row(name: &'static str, processes: u64, before: Before, setup: Option<Setup>, work: Work) -> Row {
    Row { name, processes, before, setup, work }
}

/// All rows, in the order in which they are done. The names are those under which figures of other filesystems are known.
pub(crate) const ROWS: [Row; 21] = [
    row("a.seqwrite_64k", 1, Before::Nothing, None, bulk::write_by_64k),
    row("a.seqwrite_1m_fsync", 1, Before::Nothing, None, bulk::write_and_sync),
    row("a.seqwrite_1m", 1, Before::Nothing, None, bulk::write_big),
    row("b.seqread_cold", 1, Before::Cold, BIG, bulk::read_big),
    row("b.seqread_warm", 1, Before::Nothing, BIG, bulk::read_big),
    row("f.rndread_64k_cold", 1, Before::Cold, BIG, random::read_64k),
    row("f.rndwrite_64k+fsync", 1, Before::Nothing, BIG, random::write_64k),
    row("f.rndwrite_4k_unal+fsync", 1, Before::Nothing, BIG, random::write_4k_unaligned),
    row("c.par4_write", 4, Before::Nothing, None, bulk::write_quarter),
    row("d.frames_write_p4", 4, Before::Nothing, None, bulk::write_frames),
    row("d.frames_read_cold_p4", 4, Before::Cold, SEQUENCE, bulk::read_frames),
    row("g.shared_stripes_p4", 4, Before::Nothing, None, bulk::write_stripes),
    row("e.create4k_p4", 4, Before::Nothing, None, small::create_shared),
    row("e.create4k_p1", 1, Before::Nothing, None, small::create),
    row("e.stat_cold", 1, Before::Cold, SMALL, small::stat),
    row("e.stat_warm", 1, Before::Nothing, SMALL, small::stat),
    row("e.ls-l_cold", 1, Before::Cold, SMALL, small::list),
    row("e.read4k_cold", 1, Before::Cold, SMALL, small::read),
    row("e.unlink", 1, Before::Nothing, SMALL, small::unlink),
    row("h.append_1000B", 1, Before::Nothing, None, random::append),
    row("j.versioned_20x64m", 1, Before::Nothing, None, versions::overwrite_and_keep),
];

/// The rows that were asked for: by name, or all of a letter; all if nothing was.
pub(crate) fn chosen(names: &[String]) -> Result<Vec<Row>, String> {
    let is_meant = |row: &Row, name: &str| row.name == name || row.name.split('.').next() == Some(name);
    for name in names {
        if !ROWS.iter().any(|row| is_meant(row, name)) {
            let known: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
            return Err(format!("there is no row {name:?}; there are the letters a to j and {}", known.join(", ")));
        }
    }
    Ok(ROWS.into_iter().filter(|row| names.is_empty() || names.iter().any(|name| is_meant(row, name))).collect())
}

/// How a system keeps the state of a file before it is overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Keep {
    /// It keeps every state by itself.
    Always,
    /// By a copy.
    Copy,
    /// By `juicefs clone`.
    JuiceClone,
    /// By `mfsmakesnapshot`.
    MooseSnapshot,
    /// By a snapshot directory (`.snap`).
    SnapshotDirectory,
}

/// One worker's part of a row.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    /// Which part of how many.
    index: u64,
    of: u64,
    /// The folder of the round.
    folder: &'a Path,
    /// Sizes and counts are divided by this.
    shrink: u64,
    keep: Keep,
    data: Data,
    done: Done,
    ends: Instant,
}

/// What a worker did.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) bytes: u64,
    pub(crate) operations: u64,
    /// How long operations took in nanoseconds, of rows that are about single operations.
    pub(crate) latencies: Vec<u64>,
    /// What it took of the processors, with programs that it started.
    pub(crate) cpu_seconds: f64,
    /// When it began and ended, in seconds of the machine's monotonic clock.
    pub(crate) began: f64,
    pub(crate) ended: f64,
}

impl Part<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The part of `count` things that is this worker's.
    fn share(&self, count: u64) -> std::ops::Range<u64> {
        let each = (count / self.shrink).max(self.of) / self.of;
        self.index * each..(self.index + 1) * each
    }

    /// A size, shrunk, in whole mebibytes.
    fn size(&self, bytes: u64) -> u64 {
        (bytes / self.shrink).next_multiple_of(4 * MIB)
    }

    fn is_over(&self) -> bool {
        Instant::now() >= self.ends
    }

    /// Times an operation and notes that it happened.
    fn timed<T>(&mut self, operation: impl FnOnce(&mut Self) -> io::Result<T>) -> io::Result<T> {
        let began = Instant::now();
        let result = operation(self)?;
        self.done.operations += 1;
        self.done.latencies.push(began.elapsed().as_nanos() as u64);
        Ok(result)
    }
}

/// Longest that the loop of a row runs.
const CAP: Duration = Duration::from_secs(20);
/// Bytes that are there to be written, over and over; more than caches of processors hold.
const DATA_BYTES: usize = 64 << 20;
const STAMP_EVERY: usize = 4096;

/// What is written: random bytes, of which no 4 KiB are ever the same twice, as every block gets a number of its own.
#[derive(Debug)]
struct Data {
    bytes: Vec<u8>,
    at: usize,
    stamp: u64,
}

impl Data {
    fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bytes = vec![0; DATA_BYTES];
        random.fill(&mut bytes);
        Self { bytes, at: 0, stamp: random.u64(..) }
    }

    /// The next `length` bytes.
    fn next(&mut self, length: usize) -> &[u8] {
        if self.at + length > self.bytes.len() {
            self.at = 0;
        }
        let from = self.at;
        self.at += length.next_multiple_of(STAMP_EVERY);
        let block = &mut self.bytes[from..from + length];
        for piece in block.chunks_mut(STAMP_EVERY).filter(|piece| piece.len() >= 8) {
            self.stamp = self.stamp.wrapping_add(1);
            piece[..8].copy_from_slice(&self.stamp.to_le_bytes());
        }
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_block_is_written_twice() {
        let mut data = Data::new(1);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..3 * DATA_BYTES / (1 << 20) {
            for block in data.next(1 << 20).chunks(STAMP_EVERY) {
                assert!(seen.insert(block[..8].to_vec()), "a block came twice");
            }
        }
    }

    #[test]
    fn rows_are_chosen_by_name_and_by_letter() {
        let names = |asked: &[&str]| {
            let asked: Vec<String> = asked.iter().map(|name| (*name).to_owned()).collect();
            chosen(&asked).map(|rows| rows.iter().map(|row| row.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&["h", "e.unlink"]), Ok(vec!["e.unlink", "h.append_1000B"]));
        assert_eq!(names(&[]).map(|rows| rows.len()), Ok(ROWS.len()));
        assert!(names(&["x"]).is_err_and(|why| why.contains("\"x\"") && why.contains("e.unlink")));
    }

    #[test]
    fn every_row_does_its_work_on_any_folder_and_what_it_wrote_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let part = |index, of| Part {
            index,
            of,
            folder: folder.path(),
            shrink: 256,
            keep: Keep::Copy,
            data: Data::new(index),
            done: Done::default(),
            ends: Instant::now() + CAP,
        };
        for row in ROWS {
            if let Some((setup, _)) = row.setup.filter(|_| row.needs_setup(folder.path())) {
                setup(&mut part(0, 1)).unwrap_or_else(|error| panic!("before {}: {error}", row.name));
            }
            for index in 0..row.processes {
                let mut part = part(index, row.processes);
                (row.work)(&mut part).unwrap_or_else(|error| panic!("{}: {error}", row.name));
                assert!(part.done.bytes + part.done.operations > 0, "{} did nothing", row.name);
            }
        }
    }
}
