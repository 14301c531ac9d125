//! All small cases: every sequence of three updates on a file of up to four pages, every base, F = 2.

use crate::id::{BlobId, BlobVersion, VolumeId};
use crate::weave::testing::checks::{Violation, check_read};
use crate::weave::testing::definition::{BlobLog, Definition};
use crate::weave::testing::history::{Nodes, drive};
use crate::weave::testing::model::FileModel;
use crate::weave::testing::operations::Operations;
use crate::weave::{ByteRange, Geometry, Operation, Tree, Update, Weaver, assign, tree_of};
use std::collections::BTreeMap;

const PAGE: u64 = 1 << 16;
const PAGES: u64 = 4;

/// Each contiguous write of whole pages, each cut, each punched hole, an append, a growth.
fn choices(operations: &mut Operations) -> Vec<Operation> {
    let mut choices = Vec::new();
    for start in 0..PAGES {
        for end in start + 1..=PAGES {
            choices.push(Operation::Write(operations.pages(start, end)));
            choices.push(Operation::Write(Update { holes: vec![ByteRange::new(start * PAGE, end * PAGE)], ..Update::default() }));
        }
        choices.push(Operation::Write(Update { cut_to: Some(start * PAGE), ..Update::default() }));
        choices.push(Operation::Write(Update { cut_to: Some(start * PAGE + 5), ..Update::default() }));
    }
    choices.push(Operation::Append(operations.pages(0, 1)));
    choices.push(Operation::Write(Update { grow_to: Some(9 * PAGE), ..Update::default() }));
    choices
}

#[test]
fn every_sequence_of_three_updates_from_every_base() {
    let geometry = Geometry::new(PAGE as u32, 2).unwrap();
    let mut operations = Operations::new(geometry);
    let start = Operation::Write(operations.pages(0, 3));
    let choices: Vec<_> = (0..3).map(|_| choices(&mut operations)).collect();
    for first in &choices[0] {
        for second in &choices[1] {
            for third in &choices[2] {
                let sequence = [&start, first, second, third];
                check(geometry, &sequence).unwrap_or_else(|violation| panic!("{violation:?} in {sequence:?}"));
            }
        }
    }
}

fn check(geometry: Geometry, sequence: &[&Operation]) -> Result<(), Violation> {
    let id = BlobId { volume: VolumeId(1), number: 4 };
    let mut models = vec![FileModel::default()];
    let mut entries = Vec::new();
    let mut trees = vec![Tree::empty(id, geometry)];
    for (version, operation) in sequence.iter().enumerate() {
        let mut model = models[version].clone();
        let entry = assign(geometry, BlobVersion(version as u64), model.size, (*operation).clone()).unwrap();
        model.apply(operation);
        trees.push(tree_of(id, geometry, &entry));
        models.push(model);
        entries.push(entry);
    }
    let logs = [BlobLog { id, origin: None, entries: entries.clone() }];
    let definition = Definition { logs: &logs, geometry, fault: None };
    let mut nodes = Nodes::new();
    for version in 1..=entries.len() {
        let defined: BTreeMap<_, _> = definition.nodes(0, version as u64).into_iter().collect();
        for base in 0..version {
            let weaver = Weaver::new(&trees[base], &entries[base..version - 1], &entries[version - 1]).unwrap();
            let woven: BTreeMap<_, _> = drive(weaver, &nodes)?.0.into_iter().collect();
            if woven != defined {
                return Err(Violation::Definition(format!("v{version} from v{base}: {woven:?} for {defined:?}")));
            }
        }
        nodes.extend(defined);
        check_read(&trees[version], &models[version], 0..u64::MAX, &nodes)?;
    }
    Ok(())
}
