//! Bugs that are planted to prove that the oracle finds them. Each is a fault that real code could have.

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plant {
    /// None: the product as it is.
    Nothing,
    /// A data provider acknowledges some page objects and does not keep them.
    ForgetfulProvider,
    /// A metadata provider acknowledges some nodes and does not keep them.
    ForgetfulMetadata,
    /// A client takes its update for published before it has committed it.
    EarlyAcknowledgement,
    /// The version manager publishes a committed version although one before it is not.
    OutOfOrder,
    /// A repeated ticket request is not recognised: the update happens twice.
    Twice,
    /// Names are answered out of a cache that nobody invalidates.
    StaleNames,
    /// The version manager answers before its log is on stable storage.
    VolatileLog,
    /// A provider says that it synced, and did not.
    HollowSync,
    /// The content of an old version changes.
    RewrittenHistory,
    /// The version manager forgets what its sessions say that they read.
    DeafToReaders,
    /// Thinning takes versions that have a tag.
    TagsThinned,
    /// A sweep takes objects of sessions that are open for orphans.
    GreedySweep,
    /// A collection does not look at the version behind the one that goes.
    NeighbourIgnored,
    /// A metadata provider answers a sync before it has begun.
    EarlyNodeSync,
    /// A clone shows what is written to its origin later.
    SharedClone,
    /// The policy goes by a clock that is an hour ahead of the one by which versions are dated.
    ForeignClock,
    /// A restoration goes back one version too far.
    RestoredTooFar,
    /// Providers acknowledge deletions and keep what was to go.
    NothingDeleted,
    /// A client does not forget what is called in, and says that it does.
    CallsUnheard,
}

impl Plant {
    /// All of them.
    pub const ALL: [Self; 19] = [
        Self::ForgetfulProvider,
        Self::ForgetfulMetadata,
        Self::EarlyAcknowledgement,
        Self::OutOfOrder,
        Self::Twice,
        Self::StaleNames,
        Self::VolatileLog,
        Self::HollowSync,
        Self::RewrittenHistory,
        Self::DeafToReaders,
        Self::TagsThinned,
        Self::GreedySweep,
        Self::NeighbourIgnored,
        Self::EarlyNodeSync,
        Self::SharedClone,
        Self::ForeignClock,
        Self::RestoredTooFar,
        Self::NothingDeleted,
        Self::CallsUnheard,
    ];
}
