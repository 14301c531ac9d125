//! `weft gc`: lets go of what the policies do not keep, and waits until its space is back. The servers do the work; who waits can be
//! interrupted and ask again.

use super::args::GcArgs;
use super::connect::{Client, volume_name};
use super::error::CliError;
use super::human;
use super::output::{self, Output};
use super::status::role_name;
use std::time::{Duration, Instant};
use weft_common::client::Cluster;
use weft_common::clock::{Clock, SystemClock};
use weft_common::limits::SESSION_LEASE;
use weft_common::wire::{GarbageStatistics, ProviderState, Reader, SessionInfo, SweepExtent, Swept};

/// How often `weft gc` looks whether the servers are done.
const LOOK: Duration = Duration::from_secs(1);
/// After so long without anything deleted it says who reads what is left.
const PAUSE_WITHOUT_A_WORD: Duration = Duration::from_secs(10);
/// After so long without anything deleted it asks itself why: sessions of the dead have lapsed by then.
const STALL: Duration = SESSION_LEASE.saturating_add(Duration::from_secs(15));

/// So many versions of one client are named.
const VERSIONS_NAMED: usize = 5;

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
        output::note("every mount is asked first whether it still reads any of them");
    }
    let bar = Output::new(false).progress("files to clean up", 0);
    let mut last = (GarbageStatistics::default(), Instant::now());
    let mut told: Vec<String> = Vec::new();
    loop {
        let garbage = cluster.garbage(volume).await?;
        if garbage != last.0 {
            last = (garbage, Instant::now());
        } else if last.1.elapsed() > PAUSE_WITHOUT_A_WORD {
            let is_stalled = last.1.elapsed() > STALL;
            if is_stalled {
                why_it_stalls(&cluster, &garbage)?;
                last.1 = Instant::now();
            }
            // For information only: an older manager does not know the request.
            let readers = cluster.readers(volume).await.unwrap_or_default();
            let readers: Vec<_> = readers.iter().filter_map(|reader| what_it_holds(reader, is_stalled)).collect();
            if is_stalled || readers != told {
                bar.suspend(|| readers.iter().for_each(|reader| output::note(reader)));
                told = readers;
            }
        }
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

/// Nothing was deleted for a while. What is missing a server is left to those who run it; what is being read goes when it is not any more.
fn why_it_stalls(cluster: &Cluster, garbage: &GarbageStatistics) -> Result<(), CliError> {
    let map = cluster.map();
    let away = map.providers.iter().filter(|provider| provider.state == ProviderState::Dead);
    let away: Vec<_> = away.map(|provider| format!("{} provider {}", role_name(provider.role), provider.address)).collect();
    let waiting = garbage.blobs + garbage.nameless_files;
    if !away.is_empty() {
        let away = away.join(", ");
        return Err(CliError::Unfinished(format!(
            "{waiting} files are not cleaned up, since what they consist of is on a server that does not answer: {away}; nothing is lost, and the \
             servers go on by themselves when it is back"
        )));
    }
    if !cluster.losses().is_empty() {
        return Err(CliError::Unfinished(
            "nothing is deleted while it is not known what was lost with the power; the servers look for it, their logs and `weft fsck` say more"
                .into(),
        ));
    }
    output::note("what is left is being read: it goes when no program has it open any more");
    Ok(())
}

/// What a client keeps from being deleted, in words; `None` if it keeps nothing for all that is known. One that has not renewed its
/// session since something went may be about to, and one with open files uses the present perhaps: that is said `at_length` only.
fn what_it_holds(reader: &Reader, at_length: bool) -> Option<String> {
    let SessionInfo { session, host, purpose, .. } = &reader.session;
    let who = format!("{purpose} on {host} ({session})");
    let shown = reader.versions.iter().take(VERSIONS_NAMED).map(|version| version.0.to_string()).collect::<Vec<_>>().join(", ");
    match reader.versions.len() {
        _ if reader.everything => Some(format!("{who} reads so much that nothing can go")),
        0 if !at_length => None,
        0 if reader.is_silent => Some(format!("{who} has not said yet what it reads")),
        0 if reader.files > 0 => Some(format!("{who} uses {} files, perhaps in a state that is to go", reader.files)),
        0 => None,
        count if count <= VERSIONS_NAMED => Some(format!("{who} reads let-go versions {shown}")),
        count => Some(format!("{who} reads let-go versions {shown} and {} more", count - VERSIONS_NAMED)),
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
