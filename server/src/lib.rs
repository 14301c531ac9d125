//! The servers' roles: version manager, provider manager, metadata provider, data provider. `weftd` runs any set of them.
//!
//! Roles never call each other's code, only each other's RPC or a trait. Every `core` is pure: state, event and time in, effects out.

pub mod cli;
pub mod collector;
pub mod config;
pub mod data;
pub mod helper;
pub mod init;
pub mod logging;
pub mod metadata;
pub mod node;
pub mod placement;
pub mod recovery;
pub mod storage;
pub mod version;
