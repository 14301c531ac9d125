//! `weft umount`: always works. A mount in use is detached instead: the path is free at once, the rest follows when the last
//! file is closed.

use super::args::UmountArgs;
use super::error::CliError;
use super::mounts::{self, FS_TYPE};
use super::output;
use super::target::{MOUNT_XATTR, Url};
use rustix::mount::UnmountFlags;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

/// A mount that does not tell its process within this span is not asked further.
const ASKING: Duration = Duration::from_secs(2);
/// The mount's process may take this long to give back its session and stores.
const ENDING: Duration = Duration::from_secs(15);

/// How a mount was taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unmounted {
    /// It is gone.
    Gone,
    /// Programs still have files open; it goes when they close them.
    Detached,
}

/// Runs `weft umount`.
///
/// # Errors
/// [`CliError`] if nothing of ours is mounted there, or the system refuses.
pub(super) fn run(args: &UmountArgs) -> Result<(), CliError> {
    let path = mounts::real_path(&args.mountpoint)?;
    match mounts::at(&path)? {
        Some(mount) if mount.fs_type == FS_TYPE || mount.fs_type == "fuse" => {}
        Some(mount) => {
            let reason = format!("it is a {} mount, not a WeftFS one", mount.fs_type);
            return Err(CliError::Unmount { path, reason });
        }
        None => return Err(CliError::Unmount { path, reason: "nothing is mounted there".into() }),
    }
    let process = process_of(&path);
    match unmount(&path)? {
        Unmounted::Gone => wait_for_end(process),
        Unmounted::Detached => output::complain(&format!(
            "{} was busy and is detached: the path is free, and the mount ends when the last program closes its files",
            path.display()
        )),
    }
    Ok(())
}

/// Unmounts, or detaches what is busy.
///
/// # Errors
/// [`CliError::Unmount`].
pub(super) fn unmount(path: &Path) -> Result<Unmounted, CliError> {
    let failed = |reason: String| CliError::Unmount { path: path.to_owned(), reason };
    if rustix::process::geteuid().is_root() {
        return match rustix::mount::unmount(path, UnmountFlags::empty()) {
            Ok(()) => Ok(Unmounted::Gone),
            Err(_) => {
                let detached = rustix::mount::unmount(path, UnmountFlags::DETACH);
                detached.map(|()| Unmounted::Detached).map_err(|error| failed(std::io::Error::from(error).to_string()))
            }
        };
    }
    match fusermount(path, &["-u"]) {
        Ok(()) => Ok(Unmounted::Gone),
        Err(_) => fusermount(path, &["-u", "-z"]).map(|()| Unmounted::Detached).map_err(failed),
    }
}

/// `fusermount3` may unmount what its user mounted.
fn fusermount(path: &Path, options: &[&str]) -> Result<(), String> {
    let missing = |error| format!("fusermount3: {error}; install the package fuse3 (Debian: apt install fuse3)");
    let done = Command::new("fusermount3").args(options).arg("--").arg(path).output().map_err(missing)?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).trim().to_owned()) }
}

/// The process that serves a mount of this host, if the mount tells.
fn process_of(path: &Path) -> Option<u32> {
    let (sender, receiver) = sync_channel(1);
    let path = path.to_owned();
    std::thread::spawn(move || sender.send(ask_process(&path)));
    receiver.recv_timeout(ASKING).ok().flatten()
}

fn ask_process(path: &PathBuf) -> Option<u32> {
    let mut value = vec![0; 4096];
    let length = rustix::fs::getxattr(path, MOUNT_XATTR, value.as_mut_slice()).ok()?;
    std::str::from_utf8(&value[..length]).ok()?.parse::<Url>().ok()?.process
}

/// Waits until the process is gone, so that its store folder is free when we return.
fn wait_for_end(process: Option<u32>) {
    let Some(process) = process else { return };
    let status = PathBuf::from(format!("/proc/{process}/stat"));
    let start = Instant::now();
    while is_running(&status) && start.elapsed() < ENDING {
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether there is such a process and it is no zombie.
fn is_running(status: &Path) -> bool {
    std::fs::read_to_string(status).is_ok_and(|text| text.rsplit(") ").next().is_some_and(|rest| !rest.starts_with('Z')))
}
