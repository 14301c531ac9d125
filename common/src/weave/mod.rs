//! Weaving: how an update becomes segment-tree nodes without waiting for anybody.
//!
//! # The tree
//! A blob's pages hang under a tree of fan-out F. A *slot* (level l, index k) is a place in it and covers pages
//! [k·F^l, (k+1)·F^l). What a version has there is a *node*: at level 1, a leaf, F page descriptors; above, F references to
//! children, each of which names the version that made the child, or is a hole. Nodes never change. A new version stores new nodes
//! from its root down to what it wrote, and refers to the nodes of older versions for all the rest:
//!
//! ```text
//! F = 2                v1 writes pages 0–3     v2 writes page 2        v3 writes page 5: the tree grows
//!
//! level 3                                                              v3.3.0 ──────────────┐
//!                                                                       │                   │
//! level 2              v1.2.0                  v2.2.0 ◄─────────────────┘                  v3.2.1
//!                      │    │                  │    │                                     │    │
//! level 1         v1.1.0    v1.1.1        v1.1.0    v2.1.1                           v3.1.2    hole
//!                  │  │      │  │          │  │      │  │                             │  │
//! pages           p0  p1    p2  p3        p0  p1    p2' p3                          hole p5
//! ```
//! (`v2.1.1` is the node that version 2 made at level 1, index 1.)
//!
//! # Every node is a pure function of the log
//! The version manager orders updates by handing out tickets: the *log*. An entry says what was touched ([`types::LogEntry`]);
//! sizes follow one from the other ([`assign`]). From the log alone it is clear what every node of every version will be:
//!
//! - `Touch(w,σ)`: slot σ meets the pages of w's update; or σ is the slot of w's root, or above it: each version writes its root.
//! - `Last(v,σ)`: the newest w ≤ v that touches σ.
//! - `Ref(v,σ)`, with w = `Last(v,σ)`: a hole if σ lies wholly in w's holes (unless at or above w's root); else w's node at σ.
//!   Above w's root it is w's root: the reference is *shortened*, so a tree may grow by many levels at once and no chain of nodes
//!   with one child is written. Only index 0 can be shortened.
//! - `Node(v,σ)`: the references of v to σ's children; in a leaf, the page as it was before v, overlaid with v's fragments.
//!
//! `Ref(v,σ)` can name a node that *does not exist yet*: the writer of w has its ticket, and is still uploading. That does not
//! matter. The name is certain, and v is shown to nobody before w is. So nobody ever waits for anybody:
//!
//! ```text
//! log          … v7      v8        v9        v10                 tree(v7) is published: all of it can be read
//!                │       └─ in flight ─┘      │
//!                │                            └ our ticket: base v7, entries of v8, v9 and v10
//!             Ref(v10,σ) = v10 if our update touches σ, else v9 if v9's does, else v8 if v8's does, else what tree(v7) says
//! ```
//!
//! Whoever holds the entries behind some readable base computes the same nodes, byte for byte, from whatever base: the writer, a
//! helper that finishes a dead writer's version, a late duplicate. Storing a node twice is harmless, so no fencing is needed.
//!
//! # In code
//! [`assign`] makes entries; [`Footprint`] answers `Touch` and `Ref` for one entry; [`Weaver`] computes T_v, all nodes that a
//! version must store: its root, and below it every slot that its update touches and does not wipe out. It does no I/O: it is a [`Walk`]
//! that asks for nodes of the base, one level at a time. Pages are exact to the byte ([`PageDescriptor`]); nodes become
//! bytes in [`encode_node`]. `tests` compares all of it with a naive model and with the definitions above, by brute force.

mod build;
mod codec;
mod collect;
mod descriptor;
mod log;
pub(crate) mod ranges;
mod slot;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod touch;
pub mod types;
mod walk;

pub use build::{Weaver, crowded_pages};
pub use codec::{NodeError, decode_node, encode_node};
pub use collect::{CollectStep, Collection, Garbage};
pub use log::{UpdateError, assign, tree_of, validate};
pub use slot::Slot;
pub use touch::{Footprint, touches_since};
pub use types::*;
pub(crate) use walk::{Content, Place};
pub use walk::{Walk, WalkError};
