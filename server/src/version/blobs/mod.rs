//! Blob logs: tickets put updates in order, commits publish them in that order.
//!
//! A blob's versions are in one of three states, and always in this order: *published* (1 to p), then *in flight*
//! (p + 1 to a): assigned, and some of them committed. A `ticket` assigns a + 1; from then on the update is part of the
//! file for good, whoever stores its nodes. A `commit` marks one version; the versions behind p that are committed without
//! a gap are published, each with the time and author of its ticket, and each takes the volume's next N.
//!
//! The record of a blob is made by its first ticket, from the tree that the namespace has for the file: version 0, empty, or
//! for a clone the root of its origin.
//!
//! **A restore wins over what is in flight.** It gives the file a new blob. Tickets name the file and so go to the new blob from
//! then on. Versions of the old blob that are still in flight are published in the old blob's log, so that their writers get an
//! answer and their nodes are accounted for, but they take no N and the file does not show them: the same outcome as if they had
//! been published just before the restore. The same holds for a file that lost its last name.

mod commit;
mod record;
mod ticket;

pub(crate) use commit::{commit, published_reply};
pub(crate) use record::{BlobRecord, abandon, drop_in_flight, log_entries, published_versions, tree_at};
pub use record::{Waiting, tree, waiting};
pub use ticket::rebuild;
pub(crate) use ticket::ticket;

use super::kv::{Kv, KvError};
use super::table;
use weft_common::id::{BlobId, InodeNumber};

/// The file that a blob's updates are of; `None` before the first one.
///
/// # Errors
/// [`KvError`] is fatal.
pub(crate) fn inode_of(kv: &dyn Kv, blob: BlobId) -> Result<Option<InodeNumber>, KvError> {
    Ok(table::get::<BlobRecord>(kv, &table::blob(blob))?.map(|record| record.inode))
}
