//! Messages: everything that is said between processes, as types.
//!
//! A message is a postcard header and, where a type says so, raw body bytes that serde never sees. The protocol version is
//! in the connection's ALPN ([`PROTOCOL`]): peers that differ do not talk at all, so no field is ever optional "for old peers".
//! The bytes of every message are held by golden tests; `PROTOCOL.md` is the document.

mod audit;
mod blob;
mod codec;
mod error;
mod history;
mod lease;
mod lock;
mod namespace;
mod placement;
mod session;
mod store;
mod volume;

pub use audit::*;
pub use blob::*;
pub use codec::{CodecError, decode, encode};
pub use error::{ErrorKind, ServiceError};
pub use history::*;
pub use lease::*;
pub use lock::*;
pub use namespace::*;
pub use placement::*;
pub use session::*;
pub use store::*;
pub use volume::*;

use serde::{Deserialize, Serialize};

/// The protocol that this build speaks, as negotiated by ALPN. Raised with every incompatible change of a message.
pub const PROTOCOL: &[u8] = b"weft/1";

/// What is asked of a server; the variant is the role that answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Version manager: volumes of the cluster.
    Volume(VolumeRequest),
    /// Version manager: sessions.
    Session(SessionRequest),
    /// Version manager: reads of the namespace at any version.
    Query(NamespaceQuery),
    /// Version manager: changes of the namespace.
    Change(NamespaceChange),
    /// Version manager: tickets and commits.
    Blob(BlobRequest),
    /// Provider manager.
    Placement(PlacementRequest),
    /// Metadata provider.
    Metadata(MetadataRequest),
    /// Data provider.
    Data(DataRequest),
    /// Version manager: how much history is kept, and its collection.
    History(HistoryRequest),
    /// Version manager: locks on ranges of files.
    Lock(LockRequest),
    /// Version manager: what may be answered from memory.
    Lease(LeaseRequest),
}

impl Request {
    /// The request's name for logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Volume(_) => "volume",
            Self::Session(_) => "session",
            Self::Query(query) => query.query.name(),
            Self::Change(change) => change.change.name(),
            Self::Blob(blob) => blob.name(),
            Self::Placement(_) => "placement",
            Self::Metadata(_) => "metadata",
            Self::Data(_) => "data",
            Self::History(_) => "history",
            Self::Lock(_) => "lock",
            Self::Lease(LeaseRequest::Look { query, .. }) => query.name(),
            Self::Lease(LeaseRequest::Await { .. }) => "lease",
        }
    }

    /// How urgent it is: control before metadata before pages. Higher goes first.
    #[must_use]
    pub fn priority(&self) -> i32 {
        match self {
            Self::Volume(_)
            | Self::Session(_)
            | Self::Query(_)
            | Self::Change(_)
            | Self::Blob(_)
            | Self::Placement(_)
            | Self::History(_)
            | Self::Lock(_)
            | Self::Lease(_) => 2,
            Self::Metadata(_) => 1,
            Self::Data(_) => 0,
        }
    }
}

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Reply {
    /// To [`Request::Volume`].
    Volume(VolumeReply),
    /// To [`Request::Session`].
    Session(SessionReply),
    /// To [`Request::Query`].
    Query(NamespaceAnswer),
    /// To [`Request::Change`].
    Change(ChangeReply),
    /// To [`Request::Blob`].
    Blob(BlobReply),
    /// To [`Request::Placement`].
    Placement(PlacementReply),
    /// To [`Request::Metadata`].
    Metadata(MetadataReply),
    /// To [`Request::Data`].
    Data(DataReply),
    /// To [`Request::History`].
    History(HistoryReply),
    /// To [`Request::Lock`].
    Lock(LockReply),
    /// To [`Request::Lease`].
    Lease(LeaseReply),
}

#[cfg(test)]
mod tests;
