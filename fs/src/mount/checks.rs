//! What is looked at before mounting, and what is asked of the system around it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{MountError, MountedSource};

/// The kernel's read-ahead for the mount; its default of 128 KiB halves cold reads.
const READ_AHEAD_KIB: u32 = 1024;
const DEVICE: &str = "/dev/fuse";
const HELPER: &str = "fusermount3";

/// A line of `/proc/self/mountinfo`.
#[derive(Debug, PartialEq, Eq)]
struct Mounted {
    device: String,
    mountpoint: PathBuf,
    kind: String,
    source: String,
}

/// Whether something can be mounted at `path`.
pub(super) fn mountpoint(path: &Path) -> Result<(), MountError> {
    match std::fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => return Err(MountError::NotDirectory(path.to_owned())),
        Ok(_) => {}
        Err(error) => return Err(unusable(path, error)),
    }
    let absolute = path.canonicalize().map_err(|error| unusable(path, error))?;
    match topmost(&absolute) {
        Some(mounted) if mounted.kind == "fuse.weft" => {
            Err(MountError::Mounted { mountpoint: absolute, source: MountedSource(mounted.source) })
        }
        _ => Ok(()),
    }
}

fn unusable(path: &Path, error: io::Error) -> MountError {
    match error.raw_os_error() {
        Some(libc::ENOENT) => MountError::Missing(path.to_owned()),
        Some(libc::ENOTCONN) => MountError::Dead(path.to_owned()),
        _ => MountError::Unusable { path: path.to_owned(), error },
    }
}

/// Whether this process has the means to mount.
pub(super) fn means(allow_other: bool) -> Result<(), MountError> {
    if !Path::new(DEVICE).exists() {
        return Err(MountError::NoDevice);
    }
    if is_root() {
        return Ok(());
    }
    if !has_helper() {
        return Err(MountError::NoHelper);
    }
    // The helper opens the device with the user's own rights.
    if File::options().read(true).write(true).open(DEVICE).is_err_and(|error| error.kind() == ErrorKind::PermissionDenied) {
        return Err(MountError::DeviceForbidden);
    }
    if allow_other && !allows_other(&std::fs::read_to_string("/etc/fuse.conf").unwrap_or_default()) {
        return Err(MountError::AllowOther);
    }
    Ok(())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

fn has_helper() -> bool {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/bin", "/usr/bin", "/sbin", "/usr/sbin"].map(PathBuf::from);
    std::env::split_paths(&folders).chain(usual).any(|folder| folder.join(HELPER).exists())
}

/// Whether `/etc/fuse.conf` has the line that lets users share their mounts.
fn allows_other(configuration: &str) -> bool {
    configuration.lines().any(|line| line.trim() == "user_allow_other")
}

/// Whether this process may open the device itself.
pub(super) fn may_open_device() -> bool {
    OpenOptions::new().read(true).write(true).open(DEVICE).is_ok()
}

/// The source as a mount option: the helper takes options apart at commas, the kernel does not.
pub(super) fn source_option(source: &str) -> String {
    if is_root() { source.to_owned() } else { source.replace('\\', "\\\\").replace(',', "\\,") }
}

/// Lets the kernel read further ahead than it lets a filesystem ask for. Only root may; others read a little slower.
pub(super) fn raise_read_ahead(mountpoint: &Path) {
    // Not by stat: the answer would have to come from this very mount.
    let Some(mounted) = topmost(mountpoint) else { return };
    let knob = format!("/sys/class/bdi/{}/read_ahead_kb", mounted.device);
    let Ok(mut file) = File::options().write(true).open(knob) else { return };
    if let Err(error) = io::Write::write_all(&mut file, READ_AHEAD_KIB.to_string().as_bytes()) {
        tracing::debug!(%error, "the kernel keeps its own read-ahead");
    }
}

/// Detaches a mount that is in use.
pub(super) fn detach(mountpoint: &Path) -> io::Result<()> {
    let helper = Command::new(HELPER).args(["-u", "-z", "-q", "--"]).arg(mountpoint).output();
    let output = match helper {
        Ok(output) if !output.status.success() && is_root() => Command::new("umount").arg("-l").arg(mountpoint).output()?,
        Err(_) if is_root() => Command::new("umount").arg("-l").arg(mountpoint).output()?,
        output => output?,
    };
    if output.status.success() {
        return Ok(());
    }
    Err(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// What is mounted at `path`, last mounted first.
fn topmost(path: &Path) -> Option<Mounted> {
    let table = std::fs::read("/proc/self/mountinfo").ok()?;
    let table = String::from_utf8_lossy(&table);
    table.lines().rev().filter_map(parse).find(|mounted| mounted.mountpoint == path)
}

/// Takes a line of mountinfo apart: `id parent maj:min root mountpoint options tags… - kind source options`.
fn parse(line: &str) -> Option<Mounted> {
    let (front, back) = line.split_once(" - ")?;
    let mut front = front.split(' ').skip(2);
    let device = front.next()?.to_owned();
    let mountpoint = PathBuf::from(unescape(front.nth(1)?));
    let mut back = back.split(' ');
    let (kind, source) = (back.next()?.to_owned(), unescape(back.next()?));
    Some(Mounted { device, mountpoint, kind, source })
}

/// Undoes mountinfo's octal escapes of blanks and backslashes.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .into_iter()
        .fold(text.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mountinfo_line_is_taken_apart() {
        let line = r"36 35 0:54 / /mnt/a\040b rw,nosuid shared:1 - fuse.weft weft://host/show rw,user_id=0";
        let mounted = parse(line).expect("a line");
        assert_eq!(mounted.device, "0:54");
        assert_eq!(mounted.mountpoint, Path::new("/mnt/a b"));
        assert_eq!(mounted.kind, "fuse.weft");
        assert_eq!(mounted.source, "weft://host/show");
    }

    #[test]
    fn a_comment_allows_nothing() {
        assert!(!allows_other("#user_allow_other\n"));
        assert!(allows_other("mount_max = 5\n user_allow_other \n"));
    }

    #[test]
    fn bad_mountpoints_are_told_apart() {
        let folder = tempfile::tempdir().expect("a folder");
        let missing = folder.path().join("no");
        assert!(matches!(mountpoint(&missing), Err(MountError::Missing(_))));
        let file = folder.path().join("file");
        std::fs::write(&file, "x").expect("a file");
        assert!(matches!(mountpoint(&file), Err(MountError::NotDirectory(_))));
        assert!(mountpoint(folder.path()).is_ok());
        let message = mountpoint(&missing).expect_err("missing").to_string();
        assert!(message.contains("mkdir -p"), "{message}");
    }
}
