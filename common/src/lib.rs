//! What every part of WeftFS shares: the words, the weaving algorithm, the messages, the transport and the client library.
//!
//! Read in this order:
//! 1. [`id`] and [`limits`]: the nouns and every bound.
//! 2. [`weave`]: how an update becomes segment-tree nodes; pure functions of the log (the heart of the system).
//! 3. [`blob`]: what a reader computes from nodes.
//! 4. [`wire`]: what is said between processes.
//!
//! With `--no-default-features` only these pure parts remain, and nothing links tokio. The default feature `net` adds
//! [`rpc`] (one trait for every way to reach a server), [`transport`] (QUIC) and [`client`] (the blob store and namespace
//! that the FUSE mount and the tools are built on).

pub mod acl;
pub mod blob;
#[cfg(feature = "net")]
pub mod buffers;
pub mod checksum;
pub mod file_locks;
pub mod fingerprint;
pub mod id;
pub mod limits;
pub mod name;
pub mod retention;
pub mod time;
pub mod weave;
pub mod wire;
pub mod xattr;

#[cfg(feature = "net")]
pub mod client;
#[cfg(feature = "net")]
pub mod clock;
#[cfg(feature = "net")]
pub mod rpc;
#[cfg(feature = "net")]
pub mod transport;
