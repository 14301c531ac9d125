//! What each file operation does: a file per group of operations.
//!
//! Operations take and answer plain types and know neither FUSE nor servers. They check structure only; permissions are the
//! kernel's business (`default_permissions`).

mod attributes;
mod copy;
mod data;
mod descriptors;
mod directory;
mod durable;
mod entry;
mod history;
mod holds;
mod kernel;
mod locks;
mod look_up;
mod names;
mod open;
mod recent;
mod signals;
mod space;
#[cfg(test)]
mod tests;
mod watch;
mod xattr;

pub(crate) use attributes::AttributeRequest;
pub(crate) use directory::{DirectoryStream, Item};
pub(crate) use entry::Entry;
pub(crate) use kernel::{Kernel, KernelCache};
pub(crate) use locks::LockAsk;
pub(crate) use names::{RenameMode, new_inode};
pub(crate) use open::{NewFile, Opened};
pub(crate) use signals::killed;
pub(crate) use space::{Seek, SpaceChange};
pub(crate) use watch::{OwnVersions, follow_changes};

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::runtime::Handle;
use weft_common::id::InodeNumber;
use weft_common::name::FileName;
use weft_common::wire::{At, Attributes, Author, Change, ChangeReply, ErrorKind, NamespaceAnswer, Query};

use crate::errno::Failure;
use crate::handle::{File, FileTable, HandleTable};
use crate::inode::{Node, NodeId, NodeTable};
use crate::mount::VolumeClient;
use crate::read::Reader;
use crate::write::Publisher;
use crate::write::buffer::Budget;
use crate::write::pending::Pending;
use crate::write::upload::Uploader;
use holds::Uses;
use recent::Recent;

/// What never changes is cached for this long.
pub(crate) const FOREVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// How a mount behaves.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// How long the kernel may believe a name of the present.
    pub(crate) entry_lifetime: Duration,
    /// How long the kernel may believe attributes of a file of the present that is not open here.
    pub(crate) attribute_lifetime: Duration,
    /// Whether the root lists `.versions`.
    pub(crate) show_versions: bool,
    /// Whether locks are left to the kernel, and no other mount hears of them.
    pub(crate) local_locks: bool,
    /// Bytes of dirty data.
    pub(crate) write_memory: u64,
    /// How much one handle may have fetched ahead.
    pub(crate) read_ahead_max: u64,
    /// What `system.weft.mount` of the root says: how tools reach the volume.
    pub(crate) control: String,
    /// This host's name.
    pub(crate) host: String,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// User.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
    /// Process.
    pub(crate) pid: u32,
}

impl Caller {
    /// Whether its thread has `gid` among its further groups, as far as the kernel tells.
    fn has_group(self, gid: u32) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).unwrap_or_default();
        let groups = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap_or_default();
        groups.split_whitespace().any(|group| group.parse() == Ok(gid))
    }
}

/// One mounted volume.
#[derive(Debug)]
pub(crate) struct Filesystem {
    volume: Arc<dyn VolumeClient>,
    settings: Settings,
    nodes: NodeTable,
    files: Arc<FileTable>,
    handles: HandleTable,
    budget: Budget,
    uploader: Uploader,
    publisher: Publisher,
    reader: Reader,
    kernel: Arc<Kernel>,
    recent: Recent,
    own: OwnVersions,
    uses: Uses,
    /// The newest volume version whose changes the kernel was told of.
    seen: AtomicU64,
}

impl Filesystem {
    /// The filesystem of `volume`; its background work runs on `runtime`.
    pub(crate) fn new(volume: Arc<dyn VolumeClient>, settings: Settings, runtime: &Handle) -> Self {
        let kernel = Arc::new(Kernel::new(runtime.clone()));
        let budget = Budget::new(settings.write_memory);
        let uploader = Uploader::new(volume.clone(), runtime.clone());
        let publisher = Publisher::new(Arc::clone(&volume), uploader.clone(), Arc::clone(&kernel), &budget);
        let reader = Reader::new(Arc::clone(&volume), uploader.clone());
        Self {
            volume,
            settings,
            nodes: NodeTable::default(),
            files: Arc::default(),
            handles: HandleTable::default(),
            budget,
            uploader,
            publisher,
            reader,
            kernel,
            recent: Recent::new(),
            own: OwnVersions::default(),
            uses: Uses::default(),
            seen: AtomicU64::new(0),
        }
    }

    /// The kernel's caches.
    pub(crate) fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    fn node(&self, id: NodeId) -> Result<Node, Failure> {
        self.nodes.get(id).ok_or(Failure::Unknown)
    }

    /// The live inode behind `id`, for changes: the past and its directories are read-only.
    fn changeable(&self, id: NodeId) -> Result<InodeNumber, Failure> {
        match self.node(id)? {
            Node::Live(inode) => Ok(inode),
            _ => Err(read_only()),
        }
    }

    async fn attributes_at(&self, at: At, inode: InodeNumber) -> Result<Attributes, Failure> {
        match self.volume.query(at, Query::Attributes(inode)).await? {
            NamespaceAnswer::Attributes(attributes) => Ok(attributes),
            _ => Err(unexpected()),
        }
    }

    async fn look_up_at(&self, at: At, parent: InodeNumber, name: FileName) -> Result<Attributes, Failure> {
        match self.volume.query(at, Query::LookUp { parent, name }).await? {
            NamespaceAnswer::Attributes(attributes) => Ok(attributes),
            _ => Err(unexpected()),
        }
    }

    async fn change(&self, caller: Caller, change: Change) -> Result<ChangeReply, Failure> {
        let reply = self.volume.change(&self.author(caller), change).await?;
        self.own.insert(reply.version);
        Ok(reply)
    }

    /// Who `caller` is, for the version's record.
    fn author(&self, caller: Caller) -> Author {
        let program = std::fs::read_to_string(format!("/proc/{}/comm", caller.pid)).unwrap_or_default();
        Author { uid: caller.uid, host: self.settings.host.clone(), program: program.trim_end().to_owned() }
    }

    /// Whether locks are the kernel's affair.
    pub(crate) fn has_local_locks(&self) -> bool {
        self.settings.local_locks
    }

    /// Publishes the update in the making, if `wanted`.
    async fn publish(&self, file: &File, wanted: impl Fn(&Pending) -> bool + Send) -> Result<(), Failure> {
        let published = self.publisher.publish(file, wanted).await;
        self.recent.forget(file.inode);
        published
    }

    /// Publishes everything that is not published yet. For the end of the mount.
    pub(crate) async fn publish_everything(&self) {
        for file in self.files.all() {
            // A failure was logged where it happened; the other files still have a chance.
            let _ = self.publish(&file, |_| true).await;
        }
    }
}

fn read_only() -> Failure {
    Failure::Refused(ErrorKind::ReadOnly, "old versions never change")
}

fn reserved() -> Failure {
    Failure::Refused(ErrorKind::NotPermitted, ".versions and .history are reserved names")
}

fn not_found() -> Failure {
    Failure::Refused(ErrorKind::NotFound, "no such file or version")
}

fn unexpected() -> Failure {
    Failure::Refused(ErrorKind::Internal, "the version manager answered another question than was asked")
}

/// A name that may be created or removed.
fn ordinary(name: &[u8]) -> Result<FileName, Failure> {
    let name = FileName::new(name)?;
    if name.is_reserved() { Err(reserved()) } else { Ok(name) }
}
