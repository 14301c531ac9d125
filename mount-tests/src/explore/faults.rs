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
    /// A version that a session lists is purged.
    PurgesWhatIsRead,
    /// A content that a session lists is collected.
    CollectsWhatIsRead,
    /// The second renewal is not waited for: a list counts from its own arrival.
    WaitsForOneRenewal,
    /// A renewal that comes twice or late counts like any other.
    BelievesRepeatedRenewals,
    /// A mount lets go of a version while it waits for what it asked there.
    LetsGoFirst,
    /// A mount's list has the contents of one moment and the versions of a later one.
    ListsContentsFirst,
    /// A mount asks in a version that it let go of.
    AsksWithoutHolding,
    /// A mount says that it knows what it has heard of, although operations are under way that began before.
    ForgetsOperations,
    /// The mark of a blob is lost when a row of its file goes.
    LosesMarks,
    /// A version is thinned along with the one behind it.
    ThinsItsNeighbour,
    /// A collector reports a version before everything of it is deleted.
    ForgetsEarly,
    /// A clone does not hold what it began with.
    ForgetsPins,
}

impl Fault {
    /// All of them.
    pub const ALL: [Self; 27] = [
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
        Self::PurgesWhatIsRead,
        Self::CollectsWhatIsRead,
        Self::WaitsForOneRenewal,
        Self::BelievesRepeatedRenewals,
        Self::LetsGoFirst,
        Self::ListsContentsFirst,
        Self::AsksWithoutHolding,
        Self::ForgetsOperations,
        Self::LosesMarks,
        Self::ThinsItsNeighbour,
        Self::ForgetsEarly,
        Self::ForgetsPins,
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
            Self::LosesMarks | Self::ForgetsEarly | Self::IgnoresLateWriters => matches!(violation, Leak(_)),
            Self::PurgesWhatIsRead
            | Self::CollectsWhatIsRead
            | Self::WaitsForOneRenewal
            | Self::BelievesRepeatedRenewals
            | Self::LetsGoFirst
            | Self::ListsContentsFirst
            | Self::AsksWithoutHolding
            | Self::ForgetsOperations
            | Self::ThinsItsNeighbour
            | Self::ForgetsPins => matches!(violation, Lost(_) | Unreachable(_)),
            Self::DropsTheHead | Self::IgnoresPins | Self::IgnoresNewer | Self::IgnoresOlder => {
                matches!(violation, Lost(_) | Unreachable(_))
            }
        }
    }
}
