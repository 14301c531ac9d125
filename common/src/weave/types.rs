//! The shapes that weaving works on: geometry, updates, log entries, nodes. All of them are persisted or sent.

use crate::checksum::Digest;
use crate::id::{BlobId, BlobVersion, GroupId, NodeId, PageObjectId};
use crate::limits::{FAN_OUT_MAX, FAN_OUT_MIN, PAGE_SIZE_MAX, PAGE_SIZE_MIN};
use serde::{Deserialize, Serialize};

/// Page size and fan-out of a blob, fixed when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "(u32, u32)", into = "(u32, u32)")]
pub struct Geometry {
    page_size: u32,
    fan_out: u32,
}

/// A page size or fan-out that no blob can have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum GeometryError {
    /// Not a power of two in range.
    #[error("page size {0} is not a power of two from 64 KiB to 64 MiB")]
    PageSize(u32),
    /// Not a power of two in range.
    #[error("fan-out {0} is not a power of two from 2 to 256")]
    FanOut(u32),
}

impl Geometry {
    /// Checks both figures.
    ///
    /// # Errors
    /// [`GeometryError`] names the one that is out of range.
    pub fn new(page_size: u32, fan_out: u32) -> Result<Self, GeometryError> {
        if !page_size.is_power_of_two() || !(PAGE_SIZE_MIN..=PAGE_SIZE_MAX).contains(&page_size) {
            return Err(GeometryError::PageSize(page_size));
        }
        if !fan_out.is_power_of_two() || !(FAN_OUT_MIN..=FAN_OUT_MAX).contains(&fan_out) {
            return Err(GeometryError::FanOut(fan_out));
        }
        Ok(Self { page_size, fan_out })
    }

    /// Bytes in a page.
    #[must_use]
    pub fn page_size(self) -> u32 {
        self.page_size
    }

    /// Children of a node, and pages of a leaf.
    #[must_use]
    pub fn fan_out(self) -> u32 {
        self.fan_out
    }

    /// Pages that hold `bytes` bytes.
    #[must_use]
    pub fn pages(self, bytes: u64) -> u64 {
        bytes.div_ceil(u64::from(self.page_size))
    }
}

impl TryFrom<(u32, u32)> for Geometry {
    type Error = GeometryError;

    fn try_from((page_size, fan_out): (u32, u32)) -> Result<Self, GeometryError> {
        Self::new(page_size, fan_out)
    }
}

impl From<Geometry> for (u32, u32) {
    fn from(geometry: Geometry) -> Self {
        (geometry.page_size, geometry.fan_out)
    }
}

/// Bytes `[start, end)`; `end` may be [`ByteRange::UNBOUNDED`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ByteRange {
    /// First byte.
    pub start: u64,
    /// One past the last byte.
    pub end: u64,
}

impl ByteRange {
    /// The end of a range that has none: everything from `start` on, whatever the file's size becomes.
    pub const UNBOUNDED: u64 = u64::MAX;

    /// `[start, end)`.
    #[must_use]
    pub fn new(start: u64, end: u64) -> Self {
        Self { start, end }
    }

    /// Whether no byte lies in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start >= self.end
    }

    /// The bytes in both; may be empty.
    #[must_use]
    pub fn intersection(&self, other: &Self) -> Self {
        Self { start: self.start.max(other.start), end: self.end.min(other.end) }
    }
}

/// A stored page object as the metadata knows it: enough to find it, and to know its bytes again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PageObject {
    /// Its name.
    pub id: PageObjectId,
    /// Its length in bytes, at most a page.
    pub length: u32,
    /// Checksum of its chunk table.
    pub digest: Digest,
    /// The replica group that holds it.
    pub group: GroupId,
}

/// The update that brought a page object, and where its bytes lie: what collection has to know of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Birth {
    /// Number of the blob whose update it was; in a clone's leaf perhaps its origin's.
    pub blob: u64,
    /// The version that the update became.
    pub version: BlobVersion,
    /// If the update put bytes of the object on two pages: the second one. The first is the page before it.
    pub border: Option<u64>,
}

/// Bytes of a page and where they lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fragment {
    /// First byte within the page.
    pub page_offset: u32,
    /// How many bytes.
    pub length: u32,
    /// The object that holds them.
    pub object: PageObject,
    /// Where in the object they start.
    pub object_offset: u32,
    /// Whose object it is.
    pub born: Birth,
}

/// One page of one blob version: fragments in order of `page_offset`, disjoint. Bytes that no fragment covers are zero.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PageDescriptor {
    /// The fragments; empty for a hole.
    pub fragments: Vec<Fragment>,
}

/// Names a child: the node at (`level`, the child's own index) that `version` of `blob` made. A level below the slot's own
/// means that the spine was compressed: the slot's content is a shallower tree, all of it under index 0.
///
/// The blob is part of the reference because a clone's tree goes on pointing into its origin's nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct NodeRef {
    /// Number of the blob, in the same volume.
    pub blob: u64,
    /// Version that made the node.
    pub version: BlobVersion,
    /// Level of the node.
    pub level: u8,
}

/// A segment-tree node. Both lists have exactly fan-out entries.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Node {
    /// Level 1: the pages themselves.
    Leaf(Vec<PageDescriptor>),
    /// Higher levels; `None` is a hole.
    Inner(Vec<Option<NodeRef>>),
}

/// One blob version as a reader needs it. `root` is `None` when every byte is zero (also for size 0).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tree {
    /// The blob.
    pub blob: BlobId,
    /// The version.
    pub version: BlobVersion,
    /// Size in bytes; reads end here.
    pub size: u64,
    /// Page size and fan-out.
    pub geometry: Geometry,
    /// The root node, always of index 0.
    pub root: Option<NodeRef>,
}

impl Tree {
    /// An empty blob: version 0, before any update.
    #[must_use]
    pub fn empty(blob: BlobId, geometry: Geometry) -> Self {
        Self { blob, version: BlobVersion(0), size: 0, geometry, root: None }
    }

    /// The id of the root node.
    #[must_use]
    pub fn root_id(&self) -> Option<NodeId> {
        self.root.map(|root| NodeId {
            blob: BlobId { volume: self.blob.volume, number: root.blob },
            version: root.version,
            level: root.level,
            index: 0,
        })
    }
}

/// Data of an update: `length` bytes of `objects[object]` from `object_offset` on become the file's bytes from `offset` on.
/// It may cross page boundaries (an append learns its offset only from the ticket).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct DataExtent {
    /// Place in the file; for an append, after the size before it.
    pub offset: u64,
    /// How many bytes, never 0.
    pub length: u32,
    /// Index into [`Update::objects`].
    pub object: u32,
    /// Where in the object the bytes start.
    pub object_offset: u32,
}

/// What one blob version changes. Applied in this order: cut, holes, data, grow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Update {
    /// The page objects it brings. Each is used by an extent, its extents lie within one page's length of the file (so on at
    /// most two neighbouring pages), and no other update brings it: collection relies on all three.
    pub objects: Vec<PageObject>,
    /// The file was cut to this size at some moment: bytes from here on that `data` does not give are zero.
    pub cut_to: Option<u64>,
    /// Ranges that become zeros without changing the size, in order, disjoint.
    pub holes: Vec<ByteRange>,
    /// New bytes, in order of offset, disjoint.
    pub data: Vec<DataExtent>,
    /// The file has at least this size afterwards.
    pub grow_to: Option<u64>,
}

/// What a writer asks a ticket for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Operation {
    /// Offsets are the file's.
    Write(Update),
    /// Offsets count from the size before this version; only `objects` and `data` are used.
    Append(Update),
    /// The same bytes in fewer fragments. Granted only if the file's content is `blob`'s still, and no assigned version of it
    /// after `read_at` touches the pages of `update`.
    Compact {
        /// The blob whose bytes were rewritten.
        blob: BlobId,
        /// The version whose bytes were rewritten.
        read_at: BlobVersion,
        /// The new objects for whole pages.
        update: Update,
    },
}

/// An assigned blob version: the update with its final offsets, and the size and height that follow from the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LogEntry {
    /// The blob version.
    pub version: BlobVersion,
    /// The update, offsets absolute.
    pub update: Update,
    /// Size of the file after this version (s_v).
    pub size: u64,
    /// Least height that covers that size (h_v), at least 1.
    pub height: u8,
}
