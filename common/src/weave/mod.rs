//! Weaving: how an update becomes segment-tree nodes without waiting for anybody.
//!
//! The version manager orders updates by handing out tickets; from then on **every node is a pure function of the log**.
//! Whoever holds the log entries that are still in flight, and a readable tree from before them, computes the same nodes, byte
//! for byte: the writer itself, a helper finishing a dead writer's version, a late duplicate. Nobody waits for anybody.

mod build;
mod codec;
mod descriptor;
mod log;
pub(crate) mod ranges;
mod slot;
#[cfg(test)]
mod testing;
mod touch;
pub mod types;
mod walk;

pub use build::{Weaver, crowded_pages};
pub use codec::{NodeError, decode_node, encode_node};
pub use log::{UpdateError, assign, tree_of, validate};
pub use slot::Slot;
pub use touch::{Footprint, touches_since};
pub use types::*;
pub(crate) use walk::{Content, Place};
pub use walk::{Walk, WalkError};
