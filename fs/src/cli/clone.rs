//! `weft clone`: a copy of a file or of a whole directory that shares all content with what it is a copy of, as one new version.

use super::args::CloneArgs;
use super::connect::Client;
use super::error::CliError;
use super::names::{Volume, show_path};
use super::output::Output;
use super::target::{self, Past, Url};
use super::version::VersionSpec;
use serde::Serialize;
use weft_common::id::{InodeNumber, ROOT_INODE, VolumeVersion};
use weft_common::name::FileName;
use weft_common::wire::{At, Attributes, Change, FileKind};

/// What was done.
#[derive(Clone, Debug, Serialize)]
struct Report {
    source: String,
    /// The version of the source; none for the newest.
    at: Option<u64>,
    path: String,
    inode: u64,
    size: u64,
    /// The version that the clone made.
    version: u64,
}

/// Runs `weft clone`.
///
/// # Errors
/// [`CliError`].
pub(super) async fn run(client: &Client, args: &CloneArgs) -> Result<(), CliError> {
    let (from, past) = target::resolve_anywhen(&args.source)?;
    let to = target::resolve(&args.destination)?;
    if !is_same_volume(&from, &to) {
        return Err(CliError::OtherVolume { source_path: from.to_string(), destination: to.to_string() });
    }
    let volume = client.open_url(&from, &args.identity).await?;
    let version = version_of(&volume, &from, past.as_ref(), args.at.as_ref()).await?;
    let at = version.map_or(At::Head, At::Version);
    let source = match &past {
        None => volume.walk(at, &from.path).await?,
        Some(past) => {
            let directory = volume.walk(At::Head, &from.path).await?;
            volume.walk_from(at, directory.inode, &past.path).await?
        }
    };
    let (parent, name) = destination(&volume, &from, &to, at, &source).await?;
    let reply = volume.change(Change::Clone { source: source.inode, at, parent, name }).await?;
    let made = reply.attributes.ok_or(CliError::UnexpectedAnswer("clone"))?;
    let path = past.iter().fold(from.path, |path, past| path.into_iter().chain(past.path.iter().cloned()).collect());
    let report = Report {
        source: show_path(&path),
        at: version.map(|version| version.0),
        path: show_path(&to.path),
        inode: made.inode.0,
        size: made.size,
        version: reply.version.0,
    };
    Output::new(args.format.json).data(&report, text);
    Ok(())
}

/// The version that the source is of; none for the newest. A path into the past means what it means in a mount: a version that is
/// kept of that directory.
async fn version_of(
    volume: &Volume,
    from: &Url,
    past: Option<&Past>,
    at: Option<&VersionSpec>,
) -> Result<Option<VolumeVersion>, CliError> {
    match (past, at) {
        (Some(_), Some(_)) => Err(CliError::Usage("the path names a version already: leave out --at".into())),
        (Some(past), None) => {
            let directory = volume.walk(At::Head, &from.path).await?.inode;
            past.version.resolve_in(volume, directory).await.map(Some)
        }
        (None, Some(at)) => at.resolve(volume).await.map(Some),
        (None, None) => Ok(None),
    }
}

/// The directory and the name that the copy gets.
async fn destination(
    volume: &Volume,
    from: &Url,
    to: &Url,
    at: At,
    source: &Attributes,
) -> Result<(InodeNumber, FileName), CliError> {
    let wrong = |problem| CliError::WrongKind { path: show_path(&to.path), problem };
    let Some((name, parents)) = to.path.split_last() else { return Err(wrong("exists; give the copy a name of its own")) };
    let parent = volume.walk(At::Head, parents).await?;
    if parent.kind != FileKind::Directory {
        let problem = "is not a directory";
        return Err(CliError::WrongKind { path: show_path(parents), problem });
    }
    if volume.entry(At::Head, parent.inode, name).await?.is_some() {
        return Err(wrong("exists; remove it first, or give the copy another name"));
    }
    let is_within = source.kind == FileKind::Directory && (source.inode == ROOT_INODE || to.path.starts_with(&from.path));
    if at == At::Head && is_within {
        return Err(wrong("lies in the directory that is to be cloned; give another place, or a version with --at"));
    }
    Ok((parent.inode, name.clone()))
}

/// Servers can be named in several ways, so one in common is enough.
fn is_same_volume(one: &Url, other: &Url) -> bool {
    one.volume == other.volume && one.servers.iter().any(|server| other.servers.contains(server))
}

fn text(report: &Report) -> String {
    let Report { source, path, version, .. } = report;
    let at = report.at.map_or(String::new(), |at| format!(" at version {at}"));
    format!("{path} is a clone of {source}{at}, made by version {version}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_reads_well() {
        let report = Report { source: "/a".into(), at: None, path: "/b".into(), inode: 9, size: 5, version: 7 };
        assert_eq!(text(&report), "/b is a clone of /a, made by version 7\n");
        assert_eq!(text(&Report { at: Some(3), ..report }), "/b is a clone of /a at version 3, made by version 7\n");
    }

    #[test]
    fn a_volume_is_known_by_any_of_its_servers() {
        let url = |text: &str| text.parse::<Url>().unwrap();
        assert!(is_same_volume(&url("weft://a,b/v/x"), &url("weft://b/v/y")));
        assert!(!is_same_volume(&url("weft://a/v/x"), &url("weft://a/w/x")));
        assert!(!is_same_volume(&url("weft://a/v/x"), &url("weft://b/v/x")));
    }
}
