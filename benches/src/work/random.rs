//! Small pieces of a large file: at random places, and at its end.

use super::bulk::close;
use super::{Part, RANDOM_OPERATIONS};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

const PIECE: usize = 64 << 10;
/// Off the boundaries of the kernel's pages.
const UNALIGNED: u64 = 1000;

fn places(part: &Part<'_>, file: &File, step: usize) -> io::Result<impl Iterator<Item = u64> + use<>> {
    // Whoever wrote it may have been stopped.
    let steps = (file.metadata()?.len() / step as u64).saturating_sub(1).max(1);
    let count = RANDOM_OPERATIONS / part.shrink;
    let mut random = fastrand::Rng::with_seed(part.data.stamp);
    Ok((0..count.max(1)).map(move |_| random.u64(0..steps) * step as u64))
}

pub(super) fn read_64k(part: &mut Part<'_>) -> io::Result<()> {
    let file = File::open(part.path("big"))?;
    let mut buffer = vec![0; PIECE];
    for offset in places(part, &file, PIECE)? {
        if part.is_over() {
            break;
        }
        part.timed(|_| file.read_exact_at(&mut buffer, offset))?;
        part.done.bytes += PIECE as u64;
    }
    Ok(())
}

fn write(part: &mut Part<'_>, length: usize, shift: u64) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(part.path("big"))?;
    for offset in places(part, &file, length)? {
        if part.is_over() {
            break;
        }
        part.timed(|part| file.write_all_at(part.data.next(length), offset + shift))?;
        part.done.bytes += length as u64;
    }
    file.sync_all()?;
    close(file)
}

pub(super) fn write_64k(part: &mut Part<'_>) -> io::Result<()> {
    write(part, PIECE, 0)
}

pub(super) fn write_4k_unaligned(part: &mut Part<'_>) -> io::Result<()> {
    write(part, 4096, UNALIGNED)
}

/// Opens, appends and closes, as a program that logs from a script does.
pub(super) fn append(part: &mut Part<'_>) -> io::Result<()> {
    let path = part.path("log");
    for _ in part.share(RANDOM_OPERATIONS) {
        if part.is_over() {
            break;
        }
        part.timed(|part| {
            let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
            file.write_all(part.data.next(1000))?;
            close(file)
        })?;
        part.done.bytes += 1000;
    }
    Ok(())
}
