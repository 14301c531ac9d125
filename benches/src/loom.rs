//! Trees without a network: nodes in memory, walks driven to their end, and what they asked for counted.

use crate::Outcome;
use std::collections::HashMap;
use std::sync::Arc;
use weft_common::id::NodeId;
use weft_common::weave::{Node, Walk, Weaver, decode_node};
use weft_common::wire::Ticket;
use weft_server::storage::{Key, ObjectStore};

/// Nodes by their place. Of each slot only the newest is kept: all that weaving upon the newest version needs.
#[derive(Debug, Default)]
pub struct Loom {
    /// Where nodes are looked for that were not woven here.
    store: Option<Arc<dyn ObjectStore>>,
    newest: HashMap<(u64, u8, u64), (NodeId, Node)>,
    /// Nodes that walks asked for.
    pub fetched: u64,
    /// Rounds in which they did: one after the other, each a round trip.
    pub rounds: u64,
}

impl Loom {
    /// An empty one that looks for what it does not have in `store`.
    #[must_use]
    pub fn upon(store: Arc<dyn ObjectStore>) -> Self {
        Self { store: Some(store), ..Self::default() }
    }

    /// Every node that the ticket's version must store.
    ///
    /// # Errors
    /// When a node of the base is not here.
    pub fn plan(&mut self, ticket: &Ticket) -> Outcome<Vec<(NodeId, Node)>> {
        self.drive(Weaver::new(&ticket.base, &ticket.in_flight, &ticket.entry)?)
    }

    /// As [`Loom::plan`], and they are kept.
    ///
    /// # Errors
    /// As [`Loom::plan`].
    pub fn weave(&mut self, ticket: &Ticket) -> Outcome<Vec<(NodeId, Node)>> {
        let woven = self.plan(ticket)?;
        for (id, node) in &woven {
            self.newest.insert((id.blob.number, id.level, id.index), (*id, node.clone()));
        }
        Ok(woven)
    }

    /// Runs a walk over the nodes.
    ///
    /// # Errors
    /// When one that it asks for is not here.
    pub fn drive<W: Walk>(&mut self, mut walk: W) -> Outcome<W::Output> {
        loop {
            let missing = walk.missing();
            if missing.is_empty() {
                return Ok(walk.finish()?);
            }
            self.rounds += 1;
            for id in missing {
                self.fetched += 1;
                match self.newest.get(&(id.blob.number, id.level, id.index)) {
                    Some((found, node)) if *found == id => walk.supply(&id, node)?,
                    _ => walk.supply(&id, &self.stored(&id)?)?,
                }
            }
        }
    }

    fn stored(&self, id: &NodeId) -> Outcome<Node> {
        let none = || format!("{id} was never woven, or is not the newest of its place");
        let object = self.store.as_ref().ok_or_else(none)?.get(&Key::from(*id))?.ok_or_else(none)?;
        Ok(decode_node(id, &object.body)?)
    }
}
