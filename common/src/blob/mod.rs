//! What a client computes about whole blobs, without I/O: which parts of which page objects a read needs, where data and holes
//! are, what two versions differ in. All of them are [walks](crate::weave::Walk): they ask for nodes level by level.

mod diff;
mod extent;
mod inventory;
mod read;

pub use diff::ChangedRanges;
pub use extent::NextData;
pub use inventory::{Inventory, Placed};
pub use read::{Piece, ReadPlan, Source};
