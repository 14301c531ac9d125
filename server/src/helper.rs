//! The helper: finishes the versions of dead writers, so that nobody who comes after them waits longer than a lease.
//!
//! An assigned version is in the log with everything its nodes are computed from. When its writer's lease lapses, or when
//! committed versions pile up behind it, any server may compute the nodes, store them and commit; a writer that was only slow
//! stores the very same bytes and finds its version published. So there is nothing to lock and nothing to fence, and several
//! helpers at work only waste a little effort. The helper is an ordinary client of the cluster: it calls no role's code.

use futures_util::StreamExt;
use std::sync::Arc;
use weft_common::client::Cluster;
use weft_common::id::{BlobId, BlobVersion};
use weft_common::limits::{HELPER_PARALLEL, HELPER_ROUND};

/// Helps until it is dropped or aborted. Failures are logged and tried again in the next round.
pub async fn help(cluster: Arc<Cluster>) {
    let mut rounds = tokio::time::interval(HELPER_ROUND);
    rounds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        rounds.tick().await;
        match cluster.lapsed_versions().await {
            Ok(lapsed) => finish_all(&cluster, lapsed).await,
            Err(error) => tracing::warn!(%error, "cannot ask for the versions of dead writers; trying again"),
        }
    }
}

async fn finish_all(cluster: &Cluster, lapsed: Vec<(BlobId, BlobVersion)>) {
    futures_util::stream::iter(lapsed)
        .for_each_concurrent(HELPER_PARALLEL, |(blob, version)| async move {
            match cluster.finish_version(blob, version).await {
                Ok(()) => tracing::info!(%blob, %version, "finished the version of a writer that let its lease lapse"),
                Err(error) => tracing::warn!(%blob, %version, %error, "cannot finish a lapsed version yet; trying again"),
            }
        })
        .await;
}
