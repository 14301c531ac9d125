//! What can be wrong, one name for each promise.

use crate::recording::record::Record;
use std::fmt;

/// A promise of WeftFS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Promise {
    /// Who opens a file after a close returned sees what was closed, or something newer.
    CloseToOpen,
    /// Nobody sees something older than what somebody had seen before.
    Monotone,
    /// A reader sees what one write left, never a mix.
    NoMix,
    /// `stat` says the size of what is published.
    Size,
    /// `stat` says how many names a file has.
    Links,
    /// Of all who make a name exactly one succeeds, until it is removed.
    Exclusive,
    /// A name that is replaced by a rename is never missing.
    Replaced,
    /// A name is moved away by one rename only.
    MovedOnce,
    /// A name is removed once only.
    RemovedOnce,
    /// What was acknowledged is in the volume.
    Acknowledged,
    /// What was refused did not happen, and could not.
    Refused,
    /// Versions come in the order of real time, without gaps, and each is possible after the one before.
    Order,
    /// A name that is there is listed.
    Listed,
    /// A name that is not there is not listed.
    NotListed,
    /// No name is listed twice.
    ListedOnce,
    /// A handle goes on reading its file, also without a name.
    Held,
    /// A handle is not moved by what others write.
    HeldStill,
    /// Each appended record is there once.
    AppendedOnce,
    /// Each appended record is whole.
    AppendedWhole,
    /// All see appended records in one order.
    AppendedInOrder,
    /// An appended record is seen by whoever opens the file after its close.
    AppendedSeen,
    /// Writers of different ranges lose none of each other's bytes.
    Slices,
    /// An old version never changes.
    Old,
    /// A reader of a growing file sees no byte that was not written.
    Growth,
    /// What a growing file's writer synced is seen.
    GrowthSeen,
}

impl Promise {
    /// All promises.
    pub const ALL: [Self; 25] = [
        Self::CloseToOpen,
        Self::Monotone,
        Self::NoMix,
        Self::Size,
        Self::Links,
        Self::Exclusive,
        Self::Replaced,
        Self::MovedOnce,
        Self::RemovedOnce,
        Self::Acknowledged,
        Self::Refused,
        Self::Order,
        Self::Listed,
        Self::NotListed,
        Self::ListedOnce,
        Self::Held,
        Self::HeldStill,
        Self::AppendedOnce,
        Self::AppendedWhole,
        Self::AppendedInOrder,
        Self::AppendedSeen,
        Self::Slices,
        Self::Old,
        Self::Growth,
        Self::GrowthSeen,
    ];
}

/// A promise that was broken.
#[derive(Clone, Debug)]
pub struct Violation {
    /// The promise.
    pub promise: Promise,
    /// What showed it.
    pub record: Option<Box<Record>>,
    /// What should have been.
    pub why: String,
}

impl Violation {
    /// What `record` answered breaks `promise`.
    #[must_use]
    pub fn new(promise: Promise, record: &Record, why: String) -> Self {
        Self { promise, record: Some(Box::new(record.clone())), why }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.promise, self.why)?;
        match &self.record {
            Some(record) => write!(f, "\n    {record:?}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Violation {}
