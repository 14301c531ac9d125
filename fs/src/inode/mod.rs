//! The numbers that the kernel knows inodes by.
//!
//! A live inode's number is the volume's own (the root is 1, as FUSE wants it). Everything else gets a number with the
//! upper bit set, from a table that lives as long as the kernel remembers it ([`table`]):
//! - `.versions`, `.history` and what lies directly in them;
//! - directories of old versions. Their identity includes the entry of `.versions` through which they were reached: the
//!   kernel allows a directory only one path;
//! - files of old versions: one number per state, however many versions share it, so that they also share cached pages;
//! - *aliases* of a live file. While a program has a file open for reading, it must go on seeing the version that
//!   it opened, cached pages and size included, although others already see a newer one. The kernel keeps pages and size per
//!   inode number; so the newer version gets another number, and the older one keeps its own until the program closes it.

mod label;
mod table;

pub(crate) use label::{Label, parse_state_name, state_name};
pub(crate) use table::{Key, NodeTable};

use std::sync::Arc;
use weft_common::id::{InodeNumber, VolumeVersion};
use weft_common::name::FileName;
use weft_common::wire::Attributes;

/// An inode number as the kernel has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct NodeId(pub(crate) u64);

/// Numbers with this bit come from the table.
const VIRTUAL: u64 = 1 << 63;

impl NodeId {
    /// The root of the mount.
    pub(crate) const ROOT: Self = Self(1);

    /// Whether it comes from the table.
    pub(crate) fn is_virtual(self) -> bool {
        self.0 & VIRTUAL != 0
    }
}

impl From<InodeNumber> for NodeId {
    fn from(inode: InodeNumber) -> Self {
        Self(inode.0 & !VIRTUAL)
    }
}

/// An inode of an old version. Nothing about it ever changes.
#[derive(Clone, Debug)]
pub(crate) struct Old {
    /// A version at which it was so.
    pub(crate) at: VolumeVersion,
    /// Its attributes then.
    pub(crate) attributes: Attributes,
    /// The `.versions` entry under which it lies; `None` if it is one itself, or a state in `.history`.
    pub(crate) entry: Option<NodeId>,
    /// The directory and the name that the kernel found it by last.
    pub(crate) place: (NodeId, FileName),
}

/// What a number stands for.
#[derive(Clone, Debug)]
pub(crate) enum Node {
    /// The inode as it is now, or an alias of it.
    Live(InodeNumber),
    /// The inode as it was.
    Old(Arc<Old>),
    /// `D/.versions`.
    Versions(InodeNumber),
    /// `D/.history`.
    History(InodeNumber),
    /// `D/.history/FILE`.
    FileHistory(InodeNumber, FileName),
}
