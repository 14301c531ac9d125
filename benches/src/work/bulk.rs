//! Large files: one writer, several, sequences of frames, stripes of one file.

use super::{BIG_BYTES, FRAME_BYTES, FRAMES, MIB, Part};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::FileExt;

/// What a renderer writes at a time: the buffer of its image library.
const FRAME_WRITE: usize = 128 << 10;

fn write(part: &mut Part<'_>, name: &str, bytes: u64, step: usize, sync: bool) -> io::Result<()> {
    let mut file = File::create(part.path(name))?;
    let mut written = 0;
    while written < bytes && !part.is_over() {
        file.write_all(part.data.next(step))?;
        written += step as u64;
    }
    if sync {
        file.sync_all()?;
    }
    part.done.bytes += written;
    close(file)
}

/// Closes a file and hears of its errors, which dropping it does not.
pub(super) fn close(file: File) -> io::Result<()> {
    // `flush` of FUSE is what tells them; a second descriptor's close brings it just as well, and can be asked for its outcome.
    use std::os::fd::IntoRawFd;
    let descriptor = file.into_raw_fd();
    nix::unistd::close(descriptor).map_err(io::Error::from)
}

fn read(part: &mut Part<'_>, name: &str, step: usize) -> io::Result<()> {
    let mut file = File::open(part.path(name))?;
    let (size, mut read) = (file.metadata()?.len(), 0);
    let mut buffer = vec![0; step];
    while !part.is_over() {
        match file.read(&mut buffer)? {
            0 if read < size => return Err(io::Error::other(format!("{name} has {size} bytes and ended after {read}"))),
            0 => break,
            length => read += length as u64,
        }
    }
    part.done.bytes += read;
    Ok(())
}

pub(super) fn write_by_64k(part: &mut Part<'_>) -> io::Result<()> {
    write(part, "by64k", part.size(BIG_BYTES), 64 << 10, false)
}

pub(super) fn write_and_sync(part: &mut Part<'_>) -> io::Result<()> {
    write(part, "synced", part.size(BIG_BYTES), MIB as usize, true)
}

pub(super) fn write_big(part: &mut Part<'_>) -> io::Result<()> {
    write(part, "big", part.size(BIG_BYTES), MIB as usize, false)
}

pub(super) fn read_big(part: &mut Part<'_>) -> io::Result<()> {
    read(part, "big", MIB as usize)
}

pub(super) fn write_quarter(part: &mut Part<'_>) -> io::Result<()> {
    write(part, &format!("quarter{}", part.index), part.size(BIG_BYTES / 4), MIB as usize, false)
}

fn frame(number: u64) -> String {
    format!("frames/frame.{number:05}.exr")
}

pub(super) fn write_frames(part: &mut Part<'_>) -> io::Result<()> {
    fs::create_dir_all(part.path("frames"))?;
    for number in part.share(FRAMES) {
        if part.is_over() {
            break;
        }
        write(part, &frame(number), FRAME_BYTES, FRAME_WRITE, false)?;
        part.done.operations += 1;
    }
    Ok(())
}

pub(super) fn read_frames(part: &mut Part<'_>) -> io::Result<()> {
    for number in part.share(FRAMES) {
        // The writers may have been stopped before they came to it.
        if part.is_over() || !part.path(&frame(number)).exists() {
            break;
        }
        read(part, &frame(number), FRAME_WRITE)?;
        part.done.operations += 1;
    }
    Ok(())
}

/// Each worker writes every fourth mebibyte of one file.
pub(super) fn write_stripes(part: &mut Part<'_>) -> io::Result<()> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).open(part.path("stripes"))?;
    let (first, step) = ((part.index * MIB), (part.of * MIB) as usize);
    for offset in (first..part.size(BIG_BYTES / 2)).step_by(step) {
        if part.is_over() {
            break;
        }
        file.write_all_at(part.data.next(MIB as usize), offset)?;
        part.done.bytes += MIB;
    }
    close(file)
}
