//! The client library: a cluster, its volumes, their files and versions, over any [`crate::rpc::Rpc`].
//!
//! [`BlobStore`] and [`Namespace`] are what the FUSE mount and the tools are written against; a real volume implements both.

mod api;

pub use api::*;
