//! QUIC between processes, calls within one, and the certificates that say who may talk to whom.
//!
//! - [`QuicRpc`] calls: one connection per server, a stream per request, re-dialled with backoff when it is lost.
//! - [`Listener`] answers: bounded connections, handshakes, requests and bytes; nothing is read from a peer before its
//!   certificate was checked.
//! - [`LocalRpc`] calls a [`crate::rpc::Handler`] of the same process with the same meaning of deadlines; [`RoutingRpc`]
//!   prefers it and goes to the network otherwise.
//! - [`ClusterAuthority`] signs, [`Identity`] is what a process shows.
//!
//! A message is `frame`'s business, sockets and QUIC's many settings are `tuning`'s. This folder is the only user of quinn
//! and rustls. `common/PROTOCOL.md` is the document of the bytes.

mod authority;
#[cfg(feature = "testing")]
pub mod bare;
mod certificate;
mod client;
mod error;
mod frame;
mod ground;
mod identity;
mod line;
mod link;
mod local;
mod server;
#[cfg(any(test, feature = "testing"))]
pub mod sim;
mod socket;
mod tls;
mod tuning;

#[cfg(test)]
mod tests;

pub use authority::{ClusterAuthority, create_cluster_files, random_cluster_id};
pub use certificate::CertificateFacts;
pub use client::QuicRpc;
pub use error::TransportError;
pub use identity::{Holder, Identity, IdentityError};
pub use local::{LocalRpc, RoutingRpc};
pub use server::Listener;
