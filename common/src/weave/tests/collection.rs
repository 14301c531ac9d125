//! What a collection asks for, gives and refuses. Whether it deletes the right things is the histories' affair.

use crate::id::{BlobId, BlobVersion, NodeId, VolumeId};
use crate::weave::testing::definition::{BlobLog, Definition};
use crate::weave::testing::history::Nodes;
use crate::weave::testing::operations::Operations;
use crate::weave::{CollectStep, Collection, Garbage, Geometry, Node, Operation, Tree, Update, WalkError, assign, tree_of};
use std::collections::BTreeSet;

/// The trees and nodes of a file after each of these updates.
fn file(updates: Vec<Update>) -> (Vec<Tree>, Nodes) {
    let geometry = Geometry::new(1 << 16, 2).unwrap();
    let id = BlobId { volume: VolumeId(1), number: 4 };
    let mut log = BlobLog { id, origin: None, entries: Vec::new() };
    for operation in updates.into_iter().map(Operation::Write) {
        let (version, size) = log.entries.last().map_or((BlobVersion(0), 0), |entry| (entry.version, entry.size));
        log.entries.push(assign(geometry, version, size, operation).unwrap());
    }
    let trees = log.entries.iter().map(|entry| tree_of(id, geometry, entry)).collect();
    let versions = 1..=log.entries.len() as u64;
    let logs = [log];
    let definition = Definition { logs: &logs, geometry, fault: None };
    (trees, versions.flat_map(|version| definition.nodes(0, version)).collect())
}

fn operations() -> Operations {
    Operations::new(Geometry::new(1 << 16, 2).unwrap())
}

fn reads(walk: &mut Collection) -> Vec<NodeId> {
    match walk.step() {
        CollectStep::Read(ids) => ids,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_large_file_goes_in_small_rounds() {
    let (trees, nodes) = file(vec![operations().pages(0, 2000)]);
    let mut walk = Collection::new(&trees[0], BlobVersion(0), None);
    let (mut objects, mut deleted, mut batches) = (0, Vec::new(), 0);
    loop {
        match walk.step() {
            CollectStep::Read(ids) => {
                assert!(ids.len() <= 32, "{} nodes at once", ids.len());
                ids.iter().for_each(|id| walk.supply(id, Some(&nodes[id])).unwrap());
            }
            CollectStep::Delete(garbage) => {
                assert!(garbage.nodes.len() <= 300 && garbage.objects.len() <= 64, "{garbage:?}");
                batches += 1;
                objects += garbage.objects.len();
                deleted.extend(garbage.nodes);
            }
            CollectStep::Done => break,
        }
    }
    assert_eq!((objects, deleted.len()), (2000, nodes.len()));
    assert_eq!(deleted.last(), trees[0].root_id().as_ref());
    // One for 32 leaves; the nodes above ride along.
    assert!(batches < 100, "{batches} batches");
}

#[test]
fn what_nobody_changed_is_not_looked_at() {
    let mut operations = operations();
    let (trees, nodes) = file(vec![operations.pages(0, 1024), operations.pages(7, 8), operations.pages(7, 8)]);
    let mut walk = Collection::new(&trees[1], trees[0].version, Some(&trees[2]));
    let (mut read, mut deleted) = (0, 0);
    loop {
        match walk.step() {
            CollectStep::Read(ids) => {
                read += ids.len();
                ids.iter().for_each(|id| walk.supply(id, Some(&nodes[id])).unwrap());
            }
            CollectStep::Delete(garbage) => deleted += garbage.nodes.len() + garbage.objects.len(),
            CollectStep::Done => break,
        }
    }
    // The way from the root to one leaf, in both trees.
    assert_eq!((read, deleted), (20, 11));
}

#[test]
fn the_walk_asks_for_both_trees_and_takes_nothing_else() {
    let mut operations = operations();
    let (trees, nodes) = file(vec![operations.pages(0, 4), operations.pages(0, 1)]);
    let roots = [trees[0].root_id().unwrap(), trees[1].root_id().unwrap()];
    let mut walk = Collection::new(&trees[0], BlobVersion(0), Some(&trees[1]));
    assert_eq!(reads(&mut walk), roots);
    assert_eq!(reads(&mut walk), roots, "asking again gives the same");
    let stranger = NodeId { index: 7, ..roots[0] };
    assert_eq!(walk.supply(&stranger, None), Err(WalkError::NotAsked(stranger)));
    assert!(matches!(walk.supply(&roots[0], Some(&Node::Inner(Vec::new()))), Err(WalkError::Malformed { .. })));
    walk.supply(&roots[1], Some(&nodes[&roots[1]])).unwrap();
    // Gone already, with all below it.
    walk.supply(&roots[0], None).unwrap();
    assert_eq!(walk.step(), CollectStep::Done);
    assert!(walk.lost().is_empty());
}

/// What a walk deletes that is given all nodes but `lost`.
fn garbage_without(mut walk: Collection, nodes: &Nodes, lost: Option<NodeId>) -> (Vec<Garbage>, bool) {
    let mut all = Vec::new();
    loop {
        match walk.step() {
            CollectStep::Read(ids) => {
                for id in ids {
                    walk.supply(&id, nodes.get(&id).filter(|_| lost != Some(id))).unwrap();
                }
            }
            CollectStep::Delete(garbage) => all.push(garbage),
            CollectStep::Done => return (all, walk.lost().iter().any(|id| Some(*id) == lost)),
        }
    }
}

/// Every node of the kept version in turn is lost: nothing goes that goes not when it is there, and all else does.
#[test]
fn where_a_node_of_the_kept_version_is_lost_all_below_stays() {
    let mut operations = operations();
    // The object of the second lies on two pages, which are two leaves.
    let across = operations.bytes(3 << 15, 1 << 16);
    let updates = vec![operations.pages(0, 13), across, operations.pages(2, 6), operations.pages(5, 14)];
    let (trees, nodes) = file(updates);
    let (mut met, mut spared) = (0, 0);
    for dropped in 0..3_usize {
        for newer in dropped + 1..4 {
            let older = dropped.checked_sub(1).map_or(BlobVersion(0), |older| trees[older].version);
            let walk = Collection::new(&trees[dropped], older, Some(&trees[newer]));
            let everything = |batches: Vec<Garbage>| {
                let nodes: BTreeSet<NodeId> = batches.iter().flat_map(|batch| batch.nodes.iter().copied()).collect();
                let objects = batches.iter().flat_map(|batch| batch.objects.iter().map(|object| object.id));
                (nodes, objects.collect::<BTreeSet<_>>())
            };
            let whole = everything(garbage_without(walk.clone(), &nodes, None).0);
            for lost in nodes.keys().filter(|id| id.version == trees[newer].version) {
                let (batches, is_named) = garbage_without(walk.clone(), &nodes, Some(*lost));
                let part = everything(batches);
                assert!(part.0.is_subset(&whole.0) && part.1.is_subset(&whole.1), "{lost} lost: {part:?} of {whole:?}");
                let is_below = |id: &NodeId| id.level <= lost.level && id.index >> (lost.level - id.level) == lost.index;
                assert!(whole.0.difference(&part.0).all(is_below), "{lost} lost: {part:?} of {whole:?}");
                met += usize::from(is_named);
                spared += usize::from(part != whole);
            }
        }
    }
    assert!(met >= 20 && spared >= 15, "{met} lost nodes met, and where {spared} of them lay something stayed");
}

#[test]
fn an_empty_file_has_nothing_to_collect() {
    let (trees, _) = file(vec![operations().pages(0, 4)]);
    let empty = Tree::empty(trees[0].blob, trees[0].geometry);
    assert_eq!(Collection::new(&empty, BlobVersion(0), Some(&trees[0])).step(), CollectStep::Done);
    assert_eq!(Collection::new(&empty, BlobVersion(0), None).step(), CollectStep::Done);
}
