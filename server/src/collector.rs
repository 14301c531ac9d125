//! The collector: thins history as the volumes' policies say, and deletes what no version needs any more.
//!
//! What may go is the version manager's to say ([`crate::version`], `garbage`); what goes with it is a walk over two trees
//! ([`weft_common::weave::Collection`]). Everything here may break off anywhere and be done again, by any server: versions are offered
//! until they are reported collected. Deletion has no hurry: few versions at a time, no faster than the configuration says, with a pause
//! when there is nothing to do.

use futures_util::{StreamExt, stream};
use std::sync::Arc;
use tokio::time::Instant;
use weft_common::client::{ClientError, Cluster, Collected, CollectionWork};
use weft_common::clock::Clock;
use weft_common::id::VolumeId;
use weft_common::limits::{COLLECTIONS_AT_ONCE, COLLECTOR_ROUND, COLLECTOR_ROUND_BUSY, RETENTION_ROUND, SWEEP_ROUND};
use weft_common::wire::Swept;

/// Collects until it is dropped or aborted. Failures are logged and tried again in the next round.
pub async fn collect(cluster: Arc<Cluster>, clock: Arc<dyn Clock>) {
    let mut applied: Option<Instant> = None;
    let mut swept = Instant::now();
    let mut pause = COLLECTOR_ROUND;
    loop {
        tokio::time::sleep(pause).await;
        pause = COLLECTOR_ROUND;
        let volumes = match cluster.volumes_to_collect().await {
            Ok(volumes) => volumes,
            Err(error) => {
                tracing::debug!(%error, "cannot ask for volumes to collect; trying again");
                continue;
            }
        };
        let is_due = applied.is_none_or(|applied| applied.elapsed() >= RETENTION_ROUND);
        for volume in volumes {
            if is_due {
                match cluster.apply_retention(volume, clock.now()).await {
                    Ok(0) => {}
                    Ok(versions) => tracing::info!(%volume, versions, "versions thinned by the retention policy"),
                    Err(error) => tracing::debug!(%volume, %error, "the retention policy cannot be applied now; trying again"),
                }
            }
            match collect_volume(&cluster, volume).await {
                Ok(collected) if collected == Collected::default() => {}
                Ok(collected) => {
                    // Where something went, more is likely to follow.
                    pause = COLLECTOR_ROUND_BUSY;
                    let Collected { nodes, objects, bytes } = collected;
                    tracing::info!(%volume, nodes, objects, bytes, "collected");
                }
                Err(error) => tracing::warn!(%volume, %error, "collection breaks off; it goes on in the next round"),
            }
        }
        if is_due {
            applied = Some(Instant::now());
        }
        sweep_if_due(&cluster, &mut swept).await;
    }
}

/// Deletes orphans if somebody asked for it, and otherwise rarely: it goes through everything there is.
async fn sweep_if_due(cluster: &Cluster, swept: &mut Instant) {
    let state = match cluster.sweep_state().await {
        Ok(state) if state.asked > state.done || swept.elapsed() >= SWEEP_ROUND => state,
        Ok(_) => return,
        Err(error) => {
            tracing::debug!(%error, "cannot ask for sweeps; trying again");
            return;
        }
    };
    let done = cluster.sweep(state.extent).await.unwrap_or_else(|error| {
        tracing::warn!(%error, "the sweep for orphans breaks off; it deleted nothing");
        Swept { problem: Some(error.to_string()), ..Swept::default() }
    });
    *swept = Instant::now();
    let Swept { objects, nodes, bytes, .. } = done;
    if objects + nodes > 0 {
        tracing::info!(objects, nodes, bytes, "orphans deleted");
    }
    if let Err(error) = cluster.report_sweep(state.asked, done).await {
        tracing::debug!(%error, "the end of a sweep was not reported; who asked for it waits for the next");
    }
}

/// Collects what there is. A version that cannot be collected now, as a server that has some of it is away, is no hindrance to
/// those of other files: it is left for the next round.
async fn collect_volume(cluster: &Cluster, volume: VolumeId) -> Result<Collected, ClientError> {
    let (mut sum, mut failed) = (Collected::default(), None);
    let (mut after, mut goes_on) = (0, false);
    // Until it is known what was lost with the power, nothing of the past may go: it may be what is fallen back to.
    while cluster.losses().is_empty() {
        // One version of each blob at most: they have nothing to do with each other.
        let CollectionWork { jobs, more, next } = cluster.collection_work(volume, after).await?;
        // What is deleted now may have been the last that was on stable storage of a file: what came after it has to be there first.
        if !jobs.is_empty() {
            cluster.stabilize().await?;
        }
        goes_on |= more;
        let collections: Vec<_> = jobs.iter().map(|job| cluster.collect(job)).collect();
        let mut collecting = stream::iter(collections).buffer_unordered(COLLECTIONS_AT_ONCE);
        while let Some(result) = collecting.next().await {
            match result {
                Ok(collected) => {
                    goes_on = true;
                    sum += collected;
                }
                Err(error) => failed = Some(error),
            }
        }
        match next {
            Some(next) => after = next,
            None if goes_on && failed.is_none() => (after, goes_on) = (0, false),
            None => break,
        }
    }
    failed.map_or(Ok(sum), Err)
}
