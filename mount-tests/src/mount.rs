//! Mounts that never outlive their test.

use crate::binaries::path_of;
use crate::network::{Site, command_at};
use crate::process::Process;
use crate::wait::until;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What a mount logs if a test is to be understood by it.
pub(crate) const EVERYTHING: &str = "info,weft_common::client=debug,weft_fs=debug,fuser=error";
/// What it logs where there are very many operations.
pub(crate) const QUIET: &str = "info,fuser=error";

/// A mounted volume; unmounted when dropped.
#[derive(Debug)]
pub struct Mount {
    path: PathBuf,
    process: Process,
}

impl Mount {
    /// Mounts with `weft mount` and the given arguments before the mountpoint, and waits until it answers.
    ///
    /// # Panics
    /// When the mount does not come; its log is printed.
    #[must_use]
    pub fn start(arguments: &[&str], path: &Path, log: &Path) -> Self {
        Self::start_logging(None, EVERYTHING, arguments, path, log)
    }

    /// As [`Mount::start`], by a process at a place of a network, which logs what the filter says.
    pub(crate) fn start_logging(site: Option<&Site>, filter: &str, arguments: &[&str], path: &Path, log: &Path) -> Self {
        std::fs::create_dir_all(path).expect("a mountpoint");
        let mut command = command_at(site, path_of("weft"));
        command.arg("mount").args(arguments).arg(path).env("RUST_LOG", filter);
        let mut process = Process::start(command, log);
        until(&format!("{} is mounted", path.display()), || {
            let status = process.ended();
            assert!(status.is_none(), "weft mount ended with {status:?}:\n{}", process.output());
            is_mounted(path).then_some(())
        });
        Self { path: path.to_owned(), process }
    }

    /// `weft mount --local STORE`.
    ///
    /// # Panics
    /// As [`Mount::start`].
    #[must_use]
    pub fn local(store: &Path, path: &Path, options: &[&str]) -> Self {
        let log = path.with_extension("log");
        let store = store.to_str().expect("a path in UTF-8");
        Self::start(&[&["--local", store][..], options].concat(), path, &log)
    }

    /// As [`Mount::local`], with the log of a program in use: for measurements.
    ///
    /// # Panics
    /// As [`Mount::start`].
    #[must_use]
    pub fn local_quiet(store: &Path, path: &Path, options: &[&str]) -> Self {
        let log = path.with_extension("log");
        let store = store.to_str().expect("a path in UTF-8");
        Self::start_logging(None, "error", &[&["--local", store][..], options].concat(), path, &log)
    }

    /// Where it is mounted.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the mount's process printed.
    #[must_use]
    pub fn output(&self) -> String {
        self.process.output()
    }

    /// The mount's process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Unmounts as Ctrl-C does, and waits until the process has ended.
    ///
    /// # Panics
    /// When it fails, or the mount stays.
    pub fn unmount(mut self) {
        let status = self.process.terminate();
        assert!(status.success(), "weft mount ended with {status}:\n{}", self.process.output());
        assert!(!is_mounted(&self.path), "{} is still mounted", self.path.display());
    }

    /// Kills the process without warning and takes the dead mount away.
    pub fn crash(mut self) {
        self.process.kill();
        detach(&self.path);
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        self.process.kill();
        detach(&self.path);
    }
}

/// Whether a FUSE filesystem of ours is mounted there.
#[must_use]
pub fn is_mounted(path: &Path) -> bool {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let table = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    table.lines().any(|line| line.split(' ').nth(1).is_some_and(|mounted| Path::new(mounted) == path))
}

/// Takes a mount away whose process is gone.
pub fn detach(path: &Path) {
    if is_mounted(path) {
        // fusermount3 also works for plain users; umount helps where it is missing.
        for program in [&["fusermount3", "-u", "-z"][..], &["umount", "-l"][..]] {
            let done = Command::new(program[0]).args(&program[1..]).arg(path).output();
            if done.is_ok_and(|output| output.status.success()) {
                return;
            }
        }
    }
}
