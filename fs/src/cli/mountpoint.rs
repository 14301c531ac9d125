//! Whether a mount can come up at a place: asked before anything is started, so that the answer is one clear message.

use super::error::CliError;
use super::mounts;
use std::path::{Path, PathBuf};

/// The absolute path of a mountpoint that can be used. With `make`, a missing folder is made.
///
/// # Errors
/// [`CliError::MountPoint`] says what is in the way.
pub(super) fn prepare(path: &Path, make: bool) -> Result<PathBuf, CliError> {
    let wrong = |problem: String| CliError::MountPoint { path: path.to_owned(), problem };
    if make && !path.exists() && path.symlink_metadata().is_err() {
        std::fs::create_dir_all(path).map_err(|error| wrong(format!("cannot be made: {error}")))?;
    }
    let real = mounts::real_path(path).map_err(|error| wrong(error.to_string()))?;
    if let Some(mount) = mounts::at(&real)? {
        let problem = match mount.fs_type.starts_with("fuse") {
            true => format!("a {} filesystem is mounted there already; `weft umount {}` ends it", mount.fs_type, real.display()),
            false => format!("a {} filesystem is mounted there already", mount.fs_type),
        };
        return Err(wrong(problem));
    }
    match real.metadata() {
        Ok(metadata) if metadata.is_dir() => Ok(real),
        Ok(_) => Err(wrong("is no directory".into())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(wrong("does not exist; make it with mkdir".into())),
        Err(error) => Err(wrong(error.to_string())),
    }
}

/// Whether this machine can mount at all.
///
/// # Errors
/// [`CliError::NoFuse`] says what is missing and which package has it.
pub(super) fn check_fuse() -> Result<(), CliError> {
    if !Path::new("/dev/fuse").exists() {
        return Err(CliError::NoFuse(
            "/dev/fuse is missing: load the kernel module with `modprobe fuse` (in a container, pass the device in)",
        ));
    }
    if !rustix::process::geteuid().is_root() && !mounts::is_installed("fusermount3") {
        return Err(CliError::NoFuse("fusermount3 is missing: install the package fuse3 (Debian: apt install fuse3)"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_can_be_used_and_is_made_if_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let real = folder.path().canonicalize().unwrap();
        assert_eq!(prepare(&real, false).unwrap(), real);
        assert_eq!(prepare(&real.join("a/b"), true).unwrap(), real.join("a/b"));
    }

    #[test]
    fn what_is_in_the_way_is_said() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "x").unwrap();
        let message = |path: &Path| prepare(path, false).unwrap_err().to_string();
        assert!(message(&folder.path().join("none")).contains("does not exist"));
        assert!(message(&file).contains("no directory"));
        assert!(message(Path::new("/proc")).contains("mounted there already"));
    }
}
