//! Identifiers: one type per noun, so that a blob version can never be passed where a volume version is meant.

use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident($inner:ty), $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(formatter, concat!($prefix, "{}"), self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, formatter)
            }
        }
    };
}

id_type!(
    /// A volume: a named tree of files with its own line of version numbers. Never reused within a cluster.
    VolumeId(u32), "vol"
);
id_type!(
    /// A blob version `v`: one atomic update of one blob. 0 is the empty blob (or, for a clone, its origin).
    BlobVersion(u64), "v"
);
id_type!(
    /// A volume version `N`: dense, from 1; every visible change takes the next one. 0 is the volume before any change.
    VolumeVersion(u64), "N"
);
id_type!(
    /// A file, directory or other namespace object of one volume. Never reused.
    InodeNumber(u64), "ino"
);
id_type!(
    /// A client's connection to the cluster, from `OpenSession` until it is closed or its lease lapses. Never reused.
    SessionId(u64), "session"
);
id_type!(
    /// A server process that holds page objects or tree nodes. Assigned when it joins.
    ProviderId(u32), "provider"
);
id_type!(
    /// A replica group: the set of data providers that hold a page object.
    GroupId(u32), "group"
);
id_type!(
    /// A stretch of a store's life within which nothing that it acknowledged can have been lost. A loss of power ends it, and so
    /// does a failed write; the death of the process does not.
    Incarnation(u64), "incarnation"
);
id_type!(
    /// Follows one request through the logs of client and servers.
    RequestId(u64), "req"
);

/// The root directory of every volume.
pub const ROOT_INODE: InodeNumber = InodeNumber(1);

/// A whole cluster; store folders remember theirs, so that a disk of another cluster is refused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClusterId(pub u128);

impl fmt::Display for ClusterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:032x}", self.0)
    }
}

impl fmt::Debug for ClusterId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl std::str::FromStr for ClusterId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        u128::from_str_radix(text, 16).map(Self)
    }
}

/// The content of one file: an ordered list of blob versions. `number` is unique within its volume and never reused.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct BlobId {
    /// The volume the blob belongs to.
    pub volume: VolumeId,
    /// Its number in that volume.
    pub number: u64,
}

impl fmt::Display for BlobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/blob{}", self.volume, self.number)
    }
}

impl fmt::Debug for BlobId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A page object: the immutable bytes that one update stored for (part of) one page. The writer names it before it is
/// ordered, so that upload and ordering overlap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PageObjectId {
    /// The session that stored it.
    pub session: SessionId,
    /// Its place among that session's objects.
    pub sequence: u64,
}

impl fmt::Display for PageObjectId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "page{}.{}", self.session.0, self.sequence)
    }
}

impl fmt::Debug for PageObjectId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A segment-tree node: immutable, written once. `level` 1 is a leaf.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct NodeId {
    /// The blob whose update made it.
    pub blob: BlobId,
    /// The version that made it.
    pub version: BlobVersion,
    /// Height above the pages: a node of level `l` and index `k` covers pages `[k·F^l, (k+1)·F^l)`.
    pub level: u8,
    /// Place among the nodes of its level.
    pub index: u64,
}

impl fmt::Display for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}@{}/{}.{}", self.blob, self.version, self.level, self.index)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}
