//! `weft retention explain`: what goes by the policies as they are, and why, before it goes.
//!
//! A version goes from the volume when the volume's policy lets go of it, and from a directory when no policy keeps it any more: the
//! directory's, those of directories above it, the volume's. Bytes are freed when no version that shows them stays anywhere, which is
//! asked of every content for itself, since each may have lain in other directories.

use super::super::args::VolumeArgs;
use super::super::connect::Client;
use super::super::error::CliError;
use super::super::human;
use super::super::names::{Volume, show_path};
use super::super::output::{Output, table};
use super::{describe, directory, no_policy};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use weft_common::client::Cluster;
use weft_common::clock::{Clock, SystemClock};
use weft_common::id::{InodeNumber, ROOT_INODE, VolumeId, VolumeVersion};
use weft_common::name::FileName;
use weft_common::retention::{Dated, Retention};
use weft_common::time::Timestamp;
use weft_common::wire::{At, ContentRow};

/// What the policies would let go.
#[derive(Debug, Serialize)]
struct Explanation {
    kept: u64,
    goes: u64,
    /// Bytes of page objects that nothing needs any more then.
    freed_bytes: u64,
    /// The same with every copy.
    freed_disk_bytes: u64,
    /// The policies that keep versions of it: its own, then those above it.
    policies: Vec<String>,
    ranges: Vec<RangeRow>,
}

/// Versions that would go.
#[derive(Debug, Serialize)]
struct RangeRow {
    first: u64,
    last: u64,
    from: String,
    to: String,
    /// The version that is kept in their place.
    kept_instead: u64,
}

/// What one policy keeps, and what of that it goes on keeping.
#[derive(Debug)]
struct Kept {
    policy: Retention,
    now: Vec<Dated>,
    then: BTreeSet<VolumeVersion>,
}

/// Of every directory with a policy; the root's is the volume's.
type AllKept = BTreeMap<InodeNumber, Kept>;

/// Runs `weft retention explain`.
///
/// # Errors
/// [`CliError`].
pub(super) async fn run(client: &Client, args: &VolumeArgs) -> Result<(), CliError> {
    let (cluster, volume, path) = client.open_with_cluster(&args.target, &args.identity).await?;
    let subject = directory(&volume, &path).await?;
    let all = all_kept(&cluster, &volume).await?;
    if !all.contains_key(&subject) {
        return Err(CliError::Usage(no_policy(&path)));
    }
    let (above, policies) = above(&volume, &path, &all).await?;
    let mut now: BTreeMap<VolumeVersion, Timestamp> = BTreeMap::new();
    let mut then: BTreeSet<VolumeVersion> = BTreeSet::new();
    for kept in &above {
        now.extend(kept.now.iter().map(|dated| (dated.version, dated.time)));
        then.extend(&kept.then);
    }
    let kept: Vec<_> = now.into_iter().map(|(version, time)| Dated { version, time }).collect();
    let ranges = ranges(&kept, &then);
    let goes = kept.iter().filter(|dated| !then.contains(&dated.version)).count() as u64;

    let output = Output::new(args.format.json);
    let bar = output.spinner();
    bar.set_message("counting");
    let (freed_bytes, freed_disk_bytes) =
        if goes == 0 { (0, 0) } else { freed(&cluster, volume.names.info().id, subject, &all).await? };
    bar.finish_and_clear();
    let kept = kept.len() as u64 - goes;
    output.data(&Explanation { kept, goes, freed_bytes, freed_disk_bytes, policies, ranges }, text);
    Ok(())
}

fn text(explanation: &Explanation) -> String {
    let cells = |row: &RangeRow| {
        let versions = if row.first == row.last { row.first.to_string() } else { format!("{}-{}", row.first, row.last) };
        vec![versions, row.from.clone(), row.to.clone(), row.kept_instead.to_string()]
    };
    let rows: Vec<_> = explanation.ranges.iter().map(cells).collect();
    let Explanation { kept, goes, freed_bytes, freed_disk_bytes, .. } = *explanation;
    let (freed, on_disks) = (human::size(freed_bytes), human::size(freed_disk_bytes));
    let sum = format!("{goes} versions go, {kept} stay; that frees {freed}, with all copies {on_disks}\n");
    let listed = if rows.is_empty() { String::new() } else { table(&["VERSIONS", "FROM", "TO", "KEPT INSTEAD"], &rows) };
    explanation.policies.iter().map(|policy| policy.clone() + "\n").collect::<String>() + &listed + &sum
}

async fn all_kept(cluster: &Cluster, volume: &Volume) -> Result<AllKept, CliError> {
    let id = volume.names.info().id;
    let tagged: BTreeSet<_> = volume.tags().await?.into_iter().map(|tag| tag.version).collect();
    let (policies, clock) = (cluster.policies(id).await?, SystemClock.now());
    // While the volume keeps everything, nothing goes anywhere.
    let nothing_goes = policies.iter().any(|of| of.directory == ROOT_INODE && of.policy.keeps_everything());
    let mut all = AllKept::new();
    for of in policies {
        let now = cluster.kept_versions(id, of.directory).await?;
        let expired = if nothing_goes { Vec::new() } else { of.policy.expired(&now, &tagged, clock) };
        let mut then: BTreeSet<_> = now.iter().map(|dated| dated.version).collect();
        for range in expired {
            then.retain(|version| *version < range.first || range.last < *version);
        }
        all.insert(of.directory, Kept { policy: of.policy, now, then });
    }
    Ok(all)
}

/// The policies at a directory and above it, the directory's own first, and what they say.
async fn above<'k>(volume: &Volume, path: &[FileName], all: &'k AllKept) -> Result<(Vec<&'k Kept>, Vec<String>), CliError> {
    let (mut found, mut told) = (Vec::new(), Vec::new());
    for depth in (0..=path.len()).rev() {
        let path = &path[..depth];
        let directory = volume.walk(At::Head, path).await?.inode;
        if let Some(kept) = all.get(&directory) {
            let whose = if depth == 0 { "the volume".to_owned() } else { show_path(path) };
            told.push(format!("{whose}: {}", describe(&kept.policy)));
            found.push(kept);
        }
    }
    Ok((found, told))
}

/// What goes of the kept versions, which come in order, as ranges between those that stay.
fn ranges(kept: &[Dated], then: &BTreeSet<VolumeVersion>) -> Vec<RangeRow> {
    let stays = |dated: &Dated| then.contains(&dated.version);
    let mut rows = Vec::new();
    for run in kept.chunk_by(|a, b| stays(a) == stays(b)) {
        let (Some(first), Some(last)) = (run.first(), run.last()) else { continue };
        if stays(first) {
            continue;
        }
        let instead = then.range(last.version..).next().unwrap_or(&last.version);
        let (from, to) = (human::time(first.time), human::time(last.time));
        rows.push(RangeRow { first: first.version.0, last: last.version.0, from, to, kept_instead: instead.0 });
    }
    rows
}

/// Bytes of the page objects of a directory that only versions need which go: each once, and with every copy.
async fn freed(cluster: &Cluster, volume: VolumeId, subject: InodeNumber, all: &AllKept) -> Result<(u64, u64), CliError> {
    let mut count = cluster.begin_count();
    // What stays is counted first: so it does not count as freed when both need it.
    let mut with_copies = 0;
    for stays in [true, false] {
        with_copies = count.counted().disk_bytes;
        let mut contents = cluster.contents(volume);
        while let Some(rows) = contents.page().await? {
            for row in rows.iter().filter(|row| row.shown_at.is_some()) {
                let is_subjects = subject == ROOT_INODE || row.policies.iter().any(|span| span.directory == subject);
                if row_stays(row, all) == stays && (stays || is_subjects) {
                    cluster.count(&mut count, &row.tree, stays).await?;
                }
            }
        }
    }
    Ok((count.counted().history_bytes, count.counted().disk_bytes - with_copies))
}

/// Whether a policy goes on keeping a version that shows the content.
fn row_stays(row: &ContentRow, all: &AllKept) -> bool {
    let Some(to) = row.to else { return true };
    let keeps = |directory, first: VolumeVersion, end: VolumeVersion| {
        all.get(&directory).is_some_and(|kept| kept.then.range(first..end).next().is_some())
    };
    keeps(ROOT_INODE, row.from, to)
        || row.policies.iter().any(|span| keeps(span.directory, span.versions.first, VolumeVersion(span.versions.last.0 + 1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_names_what_is_kept_in_its_place() {
        let dated = |version| Dated { version: VolumeVersion(version), time: Timestamp(version as i64 * 1_000_000_000) };
        let kept = [dated(1), dated(2), dated(5), dated(9), dated(12)];
        let rows = ranges(&kept, &[VolumeVersion(1), VolumeVersion(9), VolumeVersion(12)].into());
        let [row] = &rows[..] else { panic!("{rows:?}") };
        assert_eq!((row.first, row.last, row.kept_instead), (2, 5, 9));
        assert_eq!((row.from.as_str(), row.to.as_str()), ("1970-01-01T00:00:02Z", "1970-01-01T00:00:05Z"));
    }
}
