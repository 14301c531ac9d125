//! What a volume offers. Both traits are object-safe, so that the mount can be tested against a volume in memory.

use super::{Holder, InUse, LeaseListener};
use crate::id::{BlobId, BlobVersion, InodeNumber, SessionId, VolumeVersion};
use crate::limits::EXTENSION_BYTES_MAX;
use crate::rpc::RpcError;
use crate::time::Timestamp;
use crate::weave::{ByteRange, Operation, PageObject, Tree};
use crate::wire::{
    At, Attributes, Author, Change, ChangeReply, ErrorKind, NamespaceAnswer, Query, ServiceError, Space, VolumeInfo,
};
use bytes::Bytes;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// A call of the client library that failed for good: retries over all replicas and the mount's time-out are behind it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// A server refused.
    #[error(transparent)]
    Service(#[from] ServiceError),
    /// Servers could not be reached, or not in time.
    #[error("gave up after {attempts} {}: {last}", if *attempts == 1 { "attempt" } else { "attempts" })]
    Unavailable {
        /// How often it was tried.
        attempts: u32,
        /// The last failure.
        last: Box<RpcError>,
    },
    /// No replica has the bytes whole.
    #[error("{what} is damaged or missing on every replica: {detail}; an older version of the file may be whole (.history)")]
    Damaged {
        /// The page object or node.
        what: String,
        /// What each replica said.
        detail: String,
    },
    /// There are too few living providers for the volume's number of copies.
    #[error(
        "{needed} copies are asked for and only {alive} {role} providers are alive; start more, or lower the volume's copies"
    )]
    TooFewProviders {
        /// `data` or `metadata`.
        role: &'static str,
        /// Copies of the volume.
        needed: u8,
        /// Providers that are alive.
        alive: usize,
    },
    /// An update was sent off to be ordered, and what became of it could not be learned.
    #[error("it could not be learned whether the update was published, and servers may still finish it: {cause}")]
    Unconfirmed {
        /// What kept it from being learned.
        cause: Box<ClientError>,
    },
}

impl ClientError {
    /// What a failure of ordering an update means. A refusal is an answer, but for two: the session of an earlier attempt, whose answer was
    /// lost, is over; or the request was answered before. Everything else leaves open what became of it as well.
    pub(crate) fn of_ordering(self) -> Self {
        let is_answer =
            |error: &ServiceError| !error.retry && !matches!(error.kind, ErrorKind::SessionExpired | ErrorKind::Stale);
        if matches!(&self, Self::Service(error) if is_answer(error)) { self } else { self.of_finishing() }
    }

    /// What a failure means behind the ticket, where anybody may finish the update.
    pub(crate) fn of_finishing(self) -> Self {
        Self::Unconfirmed { cause: Box::new(self) }
    }
}

/// An update to be ordered, woven and published.
#[derive(Clone, Debug)]
pub struct PublishRequest {
    /// The file.
    pub inode: InodeNumber,
    /// The update; its page objects come from [`BlobStore::put_object`].
    pub operation: Operation,
    /// The file's modification time after it.
    pub modified: Timestamp,
    /// Who writes.
    pub author: Author,
    /// The session that must still be this client's: the writer holds locks that belong to it, and if it lapsed, somebody else may
    /// hold them.
    pub only_in: Option<SessionId>,
}

/// A published update.
#[derive(Clone, Debug)]
pub struct Published {
    /// The volume version it became.
    pub version: VolumeVersion,
    /// The blob.
    pub blob: BlobId,
    /// The blob version it became.
    pub blob_version: BlobVersion,
    /// Where an append was put.
    pub offset: u64,
    /// The file as last published (this update, or a later one); `None` if the file is gone.
    pub attributes: Option<Attributes>,
}

/// Content: page objects, updates, reads.
#[async_trait::async_trait]
pub trait BlobStore: Send + Sync + std::fmt::Debug {
    /// Stores the bytes of one page object (1 byte to a page) with all copies. Until an update names it, nobody sees it.
    ///
    /// # Errors
    /// [`ClientError`]; `NoSpace` before anything was accepted.
    async fn put_object(&self, bytes: Bytes) -> Result<PageObject, ClientError>;

    /// Orders the update, stores its nodes, commits it and waits until it is published.
    ///
    /// # Errors
    /// [`ClientError`]. After `Unconfirmed` the update may still become visible (a helper finishes it).
    async fn publish(&self, request: PublishRequest) -> Result<Published, ClientError>;

    /// The bytes of `range`, cut at the tree's size; holes are zeros. Verified against their checksums.
    ///
    /// # Errors
    /// [`ClientError::Damaged`] rather than wrong bytes.
    async fn read(&self, tree: &Tree, range: ByteRange) -> Result<Bytes, ClientError>;

    /// The first range of data (not hole) that ends after `offset`, cut at the tree's size; `None` if only a hole follows.
    /// Precise to the page.
    ///
    /// # Errors
    /// As for [`BlobStore::read`].
    async fn next_data(&self, tree: &Tree, offset: u64) -> Result<Option<ByteRange>, ClientError>;

    /// Part of a page object that [`BlobStore::put_object`] stored, also while no update names it yet: a mount has uploaded
    /// what a program wrote, and the program reads it back before it closes the file.
    ///
    /// # Errors
    /// As for [`BlobStore::read`].
    async fn read_object(&self, object: &PageObject, range: Range<u32>) -> Result<Bytes, ClientError>;

    /// Whether `newer` begins with all the bytes of `older`, so that a reader of the one may go on in the other (`tail -f`).
    /// `false` when that is not known.
    ///
    /// As it stands here it compares bytes and gives up on files over [`EXTENSION_BYTES_MAX`]; a store that knows which
    /// nodes the two share can answer without reading.
    ///
    /// # Errors
    /// As for [`BlobStore::read`].
    async fn extends(&self, older: &Tree, newer: &Tree) -> Result<bool, ClientError> {
        if older.size == 0 || older.size > newer.size || older.size > EXTENSION_BYTES_MAX {
            return Ok(older.size == 0);
        }
        let step = u64::from(older.geometry.page_size());
        let mut start = 0;
        while start < older.size {
            let range = ByteRange::new(start, (start + step).min(older.size));
            if self.read(older, range).await? != self.read(newer, range).await? {
                return Ok(false);
            }
            start = range.end;
        }
        Ok(true)
    }

    /// The ranges in which two versions, of one file or of two, may differ: whole pages, in order; what they leave out is the same in
    /// both. Found from what the two trees do not share; no page is read.
    ///
    /// # Errors
    /// As for [`BlobStore::read`].
    async fn changed_ranges(&self, old: &Tree, new: &Tree) -> Result<Vec<ByteRange>, ClientError>;

    /// Space of the living data providers together, counted in bytes of content (each byte once, not once per copy).
    /// All zero when that is not known.
    fn space(&self) -> Space {
        Space::default()
    }

    /// Whether nothing can be stored for want of room, as far as this client knows: what is written now would be lost at its publication.
    fn is_full(&self) -> bool {
        false
    }

    /// A hint that `range` will be read soon: fetches in the background what the caches can hold.
    fn prefetch(&self, tree: &Tree, range: ByteRange);

    /// Everything that this client put and published so far is on stable storage of all copies when it returns.
    ///
    /// # Errors
    /// [`ClientError`]; then nothing is promised of what was written since the last success.
    async fn sync(&self) -> Result<(), ClientError>;

    /// Has `holder` asked, at every renewal of the session, what is in use of the past: it is not collected meanwhile.
    fn report_holds(&self, _holder: Arc<dyn Holder>) {}

    /// For an operation that finds contents or versions and takes hold of them before it ends; keep what it answers until then.
    fn begin_use(&self) -> Option<InUse> {
        None
    }

    /// How often a provider was found to have lost power before what this client had stored on it was synced. Of what was
    /// published and not synced before the number rose, nothing is promised.
    fn losses(&self) -> u64 {
        0
    }
}

/// Names, attributes, versions.
#[async_trait::async_trait]
pub trait Namespace: Send + Sync + std::fmt::Debug {
    /// The volume as it was when it was opened.
    fn info(&self) -> VolumeInfo;

    /// Reads the namespace at a version.
    ///
    /// # Errors
    /// [`ClientError`].
    async fn query(&self, at: At, query: Query) -> Result<NamespaceAnswer, ClientError>;

    /// The answer to a query of the present, if it is known without asking, and for how long it may be believed if
    /// [`Namespace::report_leases`] is heeded. Never waits.
    fn known(&self, _query: &Query) -> Option<(Result<NamespaceAnswer, ClientError>, Duration)> {
        None
    }

    /// Tells `listener` of everything that [`Namespace::known`] has answered and that is not to be believed any more.
    fn report_leases(&self, _listener: Arc<dyn LeaseListener>) {}

    /// Changes the namespace, exactly once however often the network repeats it.
    ///
    /// # Errors
    /// [`ClientError`].
    async fn change(&self, author: &Author, change: Change) -> Result<ChangeReply, ClientError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_answer_says_that_an_update_did_not_happen() {
        let of = |kind| ClientError::Service(ServiceError::new(kind, "no")).of_ordering();
        for kind in [ErrorKind::NoSpace, ErrorKind::NotFound, ErrorKind::TooFewCopies] {
            assert!(matches!(of(kind), ClientError::Service(_)), "{kind:?}");
        }
        for kind in [ErrorKind::SessionExpired, ErrorKind::Stale, ErrorKind::Busy, ErrorKind::Unavailable] {
            assert!(matches!(of(kind), ClientError::Unconfirmed { .. }), "{kind:?}");
        }
    }
}
