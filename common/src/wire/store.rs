//! Nodes and page objects: written once, read often. Repeating a put with the same bytes is harmless; other bytes under a
//! stored id are refused as `Damaged`.

use crate::checksum::Digest;
use crate::id::{Incarnation, NodeId, PageObjectId};
use crate::wire::{Cursor, Space};
use serde::{Deserialize, Serialize};

/// Asked of a metadata provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetadataRequest {
    /// Stores nodes. Body: their encodings one after the other. Answer: `Stored`, once they survive the death of the process.
    Put {
        /// Each node's id and the length of its encoding.
        nodes: Vec<(NodeId, u32)>,
    },
    /// Reads nodes. Answer: `Nodes`.
    Get {
        /// Their ids.
        nodes: Vec<NodeId>,
    },
    /// Forgets nodes; those it does not have are passed over. Answer: `Done`.
    Delete {
        /// Their ids.
        nodes: Vec<NodeId>,
    },
    /// Everything put so far is on stable storage. Answer: `Done`; `Stale` if the store is in another incarnation by now: what was put
    /// in the one asked for may be lost.
    Sync {
        /// The one that answered the puts.
        incarnation: Incarnation,
    },
    /// What it holds, in an order of its own; what is put or deleted meanwhile may be in the list or not. Answer: `List`.
    List {
        /// Where to go on; empty for the beginning.
        after: Cursor,
        /// At most so many, and at most [`crate::limits::IDS_PER_LISTING`].
        limit: u32,
    },
    /// What it holds, in numbers. Answer: `Space`.
    Space,
}

/// A metadata provider's answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum MetadataReply {
    /// It is so.
    Done,
    /// To `Put`.
    Stored {
        /// What a later `Sync` must name.
        incarnation: Incarnation,
    },
    /// To `Get`. Body: the encodings of those that are there, one after the other.
    Nodes {
        /// The length of each, in the order asked for; `None` for one that is not there.
        lengths: Vec<Option<u32>>,
    },
    /// To `List`.
    List {
        /// Nodes, and the bytes that each takes in the store.
        nodes: Vec<(NodeId, u32)>,
        /// Where to go on; `None` at the end.
        next: Option<Cursor>,
    },
    /// To `Space`.
    Space(Space),
}

/// Asked of a data provider.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataRequest {
    /// Stores a page object. Body: its bytes. They are checked against the digest. Answer: `Stored`, once they survive the
    /// death of the process.
    Put {
        /// Its name.
        object: PageObjectId,
        /// Checksum of its chunk table.
        digest: Digest,
    },
    /// Reads part of a page object. Answer: `Part`.
    Get {
        /// Its name.
        object: PageObjectId,
        /// First byte that is wanted.
        offset: u32,
        /// How many bytes.
        length: u32,
    },
    /// Forgets page objects; those it does not have are passed over. Answer: `Done`.
    Delete {
        /// Their names.
        objects: Vec<PageObjectId>,
    },
    /// Everything put so far is on stable storage. Answer: `Done`; `Stale` if the store is in another incarnation by now: what was put
    /// in the one asked for may be lost.
    Sync {
        /// The one that answered the puts.
        incarnation: Incarnation,
    },
    /// What it holds, in an order of its own; what is put or deleted meanwhile may be in the list or not. Answer: `List`.
    List {
        /// Where to go on; empty for the beginning.
        after: Cursor,
        /// At most so many, and at most [`crate::limits::IDS_PER_LISTING`].
        limit: u32,
    },
    /// What it holds, in numbers. Answer: `Space`.
    Space,
}

/// A data provider's answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataReply {
    /// It is so.
    Done,
    /// To `Put`.
    Stored {
        /// What a later `Sync` must name.
        incarnation: Incarnation,
    },
    /// To `Get`. Body: the chunks that cover the wanted range (see [`crate::checksum`]).
    Part {
        /// Length of the whole object.
        object_bytes: u32,
        /// Where in the object the body starts.
        start: u32,
        /// The whole chunk table.
        checksums: Vec<u64>,
    },
    /// To `List`.
    List {
        /// Page objects, and the bytes that each takes in the store.
        objects: Vec<(PageObjectId, u32)>,
        /// Where to go on; `None` at the end.
        next: Option<Cursor>,
    },
    /// To `Space`.
    Space(Space),
}
