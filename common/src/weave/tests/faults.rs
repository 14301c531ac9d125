//! The checker finds every planted bug ([`Fault`], [`Builder`], [`Collector`]).

use crate::weave::testing::checks::Violation;
use crate::weave::testing::faults::{Builder, Collector, Fault};
use crate::weave::testing::history::History;

/// The first violation within so many histories that only a blind checker would miss it.
fn first_violation(builder: Builder) -> Option<Violation> {
    first_violation_of(builder, Collector::Right)
}

fn first_violation_of(builder: Builder, collector: Collector) -> Option<Violation> {
    (0..5_000).find_map(|seed| History::new(seed, builder, collector).run(16).err())
}

#[test]
fn the_definitions_alone_pass() {
    for seed in 0..500 {
        History::new(seed, Builder::Definition(None), Collector::Right)
            .run(16)
            .unwrap_or_else(|violation| panic!("seed {seed}: {violation:?}"));
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
    assert!(matches!(violation, Some(Violation::Unstable(_) | Violation::Unreachable(_))), "{violation:?}");
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

/// Something that is needed was deleted.
fn loses(collector: Collector) {
    let violation = first_violation_of(Builder::Weaver, collector);
    let is_loss = matches!(violation, Some(Violation::Lost(_) | Violation::Unreachable(_) | Violation::Content(_)));
    assert!(is_loss, "{collector:?}: {violation:?}");
}

/// Something stays that nobody needs.
fn leaks(collector: Collector) {
    let violation = first_violation_of(Builder::Weaver, collector);
    assert!(matches!(violation, Some(Violation::Leak(_))), "{collector:?}: {violation:?}");
}

#[test]
fn a_collection_that_ignores_its_newer_neighbour_is_caught() {
    loses(Collector::IgnoresNewer);
}

#[test]
fn a_collection_that_ignores_its_older_neighbour_is_caught() {
    loses(Collector::IgnoresOlder);
}

#[test]
fn a_collection_that_ignores_a_clones_pin_is_caught() {
    loses(Collector::IgnoresPins);
}

#[test]
fn a_clone_that_takes_its_origin_along_is_caught() {
    loses(Collector::TakesTheOrigin);
}

#[test]
fn a_head_that_is_dropped_is_caught() {
    loses(Collector::DropsTheHead);
}

#[test]
fn walks_of_neighbours_at_once_are_caught() {
    let violation = first_violation_of(Builder::Weaver, Collector::WalksAtOnce);
    assert!(matches!(violation, Some(Violation::Leak(_) | Violation::Unreachable(_))), "{violation:?}");
}

#[test]
fn a_late_writer_of_a_collected_version_is_caught() {
    leaks(Collector::IgnoresLateWriters);
}

#[test]
fn a_root_that_goes_first_is_caught() {
    leaks(Collector::ParentsFirst);
}

#[test]
fn a_leaf_that_goes_before_its_objects_is_caught() {
    leaks(Collector::NodesBeforeObjects);
}

#[test]
fn objects_taken_to_be_as_young_as_their_leaf_are_caught() {
    loses(Collector::BornWithTheLeaf);
}

#[test]
fn objects_on_two_leaves_judged_by_one_are_caught() {
    loses(Collector::ForgetsBorders);
}
