//! What should be: each blob's log, content and nodes, worked out from the operations alone.

use std::collections::{BTreeMap, BTreeSet};
use weft_common::id::{BlobId, NodeId};
use weft_common::weave::testing::definition::{BlobLog, Definition};
use weft_common::weave::testing::model::FileModel;
use weft_common::weave::{Geometry, LogEntry, Node, Operation, Tree};

/// One blob.
#[derive(Clone, Debug)]
pub struct Blob {
    /// Of each version its content.
    pub models: Vec<FileModel>,
    /// Of each version its nodes, T_v.
    pub nodes: Vec<BTreeMap<NodeId, Node>>,
    /// Of each version, whether somebody who had stored all its nodes said so.
    pub committed: Vec<bool>,
    pub published: u64,
    /// Versions that are published and not dropped.
    pub kept: BTreeSet<u64>,
}

/// All blobs, in the order in which they came to be.
#[derive(Clone, Debug)]
pub struct Oracle {
    pub geometry: Geometry,
    pub logs: Vec<BlobLog>,
    pub blobs: Vec<Blob>,
    /// The one that the file has now.
    pub current: usize,
}

impl Oracle {
    pub fn new(geometry: Geometry) -> Self {
        Self { geometry, logs: Vec::new(), blobs: Vec::new(), current: 0 }
    }

    pub fn place(&self, blob: BlobId) -> usize {
        self.logs.iter().position(|log| log.id == blob).expect("a blob that was noted")
    }

    pub fn add(&mut self, id: BlobId, origin: Option<(usize, u64)>) {
        let model = origin.map_or_else(FileModel::default, |(blob, version)| self.blobs[blob].models[version as usize].clone());
        self.logs.push(BlobLog { id, origin, entries: Vec::new() });
        self.blobs.push(Blob {
            models: vec![model],
            nodes: vec![BTreeMap::new()],
            committed: vec![true],
            published: 0,
            kept: BTreeSet::from([0]),
        });
    }

    pub fn assign(&mut self, blob: usize, entry: LogEntry, operation: &Operation) {
        let mut model = self.blobs[blob].models.last().unwrap().clone();
        model.apply(operation);
        self.logs[blob].entries.push(entry);
        let version = self.logs[blob].entries.len() as u64;
        let nodes = self.definition().nodes(blob, version).into_iter().collect();
        self.blobs[blob].models.push(model);
        self.blobs[blob].nodes.push(nodes);
        self.blobs[blob].committed.push(false);
    }

    pub fn tree(&self, blob: usize, version: u64) -> Tree {
        self.definition().tree(blob, version)
    }

    fn definition(&self) -> Definition<'_> {
        Definition { logs: &self.logs, geometry: self.geometry, fault: None }
    }

    /// Whether a clone began with this version.
    pub fn is_pinned(&self, blob: usize, version: u64) -> bool {
        self.logs.iter().any(|log| log.origin == Some((blob, version)))
    }
}
