//! `weft gc`: lets go of what the policies do not keep, and waits until its space is back. The servers do the work; who waits can be
//! interrupted and ask again.

use super::args::GcArgs;
use super::connect::{Client, volume_name};
use super::error::CliError;
use super::human;
use super::output::{self, Output};
use std::time::Duration;
use weft_common::client::Cluster;
use weft_common::clock::{Clock, SystemClock};
use weft_common::wire::{SweepExtent, Swept};

/// How often `weft gc` looks whether the servers are done.
const LOOK: Duration = Duration::from_secs(1);

/// Runs `weft gc`.
///
/// # Errors
/// [`CliError`].
pub(super) async fn run(client: &Client, args: &GcArgs) -> Result<(), CliError> {
    let (cluster, url) = client.cluster_of(&args.target, &args.identity).await?;
    let volume = cluster.volume(volume_name(&url)?).await?.id;
    let thinned = cluster.apply_retention(volume, SystemClock.now()).await?;
    output::note(&format!("{thinned} versions let go"));
    if args.no_wait {
        return Ok(());
    }
    if thinned > 0 {
        output::note("every mount is asked first whether it still reads any of them: that takes about a minute");
    }
    let bar = Output::new(false).progress("files to clean up", 0);
    loop {
        let garbage = cluster.garbage(volume).await?;
        let left = garbage.blobs + garbage.nameless_files;
        if left == 0 && garbage.thinned_versions == 0 && !garbage.is_purging {
            bar.finish_and_clear();
            output::note("everything that is not kept is deleted");
            return sweep(&cluster, if args.force { SweepExtent::Everything } else { SweepExtent::Cautious }).await;
        }
        bar.set_length(bar.length().unwrap_or(0).max(left));
        bar.set_position(bar.length().unwrap_or(0) - left);
        tokio::time::sleep(LOOK).await;
    }
}

/// Has the servers look for orphans, and waits until they did.
async fn sweep(cluster: &Cluster, extent: SweepExtent) -> Result<(), CliError> {
    let bar = Output::new(false).spinner();
    bar.set_message("looking for orphans");
    let mut wanted = cluster.ask_for_sweep(extent).await?.asked;
    loop {
        let state = cluster.sweep_state().await?;
        if state.asked < wanted {
            // The version manager restarted and forgot it.
            wanted = cluster.ask_for_sweep(extent).await?.asked;
        }
        if state.done >= wanted {
            bar.finish_and_clear();
            let Swept { objects, nodes, bytes, problem } = state.last;
            output::note(&format!("{objects} orphaned page objects and {nodes} nodes deleted, {}", human::size(bytes)));
            problem.iter().for_each(|problem| output::note(problem));
            return Ok(());
        }
        tokio::time::sleep(LOOK).await;
    }
}
