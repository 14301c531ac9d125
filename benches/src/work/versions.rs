//! A file that is overwritten again and again, every state of it kept.

use super::bulk::close;
use super::{Keep, MIB, Part, STATE_BYTES, STATES};
use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};

pub(super) fn overwrite_and_keep(part: &mut Part<'_>) -> io::Result<()> {
    let (file, kept) = (part.path("states/current"), part.path("states/kept"));
    fs::create_dir_all(&kept)?;
    write(part, &file)?;
    part.done.bytes = 0;
    for state in part.share(STATES) {
        if part.is_over() {
            break;
        }
        keep(part.keep, &file, &kept.join(format!("state{state:02}")))?;
        write(part, &file)?;
        part.done.operations += 1;
    }
    Ok(())
}

/// Overwrites the file in place: every state is as long as the first one.
fn write(part: &mut Part<'_>, path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    for offset in (0..part.size(STATE_BYTES)).step_by(MIB as usize) {
        file.write_all_at(part.data.next(MIB as usize), offset)?;
        part.done.bytes += MIB;
    }
    close(file)
}

/// Removes a round's folder. Snapshots that belong to a directory go first: it counts as not empty while it has any.
pub(crate) fn remove(folder: &Path, keep: Keep) -> io::Result<()> {
    let snapshots = folder.join("states/.snap");
    if keep == Keep::SnapshotDirectory && snapshots.exists() {
        for snapshot in fs::read_dir(snapshots)? {
            fs::remove_dir(snapshot?.path())?;
        }
    }
    fs::remove_dir_all(folder)
}

fn keep(how: Keep, from: &Path, to: &Path) -> io::Result<()> {
    let mut command = match how {
        Keep::Always => return Ok(()),
        // `fs::copy` would ask the kernel to copy inside the filesystem, which some cannot and some do by sharing: that is theirs to win.
        Keep::Copy => return fs::copy(from, to).map(drop),
        Keep::JuiceClone => {
            let mut command = Command::new("juicefs");
            command.arg("clone").arg(from).arg(to);
            command
        }
        Keep::MooseSnapshot => {
            let mut command = Command::new("mfsmakesnapshot");
            command.arg(from).arg(to);
            command
        }
        Keep::SnapshotDirectory => {
            let folder = from.parent().unwrap_or(from).join(".snap");
            return fs::create_dir(folder.join(to.file_name().unwrap_or_default()));
        }
    };
    let status = command.stdout(Stdio::null()).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other(format!("{command:?} ended with {status}"))) }
}
