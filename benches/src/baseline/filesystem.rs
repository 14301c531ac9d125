//! The FUSE side of a baseline: as little as programs can work with.

use super::content::Content;
use super::namespace::Namespace;
use fuser::{
    BsdFileFlags, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation, INodeNo, InitFlags, KernelConfig,
    LockOwner, OpenFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty, ReplyEntry,
    ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow, WriteFlags,
};
use std::ffi::OsStr;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

/// Everything is believed for so long: nobody else changes it.
const LIFETIME: Duration = Duration::from_secs(60);
const WRITE_BYTES_MAX: u32 = 1 << 20;
const BACKGROUND_MAX: u16 = 64;
const CAPABILITIES: [InitFlags; 6] = [
    InitFlags::FUSE_ASYNC_DIO,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_ATOMIC_O_TRUNC,
    InitFlags::FUSE_HANDLE_KILLPRIV_V2,
    InitFlags::FUSE_MAX_PAGES,
];

#[derive(Debug)]
pub(super) struct Skeleton<C> {
    namespace: Mutex<Namespace>,
    content: C,
}

impl<C: Content> Skeleton<C> {
    pub(super) fn new(content: C) -> Self {
        Self { namespace: Mutex::new(Namespace::new()), content }
    }

    fn namespace(&self) -> MutexGuard<'_, Namespace> {
        self.namespace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(&self, request: &Request, (parent, name): (INodeNo, &OsStr), kind: FileType, mode: u32) -> Result<FileAttr, Errno> {
        self.namespace().make(parent.0, name, kind, mode, (request.uid(), request.gid()))
    }
}

fn entry(reply: ReplyEntry, outcome: Result<FileAttr, Errno>) {
    match outcome {
        Ok(attributes) => reply.entry(&LIFETIME, &attributes, Generation(0)),
        Err(errno) => reply.error(errno),
    }
}

fn attr(reply: ReplyAttr, outcome: Result<FileAttr, Errno>) {
    match outcome {
        Ok(attributes) => reply.attr(&LIFETIME, &attributes),
        Err(errno) => reply.error(errno),
    }
}

fn empty(reply: ReplyEmpty, outcome: Result<(), Errno>) {
    match outcome {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

impl<C: Content> Filesystem for Skeleton<C> {
    fn init(&mut self, _req: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for capability in CAPABILITIES {
            // A kernel without one of them is measured without it.
            let _ = config.add_capabilities(capability);
        }
        let _ = config.set_max_write(WRITE_BYTES_MAX).or_else(|nearest| config.set_max_write(nearest));
        let _ = config.set_max_readahead(WRITE_BYTES_MAX).or_else(|nearest| config.set_max_readahead(nearest));
        let _ = config.set_max_background(BACKGROUND_MAX).or_else(|nearest| config.set_max_background(nearest));
        Ok(())
    }

    fn lookup(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(reply, self.namespace().find(parent.0, name));
    }

    fn getattr(&self, _req: &Request, ino: INodeNo, _fh: Option<FileHandle>, reply: ReplyAttr) {
        attr(reply, self.namespace().attributes(ino.0));
    }

    fn setattr(
        &self,
        _req: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<SystemTime>,
        _chgtime: Option<SystemTime>,
        _bkuptime: Option<SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let changed = self.namespace().change(ino.0, |attributes| {
            attributes.size = size.unwrap_or(attributes.size);
            attributes.perm = mode.map_or(attributes.perm, |mode| (mode & 0o7777) as u16);
        });
        attr(reply, changed);
    }

    fn mkdir(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, _umask: u32, reply: ReplyEntry) {
        entry(reply, self.make(req, (parent, name), FileType::Directory, mode));
    }

    fn unlink(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let removed = self.namespace().remove(parent.0, name);
        empty(reply, removed.map(|file| self.content.remove(file)));
    }

    fn rmdir(&self, _req: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(reply, self.namespace().remove(parent.0, name).map(drop));
    }

    fn create(&self, req: &Request, parent: INodeNo, name: &OsStr, mode: u32, _umask: u32, _flags: i32, reply: ReplyCreate) {
        match self.make(req, (parent, name), FileType::RegularFile, mode) {
            Ok(made) => reply.created(&LIFETIME, &made, Generation(0), FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE),
            Err(errno) => reply.error(errno),
        }
    }

    fn open(&self, _req: &Request, ino: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        if flags.0 & (rustix::fs::OFlags::TRUNC.bits() as i32) != 0
            && let Err(errno) = self.namespace().change(ino.0, |attributes| attributes.size = 0)
        {
            return reply.error(errno);
        }
        reply.opened(FileHandle(0), FopenFlags::FOPEN_KEEP_CACHE);
    }

    fn read(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        size: u32,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let attributes = self.namespace().attributes(ino.0);
        match attributes {
            Ok(attributes) => match attributes.size.saturating_sub(offset).min(u64::from(size)) as usize {
                0 => reply.data(&[]),
                length => self.content.read(ino.0, offset, length, reply),
            },
            Err(errno) => reply.error(errno),
        }
    }

    fn write(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        offset: u64,
        data: &[u8],
        _write_flags: WriteFlags,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let end = offset + data.len() as u64;
        let grown = self.namespace().change(ino.0, |attributes| attributes.size = attributes.size.max(end));
        match grown.and_then(|_| self.content.write(ino.0, offset, data)) {
            Ok(()) => reply.written(data.len() as u32),
            Err(errno) => reply.error(errno),
        }
    }

    fn flush(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, _lock_owner: LockOwner, reply: ReplyEmpty) {
        empty(reply, self.content.flush(ino.0));
    }

    fn release(
        &self,
        _req: &Request,
        ino: INodeNo,
        _fh: FileHandle,
        _flags: OpenFlags,
        _lock_owner: Option<LockOwner>,
        _flush: bool,
        reply: ReplyEmpty,
    ) {
        self.content.release(ino.0);
        reply.ok();
    }

    fn fsync(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        empty(reply, self.content.flush(ino.0));
    }

    fn readdir(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let namespace = self.namespace();
        let listing = match namespace.list(ino.0, offset) {
            Ok(listing) => listing,
            Err(errno) => return reply.error(errno),
        };
        for (place, name, attributes) in listing {
            if reply.add(attributes.ino, place, attributes.kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn readdirplus(&self, _req: &Request, ino: INodeNo, _fh: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        let namespace = self.namespace();
        let listing = match namespace.list(ino.0, offset) {
            Ok(listing) => listing,
            Err(errno) => return reply.error(errno),
        };
        for (place, name, attributes) in listing {
            if reply.add(attributes.ino, place, name, &LIFETIME, &attributes, Generation(0)) {
                break;
            }
        }
        reply.ok();
    }

    fn getxattr(&self, _req: &Request, _ino: INodeNo, _name: &OsStr, _size: u32, reply: ReplyXattr) {
        // Once and for all: the kernel does not ask again.
        reply.error(Errno::ENOSYS);
    }

    fn statfs(&self, _req: &Request, _ino: INodeNo, reply: ReplyStatfs) {
        reply.statfs(1 << 30, 1 << 30, 1 << 30, 1 << 30, 1 << 30, 4096, 255, 4096);
    }
}
