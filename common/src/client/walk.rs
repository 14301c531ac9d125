//! Drives the pure walks of [`crate::weave`]: what a walk misses is fetched in one round, until it misses nothing.

use super::ClientError;
use super::nodes::{NodeFailure, NodeReader};
use super::retry::Context;
use crate::weave::{Walk, WalkError};

impl NodeReader {
    /// The result of `walk`.
    pub(crate) async fn drive<W: Walk + Send>(&self, context: Context, mut walk: W) -> Result<W::Output, NodeFailure> {
        loop {
            let missing = walk.missing();
            if missing.is_empty() {
                return walk.finish().map_err(misfit);
            }
            let nodes = self.get(context, &missing).await?;
            for (id, node) in missing.iter().zip(nodes) {
                walk.supply(id, &node).map_err(misfit)?;
            }
        }
    }
}

/// A stored node that does not fit its tree: no replica can be better, for each checks out as that node.
fn misfit(error: WalkError) -> NodeFailure {
    NodeFailure::Other(ClientError::Damaged { what: "a tree".to_owned(), detail: error.to_string() })
}
