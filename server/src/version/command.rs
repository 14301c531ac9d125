//! Commands: what the replicated log holds. Applying the same commands to the same state gives the same state and replies,
//! on every machine and after every restart; so each carries the time at which it was proposed.

use crate::version::namespace::Readers;
use serde::{Deserialize, Serialize};
use weft_common::id::{BlobId, BlobVersion, InodeNumber, VolumeId};
use weft_common::retention::Retention;
use weft_common::time::Timestamp;
use weft_common::wire::{
    LockRequest, NamespaceChange, PlacementRequest, SessionRequest, TicketRequest, VersionRange, VolumeRequest,
};

/// One entry of the replicated log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// When it was proposed. The state machine makes time monotone: a clock that was set back does not reorder versions.
    pub time: Timestamp,
    /// What is to be done.
    pub action: Action,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Volumes.
    Volume(VolumeRequest),
    /// Sessions: `Open`, `Close` (a lapsed lease is a `Close` that the leader proposes). Renewals are not logged.
    Session(SessionRequest),
    /// The namespace.
    Change(NamespaceChange),
    /// An update gets its place.
    Ticket(Box<TicketRequest>),
    /// An update's nodes are stored.
    Commit {
        /// The blob.
        blob: BlobId,
        /// The version.
        version: BlobVersion,
    },
    /// A provider joins, what it has on stable storage, and what it lost. Most heartbeats are not logged.
    Placement(PlacementRequest),
    /// How much history a directory keeps.
    SetPolicy {
        /// The volume.
        volume: VolumeId,
        /// The directory; the root for the volume itself.
        directory: InodeNumber,
        /// How much; `None`: no more than what is above it keeps.
        policy: Option<Retention>,
    },
    /// The policy of a directory does not keep some versions any more.
    Thin {
        /// The volume.
        volume: VolumeId,
        /// The directory; the root for the volume itself.
        directory: InodeNumber,
        /// Which.
        ranges: Vec<VersionRange>,
    },
    /// A step of collection for blobs behind a number, with what the leader knows of readers.
    Collect(VolumeId, u64, Box<Readers>),
    /// All that went with a blob version is deleted.
    Collected(BlobId, BlobVersion),
    /// A lock is taken or given back. Waiting for one is not logged.
    Lock(LockRequest),
}
