//! Runs of data longer than a search looks ahead, and reads at the edges.

use crate::blob::{ChangedRanges, NextData, Piece, ReadPlan, Source};
use crate::id::{BlobId, BlobVersion, VolumeId};
use crate::weave::testing::checks::{check_next_data, check_read};
use crate::weave::testing::definition::{BlobLog, Definition};
use crate::weave::testing::history::{Nodes, drive};
use crate::weave::testing::model::FileModel;
use crate::weave::testing::operations::Operations;
use crate::weave::{ByteRange, Geometry, NodeRef, Operation, Tree, Update, Walk, assign, tree_of};

const PAGE: u64 = 1 << 16;

/// A file after these updates, with all nodes.
fn file(updates: Vec<Update>) -> (Tree, FileModel, Nodes) {
    let geometry = Geometry::new(PAGE as u32, 2).unwrap();
    let id = BlobId { volume: VolumeId(1), number: 4 };
    let mut model = FileModel::default();
    let mut log = BlobLog { id, origin: None, entries: Vec::new() };
    for operation in updates.into_iter().map(Operation::Write) {
        let version = BlobVersion(log.entries.len() as u64);
        log.entries.push(assign(geometry, version, model.size, operation.clone()).unwrap());
        model.apply(&operation);
    }
    let tree = tree_of(id, geometry, log.entries.last().unwrap());
    let versions = 1..=log.entries.len() as u64;
    let logs = [log];
    let definition = Definition { logs: &logs, geometry, fault: None };
    (tree, model, versions.flat_map(|version| definition.nodes(0, version)).collect())
}

#[test]
fn a_long_run_of_data_is_found_whole() {
    let mut operations = Operations::new(Geometry::new(PAGE as u32, 2).unwrap());
    let (tree, model, nodes) = file(vec![operations.pages(3, 205), operations.pages(300, 301)]);
    for offset in [0, 2 * PAGE, 3 * PAGE + 7, 204 * PAGE, 205 * PAGE, 300 * PAGE, 301 * PAGE - 1, 301 * PAGE, u64::MAX] {
        check_next_data(&tree, &model, offset, &nodes).unwrap();
    }
    assert_eq!(drive(NextData::new(&tree, 0), &nodes).unwrap().0, Some(ByteRange::new(3 * PAGE, 205 * PAGE)));
}

#[test]
fn a_search_asks_for_no_more_than_it_looks_ahead() {
    let mut operations = Operations::new(Geometry::new(PAGE as u32, 2).unwrap());
    let (tree, _, nodes) = file(vec![operations.pages(0, 512)]);
    let mut search = NextData::new(&tree, 0);
    let mut most = 0;
    while let missing = search.missing()
        && !missing.is_empty()
    {
        most = most.max(missing.len());
        missing.iter().for_each(|id| search.supply(id, &nodes[id]).unwrap());
    }
    assert_eq!(most, 32);
}

#[test]
fn reads_end_with_the_file() {
    let mut operations = Operations::new(Geometry::new(PAGE as u32, 2).unwrap());
    let growth = Update { grow_to: Some(9 * PAGE + 5), ..Update::default() };
    let (tree, model, nodes) = file(vec![operations.pages(1, 2), growth]);
    for range in [0..0, 5..5, 0..u64::MAX, 2 * PAGE..u64::MAX, 9 * PAGE + 5..u64::MAX, u64::MAX - 1..u64::MAX, PAGE - 1..PAGE + 1]
    {
        check_read(&tree, &model, range, &nodes).unwrap();
    }
    let tail = drive(ReadPlan::new(&tree, ByteRange::new(8 * PAGE, u64::MAX)), &nodes).unwrap();
    assert_eq!(tail.0, [Piece { file_offset: 8 * PAGE, length: PAGE + 5, source: Source::Zero }]);
}

#[test]
fn trees_of_different_geometry_differ_everywhere() {
    let mut operations = Operations::new(Geometry::new(PAGE as u32, 2).unwrap());
    let (tree, _, nodes) = file(vec![operations.pages(0, 3)]);
    let other = Tree { geometry: Geometry::new(PAGE as u32, 4).unwrap(), ..tree };
    assert_eq!(drive(ChangedRanges::new(&tree, &other), &nodes).unwrap().0, [ByteRange::new(0, 3 * PAGE)]);
    assert_eq!(drive(ChangedRanges::new(&tree, &tree), &nodes).unwrap().0, []);
}

#[test]
fn a_difference_costs_what_it_is_and_not_what_the_file_is() {
    const PAGES: u64 = 16_384;
    const WRITES: u64 = 32;
    let mut operations = Operations::new(Geometry::new(PAGE as u32, 2).unwrap());
    let changed = [5, 8_000, 16_000];
    let rewritten = changed.map(|page| operations.pages(page, page + 1));
    let part = PAGES / WRITES;
    let written = (0..WRITES).map(|write| operations.pages(write * part, (write + 1) * part)).collect::<Vec<_>>();
    let (new, _, nodes) = file(written.into_iter().chain(rewritten).collect());
    let version = BlobVersion(WRITES);
    let old = Tree { version, root: new.root.map(|root| NodeRef { version, ..root }), ..new };
    let mut walk = ChangedRanges::new(&old, &new);
    let mut read = 0;
    while let missing = walk.missing()
        && !missing.is_empty()
    {
        read += missing.len();
        missing.iter().for_each(|id| walk.supply(id, &nodes[id]).unwrap());
    }
    let expected = changed.map(|page| ByteRange::new(page * PAGE, (page + 1) * PAGE));
    assert_eq!(walk.finish().unwrap(), expected);
    assert!(read as u64 * 100 < PAGES, "1 GiB with a node to every two children: 3 pages differ, {read} nodes were read");
}
