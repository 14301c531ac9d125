//! Metadata providers: tree nodes, write-once. They never look into a node.

mod service;

pub use service::MetadataProvider;
