//! Writing: dirty ranges ([`extents`]) make a pending update ([`pending`]); memory for them is bounded ([`buffer`]); whole
//! units are uploaded while the program still writes ([`upload`]); close, fsync and the like publish ([`publish`]).

pub(crate) mod buffer;
pub(crate) mod extents;
pub(crate) mod pending;
mod publish;
pub(crate) mod upload;

pub(crate) use publish::Publisher;
