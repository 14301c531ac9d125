//! What the clients do: write their parts of one file at the same moment, or read it.
//!
//! A client is a thread of this process that writes through its own `weft mount`, which is a process in its own namespace; so the kernel's FUSE, the
//! mount's buffers and the whole client library are part of what is measured. All write the same file, as in the paper: each a stretch of its
//! own, whose pages no other touches, with one `close` at the end that returns when its version is published.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Barrier;
use std::time::Instant;

/// Bytes of one call.
pub(crate) const CALL_BYTES: u64 = 1 << 20;
/// Random bytes that are written over and over, each client beginning elsewhere. A prime number of them, so that no two pages are alike.
const DATA_BYTES: usize = (8 << 20) + 9;
/// Pages that a client writes beforehand for each provider: who draws a provider four times at random misses one in fifty.
const GREETINGS: u64 = 4;
/// Clients that do so at a time: a hundred connections of each come about, and all at once would wait for one another until they gave up.
const GREETING_AT_ONCE: usize = 8;
/// What it writes of each of these pages.
const GREETING_BYTES: usize = 512;

/// What one client took, in seconds from the common start.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stint {
    pub(crate) began: f64,
    pub(crate) ended: f64,
}

impl Stint {
    pub(crate) fn seconds(&self) -> f64 {
        self.ended - self.began
    }
}

/// The bytes that are written.
#[derive(Debug)]
pub(crate) struct Data(Vec<u8>);

impl Data {
    pub(crate) fn new() -> Self {
        let mut bytes = vec![0; DATA_BYTES];
        fastrand::Rng::with_seed(1).fill(&mut bytes);
        // So that whatever begins before the end is there in one piece.
        bytes.extend_from_within(..CALL_BYTES as usize);
        Self(bytes)
    }

    /// The bytes at this place of any file.
    fn at(&self, offset: u64, length: u64) -> &[u8] {
        let from = (offset % DATA_BYTES as u64) as usize;
        &self.0[from..from + length as usize]
    }
}

/// Runs `client` for each of these mounts, each in a thread, all from the same moment.
fn together(mounts: &[PathBuf], client: impl Fn(usize, &Path) -> io::Result<()> + Sync) -> io::Result<Vec<Stint>> {
    let (line, start) = (Barrier::new(mounts.len()), Instant::now());
    let (line, client) = (&line, &client);
    std::thread::scope(|scope| {
        let run = |(number, mount): (usize, &PathBuf)| {
            let mount = mount.clone();
            scope.spawn(move || {
                line.wait();
                let began = start.elapsed().as_secs_f64();
                client(number, &mount)?;
                Ok(Stint { began, ended: start.elapsed().as_secs_f64() })
            })
        };
        let running: Vec<_> = mounts.iter().enumerate().map(run).collect();
        running.into_iter().map(|client| client.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

fn close(file: File) -> io::Result<()> {
    use std::os::fd::IntoRawFd;
    nix::unistd::close(file.into_raw_fd()).map_err(io::Error::from)
}

fn named<T>(mount: &Path, outcome: io::Result<T>) -> io::Result<T> {
    outcome.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", mount.display())))
}

/// Has every client talk to the providers once, so that what is measured is not the greeting of strangers.
pub(crate) fn greet(mounts: &[PathBuf], providers: usize, page_bytes: u64) -> io::Result<()> {
    let greet = |number: usize, mount: &Path| {
        let file = File::create(mount.join(format!("greeting{number}")))?;
        for page in 0..GREETINGS * providers as u64 {
            file.write_all_at(&[number as u8; GREETING_BYTES], page * page_bytes)?;
        }
        close(file)
    };
    for (turn, mounts) in mounts.chunks(GREETING_AT_ONCE).enumerate() {
        together(mounts, |number, mount| named(mount, greet(turn * GREETING_AT_ONCE + number, mount)))?;
    }
    Ok(())
}

/// Every client writes its `bytes` of the file `name`.
pub(crate) fn write(mounts: &[PathBuf], name: &str, bytes: u64, data: &Data) -> io::Result<Vec<Stint>> {
    File::create(mounts[0].join(name))?;
    let write = |number: usize, mount: &Path| {
        let file = OpenOptions::new().write(true).open(mount.join(name))?;
        let first = number as u64 * bytes;
        for offset in (first..first + bytes).step_by(CALL_BYTES as usize) {
            let length = CALL_BYTES.min(first + bytes - offset);
            file.write_all_at(data.at(offset, length), offset)?;
        }
        close(file)
    };
    together(mounts, |number, mount| named(mount, write(number, mount)))
}

/// Reads the file from beginning to end, and compares it with what was written.
pub(crate) fn read(mount: &Path, name: &str, bytes: u64, data: &Data) -> io::Result<Vec<Stint>> {
    let read = |mount: &Path| {
        let file = File::open(mount.join(name))?;
        let mut buffer = vec![0; CALL_BYTES as usize];
        for offset in (0..bytes).step_by(CALL_BYTES as usize) {
            let length = CALL_BYTES.min(bytes - offset);
            let piece = &mut buffer[..length as usize];
            file.read_exact_at(piece, offset)?;
            if piece != data.at(offset, length) {
                return Err(io::Error::other(format!(
                    "{name} is not what was written, somewhere in the {length} bytes at {offset}"
                )));
            }
        }
        Ok(())
    };
    together(&[mount.to_owned()], |_, mount| named(mount, read(mount)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_what_was_not_is_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let (mount, data) = (folder.path().to_owned(), Data::new());
        let bytes = (5 << 20) + 7;
        let stints = write(&[mount.clone(), mount.clone()], "file", bytes, &data).expect("it is written");
        assert_eq!(stints.len(), 2);
        assert!(stints.iter().all(|stint| stint.seconds() > 0.0));
        assert!(read(&mount, "file", bytes * 2, &data).is_ok());
        let file = OpenOptions::new().write(true).open(mount.join("file")).expect("the file");
        file.write_all_at(b"another", 3 << 20).expect("it is changed");
        assert!(read(&mount, "file", bytes * 2, &data).is_err_and(|why| why.to_string().contains("3145728")));
    }

    #[test]
    fn no_two_pages_are_alike() {
        let data = Data::new();
        let pages: std::collections::HashSet<&[u8]> = (0..2000).map(|page| data.at(page << 16, 64)).collect();
        assert_eq!(pages.len(), 2000);
    }
}
