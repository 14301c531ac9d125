//! What the engine asks of a disk: one flat folder of files. [`RealDisk`] is the operating system; the tests have one in memory that
//! can lose power at any moment.

use rustix::buffer::spare_capacity;
use rustix::fs::{Advice, FallocateFlags, FlockOperation, fadvise, fallocate, flock, statvfs};
use rustix::io::{Errno, ReadWriteFlags, pread, preadv2, pwritev};
use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Slices that the kernel takes in one call (`IOV_MAX`).
const SLICES_PER_CALL: usize = 1024;

/// Space of a disk, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DiskSpace {
    pub(crate) total: u64,
    pub(crate) free: u64,
}

/// Lengths of a file, in bytes: its end, and what it takes on the disk (holes take nothing).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileSize {
    pub(crate) end: u64,
    pub(crate) allocated: u64,
}

/// A folder of files.
pub(crate) trait Disk: Send + Sync + Debug {
    /// Where it is, for messages.
    fn path(&self) -> &Path;
    fn list(&self) -> io::Result<Vec<String>>;
    /// Opens for reading and writing; `create` fails if the file exists.
    fn open(&self, name: &str, create: bool) -> io::Result<Arc<dyn DiskFile>>;
    /// Durable after [`Disk::sync_folder`], like the other changes of names.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    fn sync_folder(&self) -> io::Result<()>;
    fn space(&self) -> io::Result<DiskSpace>;
    /// Names the present boot of the machine, whose end takes what was not synced; empty if it does not tell.
    fn boot(&self) -> String;
}

/// An open file.
pub(crate) trait DiskFile: Send + Sync + Debug {
    /// Writes all of `parts`, one after the other, from `offset` on.
    fn write(&self, offset: u64, parts: &[&[u8]]) -> io::Result<()>;
    /// Exactly `length` bytes; a shorter file is `UnexpectedEof`.
    fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>>;
    /// As `read`, into memory that is there.
    fn read_into(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()>;
    /// As `read`, if that needs no disk.
    fn read_now(&self, _offset: u64, _length: usize) -> io::Result<Option<Vec<u8>>> {
        Ok(None)
    }
    /// All bytes written before are on stable storage, and so is the length.
    fn sync(&self) -> io::Result<()>;
    /// Reserves space; `Unsupported` if the filesystem cannot.
    fn allocate(&self, offset: u64, length: u64) -> io::Result<()>;
    /// Gives back the space of whole blocks within the range; they read as zeros.
    fn punch(&self, offset: u64, length: u64) -> io::Result<()>;
    fn truncate(&self, end: u64) -> io::Result<()>;
    fn size(&self) -> io::Result<FileSize>;
    /// Drops what the kernel caches of the file, so that the next read shows what the disk has.
    fn forget_cache(&self);
}

/// A folder of the operating system's, locked for this process.
#[derive(Debug)]
pub(crate) struct RealDisk {
    folder: PathBuf,
    handle: File,
    _lock: File,
}

impl RealDisk {
    /// Opens a folder, which must exist. `WouldBlock` if another process has it open.
    pub(crate) fn open(folder: &Path) -> io::Result<Self> {
        let lock = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("lock"))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
        Ok(Self { folder: folder.to_path_buf(), handle: File::open(folder)?, _lock: lock })
    }
}

impl Disk for RealDisk {
    fn path(&self) -> &Path {
        &self.folder
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names = std::fs::read_dir(&self.folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect()
    }

    fn open(&self, name: &str, create: bool) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).create_new(create).open(self.folder.join(name))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.folder.join(from), self.folder.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.folder.join(name))
    }

    fn sync_folder(&self) -> io::Result<()> {
        self.handle.sync_all()
    }

    fn space(&self) -> io::Result<DiskSpace> {
        let space = statvfs(&self.folder)?;
        Ok(DiskSpace { total: space.f_blocks * space.f_frsize, free: space.f_bavail * space.f_frsize })
    }

    fn boot(&self) -> String {
        std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn write(&self, mut offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = &mut slices[..];
        IoSlice::advance_slices(&mut rest, 0);
        while !rest.is_empty() {
            match pwritev(&self.0, &rest[..rest.len().min(SLICES_PER_CALL)], offset) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    offset += count as u64;
                    IoSlice::advance_slices(&mut rest, count);
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn read(&self, offset: u64, length: usize) -> io::Result<Vec<u8>> {
        // Not zeroed first: the pages of a large buffer are touched once, by the kernel.
        let mut bytes = Vec::with_capacity(length);
        while bytes.len() < length {
            let at = offset + bytes.len() as u64;
            match pread(&self.0, spare_capacity(&mut bytes), at) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        bytes.truncate(length);
        Ok(bytes)
    }

    fn read_into(&self, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            match pread(&self.0, &mut bytes[done..], offset + done as u64) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(count) => done += count,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn read_now(&self, offset: u64, length: usize) -> io::Result<Option<Vec<u8>>> {
        let mut bytes = vec![0; length];
        match preadv2(&self.0, &mut [IoSliceMut::new(&mut bytes)], offset, ReadWriteFlags::NOWAIT) {
            Ok(count) if count == length => Ok(Some(bytes)),
            Ok(_) | Err(Errno::AGAIN | Errno::OPNOTSUPP | Errno::NOSYS | Errno::INTR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn allocate(&self, offset: u64, length: u64) -> io::Result<()> {
        Ok(fallocate(&self.0, FallocateFlags::empty(), offset, length)?)
    }

    fn punch(&self, offset: u64, length: u64) -> io::Result<()> {
        Ok(fallocate(&self.0, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, offset, length)?)
    }

    fn truncate(&self, end: u64) -> io::Result<()> {
        self.0.set_len(end)
    }

    fn size(&self) -> io::Result<FileSize> {
        let metadata = self.0.metadata()?;
        Ok(FileSize { end: metadata.len(), allocated: metadata.blocks() * 512 })
    }

    fn forget_cache(&self) {
        // Only advice: without it recovery reads what the kernel has, which is right unless an fsync failed before.
        let _ = fadvise(&self.0, 0, None, Advice::DontNeed);
    }
}
