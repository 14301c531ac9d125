//! Opening and making files.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use weft_common::id::InodeNumber;
use weft_common::name::FileName;
use weft_common::wire::{At, Attributes, Change, ErrorKind, FileKind, NewInode};

use super::attributes::now;
use super::{Caller, Entry, Failure, Filesystem, Kernel, ordinary, read_only, unexpected};
use crate::handle::{Handle, HandleId, OldHandle, Open, OpenMode};
use crate::inode::{Node, NodeId};
use crate::read::Sequence;

/// A file that was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opened {
    /// The handle.
    pub(crate) handle: HandleId,
    /// Reads and writes pass by the kernel's page cache.
    pub(crate) direct: bool,
    /// The kernel may keep the pages that it has.
    pub(crate) keep_cache: bool,
    /// Closing needs no flush: nothing can be written through the handle.
    pub(crate) no_flush: bool,
}

/// What a file is made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewFile {
    /// Low 12 bits of `st_mode`, as the program asked for them.
    pub(crate) mode: u16,
    /// What its process keeps out of them, unless the directory has a default access control list.
    pub(crate) umask: u16,
    /// Whether an existing file is an error (`O_EXCL`).
    pub(crate) exclusive: bool,
}

impl Filesystem {
    /// Opens a file.
    pub(crate) async fn open(&self, caller: Caller, node: NodeId, mode: OpenMode) -> Result<Opened, Failure> {
        match self.node(node)? {
            Node::Live(inode) => {
                // With entry lifetime 0 the look-up of this very `open(2)` was a moment ago.
                let recent = if self.settings.entry_lifetime.is_zero() { self.recent.get(inode) } else { None };
                let newest = match recent {
                    Some(attributes) => attributes,
                    None => self.attributes_of_named(inode).await?,
                };
                self.catch_up(node, &newest).await;
                self.open_live(caller, node, newest, mode).await
            }
            Node::Old(_) if mode.write || mode.truncate => Err(read_only()),
            Node::Old(old) => {
                self.uses.note(old.at);
                let tree = old.attributes.tree.ok_or_else(not_a_file)?;
                let handle = self.handles.next();
                let (inode, at, sequence) = (old.attributes.inode, old.at, Mutex::new(Sequence::default()));
                self.handles.insert(handle, Open::Old(Arc::new(OldHandle { inode, at, tree, sequence })));
                Ok(Opened { handle, direct: false, keep_cache: true, no_flush: true })
            }
            _ => Err(not_a_file()),
        }
    }

    /// The attributes of an inode that the kernel found by a name which it remembers. Where another client gave the name to another
    /// file a moment ago, the inode has none left: then `ESTALE` has the kernel look the name up again, once, and open what it finds.
    /// What is in use here may be opened without a name, as `/proc/self/fd` does.
    async fn attributes_of_named(&self, inode: InodeNumber) -> Result<Attributes, Failure> {
        let stale = Failure::Refused(ErrorKind::Stale, "the name stands for another file by now");
        match self.attributes_at(At::Head, inode).await {
            Ok(attributes) if attributes.links == 0 && self.files.get(inode).is_none() => Err(stale),
            Err(error) if error.errno() == libc::ENOENT => Err(stale),
            answer => answer,
        }
    }

    async fn open_live(&self, caller: Caller, node: NodeId, newest: Attributes, mode: OpenMode) -> Result<Opened, Failure> {
        if newest.kind != FileKind::File {
            return Err(not_a_file());
        }
        let inode = newest.inode;
        let file = self.files.open(&newest, self.recent.name(inode));
        // A view that stays behind is being read here in an older version, and what the caller looked up was that version.
        self.follow(&file, node, newest).await;
        let id = self.handles.next();
        let (tree, version) = {
            let mut state = file.state();
            // Another thread may have told the kernel of a newer version since the look-up of this open, before it could find the
            // file in use. Whoever comes from now on does.
            if let Some(told) = self.recent.get(inode) {
                state.learn(told);
            }
            state.attach(node, mode.write);
            (state.base(node), state.version(node))
        };
        let author = self.author(caller);
        let (sequence, losses_seen) = (Mutex::new(Sequence::default()), AtomicU64::new(self.volume.losses()));
        let used = AtomicBool::new(false);
        let handle = Arc::new(Handle { id, file, node, mode, author, sequence, losses_seen, used });
        self.handles.insert(id, Open::Live(Arc::clone(&handle)));
        if mode.truncate
            && let Err(error) = self.truncate_at_open(caller, &handle).await
        {
            self.handles.remove(id);
            handle.file.state().detach(node, id, mode.write);
            return Err(error);
        }
        if self.recent.differs(inode, version) {
            // It would cut what is read off at the size that it believes, or show zeros.
            self.kernel.drop_pages_now(node).await;
        }
        let keep_cache = !mode.truncate && tree.is_some_and(|tree| self.kernel.has_pages_of(node, tree));
        if let Some(tree) = tree.filter(|_| !keep_cache) {
            self.kernel.expect_pages(node, tree, id);
        }
        // Through the page cache, the kernel cuts a write where it leaves a page that it knows only in part, at places that
        // follow from where *it* believes the file to end. An append must stay in one piece.
        Ok(Opened { handle: id, direct: mode.append, keep_cache, no_flush: !mode.write && self.settings.local_locks })
    }

    /// `O_TRUNC` is part of what the handle will publish: nobody elsewhere sees the empty file in between.
    async fn truncate_at_open(&self, caller: Caller, handle: &Handle) -> Result<(), Failure> {
        let is_new = {
            let state = handle.file.state();
            state.newest.born == state.newest.changed
        };
        if !is_new {
            self.drop_privileges(caller, &handle.file).await?;
        }
        {
            let state = handle.file.state();
            if !state.is_dirty() && state.size_below() == 0 {
                return Ok(());
            }
        }
        self.alter(handle, |pending, below| pending.truncate(below, 0)).await?;
        let mut state = handle.file.state();
        state.pending.modified = Some(now());
        Ok(())
    }

    /// Makes a file and opens it.
    pub(crate) async fn create(
        &self,
        caller: Caller,
        parent: NodeId,
        name: &[u8],
        new: NewFile,
        mode: OpenMode,
    ) -> Result<(Entry, Opened), Failure> {
        let (entry, newest) = self.make(caller, parent, name, NewInode::File, new).await?;
        // A file that was there already goes by another number if it is being read here in an older version.
        let opened = self.open_live(caller, entry.node, newest, mode).await?;
        if let Some(handle) = self.handles.live(opened.handle) {
            let mut state = handle.file.state();
            // Nobody had a chance to give a new file an attribute; one that was there is asked about.
            state.has_no_capability |= state.newest.born == state.newest.changed;
        }
        Ok((entry, opened))
    }

    /// A new inode of any kind under a new name, counted as one look-up.
    pub(super) async fn make(
        &self,
        caller: Caller,
        parent: NodeId,
        name: &[u8],
        inode: NewInode,
        new: NewFile,
    ) -> Result<(Entry, Attributes), Failure> {
        let name: FileName = ordinary(name)?;
        let parent = self.changeable(parent)?;
        let NewFile { mode, umask, exclusive } = new;
        let Caller { uid, gid, .. } = caller;
        let change = Change::Create { parent, name: name.clone(), inode, mode, uid, gid, exclusive, umask };
        let newest = self.change(caller, change).await?.attributes.ok_or_else(unexpected)?;
        Ok((self.live_entry(newest.clone(), Some(&name)).await, newest))
    }
}

impl Handle {
    /// The kernel asks for something by this handle.
    pub(super) fn note_use(&self, kernel: &Kernel) {
        if !self.used.swap(true, Ordering::Relaxed) {
            kernel.is_used(self.node, self.id);
        }
    }
}

fn not_a_file() -> Failure {
    Failure::Refused(ErrorKind::InvalidArgument, "only regular files are opened like this")
}
