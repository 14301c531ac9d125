//! Leases: what a client may answer from its own memory.
//!
//! A lease on a directory covers its names and that a name is not there, its own attributes, and those of everything in it that is no
//! directory and has this one name. While a client has it, the version manager tells nobody of a change to any of that before it has
//! called the lease in and the client has let go, or has been silent for [`crate::limits::LEASE_TERM`].

use crate::id::{InodeNumber, SessionId, VolumeId, VolumeVersion};
use crate::wire::{NamespaceAnswer, Query};
use serde::{Deserialize, Serialize};

/// A directory of a volume.
pub type LeasedDirectory = (VolumeId, InodeNumber);

/// Asked of the version manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseRequest {
    /// A query of the present, `LookUp`, `Attributes` or `ReadDirectory`, by somebody who would like to remember the answer. Answer: `Seen`.
    Look {
        /// The volume.
        volume: VolumeId,
        /// Who wants leases.
        session: SessionId,
        /// What it looks at.
        query: Query,
    },
    /// Waits for leases to be called in; asking says that those before are let go of. Answer: `CalledIn`.
    Await {
        /// The session.
        session: SessionId,
        /// The line of leases that it holds; see [`Grant::line`].
        line: u64,
        /// Leases are let go of up to this number of [`LeaseReply::CalledIn`].
        done: u64,
        /// Directories that it does not remember any more.
        gives_back: Vec<LeasedDirectory>,
        /// How long to wait.
        wait_ms: u32,
    },
}

/// When something was so: between which two commands of the version manager.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Moment {
    /// Commands that had been carried out.
    pub epoch: u64,
    /// The newest version of the volume.
    pub version: VolumeVersion,
}

/// Leases that come with an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The line of leases that they belong to. Another one than before: none of those before counts any more.
    pub line: u64,
    /// The directories.
    pub directories: Vec<InodeNumber>,
}

/// The version manager's answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LeaseReply {
    /// To `Look`.
    Seen {
        /// The answer; `None` if there is no such name.
        answer: Option<NamespaceAnswer>,
        /// When that was so.
        moment: Moment,
        /// What may be remembered.
        grant: Option<Grant>,
    },
    /// To `Await`.
    CalledIn {
        /// The line of leases; 0 if this client holds none, as far as the manager knows.
        line: u64,
        /// The number of this answer: the next question says that it was heard.
        number: u64,
        /// Commands that had been carried out: nothing that was so before is to be remembered …
        epoch: u64,
        /// … of these directories.
        directories: Vec<LeasedDirectory>,
    },
}
