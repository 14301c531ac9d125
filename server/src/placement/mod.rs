//! The provider manager: who stores what, who is alive, and which providers form replica groups.
//!
//! It is never asked where one page lies: the *cluster map* is small, clients keep a copy, and choose from it.
//!
//! | part | keeps | lives |
//! |---|---|---|
//! | [`core`] | members and replica groups | in the version manager's table, changed by logged commands |
//! | [`liveness`] | when each member was last heard | in memory; after a restart everybody has one lease to report |
//! | [`ranking`] | the metadata providers of each partition, best first | nowhere: computed from the members |
//! | [`service`] | the map that clients are given | in memory, its epoch raised with every change |

pub mod core;
mod groups;
pub mod liveness;
pub mod ranking;
pub mod service;

pub use service::{Membership, PlacementService};
