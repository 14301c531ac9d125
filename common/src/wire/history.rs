//! History: how much of it is kept, thinning it, and collecting what went.

use crate::id::{BlobId, BlobVersion, InodeNumber, VolumeId, VolumeVersion};
use crate::retention::Retention;
use crate::time::Timestamp;
use crate::weave::Tree;
use crate::wire::{BlobState, ContentRow, Cursor, OpenSessions, SessionInfo, SweepExtent, SweepState, Swept};
use serde::{Deserialize, Serialize};

/// Volume versions `first..=last`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VersionRange {
    /// The first.
    pub first: VolumeVersion,
    /// The last.
    pub last: VolumeVersion,
}

impl VersionRange {
    /// How many versions it has.
    #[must_use]
    pub fn count(&self) -> u64 {
        (self.last.0 + 1).saturating_sub(self.first.0)
    }
}

/// What a renewal of a session tells. A repetition of a request carries the same; a new request has the next number and a new list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Renewal {
    /// From 1, in the order in which the session's lists are composed: one that comes late, behind a newer one, changes nothing.
    pub number: u64,
    /// The epoch of an answer such that whatever the client had begun to use before that answer is used no more, or is in `holds`. 0 if
    /// there is none yet.
    pub knows: u64,
    /// What it uses of the past, all of it.
    pub holds: Holds,
}

/// How much history a directory keeps, with all below it. What directories above it keep, it keeps too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectoryPolicy {
    /// The directory; the root for the volume.
    pub directory: InodeNumber,
    /// How much.
    pub policy: Retention,
}

/// What a session uses of the past, so that it is not collected under its feet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Holds {
    /// It uses more than it can list: nothing may go.
    pub everything: bool,
    /// Volume versions that it reads.
    pub versions: Vec<(VolumeId, VolumeVersion)>,
    /// Contents that it reads.
    pub contents: Vec<(BlobId, BlobVersion)>,
    /// Inodes that it has open.
    pub inodes: Vec<(VolumeId, InodeNumber)>,
}

/// Asked of the version manager.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HistoryRequest {
    /// How much history a volume keeps, and its directories that have a policy of their own. Answer: `Policies`.
    Policies(VolumeId),
    /// Keeps so much from now on. By that alone nothing goes, unless a directory's policy is taken back. Answer: `Done`.
    SetPolicy {
        /// The volume.
        volume: VolumeId,
        /// The directory that the policy is for, with all below it; the root for the volume itself.
        directory: InodeNumber,
        /// How much; `None` for a directory that is to have no policy of its own any more.
        policy: Option<Retention>,
    },
    /// The versions that the policy of a directory keeps, and when they were made, oldest first. Answer: `Kept`.
    Kept {
        /// The volume.
        volume: VolumeId,
        /// The directory; the root for the volume itself.
        directory: InodeNumber,
        /// Behind this one.
        after: VolumeVersion,
        /// At most so many.
        limit: u32,
    },
    /// The policy of a directory does not keep these versions any more. The newest version and those with a tag stay nevertheless. What
    /// no policy keeps is collected once nobody reads it. Answer: `Thinned`.
    Thin {
        /// The volume.
        volume: VolumeId,
        /// The directory; the root for the volume itself.
        directory: InodeNumber,
        /// Ascending, not overlapping; at most [`crate::limits::RANGES_PER_THINNING_MAX`].
        ranges: Vec<VersionRange>,
    },
    /// Server only: does a step of the clean-up of the namespace and answers what can be deleted from the providers. Answer: `Work`.
    Work {
        /// The volume; it may have been removed.
        volume: VolumeId,
        /// Blobs behind this number only.
        after: u64,
    },
    /// Server only: everything that went with the version is deleted. Answer: `Done`.
    Collected {
        /// The blob.
        blob: BlobId,
        /// The version.
        version: BlobVersion,
    },
    /// What there is to collect. Answer: `Garbage`.
    Garbage(VolumeId),
    /// Every volume, also those that were removed and are not collected yet. Answer: `Volumes`.
    Volumes,
    /// Which sessions are open. Answer: `Sessions`.
    Sessions,
    /// The versions of blobs, in order of numbers and versions. Answer: `Blobs`.
    Blobs {
        /// The volume; it may have been removed.
        volume: VolumeId,
        /// Behind this version of the blob with this number; all versions of a blob lie before `u64::MAX`.
        after: (u64, BlobVersion),
        /// At most so many blobs and versions, and at most [`crate::limits::BLOBS_PER_AUDIT`].
        limit: u32,
    },
    /// The contents that files have and had: first those of now. Answer: `Contents`.
    Contents {
        /// The volume.
        volume: VolumeId,
        /// Where to go on; empty for the beginning.
        after: Cursor,
        /// At most so many, and at most [`crate::limits::ROWS_PER_AUDIT`].
        limit: u32,
    },
    /// Have the servers look for orphans and delete them. Answer: `Sweep`.
    Sweep(SweepExtent),
    /// How far the sweeps are. Answer: `Sweep`.
    SweepState,
    /// Server only: a sweep is over. Answer: `Sweep`.
    Swept {
        /// How many had been asked for when it began.
        number: u64,
        /// What it did.
        swept: Swept,
    },
    /// Updates that are ordered and not committed. Answer: `InFlight`.
    InFlight,
    /// Who may be using something of a volume that was let go of. Answer: `Readers`.
    Readers(VolumeId),
}

/// A client that what was let go of waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reader {
    /// Its session.
    pub session: SessionInfo,
    /// Versions that it uses and that were let go of.
    pub versions: Vec<VolumeVersion>,
    /// Files that it uses, in whatever state: the content of one may be shown by no version any more.
    pub files: u64,
    /// It uses more than it can list.
    pub everything: bool,
    /// It has not said what it uses since something was let go of last.
    pub is_silent: bool,
}

/// A version of a blob whose nodes and objects can go; see [`crate::weave::Collection`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CollectionJob {
    /// It.
    pub dropped: Tree,
    /// The newest version below it that is there.
    pub older: BlobVersion,
    /// The oldest version above it that is there.
    pub newer: Option<Tree>,
}

/// What waits for collection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GarbageStatistics {
    /// Versions that the volume or a directory let go of, and that wait until nobody reads them; counted for each.
    pub thinned_versions: u64,
    /// Files of which something may have to go.
    pub blobs: u64,
    /// Files without a name that are still open somewhere, or were a moment ago.
    pub nameless_files: u64,
    /// The namespace is being cleaned up.
    pub is_purging: bool,
}

/// The version manager's answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HistoryReply {
    /// It is so. Also to `SetPolicy`.
    Done,
    /// To `Policies`: first the volume's, as that of its root.
    Policies(Vec<DirectoryPolicy>),
    /// To `Kept`.
    Kept {
        /// Versions and when they were made.
        versions: Vec<(VolumeVersion, Timestamp)>,
        /// Whether there are more behind the last one.
        more: bool,
    },
    /// To `Thin`.
    Thinned {
        /// How many versions were kept before and are not any more.
        versions: u64,
    },
    /// To `Work`.
    Work {
        /// One version of each of some blobs.
        jobs: Vec<CollectionJob>,
        /// Whether the step did something that makes more to do.
        more: bool,
        /// There may be blobs behind this number.
        next: Option<u64>,
    },
    /// To `Garbage`.
    Garbage(GarbageStatistics),
    /// To `Volumes`.
    Volumes(Vec<VolumeId>),
    /// To `Sessions`.
    Sessions(OpenSessions),
    /// To `Blobs`.
    Blobs {
        /// They.
        blobs: Vec<BlobState>,
        /// Whether there are more behind them.
        more: bool,
    },
    /// To `Contents`.
    Contents {
        /// They.
        rows: Vec<ContentRow>,
        /// Where to go on; `None` at the end. There may be more even if there are fewer than asked for.
        next: Option<Cursor>,
    },
    /// To `Sweep`, `SweepState` and `Swept`.
    Sweep(SweepState),
    /// To `InFlight`.
    InFlight {
        /// At most [`crate::limits::IN_FLIGHT_PER_ANSWER`], in order of blobs and versions.
        versions: Vec<(BlobId, BlobVersion)>,
        /// Whether there are more behind them.
        more: bool,
    },
    /// To `Readers`: those that use anything of it, or are silent.
    Readers(Vec<Reader>),
}
