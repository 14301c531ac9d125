//! FUSE's types and ours.

use fuser::{Errno, FileAttr, FileType, INodeNo, LockOwner, OpenAccMode, OpenFlags, TimeOrNow};
use std::time::SystemTime;
use weft_common::time::Timestamp;
use weft_common::wire::{Attributes, ErrorKind, FileKind, LockKind, LockRange};

use crate::errno::Failure;
use crate::filesystem::LockAsk;
use crate::handle::OpenMode;
use crate::inode::NodeId;

/// The unit of `st_blocks`.
const BLOCK_BYTES: u64 = 512;
/// `st_blksize`, in which programs buffer.
const PREFERRED_BYTES: u32 = 4096;

/// A number as the kernel sent it.
pub(super) fn node(number: INodeNo) -> NodeId {
    NodeId(number.0)
}

/// What the program sees of a failure.
pub(super) fn errno(failure: &Failure) -> Errno {
    Errno::from_i32(failure.errno())
}

/// Attributes under a number.
pub(super) fn file_attr(node: NodeId, attributes: &Attributes) -> FileAttr {
    FileAttr {
        ino: INodeNo(node.0),
        size: attributes.size,
        blocks: attributes.size.div_ceil(BLOCK_BYTES),
        atime: attributes.accessed.into(),
        mtime: attributes.modified.into(),
        ctime: attributes.changed.into(),
        crtime: attributes.born.into(),
        kind: file_type(attributes.kind),
        perm: attributes.mode,
        nlink: attributes.links,
        uid: attributes.uid,
        gid: attributes.gid,
        rdev: attributes.rdev,
        blksize: PREFERRED_BYTES,
        flags: 0,
    }
}

/// A kind of file.
pub(super) fn file_type(kind: FileKind) -> FileType {
    match kind {
        FileKind::File => FileType::RegularFile,
        FileKind::Directory => FileType::Directory,
        FileKind::Symlink => FileType::Symlink,
        FileKind::Fifo => FileType::NamedPipe,
        FileKind::Socket => FileType::Socket,
        FileKind::BlockDevice => FileType::BlockDevice,
        FileKind::CharacterDevice => FileType::CharDevice,
    }
}

/// Before 1970 fuser 0.18 takes the nanoseconds of a time that the kernel sets as if they went backwards too: what the kernel calls
/// -1 s and 999999999 ns it makes 1.999999999 s before 1970. This undoes it. What fuser tells the kernel is right.
fn from_fuser(time: SystemTime) -> Timestamp {
    match SystemTime::UNIX_EPOCH.duration_since(time) {
        Ok(before) if !before.is_zero() => {
            let seconds = i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
            Timestamp::from_parts(-seconds, before.subsec_nanos())
        }
        _ => time.into(),
    }
}

/// A time that is to be set.
pub(super) fn timestamp(time: TimeOrNow) -> Timestamp {
    match time {
        TimeOrNow::SpecificTime(time) => from_fuser(time),
        TimeOrNow::Now => SystemTime::now().into(),
    }
}

/// The flags of `open(2)`.
pub(super) fn open_mode(flags: OpenFlags) -> OpenMode {
    let access = flags.acc_mode();
    let has = |flag: i32| flags.0 & flag != 0;
    OpenMode {
        read: access != OpenAccMode::O_WRONLY,
        write: access != OpenAccMode::O_RDONLY,
        append: has(libc::O_APPEND),
        truncate: has(libc::O_TRUNC),
        // O_SYNC contains O_DSYNC's bit.
        sync: has(libc::O_DSYNC),
    }
}

/// The low 12 bits of `st_mode`.
pub(super) fn permissions(mode: u32) -> u16 {
    (mode & 0o7777) as u16
}

/// A lock as the kernel asks for it.
pub(super) fn lock_ask(owner: LockOwner, (first, last): (u64, u64), kind: i32, pid: u32, wait: bool) -> Result<LockAsk, Failure> {
    let kind = match kind {
        libc::F_RDLCK => Some(LockKind::Shared),
        libc::F_WRLCK => Some(LockKind::Exclusive),
        libc::F_UNLCK => None,
        _ => return Err(Failure::Refused(ErrorKind::InvalidArgument, "a lock is shared, exclusive, or given back")),
    };
    Ok(LockAsk { owner: owner.0, kind, range: LockRange { first, last }, pid, wait })
}

/// How the kernel calls a kind of lock.
pub(super) fn lock_type(kind: LockKind) -> i32 {
    match kind {
        LockKind::Shared => libc::F_RDLCK,
        LockKind::Exclusive => libc::F_WRLCK,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_before_1970_survive_the_library() {
        for nanoseconds in [-1, -999_999_999, -1_000_000_000, -1_000_000_001, 0, 1, 1_500_000_000] {
            let time = Timestamp(nanoseconds);
            // What fuser makes of the kernel's seconds and nanoseconds.
            let (seconds, part) = (time.seconds(), time.nanoseconds());
            let theirs = match u64::try_from(seconds) {
                Ok(seconds) => SystemTime::UNIX_EPOCH + Duration::new(seconds, part),
                Err(_) => SystemTime::UNIX_EPOCH - Duration::new(seconds.unsigned_abs(), part),
            };
            assert_eq!(from_fuser(theirs), time);
        }
    }

    #[test]
    fn open_flags_are_understood() {
        let mode = open_mode(OpenFlags(libc::O_WRONLY | libc::O_APPEND | libc::O_SYNC));
        assert_eq!(mode, OpenMode { read: false, write: true, append: true, truncate: false, sync: true });
        let mode = open_mode(OpenFlags(libc::O_RDWR | libc::O_TRUNC | libc::O_DSYNC));
        assert_eq!(mode, OpenMode { read: true, write: true, append: false, truncate: true, sync: true });
        assert_eq!(open_mode(OpenFlags(libc::O_RDONLY)), OpenMode { read: true, ..OpenMode::default() });
    }
}
