//! How a client behaves: patience, memory, who it says it is.

use crate::clock::{Clock, SystemClock};
use crate::limits::{CLIENT_MEMORY_DEFAULT, MOUNT_TIMEOUT_DEFAULT};
use crate::rpc::Address;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

/// Settings of one connection to a cluster.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// How long a call keeps trying before it fails with [`crate::client::ClientError::Unavailable`].
    pub timeout: Duration,
    /// Bytes for buffers and caches. The client library takes [`ClientOptions::object_cache_bytes`] and
    /// [`ClientOptions::node_cache_bytes`] of it and leaves the rest to its caller's buffers.
    pub memory: u64,
    /// This host's name, for sessions and authors.
    pub host: String,
    /// What this client is: `mount /mnt/show`, `weft restore`. For `weft status` and logs.
    pub purpose: String,
    /// This host's zone; replicas of the same zone are read first. Empty if unknown.
    pub zone: String,
    /// Servers within this process: read from first.
    pub local: Vec<Address>,
    /// Copies of page objects and nodes that collection and sweeps delete per second at most; `None` for as fast as they can.
    pub deletes_per_second: Option<NonZeroU32>,
    /// Whether names and attributes may be answered from memory, under leases: for clients that look at the same ones again and again.
    pub leases: bool,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            timeout: MOUNT_TIMEOUT_DEFAULT,
            memory: CLIENT_MEMORY_DEFAULT,
            host: host_name(),
            purpose: "client".to_owned(),
            zone: String::new(),
            local: Vec::new(),
            deletes_per_second: None,
            leases: false,
            clock: Arc::new(SystemClock),
        }
    }
}

impl ClientOptions {
    /// Bytes that the cache of page objects may hold: half of the memory.
    #[must_use]
    pub fn object_cache_bytes(&self) -> u64 {
        self.memory / 2
    }

    /// Bytes that the cache of nodes may hold: an eighth of the memory. A leaf of 32 whole pages takes about 2.5 KiB for
    /// 32 MiB of data, so that the default covers some 400 GiB.
    #[must_use]
    pub fn node_cache_bytes(&self) -> u64 {
        self.memory / 8
    }
}

/// The kernel's name of this host, or `unknown`.
fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unknown".to_owned(),
        name => name.to_owned(),
    }
}
