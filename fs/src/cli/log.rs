//! `weft log`: what changed, when, by whom; newest first. A directory shows its versions, a file (also a deleted one) its states.

use super::args::LogArgs;
use super::connect::Client;
use super::error::CliError;
use super::human;
use super::names::{Paths, Volume, show_path};
use super::output::{Output, table};
use serde::Serialize;
use std::collections::VecDeque;
use weft_common::id::{InodeNumber, ROOT_INODE, VolumeVersion};
use weft_common::name::FileName;
use weft_common::wire::{At, Author, ChangeKind, ChangeRecord, FileKind, HistoryState};

/// One row of a directory's log.
#[derive(Debug, Serialize)]
pub(super) struct ChangeRow {
    pub(super) version: u64,
    pub(super) time: String,
    pub(super) kind: &'static str,
    pub(super) path: String,
    pub(super) old_path: Option<String>,
    size: Option<u64>,
    blob_version: Option<u64>,
    #[serde(flatten)]
    author: AuthorRow,
}

/// One row of a file's log.
#[derive(Debug, Serialize)]
struct StateRow {
    version: u64,
    time: String,
    size: u64,
    modified: String,
    mode: String,
    owner: u32,
    group: u32,
    removed_at: Option<u64>,
    #[serde(flatten)]
    author: AuthorRow,
}

#[derive(Debug, Serialize)]
struct AuthorRow {
    uid: u32,
    host: String,
    program: String,
}

impl From<&Author> for AuthorRow {
    fn from(author: &Author) -> Self {
        Self { uid: author.uid, host: author.host.clone(), program: author.program.clone() }
    }
}

impl ChangeRow {
    /// Who made it.
    pub(super) fn by(&self) -> String {
        self.author.text()
    }
}

impl AuthorRow {
    fn text(&self) -> String {
        let program = if self.program.is_empty() { "-" } else { &self.program };
        format!("{program} (uid {} on {})", self.uid, self.host)
    }
}

/// Runs `weft log`.
///
/// # Errors
/// [`CliError`].
pub(super) async fn run(client: &Client, args: &LogArgs) -> Result<(), CliError> {
    let output = Output::new(args.format.json);
    let (volume, path) = client.open_path(&args.target, &args.identity).await?;
    let limit = if args.limit == 0 { usize::MAX } else { args.limit };
    let now = volume.find(At::Head, &path).await?;
    match (now, path.split_last()) {
        (Some(here), _) if here.kind == FileKind::Directory => {
            let rows = directory_log(&volume, here.inode, limit).await?;
            output.data(&rows, |rows| changes_text(rows));
        }
        (_, Some((name, parent))) => {
            let rows = file_log(&volume, parent, name, limit).await?;
            if rows.is_empty() {
                return Err(CliError::NoSuchPath { path: show_path(&path), at: "any kept version".into() });
            }
            output.data(&rows, |rows| states_text(rows));
        }
        (_, None) => return Err(CliError::UnexpectedAnswer("attributes")),
    }
    Ok(())
}

async fn directory_log(volume: &Volume, directory: InodeNumber, limit: usize) -> Result<Vec<ChangeRow>, CliError> {
    let mut newest: VecDeque<ChangeRecord> = VecDeque::new();
    let mut after = first_of_interest(volume, directory, limit).await?;
    loop {
        let (changes, more) = volume.changes(directory, after).await?;
        let Some(last) = changes.last() else { break };
        after = last.version;
        newest.extend(changes);
        newest.drain(..newest.len().saturating_sub(limit));
        if !more {
            break;
        }
    }
    let mut paths = Paths::default();
    let mut rows = Vec::with_capacity(newest.len());
    for change in newest.iter().rev() {
        rows.push(change_row(volume, &mut paths, change).await);
    }
    Ok(rows)
}

/// The root's versions are dense, so the newest few are found without walking all of them.
async fn first_of_interest(volume: &Volume, directory: InodeNumber, limit: usize) -> Result<VolumeVersion, CliError> {
    if directory != ROOT_INODE {
        return Ok(VolumeVersion(0));
    }
    Ok(VolumeVersion(volume.latest().await?.0.saturating_sub(limit as u64)))
}

/// The row of a change; paths are as they were then.
pub(super) async fn change_row(volume: &Volume, paths: &mut Paths, change: &ChangeRecord) -> ChangeRow {
    let path = match &change.place {
        Some((directory, name)) => paths.of(volume, change.version, *directory, name).await,
        None => "/".into(),
    };
    if change.kind == ChangeKind::Rename {
        paths.forget();
    }
    let old_path = match &change.old_place {
        Some((directory, name)) => Some(paths.of(volume, VolumeVersion(change.version.0 - 1), *directory, name).await),
        None => None,
    };
    ChangeRow {
        version: change.version.0,
        time: human::time_exact(change.time),
        kind: kind_name(change.kind),
        path,
        old_path,
        size: change.content.map(|(_, _, size)| size),
        blob_version: change.content.map(|(_, version, _)| version.0),
        author: (&change.author).into(),
    }
}

fn kind_name(kind: ChangeKind) -> &'static str {
    match kind {
        ChangeKind::Create => "create",
        ChangeKind::Write => "write",
        ChangeKind::Link => "link",
        ChangeKind::Remove => "remove",
        ChangeKind::Rename => "rename",
        ChangeKind::Attributes => "attributes",
        ChangeKind::Restore => "restore",
        ChangeKind::Clone => "clone",
    }
}

fn changes_text(rows: &[ChangeRow]) -> String {
    let cells = |row: &ChangeRow| {
        let path = match &row.old_path {
            Some(old) => format!("{old} -> {}", row.path),
            None => row.path.clone(),
        };
        let size = row.size.map_or_else(|| "-".into(), human::size);
        vec![row.version.to_string(), seconds(&row.time), row.kind.into(), size, row.author.text(), path]
    };
    table(&["VERSION", "TIME", "CHANGE", "SIZE", "BY", "PATH"], &rows.iter().map(cells).collect::<Vec<_>>())
}

/// An exact time cut to seconds.
fn seconds(time: &str) -> String {
    time.split_once('.').map_or_else(|| time.to_owned(), |(whole, _)| format!("{whole}Z"))
}

async fn file_log(volume: &Volume, parent: &[FileName], name: &FileName, limit: usize) -> Result<Vec<StateRow>, CliError> {
    let parent = volume.walk(At::Head, parent).await?;
    let states = volume.history(parent.inode, name).await?;
    Ok(states.iter().rev().take(limit).map(state_row).collect())
}

fn state_row(state: &HistoryState) -> StateRow {
    StateRow {
        version: state.from.0,
        time: human::time_exact(state.attributes.changed),
        size: state.attributes.size,
        modified: human::time_exact(state.attributes.modified),
        mode: format!("{:04o}", state.attributes.mode),
        owner: state.attributes.uid,
        group: state.attributes.gid,
        removed_at: state.removed.map(|version| version.0),
        author: (&state.author).into(),
    }
}

fn states_text(rows: &[StateRow]) -> String {
    let cells = |row: &StateRow| {
        let until = row.removed_at.map_or_else(String::new, |version| format!("removed at {version}"));
        vec![row.version.to_string(), seconds(&row.time), human::size(row.size), row.mode.clone(), row.author.text(), until]
    };
    table(&["VERSION", "TIME", "SIZE", "MODE", "BY", ""], &rows.iter().map(cells).collect::<Vec<_>>())
}

#[cfg(test)]
pub(super) fn test_row(path: &str, old_path: Option<&str>) -> ChangeRow {
    let (time, author) = ("2026-11-22T10:15:00.5Z".to_owned(), (&Author::default()).into());
    let (path, old_path) = (path.to_owned(), old_path.map(str::to_owned));
    ChangeRow { version: 7, time, kind: "rename", path, old_path, size: None, blob_version: None, author }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_cut_to_seconds() {
        assert_eq!(seconds("2026-11-22T10:15:00.123Z"), "2026-11-22T10:15:00Z");
        assert_eq!(seconds("2026-11-22T10:15:00Z"), "2026-11-22T10:15:00Z");
    }
}
