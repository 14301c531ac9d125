//! `weft status`: providers, volumes, sessions.

use super::args::StatusArgs;
use super::connect::Client;
use super::error::CliError;
use super::human;
use super::output::{Output, table};
use super::volume::{VolumeRow, volumes_text};
use serde::Serialize;
use weft_common::wire::{ProviderInfo, ProviderRole, ProviderState, SessionInfo};

#[derive(Debug, Serialize)]
struct Status {
    cluster: String,
    map_epoch: u64,
    providers: Vec<ProviderRow>,
    volumes: Vec<VolumeRow>,
    sessions: Vec<SessionRow>,
}

#[derive(Debug, Serialize)]
struct ProviderRow {
    id: u32,
    role: &'static str,
    address: String,
    zone: String,
    state: &'static str,
    total_bytes: u64,
    free_bytes: u64,
}

#[derive(Debug, Serialize)]
struct SessionRow {
    id: u64,
    host: String,
    purpose: String,
    opened: String,
}

/// Runs `weft status`.
///
/// # Errors
/// [`CliError`].
pub(super) async fn run(client: &Client, args: &StatusArgs) -> Result<(), CliError> {
    let args = &args.cluster;
    let (cluster, _) = client.cluster_of(&args.target, &args.identity).await?;
    let map = cluster.map();
    let status = Status {
        cluster: map.cluster.to_string(),
        map_epoch: map.epoch,
        providers: map.providers.iter().map(provider_row).collect(),
        volumes: cluster.volumes().await?.iter().map(VolumeRow::from).collect(),
        sessions: cluster.sessions().await?.iter().map(session_row).collect(),
    };
    Output::new(args.format.json).data(&status, text);
    Ok(())
}

fn provider_row(provider: &ProviderInfo) -> ProviderRow {
    ProviderRow {
        id: provider.id.0,
        role: role_name(provider.role),
        address: provider.address.clone(),
        zone: provider.zone.clone(),
        state: state_name(provider.state),
        total_bytes: provider.total_bytes,
        free_bytes: provider.free_bytes,
    }
}

/// A role in one word.
pub(super) fn role_name(role: ProviderRole) -> &'static str {
    match role {
        ProviderRole::Data => "data",
        ProviderRole::Metadata => "metadata",
    }
}

/// A state in one word.
pub(super) fn state_name(state: ProviderState) -> &'static str {
    match state {
        ProviderState::Alive => "alive",
        ProviderState::Dead => "dead",
        ProviderState::Full => "full",
    }
}

fn session_row(session: &SessionInfo) -> SessionRow {
    SessionRow {
        id: session.session.0,
        host: session.host.clone(),
        purpose: session.purpose.clone(),
        opened: human::time(session.opened),
    }
}

fn text(status: &Status) -> String {
    let provider = |row: &ProviderRow| {
        let space = format!("{} of {}", human::size(row.free_bytes), human::size(row.total_bytes));
        vec![row.id.to_string(), row.role.into(), row.state.into(), row.address.clone(), row.zone.clone(), space]
    };
    let session = |row: &SessionRow| vec![row.id.to_string(), row.host.clone(), row.opened.clone(), row.purpose.clone()];
    format!(
        "cluster {}\n\n{}\n{}\n{}",
        status.cluster,
        table(
            &["PROVIDER", "ROLE", "STATE", "ADDRESS", "ZONE", "FREE"],
            &status.providers.iter().map(provider).collect::<Vec<_>>()
        ),
        volumes_text(&status.volumes),
        table(&["SESSION", "HOST", "OPENED", "WHAT"], &status.sessions.iter().map(session).collect::<Vec<_>>()),
    )
}
