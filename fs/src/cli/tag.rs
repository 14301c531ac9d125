//! `weft tag`: names for versions.

use super::args::{IdentityArgs, TagCommand, VolumeArgs};
use super::connect::Client;
use super::error::CliError;
use super::human;
use super::output::{self, Output, table};
use super::version::{VersionSpec, check_tag};
use serde::Serialize;
use std::ffi::OsStr;
use weft_common::wire::Change;

/// One row of the list.
#[derive(Debug, Serialize)]
struct TagRow {
    name: String,
    version: u64,
    created: String,
}

/// Runs `weft tag`.
///
/// # Errors
/// [`CliError`].
pub(super) async fn run(client: &Client, command: &TagCommand) -> Result<(), CliError> {
    match command {
        TagCommand::Add { target, name, at, identity } => add(client, target, name, at.as_ref(), identity).await,
        TagCommand::Rm { target, name, identity } => {
            let (volume, _) = client.open_path(target, identity).await?;
            volume.change(Change::RemoveTag(name.clone())).await.map(drop)
        }
        TagCommand::List(args) => list(client, args).await,
    }
}

async fn add(
    client: &Client,
    target: &OsStr,
    name: &str,
    at: Option<&VersionSpec>,
    identity: &IdentityArgs,
) -> Result<(), CliError> {
    check_tag(name).map_err(CliError::Usage)?;
    let (volume, _) = client.open_path(target, identity).await?;
    let version = match at {
        Some(spec) => spec.resolve(&volume).await?,
        None => volume.latest().await?,
    };
    volume.change(Change::SetTag { name: name.to_owned(), version }).await?;
    output::note(&format!("{name} is version {}", version.0));
    Ok(())
}

async fn list(client: &Client, args: &VolumeArgs) -> Result<(), CliError> {
    let (volume, _) = client.open_path(&args.target, &args.identity).await?;
    let row = |tag: weft_common::wire::Tag| TagRow { name: tag.name, version: tag.version.0, created: human::time(tag.created) };
    let rows: Vec<TagRow> = volume.tags().await?.into_iter().map(row).collect();
    Output::new(args.format.json).data(&rows, |rows| {
        let cells = |row: &TagRow| vec![row.name.clone(), row.version.to_string(), row.created.clone()];
        table(&["TAG", "VERSION", "CREATED"], &rows.iter().map(cells).collect::<Vec<_>>())
    });
    Ok(())
}
