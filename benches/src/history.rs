//! What history costs at run time: rates of changes on a mount whose volume keeps many versions, against one that keeps few.

use crate::report::median;
use std::error::Error;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::Instant;
use weft_mount_tests::mount::Mount;

/// How much history, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// An existing folder for the volumes; everything made in it is removed again.
    #[arg(long)]
    dir: PathBuf,
    /// Versions that the old volume keeps.
    #[arg(long, default_value_t = 100_000)]
    versions: u64,
    /// Rounds; the medians are printed.
    #[arg(long, default_value_t = 9)]
    rounds: usize,
    /// Operations of each kind in a round.
    #[arg(long, default_value_t = 300)]
    operations: u64,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Files that are overwritten; making them, in two versions each, is the history that the young volume has.
const FILES: u64 = 5;
const FILE_BYTES: u64 = 1 << 20;
const WRITE_BYTES: usize = 4096;
const OPERATIONS: [(&str, Operation); 4] =
    [("create", create), ("overwrite 4 KiB", overwrite), ("rename", rename), ("unlink", unlink)];

type Operation = fn(&Path, u64) -> std::io::Result<()>;

fn create(root: &Path, number: u64) -> std::io::Result<()> {
    File::create(root.join(format!("new{number}"))).map(drop)
}

/// One write and close: one version.
fn overwrite(root: &Path, number: u64) -> std::io::Result<()> {
    let file = OpenOptions::new().write(true).open(root.join(format!("file{}", number % FILES)))?;
    let offset = (number / FILES).wrapping_mul(0x9e37_79b9_7f4a_7c15) % (FILE_BYTES / WRITE_BYTES as u64) * WRITE_BYTES as u64;
    file.write_all_at(&[number as u8; WRITE_BYTES], offset)
}

fn rename(root: &Path, number: u64) -> std::io::Result<()> {
    fs::rename(root.join(format!("new{number}")), root.join(format!("moved{number}")))
}

fn unlink(root: &Path, number: u64) -> std::io::Result<()> {
    fs::remove_file(root.join(format!("moved{number}")))
}

pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    let folder = tempfile::tempdir_in(&arguments.dir)?;
    let old = folder.path().join("old");
    age(&old, arguments.versions)?;
    let mut rates = vec![(Vec::new(), Vec::new()); OPERATIONS.len()];
    for round in 0..arguments.rounds {
        let young = folder.path().join(format!("young{round}"));
        age(&young, 0)?;
        // Whoever comes first in one round comes second in the next.
        let order = if round % 2 == 0 { [&old, &young] } else { [&young, &old] };
        for store in order {
            for (all, rate) in rates.iter_mut().zip(measure(store, arguments.operations)?) {
                if *store == old { all.0.push(rate) } else { all.1.push(rate) }
            }
        }
    }
    println!("{:16} {:>14} {:>14} {:>6}", "operation", "young volume", "old volume", "ratio");
    for ((name, _), (old, young)) in OPERATIONS.iter().zip(rates) {
        let (old, young) = (median(old), median(young));
        println!("{name:16} {young:>12.0}/s {old:>12.0}/s {:>6.3}", old / young);
    }
    println!(
        "the old volume keeps {} versions, the young one {}, when a round begins (medians of {})",
        arguments.versions,
        FILES * 2,
        arguments.rounds
    );
    Ok(())
}

fn mount(store: &Path) -> Mount {
    Mount::local_quiet(store, &store.with_extension("mnt"), &["--page-size", "64KiB"])
}

/// A volume with its files, and `versions` overwrites of them.
fn age(store: &Path, versions: u64) -> Outcome<()> {
    let mount = mount(store);
    // In two halves of alternating blocks: from the beginning a page consists of as many pieces as after any number of overwrites, so
    // that the two volumes differ by their history alone and not by the shape of the newest version.
    for half in [0, 1] {
        for number in 0..FILES {
            let file =
                OpenOptions::new().write(true).create(true).truncate(false).open(mount.path().join(format!("file{number}")))?;
            let blocks = (0..FILE_BYTES / WRITE_BYTES as u64).filter(|block| block % 2 == half);
            blocks.map(|block| block * WRITE_BYTES as u64).try_for_each(|offset| file.write_all_at(&[7; WRITE_BYTES], offset))?;
        }
    }
    for number in 0..versions {
        overwrite(mount.path(), number)?;
    }
    mount.unmount();
    Ok(())
}

/// Operations a second, of each kind.
fn measure(store: &Path, operations: u64) -> Outcome<Vec<f64>> {
    let mount = mount(store);
    // What is loaded at first use is no matter of history.
    for number in 0..FILES {
        overwrite(mount.path(), number)?;
    }
    let mut rates = Vec::new();
    for (_, operation) in OPERATIONS {
        let start = Instant::now();
        (0..operations).try_for_each(|number| operation(mount.path(), number))?;
        rates.push(operations as f64 / start.elapsed().as_secs_f64());
    }
    mount.unmount();
    Ok(rates)
}
