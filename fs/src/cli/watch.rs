//! `weft watch`: changes as they are published, one line each, for as long as somebody reads them.
//!
//! Each line names its version N; `--since N` goes on behind it, so that a reader that was away misses nothing. Nothing piles up anywhere:
//! the version manager is asked for what is behind N, and only when what came before was written.

use super::args::WatchArgs;
use super::connect::Client;
use super::error::CliError;
use super::log::{ChangeRow, change_row};
use super::names::{NO_PATH, Paths, show_path};
use super::output::{complain, print_line, visible};
use std::time::Duration;
use weft_common::client::ClientError;
use weft_common::wire::At;

/// Between two attempts while no server answers, each of which waits for the client's time-out already.
const PAUSE: Duration = Duration::from_secs(1);

/// Runs `weft watch`.
///
/// # Errors
/// [`CliError`]; servers that are away are waited for.
pub(super) async fn run(client: &Client, args: &WatchArgs) -> Result<(), CliError> {
    let (volume, path) = client.open_path(&args.target, &args.identity).await?;
    let below = show_path(&path);
    let mut after = match &args.since {
        Some(spec) => spec.resolve(&volume).await?,
        None => volume.latest().await?,
    };
    // Behind what the watch begins with: so what is made from now on is told.
    if volume.find(At::Head, &path).await?.is_none() {
        complain(&format!("{below} is not there now; waiting for what happens to it"));
    }
    let mut left = args.limit.unwrap_or(u64::MAX);
    let (mut paths, mut is_away) = (Paths::default(), false);
    while left > 0 {
        let changes = match volume.changes_to_come(after).await {
            Ok(changes) => changes,
            Err(CliError::Client(error @ ClientError::Unavailable { .. })) => {
                if !is_away {
                    complain(&format!("{error}; waiting, nothing will be missed"));
                }
                is_away = true;
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            Err(error) => return Err(error),
        };
        is_away = false;
        for change in changes {
            after = change.version;
            let row = change_row(&volume, &mut paths, &change).await;
            if left == 0 || !concerns(&row, &below) {
                continue;
            }
            left -= 1;
            if !print_line(&line(&row, args.format.json)) {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Whether a change is of `path` or of something below it, or of a place whose path is not known any more: nothing is left out.
fn concerns(row: &ChangeRow, path: &str) -> bool {
    let is_below = |changed: &str| {
        if changed.starts_with(NO_PATH) {
            return true;
        }
        changed.strip_prefix(path.trim_end_matches('/')).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    is_below(&row.path) || row.old_path.as_deref().is_some_and(is_below)
}

fn line(row: &ChangeRow, json: bool) -> String {
    if json {
        return serde_json::to_string(row).unwrap_or_default();
    }
    let path = match &row.old_path {
        Some(old) => format!("{old} -> {}", row.path),
        None => row.path.clone(),
    };
    visible(&format!("{} {} {:<10} {path}  {}", row.version, row.time, row.kind, row.by()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::log::test_row;

    #[test]
    fn a_directory_is_not_its_namesake() {
        let row = |path: &str, old: Option<&str>| test_row(path, old);
        assert!(concerns(&row("/shots/a", None), "/shots") && concerns(&row("/shots", None), "/shots"));
        assert!(!concerns(&row("/shots2/a", None), "/shots") && !concerns(&row("/", None), "/shots"));
        assert!(concerns(&row("/a", None), "/") && concerns(&row("/", None), "/"));
        assert!(concerns(&row("/elsewhere/a", Some("/shots/a")), "/shots"), "it was moved away");
        assert!(concerns(&row("?/a", None), "/shots"), "the directory is gone from that version");
    }

    #[test]
    fn a_line_is_one_line() {
        let row = test_row("/a\nb", None);
        assert!(!line(&row, false).contains('\n') && !line(&row, true).contains('\n'));
        assert!(line(&row, false).starts_with("7 2026-"));
        let parsed: serde_json::Value = serde_json::from_str(&line(&row, true)).unwrap();
        assert_eq!((&parsed["version"], &parsed["path"]), (&7.into(), &"/a\nb".into()));
    }
}
