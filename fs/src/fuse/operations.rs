//! One method a FUSE operation: take the arguments apart, hand them on, put the answer together.

use fuser::{
    BsdFileFlags, CopyFileRangeFlags, Errno, FileHandle, FopenFlags, Generation, INodeNo, InitFlags, IoctlFlags, KernelConfig,
    LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyDirectoryPlus, ReplyEmpty,
    ReplyEntry, ReplyIoctl, ReplyLock, ReplyLseek, ReplyOpen, ReplyStatfs, ReplyWrite, ReplyXattr, Request, TimeOrNow,
    WriteFlags,
};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use weft_common::weave::ByteRange;
use weft_common::wire::{AttributeChange, Attributes, ErrorKind, NewInode, XattrMode};

use super::convert::{errno, file_attr, file_type, lock_ask, lock_type, node, open_mode, permissions, timestamp};
use super::{Adapter, caller};
use crate::errno::Failure;
use crate::filesystem::{AttributeRequest, Entry, Item, NewFile, Opened, RenameMode, Seek, SpaceChange, new_inode};
use crate::handle::HandleId;
use crate::inode::NodeId;

/// Largest write that the kernel sends in one request. More gains nothing, less costs a request each.
const WRITE_BYTES_MAX: u32 = 1 << 20;
/// What the kernel reads ahead, as far as it lets a filesystem say so.
const READ_AHEAD_BYTES: u32 = 1 << 20;
/// Requests that the kernel sends without anybody waiting for them: read-ahead, releases.
const BACKGROUND_MAX: u16 = 64;
/// Inode numbers are never used twice.
const GENERATION: Generation = Generation(0);
/// Entries of one answer whose attributes cost a call each.
const CALLS_PER_LISTING_MAX: usize = 16;
/// The unit of `statfs`.
const BLOCK_BYTES: u32 = 4096;
/// Longest file name.
const NAME_BYTES_MAX: u32 = 255;

/// What the mount asks the kernel for, where it is offered.
const CAPABILITIES: [InitFlags; 10] = [
    InitFlags::FUSE_ASYNC_DIO,
    InitFlags::FUSE_PARALLEL_DIROPS,
    InitFlags::FUSE_DO_READDIRPLUS,
    InitFlags::FUSE_READDIRPLUS_AUTO,
    // O_TRUNC comes with the open, and so belongs to what the handle publishes.
    InitFlags::FUSE_ATOMIC_O_TRUNC,
    // No look-up of security.capability before every single write.
    InitFlags::FUSE_HANDLE_KILLPRIV_V2,
    // A symlink's target never changes.
    InitFlags::FUSE_CACHE_SYMLINKS,
    InitFlags::FUSE_MAX_PAGES,
    // The kernel checks access by the lists that it asks for; a default list takes the place of the umask, so that is ours to apply.
    InitFlags::FUSE_POSIX_ACL,
    InitFlags::FUSE_DONT_MASK,
];

impl fuser::Filesystem for Adapter {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> io::Result<()> {
        for capability in CAPABILITIES {
            // An older kernel does without.
            let _ = config.add_capabilities(capability);
        }
        if !self.filesystem.has_local_locks() {
            for capability in [InitFlags::FUSE_POSIX_LOCKS, InitFlags::FUSE_FLOCK_LOCKS] {
                let _ = config.add_capabilities(capability);
            }
        }
        // Each answers the nearest value that is possible.
        let _ = config.set_max_write(WRITE_BYTES_MAX).or_else(|nearest| config.set_max_write(nearest));
        let _ = config.set_max_readahead(READ_AHEAD_BYTES).or_else(|nearest| config.set_max_readahead(nearest));
        let _ = config.set_max_background(BACKGROUND_MAX).or_else(|nearest| config.set_max_background(nearest));
        Ok(())
    }

    fn lookup(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (filesystem, parent, name) = (Arc::clone(&self.filesystem), node(parent), name.as_bytes().to_vec());
        let undone = Arc::clone(&filesystem);
        let work = async move { filesystem.look_up(parent, &name).await };
        self.spawn_undoable(request, "lookup", reply, work, answer_entry, move |entry| undone.uncount(entry.node));
    }

    fn forget(&self, request: &Request, number: INodeNo, count: u64) {
        Self::guarded(request, "forget", || self.filesystem.forget(node(number), count));
    }

    fn getattr(&self, request: &Request, number: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        let number = node(number);
        let answer = move |reply, known| answer_attributes(reply, number, known);
        match Self::guarded(request, "getattr", || self.filesystem.known_attributes(number)).flatten() {
            Some(known) => Self::inline(request, "getattr", reply, || known, answer),
            None => {
                let filesystem = Arc::clone(&self.filesystem);
                self.spawn_killable(request, "getattr", reply, async move { filesystem.attributes(number).await }, answer);
            }
        }
    }

    fn setattr(
        &self,
        request: &Request,
        number: INodeNo,
        mode: Option<u32>,
        uid: Option<u32>,
        gid: Option<u32>,
        size: Option<u64>,
        accessed: Option<TimeOrNow>,
        modified: Option<TimeOrNow>,
        _: Option<SystemTime>,
        handle: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let (accessed, modified) = (accessed.map(timestamp), modified.map(timestamp));
        let set = AttributeChange { mode: mode.map(permissions), uid, gid, accessed, modified };
        let change = AttributeRequest { set, size, handle: handle.map(handle_id) };
        let (filesystem, number, caller) = (Arc::clone(&self.filesystem), node(number), caller(request));
        let work = async move { filesystem.set_attributes(caller, number, change).await };
        self.spawn(request, "setattr", reply, work, move |reply, known| answer_attributes(reply, number, known));
    }

    fn readlink(&self, request: &Request, number: INodeNo, reply: ReplyData) {
        let (filesystem, number) = (Arc::clone(&self.filesystem), node(number));
        let work = async move { filesystem.read_link(number).await };
        self.spawn_killable(request, "readlink", reply, work, |reply, target| reply.data(&target));
    }

    fn mknod(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, rdev: u32, reply: ReplyEntry) {
        self.make(request, "mknod", parent, name, new_inode(mode, rdev), (mode, umask), reply);
    }

    fn mkdir(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        self.make(request, "mkdir", parent, name, Ok(NewInode::Directory), (mode, umask), reply);
    }

    fn symlink(&self, request: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let target = NewInode::Symlink(target.as_os_str().as_bytes().to_vec());
        self.make(request, "symlink", parent, name, Ok(target), (0o777, 0), reply);
    }

    fn unlink(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (filesystem, caller) = (Arc::clone(&self.filesystem), caller(request));
        let (parent, name) = (node(parent), name.as_bytes().to_vec());
        self.spawn(request, "unlink", reply, async move { filesystem.unlink(caller, parent, &name).await }, answer_done);
    }

    fn rmdir(&self, request: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (filesystem, caller) = (Arc::clone(&self.filesystem), caller(request));
        let (parent, name) = (node(parent), name.as_bytes().to_vec());
        let work = async move { filesystem.remove_directory(caller, parent, &name).await };
        self.spawn(request, "rmdir", reply, work, answer_done);
    }

    fn rename(
        &self,
        request: &Request,
        parent: INodeNo,
        name: &OsStr,
        new_parent: INodeNo,
        new_name: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        let (filesystem, caller) = (Arc::clone(&self.filesystem), caller(request));
        let (parent, name) = (node(parent), name.as_bytes().to_vec());
        let (new_parent, new_name) = (node(new_parent), new_name.as_bytes().to_vec());
        let mode = RenameMode {
            no_replace: flags.contains(RenameFlags::RENAME_NOREPLACE),
            exchange: flags.contains(RenameFlags::RENAME_EXCHANGE),
        };
        let is_known = (RenameFlags::RENAME_NOREPLACE | RenameFlags::RENAME_EXCHANGE).contains(flags);
        let work = async move {
            if !is_known {
                return Err(Failure::Refused(ErrorKind::InvalidArgument, "RENAME_WHITEOUT is not supported"));
            }
            filesystem.rename(caller, (parent, &name), (new_parent, &new_name), mode).await
        };
        self.spawn(request, "rename", reply, work, answer_done);
    }

    fn link(&self, request: &Request, number: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let (filesystem, caller) = (Arc::clone(&self.filesystem), caller(request));
        let (number, parent, name) = (node(number), node(parent), name.as_bytes().to_vec());
        let work = async move { filesystem.link(caller, number, parent, &name).await };
        self.spawn(request, "link", reply, work, answer_entry);
    }

    fn open(&self, request: &Request, number: INodeNo, flags: OpenFlags, reply: ReplyOpen) {
        let (filesystem, caller) = (Arc::clone(&self.filesystem), caller(request));
        let work = async move { filesystem.open(caller, node(number), open_mode(flags)).await };
        self.spawn(request, "open", reply, work, |reply, opened| {
            reply.opened(FileHandle(opened.handle.0), open_flags(opened));
        });
    }

    fn create(&self, request: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, flags: i32, reply: ReplyCreate) {
        let (filesystem, caller) = (Arc::clone(&self.filesystem), caller(request));
        let (parent, name) = (node(parent), name.as_bytes().to_vec());
        let exclusive = flags & libc::O_EXCL != 0;
        let new = NewFile { mode: permissions(mode), umask: permissions(umask), exclusive };
        let work = async move { filesystem.create(caller, parent, &name, new, open_mode(OpenFlags(flags))).await };
        self.spawn(request, "create", reply, work, |reply, (entry, opened)| {
            let attributes = file_attr(entry.node, &entry.attributes);
            // One lifetime for both: that of the name, which is the shorter one.
            let handle = FileHandle(opened.handle.0);
            reply.created(&entry.entry_lifetime, &attributes, GENERATION, handle, open_flags(opened));
        });
    }

    fn read(
        &self,
        request: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let filesystem = Arc::clone(&self.filesystem);
        let work = async move { filesystem.read(handle_id(handle), offset, size).await };
        self.spawn_killable(request, "read", reply, work, |reply, bytes| reply.data(&bytes));
    }

    fn write(
        &self,
        request: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        data: &[u8],
        flags: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let (handle, length) = (handle_id(handle), data.len() as u32);
        let kills_set_id = flags.contains(WriteFlags::FUSE_WRITE_KILL_SUIDGID);
        let answer = move |reply: ReplyWrite, ()| reply.written(length);
        let written = Self::guarded(request, "write", || self.filesystem.try_write(handle, offset, data, kills_set_id));
        match written {
            Some(Some(written)) => Self::inline(request, "write", reply, || written, answer),
            Some(None) => {
                let (filesystem, caller, data) = (Arc::clone(&self.filesystem), caller(request), data.to_vec());
                let work = async move { filesystem.write(caller, handle, offset, &data, kills_set_id).await };
                self.spawn(request, "write", reply, work, answer);
            }
            None => reply.error(Errno::EIO),
        }
    }

    fn flush(&self, request: &Request, _: INodeNo, handle: FileHandle, owner: LockOwner, reply: ReplyEmpty) {
        let handle = handle_id(handle);
        match Self::guarded(request, "flush", || self.filesystem.try_flush(handle)).flatten() {
            Some(flushed) => Self::inline(request, "flush", reply, || flushed, answer_done),
            None => {
                let (filesystem, caller) = (Arc::clone(&self.filesystem), caller(request));
                let work = async move { filesystem.flush(caller, handle, owner.0).await };
                self.spawn_killable(request, "flush", reply, work, answer_done);
            }
        }
    }

    fn getlk(
        &self,
        request: &Request,
        _: INodeNo,
        handle: FileHandle,
        owner: LockOwner,
        first: u64,
        last: u64,
        kind: i32,
        pid: u32,
        reply: ReplyLock,
    ) {
        let filesystem = Arc::clone(&self.filesystem);
        let ask = lock_ask(owner, (first, last), kind, pid, false);
        let work = async move { filesystem.test_lock(handle_id(handle), ask?).await };
        self.spawn(request, "getlk", reply, work, move |reply, found| match found {
            Some(lock) => reply.locked(lock.range.first, lock.range.last, lock_type(lock.kind), lock.pid),
            None => reply.locked(first, last, libc::F_UNLCK, 0),
        });
    }

    fn setlk(
        &self,
        request: &Request,
        _: INodeNo,
        handle: FileHandle,
        owner: LockOwner,
        first: u64,
        last: u64,
        kind: i32,
        pid: u32,
        wait: bool,
        reply: ReplyEmpty,
    ) {
        let (filesystem, caller) = (Arc::clone(&self.filesystem), caller(request));
        let ask = lock_ask(owner, (first, last), kind, pid, wait);
        let work = async move { filesystem.set_lock(caller, handle_id(handle), ask?).await };
        self.spawn_waiting(request, "setlk", reply, work, answer_done);
    }

    fn release(
        &self,
        request: &Request,
        _: INodeNo,
        handle: FileHandle,
        _: OpenFlags,
        _: Option<LockOwner>,
        _: bool,
        reply: ReplyEmpty,
    ) {
        let filesystem = Arc::clone(&self.filesystem);
        let work = async move {
            filesystem.release(handle_id(handle)).await;
            Ok(())
        };
        self.spawn(request, "release", reply, work, answer_done);
    }

    fn fsync(&self, request: &Request, _: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        let filesystem = Arc::clone(&self.filesystem);
        self.spawn_killable(request, "fsync", reply, async move { filesystem.fsync(handle_id(handle)).await }, answer_done);
    }

    fn opendir(&self, request: &Request, number: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        let open = || self.filesystem.open_directory(node(number));
        Self::inline(request, "opendir", reply, open, |reply, (handle, is_old)| {
            let cached = FopenFlags::FOPEN_CACHE_DIR | FopenFlags::FOPEN_KEEP_CACHE;
            reply.opened(FileHandle(handle.0), if is_old { cached } else { FopenFlags::empty() });
        });
    }

    fn readdir(&self, request: &Request, _: INodeNo, handle: FileHandle, offset: u64, reply: ReplyDirectory) {
        if let Some(items) =
            Self::guarded(request, "readdir", || self.filesystem.known_items(handle_id(handle), offset)).flatten()
        {
            answer_names(reply, &items, offset);
            return;
        }
        let filesystem = Arc::clone(&self.filesystem);
        let work = async move {
            match filesystem.items(handle_id(handle), offset).await {
                Ok(items) => {
                    answer_names(reply, &items, offset);
                    Ok(())
                }
                Err(failure) => {
                    reply.error(errno(&failure));
                    Err(failure)
                }
            }
        };
        self.spawn(request, "readdir", Answered, work, |_, ()| ());
    }

    fn readdirplus(&self, request: &Request, _: INodeNo, handle: FileHandle, offset: u64, mut reply: ReplyDirectoryPlus) {
        let filesystem = Arc::clone(&self.filesystem);
        let work = async move {
            let items = match filesystem.items(handle_id(handle), offset).await {
                Ok(items) => items,
                Err(failure) => {
                    reply.error(errno(&failure));
                    return Err(failure);
                }
            };
            let mut calls_left = CALLS_PER_LISTING_MAX;
            for (item, next) in items.iter().zip(offset + 1..) {
                calls_left -= usize::from(item.is_costly());
                if calls_left == 0 {
                    break;
                }
                let Some(entry) = filesystem.item_entry(item).await else { continue };
                let attributes = file_attr(entry.node, &entry.attributes);
                let lifetime = entry.entry_lifetime.min(entry.attribute_lifetime);
                let name = OsStr::from_bytes(&item.name);
                if reply.add(INodeNo(entry.node.0), next, name, &lifetime, &attributes, GENERATION) {
                    filesystem.uncount(entry.node);
                    break;
                }
            }
            reply.ok();
            Ok(())
        };
        self.spawn(request, "readdirplus", Answered, work, |_, ()| ());
    }

    fn releasedir(&self, request: &Request, _: INodeNo, handle: FileHandle, _: OpenFlags, reply: ReplyEmpty) {
        let release = || {
            self.filesystem.release_directory(handle_id(handle));
            Ok(())
        };
        Self::inline(request, "releasedir", reply, release, answer_done);
    }

    fn fsyncdir(&self, request: &Request, _: INodeNo, handle: FileHandle, _: bool, reply: ReplyEmpty) {
        Self::inline(request, "fsyncdir", reply, || self.filesystem.fsync_directory(handle_id(handle)), answer_done);
    }

    fn statfs(&self, request: &Request, _: INodeNo, reply: ReplyStatfs) {
        let filesystem = Arc::clone(&self.filesystem);
        self.spawn_killable(request, "statfs", reply, async move { filesystem.statistics().await }, |reply, statistics| {
            let block = u64::from(BLOCK_BYTES);
            let (total, free) = (statistics.total_bytes / block, statistics.free_bytes / block);
            let (inodes, free_inodes) = (statistics.inodes, statistics.free_inodes);
            reply.statfs(total, free, free, inodes, free_inodes, BLOCK_BYTES, NAME_BYTES_MAX, BLOCK_BYTES);
        });
    }

    fn setxattr(&self, request: &Request, number: INodeNo, name: &OsStr, value: &[u8], flags: i32, _: u32, reply: ReplyEmpty) {
        let (filesystem, caller, number) = (Arc::clone(&self.filesystem), caller(request), node(number));
        let (name, value) = (name.as_bytes().to_vec(), value.to_vec());
        let mode = match flags {
            libc::XATTR_CREATE => XattrMode::Create,
            libc::XATTR_REPLACE => XattrMode::Replace,
            _ => XattrMode::Any,
        };
        let work = async move { filesystem.set_xattr(caller, number, &name, &value, mode).await };
        self.spawn(request, "setxattr", reply, work, answer_done);
    }

    fn getxattr(&self, request: &Request, number: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        let number = node(number);
        let answer = move |reply, value: Vec<u8>| answer_sized(reply, size, &value);
        match Self::guarded(request, "getxattr", || self.filesystem.known_xattr(number, name.as_bytes())).flatten() {
            Some(known) => Self::inline(request, "getxattr", reply, || known, answer),
            None => {
                let (filesystem, name) = (Arc::clone(&self.filesystem), name.as_bytes().to_vec());
                self.spawn_killable(request, "getxattr", reply, async move { filesystem.xattr(number, &name).await }, answer);
            }
        }
    }

    fn listxattr(&self, request: &Request, number: INodeNo, size: u32, reply: ReplyXattr) {
        let (filesystem, caller, number) = (Arc::clone(&self.filesystem), caller(request), node(number));
        let work = async move { filesystem.xattr_names(caller, number).await };
        self.spawn_killable(request, "listxattr", reply, work, move |reply, names| answer_sized(reply, size, &names));
    }

    fn removexattr(&self, request: &Request, number: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let (filesystem, caller) = (Arc::clone(&self.filesystem), caller(request));
        let (number, name) = (node(number), name.as_bytes().to_vec());
        let work = async move { filesystem.remove_xattr(caller, number, &name).await };
        self.spawn(request, "removexattr", reply, work, answer_done);
    }

    fn ioctl(&self, _: &Request, _: INodeNo, _: FileHandle, _: IoctlFlags, _: u32, _: &[u8], _: u32, reply: ReplyIoctl) {
        reply.error(Errno::ENOTTY);
    }

    fn fallocate(
        &self,
        request: &Request,
        _: INodeNo,
        handle: FileHandle,
        offset: u64,
        length: u64,
        mode: i32,
        reply: ReplyEmpty,
    ) {
        let (filesystem, caller) = (Arc::clone(&self.filesystem), caller(request));
        let range = ByteRange::new(offset, offset.saturating_add(length));
        let work = async move { filesystem.allocate(caller, handle_id(handle), range, space_change(mode)?).await };
        self.spawn(request, "fallocate", reply, work, answer_done);
    }

    fn lseek(&self, request: &Request, _: INodeNo, handle: FileHandle, offset: i64, whence: i32, reply: ReplyLseek) {
        let filesystem = Arc::clone(&self.filesystem);
        let work = async move {
            let offset = u64::try_from(offset).map_err(|_| Failure::NothingFollows)?;
            let seek = match whence {
                libc::SEEK_DATA => Seek::Data,
                libc::SEEK_HOLE => Seek::Hole,
                _ => return Err(Failure::Refused(ErrorKind::InvalidArgument, "only SEEK_DATA and SEEK_HOLE come here")),
            };
            filesystem.seek(handle_id(handle), offset, seek).await
        };
        self.spawn(request, "lseek", reply, work, |reply, offset| reply.offset(offset as i64));
    }

    fn copy_file_range(
        &self,
        request: &Request,
        _: INodeNo,
        from: FileHandle,
        from_offset: u64,
        _: INodeNo,
        to: FileHandle,
        to_offset: u64,
        length: u64,
        _: CopyFileRangeFlags,
        reply: ReplyWrite,
    ) {
        let (filesystem, caller) = (Arc::clone(&self.filesystem), caller(request));
        let (from, to) = ((handle_id(from), from_offset), (handle_id(to), to_offset));
        let work = async move { filesystem.copy_range(caller, from, to, length).await };
        self.spawn(request, "copy_file_range", reply, work, |reply, copied| reply.written(copied));
    }
}

impl Adapter {
    #[expect(clippy::too_many_arguments, reason = "what FUSE hands over")]
    fn make(
        &self,
        request: &Request,
        operation: &'static str,
        parent: INodeNo,
        name: &OsStr,
        inode: Result<NewInode, Failure>,
        (mode, umask): (u32, u32),
        reply: ReplyEntry,
    ) {
        let (filesystem, caller) = (Arc::clone(&self.filesystem), caller(request));
        let (parent, name) = (node(parent), name.as_bytes().to_vec());
        let new = NewFile { mode: permissions(mode), umask: permissions(umask), exclusive: true };
        let work = async move { filesystem.make_node(caller, parent, &name, inode?, new).await };
        self.spawn(request, operation, reply, work, answer_entry);
    }
}

/// Stands for a reply that the work itself sends; dropped unsent, in a panic, it answers EIO by itself.
struct Answered;

impl super::Refuse for Answered {
    fn refuse(self, _: Errno) {}
}

fn handle_id(handle: FileHandle) -> HandleId {
    HandleId(handle.0)
}

fn answer_done(reply: ReplyEmpty, (): ()) {
    reply.ok();
}

fn answer_names(mut reply: ReplyDirectory, items: &[Item], offset: u64) {
    for (item, next) in items.iter().zip(offset + 1..) {
        let (number, kind) = (INodeNo(item.node.0), file_type(item.kind));
        if reply.add(number, next, kind, OsStr::from_bytes(&item.name)) {
            break;
        }
    }
    reply.ok();
}

fn answer_entry(reply: ReplyEntry, entry: Entry) {
    let attributes = file_attr(entry.node, &entry.attributes);
    reply.entry_with_ttls(&entry.attribute_lifetime, &entry.entry_lifetime, &attributes, GENERATION);
}

fn answer_attributes(reply: ReplyAttr, number: NodeId, (attributes, lifetime): (Attributes, Duration)) {
    reply.attr(&lifetime, &file_attr(number, &attributes));
}

fn answer_sized(reply: ReplyXattr, size: u32, value: &[u8]) {
    match size as usize {
        0 => reply.size(value.len() as u32),
        size if size < value.len() => reply.error(Errno::ERANGE),
        _ => reply.data(value),
    }
}

fn open_flags(opened: Opened) -> FopenFlags {
    let mut flags = FopenFlags::empty();
    flags.set(FopenFlags::FOPEN_DIRECT_IO, opened.direct);
    flags.set(FopenFlags::FOPEN_KEEP_CACHE, opened.keep_cache);
    flags.set(FopenFlags::FOPEN_NOFLUSH, opened.no_flush);
    flags
}

fn space_change(mode: i32) -> Result<SpaceChange, Failure> {
    const KEEP_SIZE: i32 = libc::FALLOC_FL_KEEP_SIZE;
    const PUNCH: i32 = libc::FALLOC_FL_PUNCH_HOLE | KEEP_SIZE;
    const ZERO_WITHIN: i32 = libc::FALLOC_FL_ZERO_RANGE | KEEP_SIZE;
    match mode {
        0 => Ok(SpaceChange::Extend),
        KEEP_SIZE => Ok(SpaceChange::Reserve),
        PUNCH | ZERO_WITHIN => Ok(SpaceChange::Punch),
        libc::FALLOC_FL_ZERO_RANGE => Ok(SpaceChange::Zero),
        _ => Err(Failure::Refused(ErrorKind::Unsupported, "fallocate can extend, punch and zero")),
    }
}
