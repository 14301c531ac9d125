//! `weft retention`: how much history a volume keeps, and directories of it that keep more.

mod explain;

use super::args::{RetentionCommand, RetentionSetArgs, VolumeArgs};
use super::connect::Client;
use super::error::CliError;
use super::human;
use super::names::{Volume, show_path};
use super::output::{self, Output};
use serde::Serialize;
use std::time::Duration;
use weft_common::client::Cluster;
use weft_common::id::{InodeNumber, ROOT_INODE};
use weft_common::name::FileName;
use weft_common::retention::Retention;
use weft_common::wire::{At, DirectoryPolicy, FileKind};

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

/// The policies of a volume.
#[derive(Debug, Serialize)]
struct Policies {
    #[serde(flatten)]
    volume: PolicyRow,
    directories: Vec<DirectoryRow>,
}

#[derive(Debug, Serialize)]
struct DirectoryRow {
    path: String,
    #[serde(flatten)]
    policy: PolicyRow,
}

/// Runs `weft retention`.
///
/// # Errors
/// [`CliError`].
pub(super) async fn run(client: &Client, command: &RetentionCommand) -> Result<(), CliError> {
    match command {
        RetentionCommand::Show(args) => show(client, args).await,
        RetentionCommand::Set(args) => set(client, args).await,
        RetentionCommand::Unset(args) => unset(client, args).await,
        RetentionCommand::Explain(args) => explain::run(client, args).await,
    }
}

async fn show(client: &Client, args: &VolumeArgs) -> Result<(), CliError> {
    let (cluster, volume, _) = client.open_with_cluster(&args.target, &args.identity).await?;
    let (of_volume, directories) = policies(&cluster, &volume).await?;
    let mut shown = Vec::new();
    for DirectoryPolicy { directory, policy } in directories {
        // One that was removed a moment ago has no path.
        if let Some(path) = volume.path_of(At::Head, directory).await? {
            shown.push((show_path(&path), policy));
        }
    }
    shown.sort_by(|(a, _), (b, _)| a.cmp(b));
    let row = |(path, policy): &(String, Retention)| DirectoryRow { path: path.clone(), policy: (*policy).into() };
    let policies = Policies { volume: of_volume.into(), directories: shown.iter().map(row).collect() };
    Output::new(args.format.json).data(&policies, |_| {
        let lines = shown.iter().map(|(path, policy)| format!("{path}: {}\n", describe(policy)));
        describe(&of_volume) + "\n" + &lines.collect::<String>()
    });
    Ok(())
}

/// The volume's policy, and those of directories.
async fn policies(cluster: &Cluster, volume: &Volume) -> Result<(Retention, Vec<DirectoryPolicy>), CliError> {
    let all = cluster.policies(volume.names.info().id).await?;
    let (of_volume, directories): (Vec<_>, Vec<_>) = all.into_iter().partition(|policy| policy.directory == ROOT_INODE);
    let of_volume = of_volume.first().ok_or(CliError::UnexpectedAnswer("policies"))?;
    Ok((of_volume.policy, directories))
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

/// The directory that a policy is for: the root for the volume.
async fn directory(volume: &Volume, path: &[FileName]) -> Result<InodeNumber, CliError> {
    let attributes = volume.walk(At::Head, path).await?;
    if attributes.kind == FileKind::Directory {
        return Ok(attributes.inode);
    }
    let problem = "not a directory; a policy is for a volume, or for a directory with all below it";
    Err(CliError::WrongKind { path: show_path(path), problem })
}

async fn set(client: &Client, args: &RetentionSetArgs) -> Result<(), CliError> {
    let policy = policy_of(args)?;
    let (cluster, volume, path) = client.open_with_cluster(&args.target, &args.identity).await?;
    let directory = directory(&volume, &path).await?;
    let keeps_nothing = policy == Retention { keep_all: Some(Duration::ZERO), ..Retention::default() };
    if directory != ROOT_INODE && keeps_nothing {
        let message = format!(
            "that keeps nothing of {} beyond what is kept anyway; `weft retention unset` takes a directory's policy back",
            show_path(&path)
        );
        return Err(CliError::Usage(message));
    }
    if keeps_nothing && !args.force {
        let kept = cluster.kept_versions(volume.names.info().id, ROOT_INODE).await?.len();
        let message = format!(
            "nothing of the past would be kept: of {kept} versions the newest would stay, those with a tag, and what directories with a \
             policy of their own keep; repeat it with --force if that is meant, or say how much to keep with --keep-all SPAN, --daily N …"
        );
        return Err(CliError::Usage(message));
    }
    cluster.set_retention(volume.names.info().id, directory, Some(policy)).await?;
    if directory == ROOT_INODE {
        output::note(&describe(&policy));
        if keeps_nothing {
            output::note("that is the whole history of the volume, but for what directories with a policy of their own keep");
        }
    } else {
        output::note(&format!("{}: {}", show_path(&path), describe(&policy)));
        if policies(&cluster, &volume).await?.0.keeps_everything() {
            output::note("the volume keeps every version for ever: this matters once it keeps less");
        } else {
            output::note("what the volume or a directory above it keeps is kept there too, whatever this says");
        }
    }
    if !policy.keeps_everything() {
        output::note("the servers let the rest go within minutes; `weft retention explain` shows what");
    }
    Ok(())
}

fn policy_of(args: &RetentionSetArgs) -> Result<Retention, CliError> {
    let has_periods = [args.hourly, args.daily, args.weekly, args.monthly].iter().any(Option::is_some);
    let keep_all = match (args.forever, args.keep_all) {
        (true, _) => None,
        (false, Some(span)) => Some(span),
        (false, None) if has_periods => Some(Duration::ZERO),
        (false, None) => return Err(CliError::Usage("say how much to keep: --forever, --keep-all SPAN, --hourly N …".into())),
    };
    let number = |given: Option<u32>| given.unwrap_or(0);
    Ok(Retention {
        keep_all,
        hourly: number(args.hourly),
        daily: number(args.daily),
        weekly: number(args.weekly),
        monthly: number(args.monthly),
    })
}

async fn unset(client: &Client, args: &VolumeArgs) -> Result<(), CliError> {
    let (cluster, volume, path) = client.open_with_cluster(&args.target, &args.identity).await?;
    let directory = directory(&volume, &path).await?;
    if directory == ROOT_INODE {
        let message = "a volume always has a policy; `weft retention set --forever` has it keep everything";
        return Err(CliError::Usage(message.into()));
    }
    let (_, others) = policies(&cluster, &volume).await?;
    if !others.iter().any(|other| other.directory == directory) {
        return Err(CliError::Usage(no_policy(&path)));
    }
    cluster.set_retention(volume.names.info().id, directory, None).await?;
    output::note(&format!("{} has no policy of its own any more; the servers let go of what only that kept", show_path(&path)));
    Ok(())
}

fn no_policy(path: &[FileName]) -> String {
    format!("{} has no policy of its own; `weft retention show` names the directories that have one", show_path(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_reads_as_a_sentence() {
        assert_eq!(describe(&Retention::default()), "every version is kept for ever");
        let policy = Retention { keep_all: Some(Duration::from_secs(86_400 * 7)), daily: 30, ..Retention::default() };
        let text = describe(&policy);
        assert!(text.starts_with("every version is kept for 7d, then the last of each of 30 days;"), "{text}");
    }
}
