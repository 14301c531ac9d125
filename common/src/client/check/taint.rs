//! Which trees damage concerns: a node is tainted by what is wrong with it, with an object on its leaf, or below it.
//!
//! Subtrees that versions share are gone through once. For clean nodes their fingerprint is kept, for tainted ones what taints them.

use super::marks::Marks;
use super::{Class, Fault, Stored};
use crate::client::ClientError;
use crate::client::cluster::Cluster;
use crate::id::{NodeId, PageObjectId};
use crate::weave::{Content, Node, Place, Slot, Tree};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// Places of faults in the list that was given.
pub(crate) type FaultSet = BTreeSet<usize>;

/// Finds the faults below roots.
#[derive(Debug, Default)]
pub(crate) struct Taint {
    nodes: HashMap<NodeId, usize>,
    objects: HashMap<PageObjectId, usize>,
    clean: Marks,
    tainted: HashMap<NodeId, Arc<FaultSet>>,
}

/// A node whose children are being gone through.
struct Frame {
    id: NodeId,
    left: Vec<NodeId>,
    found: FaultSet,
}

impl Taint {
    pub(crate) fn new(faults: &[Fault]) -> Self {
        let mut taint = Self::default();
        for (place, fault) in faults.iter().enumerate() {
            match fault.what {
                Stored::Node(id) => _ = taint.nodes.insert(id, place),
                Stored::Object(object) => _ = taint.objects.insert(object.id, place),
            }
        }
        taint
    }

    /// The faults that a tree meets.
    pub(crate) async fn of(&mut self, cluster: &Cluster, tree: &Tree) -> Result<Arc<FaultSet>, ClientError> {
        let Some(root) = tree.root_id() else { return Ok(Arc::default()) };
        let mut stack = Vec::new();
        let mut answer = self.enter(cluster, tree, root, &mut stack).await?;
        while let Some(top) = stack.last_mut() {
            if let Some(found) = answer.take() {
                top.found.extend(found.iter().copied());
            }
            if let Some(child) = top.left.pop() {
                answer = self.enter(cluster, tree, child, &mut stack).await?;
                continue;
            }
            let Some(Frame { id, found, .. }) = stack.pop() else { break };
            answer = Some(self.settle(id, found));
        }
        Ok(answer.unwrap_or_default())
    }

    /// What is known of a node; if nothing is, it goes onto the stack.
    async fn enter(
        &mut self,
        cluster: &Cluster,
        tree: &Tree,
        id: NodeId,
        stack: &mut Vec<Frame>,
    ) -> Result<Option<Arc<FaultSet>>, ClientError> {
        if let Some(found) = self.tainted.get(&id) {
            return Ok(Some(found.clone()));
        }
        if self.clean.of_node(&id).is_some() {
            return Ok(Some(Arc::default()));
        }
        let own: FaultSet = self.nodes.get(&id).copied().into_iter().collect();
        let node = cluster.nodes_if_there(&[id]).await?.into_iter().find_map(|(_, node)| node);
        let (left, objects) = node.map(|node| parts(tree, &id, &node)).unwrap_or_default();
        // The cache has them when they are entered one by one.
        cluster.nodes_if_there(&left).await?;
        let found = objects.iter().filter_map(|object| self.objects.get(object).copied()).chain(own).collect();
        stack.push(Frame { id, left, found });
        Ok(None)
    }

    fn settle(&mut self, id: NodeId, found: FaultSet) -> Arc<FaultSet> {
        if found.is_empty() {
            self.clean.node(&id, Class::History);
            return Arc::default();
        }
        let found = Arc::new(found);
        self.tainted.insert(id, found.clone());
        found
    }
}

/// The children of a node, and the objects on it.
fn parts(tree: &Tree, id: &NodeId, node: &Node) -> (Vec<NodeId>, Vec<PageObjectId>) {
    let slot = Slot { level: id.level, index: id.index };
    match Content::of(id, node, tree.geometry) {
        Ok(Content::Inner(children)) => {
            let child = |(place, reference): (usize, &Option<crate::weave::NodeRef>)| {
                let place = Place { slot: slot.child(tree.geometry, place), reference: *reference };
                let reference = place.reference?;
                Some(reference.node_id(tree.blob.volume, place.slot))
            };
            (children.iter().enumerate().filter_map(child).collect(), Vec::new())
        }
        Ok(Content::Leaf(pages)) => {
            let objects = pages.iter().flat_map(|page| &page.fragments).map(|fragment| fragment.object.id);
            (Vec::new(), objects.collect())
        }
        _ => Default::default(),
    }
}
