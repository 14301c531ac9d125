//! Trees without a network: nodes in memory, walks driven to their end, and what they asked for counted.

use crate::Outcome;
use std::collections::HashMap;
use weft_common::id::NodeId;
use weft_common::weave::{Node, Walk, Weaver};
use weft_common::wire::Ticket;

/// Nodes by their place. Of each slot only the newest is kept: all that weaving upon the newest version needs.
#[derive(Debug, Default)]
pub struct Loom {
    newest: HashMap<(u64, u8, u64), (NodeId, Node)>,
    /// Nodes that walks asked for.
    pub fetched: u64,
    /// Rounds in which they did: one after the other, each a round trip.
    pub rounds: u64,
}

impl Loom {
    /// Every node that the ticket's version must store. They are kept.
    ///
    /// # Errors
    /// When a node of the base is not here.
    pub fn weave(&mut self, ticket: &Ticket) -> Outcome<Vec<(NodeId, Node)>> {
        let woven = self.drive(Weaver::new(&ticket.base, &ticket.in_flight, &ticket.entry)?)?;
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
                let (found, node) =
                    self.newest.get(&(id.blob.number, id.level, id.index)).ok_or_else(|| format!("{id} was never woven"))?;
                if *found != id {
                    return Err(format!("{id} was asked for, {found} is newer").into());
                }
                walk.supply(&id, node)?;
            }
        }
    }
}
