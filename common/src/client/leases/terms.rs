//! The words of [`super::core`]: moments, questions, and what a change is about.

use crate::id::{InodeNumber, VolumeId, VolumeVersion};
use crate::name::FileName;
use crate::time::Timestamp;
use crate::wire::{Attributes, Change, ChangeReply, LeasedDirectory};
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// A moment of this client: by the clock that stands still while the machine sleeps, and by the one that does not but may jump.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) steady: Instant,
    pub(super) wall: Timestamp,
}

impl Now {
    /// How long ago that was: the longer of what the clocks say.
    pub(super) fn since(self, earlier: Self) -> Duration {
        let wall = self.wall.0.saturating_sub(earlier.wall.0);
        let wall = Duration::from_nanos(u64::try_from(wall).unwrap_or_default());
        self.steady.saturating_duration_since(earlier.steady).max(wall)
    }
}

/// What is known without asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It is there.
    Attributes(Box<Attributes>),
    /// There is no such name.
    Absent,
}

/// What is to be asked of the manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Question {
    pub(super) line: u64,
    pub(super) done: u64,
    pub(super) gives_back: Vec<LeasedDirectory>,
}

/// What is not remembered any more, so that nobody else may remember it either.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Forgotten(pub(super) Vec<(VolumeId, InodeNumber)>);

/// What came of a change of this client.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome<'r> {
    /// It was carried out.
    Done(&'r ChangeReply),
    /// It was not.
    Refused,
    /// It may still be.
    Unknown(Now),
}

/// How much of a directory is known to be all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Listed {
    /// It was not listed from the beginning.
    #[default]
    No,
    /// Everything up to this name is known.
    Through(FileName),
    /// Everything is.
    All,
}

#[derive(Debug)]
pub(super) struct Directory {
    pub(super) own: Option<Attributes>,
    /// The newest version that `own` takes account of; later changes of this client's are counted in.
    pub(super) as_of: VolumeVersion,
    pub(super) names: HashMap<FileName, Option<InodeNumber>>,
    /// What is no directory and has no other name; `None` while its attributes are not known.
    pub(super) files: HashMap<InodeNumber, Option<Attributes>>,
    pub(super) listed: Listed,
    /// Names that had to be asked for since some of it was listed.
    pub(super) misses: u32,
    pub(super) used: Instant,
}

/// What the manager had called in when a change of this client went out. If it has called in more since, or given up on this client, somebody
/// else may have changed the same things behind that change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(super) line: u64,
    pub(super) floor: u64,
}

/// Own changes of one name that are under way.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flight {
    pub(super) count: u32,
    /// There were several at once, so that it is not known which came last.
    pub(super) overlapped: bool,
    /// What the name stood for when the first one went out, if that was known.
    pub(super) before: Option<Option<InodeNumber>>,
}

/// The names that a change makes, moves or takes away.
pub(super) fn names(change: &Change) -> impl Iterator<Item = (InodeNumber, FileName)> {
    let (one, other) = match change {
        Change::Create { parent, name, .. }
        | Change::Link { parent, name, .. }
        | Change::Unlink { parent, name }
        | Change::RemoveDirectory { parent, name }
        | Change::Restore { parent, name, .. }
        | Change::Clone { parent, name, .. }
        | Change::FallBack { parent, name, .. } => (Some((*parent, name.clone())), None),
        Change::Rename { parent, name, new_parent, new_name, .. } => {
            (Some((*parent, name.clone())), Some((*new_parent, new_name.clone())))
        }
        _ => (None, None),
    };
    one.into_iter().chain(other)
}
