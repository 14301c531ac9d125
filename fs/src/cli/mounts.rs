//! What is mounted, as the kernel tells in `/proc/self/mountinfo`. Asking a path itself could block on a mount that is gone.

use super::error::CliError;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Filesystem type of our mounts.
pub(super) const FS_TYPE: &str = "fuse.weft";

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mounted {
    /// Where.
    pub path: PathBuf,
    /// Type: `ext4`, `fuse.weft`.
    pub fs_type: String,
}

/// The topmost mount exactly at `path`, if there is one. `path` must be absolute and without symlinks.
///
/// # Errors
/// [`CliError::Io`] if the kernel's table cannot be read.
pub(super) fn at(path: &Path) -> Result<Option<Mounted>, CliError> {
    let table = std::fs::read("/proc/self/mountinfo").map_err(CliError::io("/proc/self/mountinfo"))?;
    Ok(parse(&table).into_iter().rfind(|mount| mount.path == path))
}

/// `path` made absolute, symlinks resolved. What the kernel's table lists as a mount is taken as it is: to look at it could
/// block for ever on a process that has stopped.
///
/// # Errors
/// [`CliError::Io`] if the folder that it lies in does not exist.
pub(super) fn real_path(path: &Path) -> Result<PathBuf, CliError> {
    let absolute = std::path::absolute(path).map_err(CliError::io(path.display().to_string()))?;
    match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) => {
            let real = parent.canonicalize().map_err(CliError::io(parent.display().to_string()))?.join(name);
            if at(&real)?.is_some() {
                return Ok(real);
            }
            let is_link = real.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
            if is_link { real.canonicalize().map_err(CliError::io(real.display().to_string())) } else { Ok(real) }
        }
        _ => Ok(absolute),
    }
}

fn parse(table: &[u8]) -> Vec<Mounted> {
    table.split(|byte| *byte == b'\n').filter_map(parse_line).collect()
}

/// `36 35 98:0 /root /mount/point options optional… - type source super-options`.
fn parse_line(line: &[u8]) -> Option<Mounted> {
    let fields: Vec<&[u8]> = line.split(|byte| *byte == b' ').collect();
    let dash = fields.iter().position(|field| *field == b"-")?;
    let path = PathBuf::from(OsString::from_vec(unescape(fields.get(4)?)));
    Some(Mounted { path, fs_type: String::from_utf8_lossy(fields.get(dash + 1)?).into_owned() })
}

/// The kernel writes blank, tab, newline and backslash as `\` and three octal digits.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(field.len());
    let mut rest = field;
    while let [first, tail @ ..] = rest {
        match rest {
            [b'\\', a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..] => {
                text.push((a - b'0') * 64 + (b - b'0') * 8 + (c - b'0'));
                rest = tail;
            }
            _ => {
                text.push(*first);
                rest = tail;
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_read() {
        let table = b"22 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
            40 22 0:50 / /mnt/my\\040show rw,nosuid shared:7 master:3 - fuse.weft weft://a/show rw\ngarbage\n";
        let mounts = parse(table);
        assert_eq!(mounts.len(), 2);
        assert_eq!(mounts[1], Mounted { path: "/mnt/my show".into(), fs_type: FS_TYPE.into() });
        assert_eq!(unescape(b"a\\134b\\9"), b"a\\b\\9");
    }

    #[test]
    fn the_root_is_mounted_and_a_new_folder_is_not() {
        assert!(at(Path::new("/proc")).unwrap().is_some());
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(at(&real_path(folder.path()).unwrap()).unwrap(), None);
    }
}
