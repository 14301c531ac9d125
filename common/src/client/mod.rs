//! The client library: a cluster, its volumes, their files and versions, over any [`crate::rpc::Rpc`].
//!
//! [`BlobStore`], [`Namespace`] and [`Locks`] are what the FUSE mount and the tools are written against; [`Volume`] is the real
//! implementation of all three. It is made of parts that know nothing of one another:
//!
//! | part | idea |
//! |---|---|
//! | `retry`, `link` | one public call = one request id and one span of patience; managers are tried in turn |
//! | `map`, `session` | what is kept fresh in the background: the cluster map, the lease, exactly-once numbers |
//! | `placement`, `health` | pure choice of replica groups and read order; who failed lately |
//! | `objects`, `replicas` | page objects out to all copies, and verified parts back from any |
//! | `nodes`, `node_writer` | tree nodes, batched per metadata provider, cached |
//! | `publish`, `walk` | ticket, weave, put nodes, commit; finishing a dead writer's version |
//! | `compaction` | pages of many fragments become few again, behind the writer's back |
//! | `read`, `cache`, `flights` | plan, fetch once, assemble |
//! | `collect`, `check` | deleting what nothing needs; reading every copy and comparing it with its checksums |
//! | `leases` | names and attributes answered from memory, until the version manager calls them in |
//! | `sync`, `watch`, `files` | fsync, notices of change, whole files by path |
//! | `locks` | locks on ranges of files, across all clients |

mod admin;
mod api;
mod cache;
mod check;
mod cluster;
mod collect;
mod compaction;
mod files;
mod flights;
mod health;
mod holds;
mod leases;
mod link;
mod locks;
mod map;
mod node_writer;
mod nodes;
mod objects;
mod options;
mod pace;
mod placement;
mod publish;
mod read;
mod replicas;
mod retry;
mod session;
mod sync;
#[cfg(test)]
mod tests;
mod volume;
mod walk;
mod watch;

pub use api::*;
pub use check::*;
pub use cluster::Cluster;
pub use collect::{Collected, CollectionWork};
pub use holds::{Held, Hold, Holder, InUse};
pub use leases::LeaseListener;
pub use locks::{LockOutcome, LockWish, Locks};
pub use options::ClientOptions;
pub use volume::Volume;
pub use watch::{Watch, WatchEvent};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The guard of a mutex whose holders never leave it half changed, so that a panic elsewhere does not matter.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
