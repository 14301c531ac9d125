//! `weft retention` and `weft gc`: how much history a volume keeps, and letting the rest go.

use super::args::{GcArgs, RetentionCommand, RetentionSetArgs, VolumeArgs};
use super::connect::{Client, volume_name, whole_volume};
use super::error::CliError;
use super::human;
use super::output::{self, Output, table};
use serde::Serialize;
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::sync::Arc;
use std::time::Duration;
use weft_common::client::Cluster;
use weft_common::clock::{Clock, SystemClock};
use weft_common::id::{VolumeId, VolumeVersion};
use weft_common::retention::{Dated, Retention};
use weft_common::wire::{SweepExtent, Swept, VersionRange};

/// How often `weft gc` looks whether the servers are done.
const LOOK: Duration = Duration::from_secs(1);

/// A policy as it is shown.
#[derive(Debug, Serialize)]
struct PolicyRow {
    /// Seconds for which every version is kept; null for ever.
    keep_all_seconds: Option<u64>,
    hourly: u32,
    daily: u32,
    weekly: u32,
    monthly: u32,
}

impl From<Retention> for PolicyRow {
    fn from(policy: Retention) -> Self {
        let Retention { keep_all, hourly, daily, weekly, monthly } = policy;
        Self { keep_all_seconds: keep_all.map(|span| span.as_secs()), hourly, daily, weekly, monthly }
    }
}

/// What a policy would let go.
#[derive(Debug, Serialize)]
struct Explanation {
    kept: u64,
    goes: u64,
    /// Bytes of page objects that nothing needs any more then.
    freed_bytes: u64,
    /// The same with every copy.
    freed_disk_bytes: u64,
    ranges: Vec<RangeRow>,
}

/// Versions that would go.
#[derive(Debug, Serialize)]
struct RangeRow {
    first: u64,
    last: u64,
    from: String,
    to: String,
    /// The version that the policy keeps in their place.
    kept_instead: u64,
}

/// Runs `weft retention`.
///
/// # Errors
/// [`CliError`].
pub(super) async fn run(client: &Client, command: &RetentionCommand) -> Result<(), CliError> {
    match command {
        RetentionCommand::Show(args) => show(client, args).await,
        RetentionCommand::Set(args) => set(client, args).await,
        RetentionCommand::Explain(args) => explain(client, args).await,
    }
}

async fn open(client: &Client, target: &OsStr, args: &super::args::IdentityArgs) -> Result<(Arc<Cluster>, VolumeId), CliError> {
    let (cluster, url) = client.cluster_of(target, args).await?;
    let info = cluster.volume(volume_name(&url)?).await?;
    Ok((cluster, info.id))
}

async fn show(client: &Client, args: &VolumeArgs) -> Result<(), CliError> {
    let (cluster, volume) = open(client, &args.target, &args.identity).await?;
    let policy = cluster.retention(volume).await?;
    Output::new(args.format.json).data(&PolicyRow::from(policy), |_| describe(&policy) + "\n");
    Ok(())
}

/// A policy in a sentence.
fn describe(policy: &Retention) -> String {
    let Some(span) = policy.keep_all else { return "every version is kept for ever".into() };
    let mut text = format!("every version is kept for {}", human::span(span));
    let periods = [(policy.hourly, "hours"), (policy.daily, "days"), (policy.weekly, "weeks"), (policy.monthly, "months")];
    for (count, name) in periods.into_iter().filter(|(count, _)| *count > 0) {
        text += &format!(", then the last of each of {count} {name}");
    }
    text + "; the newest, and those with a tag, for ever"
}

async fn set(client: &Client, args: &RetentionSetArgs) -> Result<(), CliError> {
    let (cluster, url) = client.cluster_of(&args.target, &args.identity).await?;
    let volume = cluster.volume(whole_volume(&url)?).await?.id;
    let has_periods = [args.hourly, args.daily, args.weekly, args.monthly].iter().any(Option::is_some);
    let keep_all = match (args.forever, args.keep_all) {
        (true, _) => None,
        (false, Some(span)) => Some(span),
        (false, None) if has_periods => Some(Duration::ZERO),
        (false, None) => return Err(CliError::Usage("say how much to keep: --forever, --keep-all SPAN, --hourly N …".into())),
    };
    let number = |given: Option<u32>| given.unwrap_or(0);
    let policy = Retention {
        keep_all,
        hourly: number(args.hourly),
        daily: number(args.daily),
        weekly: number(args.weekly),
        monthly: number(args.monthly),
    };
    cluster.set_retention(volume, policy).await?;
    output::note(&describe(&policy));
    if !policy.keeps_everything() {
        output::note("the servers let the rest go within minutes; `weft retention explain` shows what");
    }
    Ok(())
}

async fn explain(client: &Client, args: &VolumeArgs) -> Result<(), CliError> {
    let (cluster, volume, _) = client.open_with_cluster(&args.target, &args.identity).await?;
    let tagged = volume.tags().await?.into_iter().map(|tag| tag.version).collect();
    let id = volume.names.info().id;
    let (kept, expired) = cluster.expired(id, &tagged, SystemClock.now()).await?;
    let goes: u64 = expired.iter().map(|range| kept_within(&kept, range).len() as u64).sum();
    let ranges = expired.iter().map(|range| row(&kept, range)).collect();
    let output = Output::new(args.format.json);
    let (freed_bytes, freed_disk_bytes) = if expired.is_empty() {
        (0, 0)
    } else {
        let bar = output.spinner();
        bar.set_message("counting");
        let freed = freed(&cluster, id, &kept, &expired).await?;
        bar.finish_and_clear();
        freed
    };
    let explanation = Explanation { kept: kept.len() as u64 - goes, goes, freed_bytes, freed_disk_bytes, ranges };
    output.data(&explanation, |explanation| {
        let cells = |row: &RangeRow| {
            let versions = if row.first == row.last { row.first.to_string() } else { format!("{}-{}", row.first, row.last) };
            vec![versions, row.from.clone(), row.to.clone(), row.kept_instead.to_string()]
        };
        let rows: Vec<_> = explanation.ranges.iter().map(cells).collect();
        let Explanation { kept, goes, freed_bytes, freed_disk_bytes, .. } = *explanation;
        let (freed, on_disks) = (human::size(freed_bytes), human::size(freed_disk_bytes));
        let sum = format!("{goes} versions go, {kept} stay; that frees {freed}, with all copies {on_disks}\n");
        if rows.is_empty() { sum } else { table(&["VERSIONS", "FROM", "TO", "KEPT INSTEAD"], &rows) + &sum }
    });
    Ok(())
}

/// Bytes of the page objects that only versions in `expired` need: each once, and with every copy.
async fn freed(cluster: &Cluster, volume: VolumeId, kept: &[Dated], expired: &[VersionRange]) -> Result<(u64, u64), CliError> {
    let mut staying: BTreeSet<VolumeVersion> = kept.iter().map(|dated| dated.version).collect();
    for dated in expired.iter().flat_map(|range| kept_within(kept, range)) {
        staying.remove(&dated.version);
    }
    let mut count = cluster.begin_count();
    // What stays is counted first: so it does not count as freed when both need it.
    let mut with_copies = 0;
    for stays in [true, false] {
        with_copies = count.counted().disk_bytes;
        let mut contents = cluster.contents(volume);
        while let Some(rows) = contents.page().await? {
            for row in rows.iter().filter(|row| row.shown_at.is_some()) {
                let is_shown = row.to.is_none_or(|to| staying.range(row.from..to).next().is_some());
                if is_shown == stays {
                    cluster.count(&mut count, &row.tree, stays).await?;
                }
            }
        }
    }
    Ok((count.counted().history_bytes, count.counted().disk_bytes - with_copies))
}

/// Those of the kept versions, which come in order, that lie in a range.
fn kept_within<'k>(kept: &'k [Dated], range: &VersionRange) -> &'k [Dated] {
    let start = kept.partition_point(|dated| dated.version < range.first);
    let end = kept.partition_point(|dated| dated.version <= range.last);
    &kept[start..end.max(start)]
}

fn row(kept: &[Dated], range: &VersionRange) -> RangeRow {
    let time = |dated: Option<&Dated>| dated.map_or_else(String::new, |dated| human::time(dated.time));
    let after = kept.get(kept.partition_point(|dated| dated.version <= range.last));
    RangeRow {
        first: range.first.0,
        last: range.last.0,
        from: time(kept_within(kept, range).first()),
        to: time(kept_within(kept, range).last()),
        kept_instead: after.map_or(range.last.0, |dated| dated.version.0),
    }
}

/// Runs `weft gc`.
///
/// # Errors
/// [`CliError`].
pub(super) async fn gc(client: &Client, args: &GcArgs) -> Result<(), CliError> {
    let (cluster, volume) = open(client, &args.target, &args.identity).await?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use weft_common::time::Timestamp;

    #[test]
    fn a_policy_reads_as_a_sentence() {
        assert_eq!(describe(&Retention::default()), "every version is kept for ever");
        let policy = Retention { keep_all: Some(Duration::from_secs(86_400 * 7)), daily: 30, ..Retention::default() };
        let text = describe(&policy);
        assert!(text.starts_with("every version is kept for 7d, then the last of each of 30 days;"), "{text}");
    }

    #[test]
    fn a_range_names_what_is_kept_in_its_place() {
        let dated = |version| Dated { version: VolumeVersion(version), time: Timestamp(version as i64 * 1_000_000_000) };
        let kept = [dated(2), dated(5), dated(9)];
        let row = row(&kept, &VersionRange { first: VolumeVersion(2), last: VolumeVersion(5) });
        assert_eq!((row.kept_instead, row.from.as_str(), row.to.as_str()), (9, "1970-01-01T00:00:02Z", "1970-01-01T00:00:05Z"));
    }
}
