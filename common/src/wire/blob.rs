//! Tickets and commits: how updates of blobs are ordered and published.

use crate::id::{BlobId, BlobVersion, InodeNumber, SessionId, VolumeId, VolumeVersion};
use crate::time::Timestamp;
use crate::weave::{LogEntry, Operation, Tree};
use crate::wire::{Attributes, Author, RequestKey};
use serde::{Deserialize, Serialize};

/// Asked of the version manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlobRequest {
    /// Orders an update of a file's blob. The page objects it names are already held by `copies` providers each.
    /// Answer: `Granted`.
    Ticket(Box<TicketRequest>),
    /// Every node of the version is stored. Waits until it is published, at most until the request's deadline.
    /// Repeating it is harmless. Answer: `Published`, or the error `Busy` (committed, but an earlier version is not yet).
    Commit {
        /// The blob.
        blob: BlobId,
        /// The version.
        version: BlobVersion,
        /// The session whose update it is: it learns of the publication from the answer, so its leases are not called in. `None` for helpers.
        maker: Option<SessionId>,
    },
    /// What is needed to build the nodes of an assigned version: for helpers, and for writers whose base is gone. Answer: `Granted`.
    Rebuild {
        /// The blob.
        blob: BlobId,
        /// The version.
        version: BlobVersion,
    },
    /// Tickets whose lease lapsed: work for helpers. Answer: `Lapsed`.
    Lapsed,
    /// A published version of a blob. Answer: `Tree`.
    Tree {
        /// The blob.
        blob: BlobId,
        /// The version; `None` for the newest published one.
        version: Option<BlobVersion>,
    },
}

impl BlobRequest {
    /// The request's name for logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ticket(_) => "ticket",
            Self::Commit { .. } => "commit",
            Self::Rebuild { .. } => "rebuild",
            Self::Lapsed => "lapsed",
            Self::Tree { .. } => "tree",
        }
    }
}

/// An update that wants its place in the order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TicketRequest {
    /// The volume.
    pub volume: VolumeId,
    /// The file; the version manager knows its blob.
    pub inode: InodeNumber,
    /// Recognises a repetition.
    pub key: RequestKey,
    /// Who writes.
    pub author: Author,
    /// The update.
    pub operation: Operation,
    /// The file's modification time after it.
    pub modified: Timestamp,
    /// How many providers acknowledged each of its page objects.
    pub copies: u8,
}

/// The version manager's answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum BlobReply {
    /// To `Ticket` and `Rebuild`.
    Granted(Box<Ticket>),
    /// To `Commit`.
    Published {
        /// The volume version that the update became (for a compaction: the newest one).
        version: VolumeVersion,
        /// The file after it. `None` if the file is gone.
        attributes: Option<Attributes>,
    },
    /// To `Lapsed`.
    Lapsed(Vec<(BlobId, BlobVersion)>),
    /// To `Tree`.
    Tree(Tree),
}

/// An update's place in the order, with what is needed to weave its nodes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The blob.
    pub blob: BlobId,
    /// The assigned version, its size and height.
    pub entry: LogEntry,
    /// The newest published version: every node of it can be read.
    pub base: Tree,
    /// What is assigned between the two, ascending.
    pub in_flight: Vec<LogEntry>,
    /// Copies that each node needs.
    pub copies: u8,
}
