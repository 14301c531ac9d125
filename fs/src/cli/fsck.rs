//! `weft fsck`: every copy of everything that is kept, and what is stored beside it.

use super::args::ClusterArgs;
use super::connect::{Client, volume_name};
use super::error::CliError;
use super::human;
use super::names::show_path;
use super::output::{Output, table, visible};
use super::verify::FaultRow;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use weft_common::client::{Affected, Cluster, Fsck, Namespace, Orphans};
use weft_common::id::{InodeNumber, VolumeId, VolumeVersion};
use weft_common::wire::{At, NamespaceAnswer, Query, VolumeInfo};

/// What was looked at, and what was found.
#[derive(Debug, Serialize)]
struct Report {
    clean: bool,
    nodes: u64,
    objects: u64,
    bytes: u64,
    faults: Vec<FaultRow>,
    affected: Vec<AffectedRow>,
    more_affected: u64,
    contradictions: Vec<ContradictionRow>,
    orphans: CopiesRow,
    of_open_sessions: CopiesRow,
    in_flight: CopiesRow,
    waiting_for_collection: CopiesRow,
    unknown: CopiesRow,
    silent_providers: Vec<SilentRow>,
}

/// A state of a file that damage concerns.
#[derive(Debug, Serialize)]
struct AffectedRow {
    volume: String,
    path: String,
    first_version: u64,
    /// The last one that shows it; null if the newest does.
    last_version: Option<u64>,
    lost: bool,
}

/// Records that do not fit one another.
#[derive(Debug, Serialize)]
struct ContradictionRow {
    volume: String,
    path: String,
    first_version: u64,
    problem: String,
}

/// Copies on providers.
#[derive(Debug, Serialize)]
struct CopiesRow {
    objects: u64,
    nodes: u64,
    bytes: u64,
    examples: Vec<String>,
}

/// A provider that did not say what it holds.
#[derive(Debug, Serialize)]
struct SilentRow {
    provider: u32,
    reason: String,
}

impl From<&Orphans> for CopiesRow {
    fn from(copies: &Orphans) -> Self {
        let examples = copies.examples.iter().map(|(provider, what)| format!("{what} on provider {}", provider.0));
        Self { objects: copies.objects, nodes: copies.nodes, bytes: copies.bytes, examples: examples.collect() }
    }
}

impl CopiesRow {
    fn is_empty(&self) -> bool {
        self.objects + self.nodes == 0
    }

    fn text(&self, what: &str) -> String {
        if self.is_empty() {
            return String::new();
        }
        format!("{what}: {} page objects and {} nodes, {}\n", self.objects, self.nodes, human::size(self.bytes))
    }
}

/// Runs `weft fsck`.
///
/// # Errors
/// [`CliError::Damage`] if anything is wrong.
pub(super) async fn run(client: &Client, args: &ClusterArgs) -> Result<(), CliError> {
    let output = Output::new(args.format.json);
    let (cluster, url) = client.cluster_of(&args.target, &args.identity).await?;
    let only = match url.volume {
        Some(_) => Some(cluster.volume(volume_name(&url)?).await?),
        None => None,
    };
    let bar = output.spinner();
    let fsck = cluster.fsck(only.as_ref(), &mut |what| bar.set_message(what.to_owned())).await?;
    bar.finish_and_clear();
    let names = Names::open(&cluster, &fsck).await?;
    let report = report(&names, &fsck).await;
    output.data(&report, text);
    if report.clean { Ok(()) } else { Err(CliError::Damage("not everything is as it should be".into())) }
}

/// The volumes in which something is wrong.
struct Names(BTreeMap<VolumeId, (VolumeInfo, Arc<weft_common::client::Volume>)>);

impl Names {
    async fn open(cluster: &Arc<Cluster>, fsck: &Fsck) -> Result<Self, CliError> {
        let mut open = BTreeMap::new();
        let wanted = fsck.affected.iter().map(|affected| affected.volume);
        let wanted: Vec<VolumeId> = wanted.chain(fsck.contradictions.iter().map(|found| found.volume)).collect();
        if !wanted.is_empty() {
            for info in cluster.volumes().await?.into_iter().filter(|info| wanted.contains(&info.id)) {
                let volume = cluster.open_volume(&info.name).await?;
                open.insert(info.id, (info, volume));
            }
        }
        Ok(Self(open))
    }

    fn volume(&self, id: VolumeId) -> String {
        self.0.get(&id).map_or_else(|| id.to_string(), |(info, _)| info.name.clone())
    }

    /// A path that a file has at a version; its number, if it has none then.
    async fn path(&self, id: VolumeId, inode: InodeNumber, at: Option<VolumeVersion>) -> String {
        let at = at.map_or(At::Head, At::Version);
        if let Some((_, volume)) = self.0.get(&id)
            && let Ok(NamespaceAnswer::Path(path)) = volume.query(at, Query::PathOf(inode)).await
        {
            return show_path(&path);
        }
        format!("a file without a name (inode {})", inode.0)
    }
}

async fn report(names: &Names, fsck: &Fsck) -> Report {
    let mut affected = Vec::with_capacity(fsck.affected.len());
    for found in &fsck.affected {
        let Affected { volume, inode, from, to, shown_at, is_lost } = *found;
        affected.push(AffectedRow {
            volume: names.volume(volume),
            path: names.path(volume, inode, shown_at).await,
            first_version: from.0,
            last_version: to.map(|to| to.0.saturating_sub(1)),
            lost: is_lost,
        });
    }
    let mut contradictions = Vec::with_capacity(fsck.contradictions.len());
    for found in &fsck.contradictions {
        contradictions.push(ContradictionRow {
            volume: names.volume(found.volume),
            path: names.path(found.volume, found.inode, Some(found.from)).await,
            first_version: found.from.0,
            problem: found.problem.clone(),
        });
    }
    let silent = fsck.silent.iter().map(|(provider, reason)| SilentRow { provider: provider.0, reason: reason.clone() });
    Report {
        clean: fsck.is_clean(),
        nodes: fsck.nodes,
        objects: fsck.objects,
        bytes: fsck.bytes,
        faults: fsck.faults.iter().map(FaultRow::from).collect(),
        affected,
        more_affected: fsck.more_affected,
        contradictions,
        orphans: CopiesRow::from(&fsck.orphans),
        of_open_sessions: CopiesRow::from(&fsck.of_sessions),
        in_flight: CopiesRow::from(&fsck.in_flight),
        waiting_for_collection: CopiesRow::from(&fsck.waiting),
        unknown: CopiesRow::from(&fsck.unknown),
        silent_providers: silent.collect(),
    }
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    report.faults.iter().for_each(|fault| text += &format!("{}\n", fault.text()));
    if !report.affected.is_empty() {
        let row = |row: &AffectedRow| {
            let last = row.last_version.map_or_else(|| "now".to_owned(), |last| last.to_string());
            let verdict = if row.lost { "damaged" } else { "readable from another copy" };
            vec![row.volume.clone(), format!("{}-{last}", row.first_version), verdict.to_owned(), row.path.clone()]
        };
        text += &table(&["VOLUME", "VERSIONS", "STATE", "PATH"], &report.affected.iter().map(row).collect::<Vec<_>>());
    }
    if report.more_affected > 0 {
        text += &format!("and {} more\n", report.more_affected);
    }
    for found in &report.contradictions {
        text +=
            &format!("{} {} from version {} on: {}\n", found.volume, visible(&found.path), found.first_version, found.problem);
    }
    for silent in &report.silent_providers {
        text += &format!("provider {} was not asked what it holds: {}\n", silent.provider, silent.reason);
    }
    text += &report.orphans.text("orphans, which `weft gc` deletes");
    report.orphans.examples.iter().for_each(|example| text += &format!("  {example}\n"));
    text += &report.of_open_sessions.text("stored by open sessions and not published");
    text += &report.in_flight.text("for updates in flight");
    text += &report.waiting_for_collection.text("waiting for collection");
    text += &report.unknown.text("not judged, as other volumes may need it");
    let bytes = human::size(report.bytes);
    let verdict = if report.clean { "everything is as it should be: " } else { "" };
    text + &format!("{verdict}{} nodes and {} page objects, {bytes}, every copy read\n", report.nodes, report.objects)
}
