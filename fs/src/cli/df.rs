//! `weft df` and `weft du`: every byte on the providers' disks, by what it is there for.

use super::args::{ClusterArgs, DuArgs};
use super::connect::Client;
use super::error::CliError;
use super::human;
use super::names::show_path;
use super::output::{Output, table};
use super::status::{role_name, state_name};
use serde::Serialize;
use std::collections::BTreeMap;
use weft_common::client::{ProviderUse, SpaceReport, Use};
use weft_common::id::VolumeId;
use weft_common::wire::{At, NamespaceAnswer, Query, VolumeInfo};

/// The space of a cluster. Bytes on disks: every copy counts, and what stores add to each object.
#[derive(Debug, Serialize)]
struct Report {
    providers: Vec<ProviderRow>,
    volumes: Vec<VolumeRow>,
    /// What open sessions stored and have not published.
    session_bytes: u64,
    orphan_bytes: u64,
}

/// A provider's share.
#[derive(Debug, Serialize)]
struct ProviderRow {
    id: u32,
    role: &'static str,
    state: &'static str,
    total_bytes: u64,
    free_bytes: u64,
    /// What the provider counts itself; null if it does not answer.
    used_bytes: Option<u64>,
    /// What its files take beyond that: what is left of deleted objects.
    overhead_bytes: Option<u64>,
    session_bytes: u64,
    orphan_bytes: u64,
    volumes: Vec<VolumeRow>,
}

/// A volume's share.
#[derive(Debug, Serialize)]
struct VolumeRow {
    volume: String,
    live_bytes: u64,
    history_bytes: u64,
    waiting_bytes: u64,
    in_flight_bytes: u64,
}

impl VolumeRow {
    fn new(volume: String, part: &Use) -> Self {
        let Use { live_bytes, history_bytes, waiting_bytes, in_flight_bytes } = *part;
        Self { volume, live_bytes, history_bytes, waiting_bytes, in_flight_bytes }
    }

    fn total(&self) -> u64 {
        self.live_bytes + self.history_bytes + self.waiting_bytes + self.in_flight_bytes
    }
}

/// Runs `weft df`.
///
/// # Errors
/// [`CliError`].
pub(super) async fn df(client: &Client, args: &ClusterArgs) -> Result<(), CliError> {
    let output = Output::new(args.format.json);
    let (cluster, _) = client.cluster_of(&args.target, &args.identity).await?;
    let bar = output.spinner();
    bar.set_message("counting");
    let space = cluster.space_report().await?;
    bar.finish_and_clear();
    output.data(&report(&cluster.volumes().await?, &space), text);
    Ok(())
}

fn report(volumes: &[VolumeInfo], space: &SpaceReport) -> Report {
    let names: BTreeMap<VolumeId, String> = volumes.iter().map(|volume| (volume.id, volume.name.clone())).collect();
    let name = |id: &VolumeId| names.get(id).cloned().unwrap_or_else(|| format!("removed ({id})"));
    let met = space.providers.iter().flat_map(|provider| provider.volumes.keys().copied());
    let ids: std::collections::BTreeSet<VolumeId> = met.chain(names.keys().copied()).collect();
    let provider = |part: &ProviderUse| ProviderRow {
        id: part.provider.id.0,
        role: role_name(part.provider.role),
        state: state_name(part.provider.state),
        total_bytes: part.provider.total_bytes,
        free_bytes: part.provider.free_bytes,
        used_bytes: part.space.map(|space| space.used_bytes),
        overhead_bytes: part.space.map(|space| space.file_bytes.saturating_sub(space.used_bytes)),
        session_bytes: part.session_bytes,
        orphan_bytes: part.orphan_bytes,
        volumes: part.volumes.iter().map(|(id, part)| VolumeRow::new(name(id), part)).collect(),
    };
    Report {
        providers: space.providers.iter().map(provider).collect(),
        volumes: ids.iter().map(|id| VolumeRow::new(name(id), &space.of_volume(*id))).collect(),
        session_bytes: space.providers.iter().map(|part| part.session_bytes).sum(),
        orphan_bytes: space.providers.iter().map(|part| part.orphan_bytes).sum(),
    }
}

fn text(report: &Report) -> String {
    let provider = |row: &ProviderRow| {
        let known = |bytes: Option<u64>| bytes.map_or_else(|| "?".to_owned(), human::size);
        let (used, overhead) = (known(row.used_bytes), known(row.overhead_bytes));
        let mine = human::size(row.orphan_bytes + row.session_bytes);
        let (total, free) = (human::size(row.total_bytes), human::size(row.free_bytes));
        vec![row.id.to_string(), row.role.into(), row.state.into(), total, free, used, mine, overhead]
    };
    let volume = |row: &VolumeRow| {
        let sizes = [row.total(), row.live_bytes, row.history_bytes, row.waiting_bytes, row.in_flight_bytes].map(human::size);
        std::iter::once(row.volume.clone()).chain(sizes).collect::<Vec<_>>()
    };
    let providers = ["PROVIDER", "ROLE", "STATE", "DISK", "FREE", "USED", "OF NO VOLUME", "OVERHEAD"];
    let volumes = ["VOLUME", "ON DISKS", "LIVE", "HISTORY", "TO BE COLLECTED", "IN FLIGHT"];
    format!(
        "{}\n{}\nstored by open sessions and not published {}, orphans {}\n",
        table(&providers, &report.providers.iter().map(provider).collect::<Vec<_>>()),
        table(&volumes, &report.volumes.iter().map(volume).collect::<Vec<_>>()),
        human::size(report.session_bytes),
        human::size(report.orphan_bytes),
    )
}

/// What a file or directory takes.
#[derive(Debug, Serialize)]
struct PathRow {
    path: String,
    files: u64,
    /// Sizes of the files, holes included.
    size_bytes: u64,
    /// Page objects that the files need as they are now, each counted once.
    live_bytes: u64,
    /// Page objects that only older kept states need.
    history_bytes: Option<u64>,
    /// Both, every copy counted.
    disk_bytes: u64,
}

/// Runs `weft du`.
///
/// # Errors
/// [`CliError`].
pub(super) async fn du(client: &Client, args: &DuArgs) -> Result<(), CliError> {
    let output = Output::new(args.format.json);
    let (cluster, volume, path) = client.open_with_cluster(&args.target, &args.identity).await?;
    let id = volume.names.info().id;
    if !args.history {
        volume.walk(At::Head, &path).await?;
    }
    let mut row = PathRow {
        path: show_path(&path),
        files: 0,
        size_bytes: 0,
        live_bytes: 0,
        history_bytes: args.history.then_some(0),
        disk_bytes: 0,
    };
    let bar = output.spinner();
    bar.set_message("counting");
    let mut count = cluster.begin_count();
    let mut contents = cluster.contents(id);
    while let Some(rows) = contents.page().await? {
        for content in &rows {
            let Some(shown_at) = content.shown_at else { continue };
            let is_live = content.to.is_none();
            if !is_live && !args.history {
                continue;
            }
            let at = if is_live { At::Head } else { At::Version(shown_at) };
            let place = match volume.names.query(at, Query::PathOf(content.inode)).await {
                Ok(NamespaceAnswer::Path(place)) => place,
                // Open and without a name, or gone since the page of contents was made.
                _ => continue,
            };
            if !place.starts_with(&path) {
                continue;
            }
            if is_live {
                row.files += 1;
                row.size_bytes += content.tree.size;
            }
            cluster.count(&mut count, &content.tree, is_live).await?;
        }
    }
    bar.finish_and_clear();
    let counted = count.counted();
    row.live_bytes = counted.live_bytes;
    row.history_bytes = args.history.then_some(counted.history_bytes);
    row.disk_bytes = counted.disk_bytes;
    output.data(&row, |row| {
        let history = row.history_bytes.map_or_else(|| "-".to_owned(), human::size);
        let sizes = [human::size(row.size_bytes), human::size(row.live_bytes), history, human::size(row.disk_bytes)];
        let cells = sizes.into_iter().chain([row.path.clone()]).collect();
        table(&["SIZE", "LIVE", "HISTORY", "ALL COPIES", "PATH"], &[cells])
    });
    Ok(())
}
