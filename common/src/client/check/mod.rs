//! Looking after what is stored: whether every copy of it is there and whole, and what is stored that nothing needs.
//!
//! Reads elsewhere are content with any copy, and with what the caches have. Here every copy is read from its provider, and compared with
//! the checksums that the metadata has of it.
//!
//! | part | idea |
//! |---|---|
//! | `copies` | a node or object from each provider that should have it |
//! | `tree` | one file at one version: `weft verify` |
//! | `census`, `marks` | everything that is needed, gone through once |
//! | `stock` | what the providers hold, and what for |
//! | `fsck`, `taint` | both together, and which versions of which files damage concerns |
//! | `loss` | whether a content outlived a loss of power |
//! | `sweep` | orphans are deleted |
//! | `space` | all of it in bytes: `weft df`, `weft du` |

mod census;
mod copies;
mod count;
mod fsck;
mod loss;
mod marks;
mod space;
mod stock;
mod sweep;
mod taint;
mod tree;

pub use census::Contradiction;
pub use count::{Contents, Count, Counted};
pub use fsck::{Affected, Fsck, FsckProgress, Orphans};
pub use loss::Condition;
pub use space::{ProviderUse, SpaceReport, Use};
pub use tree::{TreeCheck, TreeFault};

use crate::id::{NodeId, ProviderId};
use crate::weave::PageObject;
use std::fmt;

/// What stored things are needed for. What several need counts for the first of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// For a file as it is now.
    Live,
    /// For a version that is kept.
    History,
    /// Only for versions that are not kept any more: it goes when nobody reads them.
    Waiting,
    /// For an update that is not published yet.
    InFlight,
}

impl Class {
    /// Whether a version that is kept shows it.
    #[must_use]
    pub fn is_kept(self) -> bool {
        matches!(self, Self::Live | Self::History)
    }
}

/// One thing that providers hold copies of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stored {
    /// A tree node.
    Node(NodeId),
    /// A page object.
    Object(PageObject),
}

impl fmt::Display for Stored {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Node(id) => write!(formatter, "node {id}"),
            Self::Object(object) => write!(formatter, "page object {}", object.id),
        }
    }
}

/// What a provider says of its copy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyState {
    /// It is there, and matches its checksums.
    Whole,
    /// It is not there.
    Missing,
    /// It is there with other bytes.
    Damaged(String),
    /// The provider is dead or does not answer.
    Unreachable(String),
}

impl CopyState {
    /// One word for it.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Missing => "missing",
            Self::Damaged(_) => "damaged",
            Self::Unreachable(_) => "unreachable",
        }
    }

    /// What there is to say beside the word; may be empty.
    #[must_use]
    pub fn detail(&self) -> &str {
        match self {
            Self::Damaged(detail) | Self::Unreachable(detail) => detail,
            Self::Whole | Self::Missing => "",
        }
    }
}

/// A copy that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadCopy {
    /// Who should have it.
    pub provider: ProviderId,
    /// Where that provider answers.
    pub address: String,
    /// What is wrong.
    pub state: CopyState,
}

/// Something of which a copy is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What.
    pub what: Stored,
    /// Its bad copies.
    pub bad: Vec<BadCopy>,
    /// Copies of it that are whole.
    pub whole: usize,
}

impl Fault {
    /// Whether a bad copy can be made again from a whole one.
    #[must_use]
    pub fn is_healable(&self) -> bool {
        self.whole > 0
    }

    /// Whether all that is known is that somebody does not answer, who may have a whole copy.
    #[must_use]
    pub fn is_only_unreachable(&self) -> bool {
        self.bad.iter().all(|copy| matches!(copy.state, CopyState::Unreachable(_)))
    }
}
