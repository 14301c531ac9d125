//! WeftFS against the machine's own limits.

use crate::run::side_by_side;
use crate::stop;
use crate::system::{Baseline, Disk, PageServer, System, Weft};
use std::error::Error;
use std::fs;
use std::path::Path;

/// What to measure, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    run: crate::run::Arguments,
    /// Systems: disk, null (FUSE alone), proto (FUSE, QUIC and files, no metadata), L (weft mount --local), C (a cluster),
    /// C2 (with two copies).
    #[arg(long, value_delimiter = ',', default_value = "disk,null,proto,L,C,C2")]
    systems: Vec<String>,
}

type Outcome<T> = Result<T, Box<dyn Error>>;

pub(crate) fn run(arguments: &Arguments) -> Outcome<()> {
    arguments.run.chosen_rows()?;
    stop::listen()?;
    let folder = tempfile::tempdir_in(&arguments.run.dir)?;
    let mut systems: Vec<Box<dyn System>> = Vec::new();
    for name in &arguments.systems {
        stop::check()?;
        systems.push(start(name, folder.path(), &arguments.run.mount_options)?);
    }
    let calls_to = PageServer::start(&folder.path().join("calls"))?;
    side_by_side("WeftFS beside the limits of its parts", &arguments.run, &mut systems, Some(&calls_to))
}

/// Starts a system by the name that `--systems` has for it; everything of it is in `folder`.
pub(crate) fn start(name: &str, folder: &Path, options: &[String]) -> Outcome<Box<dyn System>> {
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
