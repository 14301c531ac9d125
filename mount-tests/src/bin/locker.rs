//! A process that takes locks as it is told, so that tests can have several: POSIX locks belong to processes.
//!
//! Reads commands from standard input, one to a line, and answers each with one line: `ok`, what was asked for, or the error's name.
//!
//! ```text
//! open NAME PATH                      close NAME
//! lock NAME HOW KIND FIRST LENGTH     HOW: posix, ofd, wait (posix, F_SETLKW); KIND: read, write, none; length 0 is "to the end"
//! flock NAME KIND                     KIND: read, write, none; does not wait
//! test NAME KIND FIRST LENGTH         who is in the way: `free`, or kind and process
//! read NAME                           the first line of the file
//! write NAME TEXT                     at offset 0
//! ```

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Write};
use std::os::unix::fs::FileExt;

fn main() {
    let mut files = HashMap::new();
    for line in io::stdin().lock().lines() {
        let line = line.expect("a command");
        let words: Vec<&str> = line.split(' ').collect();
        let answer = obey(&mut files, &words).unwrap_or_else(|error| error.to_string());
        let mut out = io::stdout().lock();
        writeln!(out, "{answer}").and_then(|()| out.flush()).expect("an answer");
    }
}

fn obey(files: &mut HashMap<String, File>, words: &[&str]) -> Result<String, Problem> {
    match words {
        ["open", name, path] => {
            files.insert((*name).to_owned(), OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?);
        }
        ["close", name] => drop(files.remove(*name)),
        ["lock", name, how, kind, first, length] => {
            let (file, lock) = (file(files, name)?, lock(kind, first, length)?);
            let how = match *how {
                "posix" => FcntlArg::F_SETLK(&lock),
                "ofd" => FcntlArg::F_OFD_SETLK(&lock),
                "wait" => FcntlArg::F_SETLKW(&lock),
                _ => return Err(Problem::Command),
            };
            fcntl(file, how)?;
        }
        ["flock", name, kind] => {
            use rustix::fs::FlockOperation::{NonBlockingLockExclusive, NonBlockingLockShared, NonBlockingUnlock};
            let operation = match *kind {
                "read" => NonBlockingLockShared,
                "write" => NonBlockingLockExclusive,
                _ => NonBlockingUnlock,
            };
            rustix::fs::flock(file(files, name)?, operation).map_err(io::Error::from)?;
        }
        ["test", name, kind, first, length] => {
            let mut lock = lock(kind, first, length)?;
            fcntl(file(files, name)?, FcntlArg::F_GETLK(&mut lock))?;
            return Ok(match i32::from(lock.l_type) {
                libc::F_UNLCK => "free".to_owned(),
                libc::F_RDLCK => format!("read {}", lock.l_pid),
                _ => format!("write {}", lock.l_pid),
            });
        }
        ["read", name] => {
            let mut bytes = [0; 256];
            let length = file(files, name)?.read_at(&mut bytes, 0)?;
            let text = String::from_utf8_lossy(&bytes[..length]).into_owned();
            return Ok(text.lines().next().unwrap_or_default().to_owned());
        }
        ["write", name, text] => file(files, name)?.write_all_at(text.as_bytes(), 0)?,
        _ => return Err(Problem::Command),
    }
    Ok("ok".to_owned())
}

fn file<'a>(files: &'a HashMap<String, File>, name: &str) -> Result<&'a File, Problem> {
    files.get(name).ok_or(Problem::Command)
}

fn lock(kind: &str, first: &str, length: &str) -> Result<libc::flock, Problem> {
    let kind = match kind {
        "read" => libc::F_RDLCK,
        "write" => libc::F_WRLCK,
        _ => libc::F_UNLCK,
    };
    let number = |text: &str| text.parse::<i64>().map_err(|_| Problem::Command);
    Ok(libc::flock {
        l_type: kind as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: number(first)?,
        l_len: number(length)?,
        l_pid: 0,
    })
}

/// Why a command was not obeyed; displayed as the error's name.
#[derive(Debug)]
enum Problem {
    Command,
    System(Errno),
}

impl std::fmt::Display for Problem {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Command => formatter.write_str("no such command"),
            Self::System(errno) => write!(formatter, "{errno:?}"),
        }
    }
}

impl From<Errno> for Problem {
    fn from(errno: Errno) -> Self {
        Self::System(errno)
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::System(Errno::from_raw(error.raw_os_error().unwrap_or_default()))
    }
}
