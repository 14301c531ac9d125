//! The client library against the real roles, all in this process: version manager on disk, providers in memory.

// Clippy's exemption of tests does not reach their helper functions.
#![allow(clippy::unwrap_used)]

mod compaction;
mod crashes;
mod files;
mod harness;
mod power_loss;
mod sessions;
mod shaky;
mod sweeps;
mod writers;
