//! `weft volume`: make, list, change, remove.

use super::args::{ClusterArgs, IdentityArgs, VolumeCommand, VolumeSettingsArgs};
use super::connect::{self, Client};
use super::error::CliError;
use super::human;
use super::output::{self, Output, table};
use serde::Serialize;
use std::ffi::OsStr;
use weft_common::limits::{FAN_OUT_DEFAULT, PAGE_SIZE_DEFAULT};
use weft_common::weave::Geometry;
use weft_common::wire::{ClusterMap, ProviderInfo, ProviderRole, ProviderState, VolumeInfo, VolumeSettings};

/// A volume as it is shown.
#[derive(Debug, Serialize)]
pub(super) struct VolumeRow {
    name: String,
    id: u32,
    page_size: u32,
    fan_out: u32,
    copies: u8,
    latest: u64,
    created: String,
}

impl From<&VolumeInfo> for VolumeRow {
    fn from(info: &VolumeInfo) -> Self {
        Self {
            name: info.name.clone(),
            id: info.id.0,
            page_size: info.settings.geometry.page_size(),
            fan_out: info.settings.geometry.fan_out(),
            copies: info.settings.copies,
            latest: info.latest.0,
            created: human::time(info.created),
        }
    }
}

/// Runs `weft volume`.
///
/// # Errors
/// [`CliError`].
pub(super) async fn run(client: &Client, command: &VolumeCommand) -> Result<(), CliError> {
    match command {
        VolumeCommand::Create(args) => create(client, args).await,
        VolumeCommand::List(args) => list(client, args).await,
        VolumeCommand::Set(args) => set(client, args).await,
        VolumeCommand::Rm { target, yes, identity } => remove(client, target, *yes, identity).await,
    }
}

/// `new` where it says something, `old` elsewhere.
///
/// # Errors
/// [`CliError::Usage`] if a figure is out of range.
pub(super) fn settings(
    (page_size, fan_out, copies): (Option<u32>, Option<u32>, Option<u8>),
    old: Option<VolumeSettings>,
) -> Result<VolumeSettings, CliError> {
    let page_size = page_size.or(old.map(|old| old.geometry.page_size())).unwrap_or(PAGE_SIZE_DEFAULT);
    let fan_out = fan_out.or(old.map(|old| old.geometry.fan_out())).unwrap_or(FAN_OUT_DEFAULT);
    let geometry = Geometry::new(page_size, fan_out).map_err(|error| CliError::Usage(error.to_string()))?;
    Ok(VolumeSettings { geometry, copies: copies.or(old.map(|old| old.copies)).unwrap_or(1) })
}

async fn create(client: &Client, args: &VolumeSettingsArgs) -> Result<(), CliError> {
    let settings = settings((args.page_size, args.fan_out, args.copies), None)?;
    let (cluster, url) = client.cluster_of(&args.target, &args.identity).await?;
    let owner = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let info = cluster.create_volume(connect::whole_volume(&url)?, settings, owner).await?;
    show(args, &info, "made");
    warn_of_few_providers(&cluster.map(), info.settings.copies);
    Ok(())
}

async fn set(client: &Client, args: &VolumeSettingsArgs) -> Result<(), CliError> {
    let (cluster, url) = client.cluster_of(&args.target, &args.identity).await?;
    let name = connect::whole_volume(&url)?;
    let old = connect::open_volume(&cluster, &url).await?;
    let old = weft_common::client::Namespace::info(&*old).settings;
    let settings = settings((args.page_size, args.fan_out, args.copies), Some(old))?;
    let info = cluster.set_volume(name, settings).await?;
    show(args, &info, "set");
    warn_of_few_providers(&cluster.map(), info.settings.copies);
    Ok(())
}

/// A volume may be made before its servers are; but nothing can be written to it then, which should not come as a surprise.
pub(super) fn warn_of_few_providers(map: &ClusterMap, copies: u8) {
    for (role, name) in [(ProviderRole::Data, "data"), (ProviderRole::Metadata, "metadata")] {
        let alive = |provider: &&ProviderInfo| provider.role == role && provider.state != ProviderState::Dead;
        let alive = map.providers.iter().filter(alive).count();
        if alive < usize::from(copies) {
            output::complain(&format!(
                "warning: {copies} copies need as many {name} providers, and {alive} are alive; writes will fail until more are started"
            ));
        }
    }
}

fn show(args: &VolumeSettingsArgs, info: &VolumeInfo, done: &str) {
    Output::new(args.format.json).data(&VolumeRow::from(info), |row| {
        let (page_size, VolumeRow { name, fan_out, copies, .. }) = (human::size(row.page_size.into()), row);
        let copies = if copies == &1 { "1 copy".to_owned() } else { format!("{copies} copies") };
        format!("volume {name} {done}: page size {page_size}, fan-out {fan_out}, {copies}\n")
    });
}

async fn list(client: &Client, args: &ClusterArgs) -> Result<(), CliError> {
    let (cluster, _) = client.cluster_of(&args.target, &args.identity).await?;
    let rows: Vec<VolumeRow> = cluster.volumes().await?.iter().map(VolumeRow::from).collect();
    Output::new(args.format.json).data(&rows, |rows| volumes_text(rows));
    Ok(())
}

pub(super) fn volumes_text(rows: &[VolumeRow]) -> String {
    let cells = |row: &VolumeRow| {
        let figures =
            [human::size(row.page_size.into()), row.fan_out.to_string(), row.copies.to_string(), row.latest.to_string()];
        [row.name.clone()].into_iter().chain(figures).chain([row.created.clone()]).collect()
    };
    table(&["VOLUME", "PAGE SIZE", "FAN-OUT", "COPIES", "VERSION", "CREATED"], &rows.iter().map(cells).collect::<Vec<_>>())
}

async fn remove(client: &Client, target: &OsStr, yes: bool, identity: &IdentityArgs) -> Result<(), CliError> {
    let (cluster, url) = client.cluster_of(target, identity).await?;
    let name = connect::whole_volume(&url)?;
    if !yes {
        connect::open_volume(&cluster, &url).await?;
        return Err(CliError::Usage(format!(
            "volume {name} and every version of it would go for good; say --yes if that is meant"
        )));
    }
    cluster.remove_volume(name).await?;
    output::note(&format!("volume {name} removed"));
    Ok(())
}
