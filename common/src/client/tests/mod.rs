//! The client against providers in memory and a manager that knows only the map and keys: what it does when they fail.
//! Publishing is tested against the real version manager, in the server package.

mod fakes;
mod managers;
mod nodes;
mod objects;

use super::link::Link;
use super::{ClientOptions, Cluster};
use fakes::FakeCluster;
use std::sync::Arc;
use std::time::Duration;

/// Patience of calls that are meant to succeed.
const PATIENT: Duration = Duration::from_secs(20);
/// Patience of calls that are meant to fail.
const IMPATIENT: Duration = Duration::from_millis(150);

async fn connect(fake: &FakeCluster, timeout: Duration) -> Arc<Cluster> {
    let options = ClientOptions { timeout, purpose: "test".to_owned(), ..ClientOptions::default() };
    Cluster::connect(fake.rpc.clone(), fake.managers.clone(), options).await.unwrap()
}

fn link(cluster: &Cluster) -> &Link {
    &cluster.link
}
