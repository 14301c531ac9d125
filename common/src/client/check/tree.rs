//! One file at one version: every node and page of it, from every provider that should have it.

use super::{Fault, Stored};
use crate::blob::{Inventory, Placed};
use crate::client::ClientError;
use crate::client::cluster::Cluster;
use crate::id::{NodeId, PageObjectId};
use crate::limits::{FAULTS_LISTED_MAX, NODES_PER_CHECK, OBJECTS_PER_CHECK};
use crate::weave::{ByteRange, Tree};
use futures_util::{StreamExt, stream};
use std::collections::HashSet;

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeFault {
    /// What, and on which providers.
    pub fault: Fault,
    /// The bytes of the file that depend on it.
    pub bytes: ByteRange,
}

/// What was looked at, and what was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TreeCheck {
    /// Nodes that were read.
    pub nodes: u64,
    /// Page objects that were read.
    pub objects: u64,
    /// Bytes of those objects, each counted once and not once per copy.
    pub bytes: u64,
    /// What is wrong; the first [`FAULTS_LISTED_MAX`] of it.
    pub faults: Vec<TreeFault>,
    /// How much is wrong beside that.
    pub more_faults: u64,
}

impl TreeCheck {
    /// Whether every copy of everything is there and whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.faults.is_empty()
    }

    fn add(&mut self, fault: Fault, bytes: ByteRange) {
        if self.faults.len() < FAULTS_LISTED_MAX {
            self.faults.push(TreeFault { fault, bytes });
        } else {
            self.more_faults += 1;
        }
    }
}

impl Cluster {
    /// Reads everything that `tree` consists of from every provider that should have it, and compares it with its checksums.
    /// `copies` is how many of each node there should be. `progress` hears of bytes of the file that were looked at. Needs memory of
    /// about 50 bytes for each node and object of the file.
    ///
    /// # Errors
    /// [`ClientError::Damaged`] if nodes that are whole by their checksums make no tree. Everything else that is wrong is in the answer.
    pub async fn verify(
        &self,
        tree: &Tree,
        copies: u8,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<TreeCheck, ClientError> {
        let mut check = TreeCheck::default();
        // A spine that was shortened is met once; a node is reached from one place of one tree.
        let mut walk = Inventory::new(tree, &mut |_| true);
        let mut seen: HashSet<PageObjectId> = HashSet::new();
        loop {
            let ids = walk.take(NODES_PER_CHECK);
            if ids.is_empty() {
                return Ok(check);
            }
            let mut placed = Vec::new();
            for checked in self.check_nodes(self.context(), &ids, copies).await {
                check.nodes += 1;
                if let Some(fault) = checked.fault {
                    check.add(fault, below(&walk, &checked.id, tree));
                }
                if let Some(node) = checked.node {
                    let supplied = walk.supply(&checked.id, &node, &mut |_| true);
                    let damaged = |error: crate::weave::WalkError| ClientError::Damaged {
                        what: Stored::Node(checked.id).to_string(),
                        detail: error.to_string(),
                    };
                    placed.extend(supplied.map_err(damaged)?);
                }
            }
            self.check_placed(tree, placed, &mut seen, &mut check, progress).await;
        }
    }

    async fn check_placed(
        &self,
        tree: &Tree,
        placed: Vec<Placed>,
        seen: &mut HashSet<PageObjectId>,
        check: &mut TreeCheck,
        progress: &mut (dyn FnMut(u64) + Send),
    ) {
        let page_size = u64::from(tree.geometry.page_size());
        let lengths: u64 = placed.iter().map(|placed| u64::from(placed.length)).sum();
        let new: Vec<_> = placed.into_iter().filter(|placed| seen.insert(placed.object.id)).collect();
        let checks = new.into_iter().map(|placed| async move {
            let fault = self.check_object(self.context(), &placed.object).await;
            (placed, fault)
        });
        let mut checked = stream::iter(checks).buffered(OBJECTS_PER_CHECK);
        while let Some((placed, fault)) = checked.next().await {
            check.objects += 1;
            check.bytes += u64::from(placed.object.length);
            if let Some(fault) = fault {
                let start = placed.page.saturating_mul(page_size);
                check.add(fault, cut(start, start.saturating_add(page_size), tree));
            }
        }
        progress(lengths);
    }
}

fn below(walk: &Inventory, id: &NodeId, tree: &Tree) -> ByteRange {
    let bytes = walk.bytes_below(id);
    cut(bytes.start, bytes.end, tree)
}

fn cut(start: u64, end: u64, tree: &Tree) -> ByteRange {
    ByteRange::new(start, end).intersection(&ByteRange::new(0, tree.size))
}
