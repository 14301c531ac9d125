//! What checks and clean-ups ask for: what is stored, and what the version manager knows to be needed.

use crate::id::{BlobVersion, InodeNumber, SessionId, VolumeVersion};
use crate::weave::{LogEntry, Tree};
use crate::wire::VersionRange;
use serde::{Deserialize, Serialize};

/// Where a listing goes on; what is in it is the store's own business. At most [`crate::limits::CURSOR_BYTES_MAX`] bytes.
pub type Cursor = Vec<u8>;

/// Which sessions are open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSessions {
    /// Those that are open, ascending.
    pub open: Vec<SessionId>,
    /// The number that the next one gets: those from here on did not exist when the answer was made.
    pub next: SessionId,
}

/// What the version manager knows of a blob; if it has many versions, a part of that.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BlobState {
    /// Its number in the volume.
    pub number: u64,
    /// The file whose content it is or was.
    pub inode: InodeNumber,
    /// The newest version of which it is known what became of it: it is published, and perhaps collected already, or it was dropped, as
    /// nodes that it rests on are lost.
    pub settled: BlobVersion,
    /// The version that is being collected: nobody can read it, and of its nodes some may be gone.
    pub offered: Option<BlobVersion>,
    /// Published versions that are there, ascending.
    pub versions: Vec<Tree>,
    /// What is assigned and not published; only in the last part.
    pub in_flight: Vec<LogEntry>,
    /// Whether this is all there is behind the place asked for.
    pub is_last_part: bool,
}

/// During which versions something lay in a directory with a policy of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicySpan {
    /// The directory.
    pub directory: InodeNumber,
    /// The versions.
    pub versions: VersionRange,
}

/// A content that a file has or had.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContentRow {
    /// The file.
    pub inode: InodeNumber,
    /// The volume version from which on it had it.
    pub from: VolumeVersion,
    /// The volume version that took it away; `None` if the file has it still.
    pub to: Option<VolumeVersion>,
    /// The content.
    pub tree: Tree,
    /// The newest version that shows it and is kept, by the volume or a directory that it lay in; if there is one.
    pub shown_at: Option<VolumeVersion>,
    /// The directories with a policy of their own that it lay in, if the file does not have it any more.
    pub policies: Vec<PolicySpan>,
    /// What of the version manager's own records contradicts it.
    pub problem: Option<String>,
}

/// What a sweep for orphans deleted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swept {
    /// Copies of page objects.
    pub objects: u64,
    /// Copies of nodes.
    pub nodes: u64,
    /// Bytes that these took in their stores.
    pub bytes: u64,
    /// Why it deleted nothing, or less than it could have.
    pub problem: Option<String>,
}

/// How much a sweep may delete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum SweepExtent {
    /// Nothing of a provider of which most would go: it is likelier that the version manager runs without its state than that
    /// most of a store is garbage.
    #[default]
    Cautious,
    /// All that nothing needs. For somebody who knows why it is so much.
    Everything,
}

/// Sweeps that were asked for, and how far they are. Forgotten when the version manager restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SweepState {
    /// How many were asked for.
    pub asked: u64,
    /// The last of them that is done; it did what those before it were asked for.
    pub done: u64,
    /// How much those that are not done may delete.
    pub extent: SweepExtent,
    /// What the last one did.
    pub last: Swept,
}
