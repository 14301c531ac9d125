//! Weaving: how an update becomes segment-tree nodes without waiting for anybody.
//!
//! The version manager orders updates by handing out tickets; from then on **every node is a pure function of the log**.
//! Whoever holds the log entries that are still in flight, and a readable tree from before them, computes the same nodes, byte
//! for byte: the writer itself, a helper finishing a dead writer's version, a late duplicate. Nobody waits for anybody.
//!
//! Words: a *slot* (level l, index k) covers pages [k·F^l, (k+1)·F^l). A level-1 node is a leaf and holds F page
//! descriptors; an inner node holds F references. See [`types`] for the shapes.

pub mod types;

pub use types::*;
