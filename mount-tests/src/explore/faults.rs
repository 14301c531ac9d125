//! Planted bugs: of the version manager, of clients, helpers and collectors. Each spoils what the real code is asked or told, so that
//! the code under test carries no switches.

use weft_common::weave::testing::checks::Violation;

/// A bug.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Fault {
    /// None.
    #[default]
    None,
    /// A commit publishes the versions before it along with it.
    PublishesOutOfOrder,
    /// An append starts where the published file ends.
    AppendsToThePublished,
    /// A compaction is granted whatever was written meanwhile.
    CompactsAnyway,
    /// A compaction does not say which blob it read.
    CompactsAnotherBlob,
    /// A repeated request for a ticket is taken for a new one.
    ForgetsRequests,
    /// A client whose session lapsed goes on under a new one with the page objects of the old; the manager refuses them.
    KeepsObjectsOfALapsedSession,
    /// Orphans are freed while their session is open.
    FreesOrphansEarly,
    /// Orphans are freed that a log entry names.
    FreesWhatTheLogNames,
    /// A writer commits when half of its nodes are stored.
    CommitsEarly,
    /// A helper weaves without the entries in flight.
    HelperForgetsWhatIsInFlight,
    /// The newest published version is dropped.
    DropsTheHead,
    /// A version that a clone began with is dropped.
    IgnoresPins,
    /// A version is collected while its late writer still stores nodes.
    IgnoresLateWriters,
    /// The collection takes the next kept version for none.
    IgnoresNewer,
    /// The collection takes the kept version before for none.
    IgnoresOlder,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::PublishesOutOfOrder,
        Self::AppendsToThePublished,
        Self::CompactsAnyway,
        Self::CompactsAnotherBlob,
        Self::ForgetsRequests,
        Self::KeepsObjectsOfALapsedSession,
        Self::FreesOrphansEarly,
        Self::FreesWhatTheLogNames,
        Self::CommitsEarly,
        Self::HelperForgetsWhatIsInFlight,
        Self::DropsTheHead,
        Self::IgnoresPins,
        Self::IgnoresLateWriters,
        Self::IgnoresNewer,
        Self::IgnoresOlder,
    ];

    /// Whether this is how the bug shows.
    pub fn shows_as(self, violation: &Violation) -> bool {
        use Violation::{Content, Definition, Leak, Lost, Order, SizeChain, Unreachable};
        match self {
            Self::None => false,
            Self::PublishesOutOfOrder | Self::ForgetsRequests | Self::KeepsObjectsOfALapsedSession => {
                matches!(violation, Order(_))
            }
            Self::AppendsToThePublished => matches!(violation, SizeChain(_)),
            Self::CompactsAnyway => matches!(violation, Content(_)),
            // Where the other blob has no version of that number yet, the manager refuses the ticket instead.
            Self::CompactsAnotherBlob => matches!(violation, Content(_) | Order(_)),
            Self::FreesOrphansEarly | Self::FreesWhatTheLogNames => matches!(violation, Lost(_)),
            Self::CommitsEarly => matches!(violation, Unreachable(_)),
            Self::HelperForgetsWhatIsInFlight => matches!(violation, Definition(_)),
            Self::IgnoresLateWriters => matches!(violation, Leak(_)),
            Self::DropsTheHead | Self::IgnoresPins | Self::IgnoresNewer | Self::IgnoresOlder => {
                matches!(violation, Lost(_) | Unreachable(_))
            }
        }
    }
}
