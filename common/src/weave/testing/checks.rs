//! What must hold of every published version, each with the number of the invariant in the design.

use super::history::{Nodes, drive};
use super::model::{FileModel, Run, merged};
use crate::blob::{ChangedRanges, NextData, Piece, ReadPlan, Source};
use crate::id::{NodeId, PageObjectId};
use crate::weave::ranges::Ranges;
use crate::weave::{ByteRange, Node, Slot, Tree};
use std::collections::{BTreeSet, HashSet};
use std::ops::Range;

/// Something that must never happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Violation {
    /// I1: a node differs from what is stored under its id.
    Unstable(String),
    /// I1: a node is not what the definitions say.
    Definition(String),
    /// I4: something reachable is not there.
    Unreachable(String),
    /// I5: a read gives other bytes.
    Content(String),
    /// I6.
    SizeChain(String),
    /// I3: something is published out of order, twice, or never.
    Order(String),
    /// I8: something was deleted that is needed.
    Lost(String),
    /// Something is left that nobody needs.
    Leak(String),
    /// A walk failed or took too many rounds.
    Walk(String),
    /// A node changed by being stored.
    Codec(String),
}

/// I4: from the root, everything exists.
pub fn check_reach(tree: &Tree, nodes: &Nodes, reached: &mut HashSet<NodeId>) -> Result<(), Violation> {
    let mut stack: Vec<NodeId> = tree.root_id().into_iter().collect();
    while let Some(id) = stack.pop() {
        if !reached.insert(id) {
            continue;
        }
        let node = nodes.get(&id).ok_or_else(|| Violation::Unreachable(format!("{id} is missing under {tree:?}")))?;
        let Node::Inner(children) = node else { continue };
        for (place, child) in children.iter().enumerate() {
            let slot = Slot { level: id.level, index: id.index }.child(tree.geometry, place);
            stack.extend(child.map(|child| child.node_id(tree.blob.volume, slot)));
        }
    }
    Ok(())
}

/// Everything that a tree reaches: nodes and page objects. What is missing is passed over.
pub fn reach_of(tree: &Tree, nodes: &Nodes, reach: &mut Reach) {
    let mut stack: Vec<NodeId> = tree.root_id().into_iter().collect();
    while let Some(id) = stack.pop() {
        let Some(node) = nodes.get(&id).filter(|_| reach.nodes.insert(id)) else { continue };
        match node {
            Node::Inner(children) => {
                for (place, child) in children.iter().enumerate() {
                    let slot = Slot { level: id.level, index: id.index }.child(tree.geometry, place);
                    stack.extend(child.map(|child| child.node_id(tree.blob.volume, slot)));
                }
            }
            Node::Leaf(pages) => {
                reach.objects.extend(pages.iter().flat_map(|page| &page.fragments).map(|fragment| fragment.object.id));
            }
        }
    }
}

/// Nodes and page objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    pub nodes: HashSet<NodeId>,
    pub objects: HashSet<PageObjectId>,
}

/// I5: a read gives the model's bytes, in order, without gaps, to the end of the file and not beyond.
pub fn check_read(tree: &Tree, model: &FileModel, range: Range<u64>, nodes: &Nodes) -> Result<(), Violation> {
    let range = ByteRange::new(range.start, range.end);
    let (pieces, rounds) = drive(ReadPlan::new(tree, range), nodes)?;
    let wanted = range.intersection(&ByteRange::new(0, model.size));
    let mut end = wanted.start;
    for piece in &pieces {
        if piece.file_offset != end || piece.length == 0 {
            return Err(Violation::Content(format!("gap at {end} in {pieces:?}")));
        }
        end += piece.length;
    }
    let read = merged(pieces.iter().filter_map(run_of));
    if read != model.read(wanted) || end != wanted.end.max(wanted.start) {
        return Err(Violation::Content(format!("{tree:?} {range:?}: read {read:?}, expected {:?}", model.read(wanted))));
    }
    let levels = tree.root.map_or(0, |root| usize::from(root.level));
    if rounds > levels { Err(Violation::Walk(format!("{rounds} rounds for {levels} levels"))) } else { Ok(()) }
}

fn run_of(piece: &Piece) -> Option<Run> {
    let Source::Object { object, object_offset } = piece.source else { return None };
    let (start, end) = (piece.file_offset, piece.file_offset + piece.length);
    Some(Run { start, end, object, offset: u64::from(object_offset) })
}

/// `SEEK_DATA` and `SEEK_HOLE` find exactly the pages that have data.
pub fn check_next_data(tree: &Tree, model: &FileModel, offset: u64, nodes: &Nodes) -> Result<(), Violation> {
    let page_size = u64::from(tree.geometry.page_size());
    let (found, _) = drive(NextData::new(tree, offset), nodes)?;
    let mut expected: Option<ByteRange> = None;
    for page in model.data_pages(page_size).into_iter().filter(|page| offset < model.size && *page >= offset / page_size) {
        let bytes = ByteRange::new(page * page_size, ((page + 1) * page_size).min(model.size));
        match &mut expected {
            None => expected = Some(bytes),
            Some(run) if run.end == bytes.start => run.end = bytes.end,
            Some(_) => break,
        }
    }
    if found == expected {
        Ok(())
    } else {
        Err(Violation::Content(format!("data after {offset}: {found:?}, expected {expected:?}")))
    }
}

/// A difference names exactly the pages that differ, and what only the longer version has.
pub fn check_diff(old: (&Tree, &FileModel), new: (&Tree, &FileModel), nodes: &Nodes) -> Result<(), Violation> {
    let page_size = u64::from(old.0.geometry.page_size());
    let (found, _) = drive(ChangedRanges::new(old.0, new.0), nodes)?;
    let pages: BTreeSet<u64> = [old.1, new.1].iter().flat_map(|model| model.data_pages(page_size)).collect();
    let longer = old.1.size.max(new.1.size);
    let differing = pages.into_iter().filter(|page| old.1.page(*page, page_size) != new.1.page(*page, page_size));
    let bytes = differing.map(|page| page * page_size..((page + 1) * page_size).min(longer));
    let expected: Vec<_> = Ranges::union(bytes.chain(std::iter::once(old.1.size.min(new.1.size)..longer))).iter().collect();
    let found: Vec<_> = found.iter().map(|range| range.start..range.end).collect();
    if found == expected { Ok(()) } else { Err(Violation::Content(format!("difference {found:?}, expected {expected:?}"))) }
}
