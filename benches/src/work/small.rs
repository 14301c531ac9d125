//! Many small files in one directory.

use super::bulk::close;
use super::{Part, SMALL_BYTES, SMALL_FILES};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

fn create_in(part: &mut Part<'_>, folder: &str) -> io::Result<()> {
    fs::create_dir_all(part.path(folder))?;
    for number in part.share(SMALL_FILES) {
        if part.is_over() {
            break;
        }
        let path = part.path(folder).join(format!("small{number:05}"));
        part.timed(|part| {
            let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
            file.write_all(part.data.next(SMALL_BYTES))?;
            close(file)
        })?;
    }
    Ok(())
}

pub(super) fn create(part: &mut Part<'_>) -> io::Result<()> {
    create_in(part, "small1")
}

pub(super) fn create_shared(part: &mut Part<'_>) -> io::Result<()> {
    create_in(part, "small4")
}

/// Every file of the directory, by names that were made up and not listed: a listing would bring the attributes along.
fn files(part: &Part<'_>) -> impl Iterator<Item = PathBuf> + use<> {
    let folder = part.path("small1");
    part.share(SMALL_FILES).map(move |number| folder.join(format!("small{number:05}")))
}

fn each(part: &mut Part<'_>, operation: fn(PathBuf) -> io::Result<()>) -> io::Result<()> {
    for path in files(part) {
        if part.is_over() {
            break;
        }
        match part.timed(|_| operation(path)) {
            // Whoever made the files was stopped before it came to this one.
            Err(error) if error.kind() == io::ErrorKind::NotFound && part.done.operations > 0 => break,
            outcome => outcome?,
        }
    }
    Ok(())
}

pub(super) fn stat(part: &mut Part<'_>) -> io::Result<()> {
    each(part, |path| fs::symlink_metadata(path).map(drop))
}

pub(super) fn read(part: &mut Part<'_>) -> io::Result<()> {
    each(part, |path| fs::read(path).map(drop))
}

pub(super) fn unlink(part: &mut Part<'_>) -> io::Result<()> {
    each(part, fs::remove_file)
}

/// `ls -l`, the program.
pub(super) fn list(part: &mut Part<'_>) -> io::Result<()> {
    let output = Command::new("ls").arg("-l").arg(part.path("small1")).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("ls ended with {}", output.status)));
    }
    part.done.operations += output.stdout.iter().filter(|byte| **byte == b'\n').count() as u64 - 1;
    Ok(())
}
