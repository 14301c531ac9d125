//! Planted bugs: each is one that an implementation of weaving could well have, and the checker must find every one of them.

use super::checks::Violation;
use super::history::History;
use super::model::FileModel;
use crate::weave::{ByteRange, LogEntry, Update};

/// A bug in the definitions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A reference above a version's root names a node that is not there.
    NoSpineCompression,
    /// A cut in the middle of a page leaves the rest of the page.
    CutKeepsPartPage,
}

/// Who builds the nodes of a history.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Builder {
    /// The weaver, compared with the definitions.
    Weaver,
    /// The definitions, with or without a bug.
    Definition(Option<Fault>),
    /// The weaver on entries whose cut ends where the file ended.
    FiniteCut,
    /// The weaver, for which the oldest entry in flight touches nothing.
    MissingInFlight,
    /// The weaver, for which an entry in flight that changes nothing but the size does not touch its root. The content is right
    /// all the same; only who weaves from another base gets other nodes.
    RootIsNoTouch,
    /// The weaver, and a version manager that grants every compaction.
    CompactingAnyway,
}

impl Builder {
    /// Puts the builder's bug into what it is given.
    pub(super) fn spoil(self, entry: &mut LogEntry, in_flight: &mut [LogEntry], models: &[FileModel]) {
        match self {
            Self::FiniteCut => {
                for entry in in_flight.iter_mut().chain([entry]) {
                    if let Some(cut) = entry.update.cut_to.take() {
                        let size_before = models[entry.version.0 as usize - 1].size;
                        entry.update.holes.push(ByteRange::new(cut, size_before));
                    }
                }
            }
            Self::MissingInFlight => {
                if let Some(oldest) = in_flight.first_mut() {
                    oldest.update = Default::default();
                    oldest.height = u8::MAX;
                }
            }
            Self::RootIsNoTouch => {
                let changes_nothing =
                    |update: &Update| update.data.is_empty() && update.holes.is_empty() && update.cut_to.is_none();
                for entry in in_flight.iter_mut().filter(|entry| changes_nothing(&entry.update)) {
                    entry.height = u8::MAX;
                }
            }
            Self::Weaver | Self::Definition(_) | Self::CompactingAnyway => {}
        }
    }
}

/// The first violation within so many histories that only a blind checker would miss it.
fn first_violation(builder: Builder) -> Option<Violation> {
    (0..5_000).find_map(|seed| History::new(seed, builder).run(16).err())
}

#[test]
fn the_definitions_alone_pass() {
    for seed in 0..500 {
        History::new(seed, Builder::Definition(None)).run(16).unwrap_or_else(|violation| panic!("seed {seed}: {violation:?}"));
    }
}

#[test]
fn a_cut_that_ends_with_the_file_is_caught() {
    let violation = first_violation(Builder::FiniteCut);
    assert!(
        matches!(violation, Some(Violation::Unreachable(_) | Violation::Unstable(_) | Violation::Content(_))),
        "{violation:?}"
    );
}

#[test]
fn references_that_are_not_shortened_are_caught() {
    let violation = first_violation(Builder::Definition(Some(Fault::NoSpineCompression)));
    assert!(matches!(violation, Some(Violation::Unreachable(_) | Violation::Walk(_))), "{violation:?}");
}

#[test]
fn a_forgotten_entry_in_flight_is_caught() {
    let violation = first_violation(Builder::MissingInFlight);
    assert!(matches!(violation, Some(Violation::Content(_) | Violation::Unstable(_))), "{violation:?}");
}

#[test]
fn roots_that_do_not_count_as_touched_are_caught() {
    let violation = first_violation(Builder::RootIsNoTouch);
    assert!(matches!(violation, Some(Violation::Unstable(_))), "{violation:?}");
}

#[test]
fn a_cut_page_that_keeps_its_tail_is_caught() {
    let violation = first_violation(Builder::Definition(Some(Fault::CutKeepsPartPage)));
    assert!(matches!(violation, Some(Violation::Content(_))), "{violation:?}");
}

#[test]
fn an_unconditional_compaction_is_caught() {
    let violation = first_violation(Builder::CompactingAnyway);
    assert!(matches!(violation, Some(Violation::Content(_) | Violation::SizeChain(_))), "{violation:?}");
}
