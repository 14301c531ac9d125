//! The version manager: per volume the namespace, blob logs, tickets, publish order, sessions.
//!
//! One state machine ([`command::Command`] in, reply out) over an ordered key-value table ([`kv::Kv`]). Commands go to a
//! replicated log first; applying them is deterministic: time and random numbers are in the command.

pub mod command;
pub mod core;
pub mod journal;
pub mod kv;
pub mod namespace;
pub mod store;

mod audit;
pub mod blobs;
pub mod failure;
pub mod garbage;
mod locks;
pub mod readers;
mod service;
mod sessions;
pub mod table;
mod volumes;

#[cfg(test)]
mod tests;

pub use service::{Manager, ManagerError, ManagerOptions, Workers};
