//! Answers. A query of the tree reads through a [`View`] of one version; queries about the history itself are in `history`.

use super::keys;
use super::records::Counters;
use super::view::{ENTRIES, View, XATTRS, Xattrs};
use super::{NamespaceError, history, refuse};
use crate::version::kv::{Kv, KvError};
use weft_common::id::{InodeNumber, ROOT_INODE, VolumeId, VolumeVersion};
use weft_common::limits::ENTRIES_PER_ANSWER_MAX;
use weft_common::name::FileName;
use weft_common::wire::{At, DirectoryEntry, ErrorKind, NamespaceAnswer, Query, VolumeStatistics};

/// Answers a query as of `at`. `Watch` is answered at once with what is there; waiting is the service's part.
///
/// # Errors
/// [`NamespaceError::Service`]: `NotFound` for what is not there, `Stale` for inodes that were removed and released,
/// `NotDirectory`, `NoAttribute`, `InvalidArgument`.
pub fn query(kv: &dyn Kv, volume: VolumeId, at: At, query: &Query) -> Result<NamespaceAnswer, NamespaceError> {
    match query {
        Query::LookUp { .. }
        | Query::Attributes(_)
        | Query::Parent(_)
        | Query::ReadDirectory { .. }
        | Query::ReadLink(_)
        | Query::GetXattr { .. }
        | Query::ListXattrs(_)
        | Query::PathOf(_) => of_tree(&View::open(kv, volume, at, subject(query))?.0, query),
        Query::Statistics
        | Query::Latest
        | Query::VersionAt { .. }
        | Query::Version { .. }
        | Query::VersionTagged(_)
        | Query::Tags
        | Query::VersionsOf { .. }
        | Query::HistoryOf { .. }
        | Query::Watch { .. } => of_history(kv, volume, query),
    }
}

/// The inode that a query of the tree is about.
fn subject(query: &Query) -> InodeNumber {
    match query {
        Query::LookUp { parent: inode, .. }
        | Query::Attributes(inode)
        | Query::Parent(inode)
        | Query::ReadDirectory { directory: inode, .. }
        | Query::ReadLink(inode)
        | Query::GetXattr { inode, .. }
        | Query::ListXattrs(inode)
        | Query::PathOf(inode) => *inode,
        _ => ROOT_INODE,
    }
}

/// Queries that are not about one version.
fn of_history(kv: &dyn Kv, volume: VolumeId, query: &Query) -> Result<NamespaceAnswer, NamespaceError> {
    let (view, counters) = View::open(kv, volume, At::Head, ROOT_INODE)?;
    match query {
        Query::Statistics => Ok(NamespaceAnswer::Statistics(statistics(&counters))),
        Query::Latest => Ok(NamespaceAnswer::Version(counters.latest)),
        Query::VersionAt { directory, time } => history::version_at(&view, &counters, *directory, *time),
        Query::VersionTagged(tag) => history::version_tagged(&view, tag),
        Query::Tags => history::tags(&view),
        Query::Version { directory, version } => history::version(&view, &counters, *directory, *version),
        Query::VersionsOf { directory: ROOT_INODE, after, limit } => history::kept_changes(&view, *after, bounded(*limit)),
        Query::Watch { after, limit, .. } => history::changes(&view, *after, bounded(*limit)),
        Query::VersionsOf { directory, after, limit } => history::changes_of(&view, *directory, *after, bounded(*limit)),
        Query::HistoryOf { parent, name, after, limit } => history::history_of(&view, *parent, name, *after, bounded(*limit)),
        other => refuse(ErrorKind::Internal, format!("{} reads one version", other.name())),
    }
}

/// What an answer may have at most, at least one so that whoever pages gets on.
fn bounded(limit: u32) -> usize {
    (limit as usize).clamp(1, ENTRIES_PER_ANSWER_MAX)
}

fn of_tree(view: &View<'_>, query: &Query) -> Result<NamespaceAnswer, NamespaceError> {
    match query {
        Query::LookUp { parent, name } => Ok(NamespaceAnswer::Attributes(view.look_up(*parent, name)?)),
        Query::Attributes(inode) => Ok(NamespaceAnswer::Attributes(view.inode(*inode)?.attributes(*inode))),
        Query::Parent(directory) => {
            let parent = view.directory(*directory)?.value.parent();
            Ok(NamespaceAnswer::Attributes(view.directory(parent)?.attributes(parent)))
        }
        Query::ReadDirectory { directory, after, limit } => read_directory(view, *directory, after.as_ref(), bounded(*limit)),
        Query::ReadLink(inode) => read_link(view, *inode),
        Query::GetXattr { inode, name } => get_xattr(view, *inode, name),
        Query::ListXattrs(inode) => {
            let bytes = view.inode(*inode)?.value.xattr_bytes;
            let xattrs = if bytes == 0 { Xattrs::new() } else { view.xattrs(*inode)? };
            Ok(NamespaceAnswer::Names(xattrs.into_keys().collect()))
        }
        Query::PathOf(inode) => Ok(NamespaceAnswer::Path(view.path_of(*inode)?)),
        other => refuse(ErrorKind::Internal, format!("{} does not read the tree", other.name())),
    }
}

fn read_directory(
    view: &View<'_>,
    directory: InodeNumber,
    after: Option<&FileName>,
    limit: usize,
) -> Result<NamespaceAnswer, NamespaceError> {
    view.directory(directory)?;
    let key = keys::of_inode(directory);
    let mut found = ENTRIES.list(view.kv, view.volume, &key, after.map(FileName::as_bytes), view.at, limit + 1)?;
    let more = found.len() > limit;
    found.truncate(limit);
    let mut entries = Vec::with_capacity(found.len());
    for (name, entry) in found {
        let name = FileName::new(name).map_err(|error| KvError(format!("a row of {directory} has a damaged name: {error}")))?;
        entries.push(DirectoryEntry { name, attributes: view.named(entry.value)?.attributes(entry.value) });
    }
    Ok(NamespaceAnswer::Entries { entries, more })
}

fn read_link(view: &View<'_>, inode: InodeNumber) -> Result<NamespaceAnswer, NamespaceError> {
    match view.inode(inode)?.value.body {
        super::records::Body::Symlink(target) => Ok(NamespaceAnswer::Bytes(target)),
        _ => refuse(ErrorKind::InvalidArgument, format!("{inode} of {} is not a symlink", view.volume)),
    }
}

/// Most inodes have none at all, and the kernel asks often: the record alone tells.
fn get_xattr(view: &View<'_>, inode: InodeNumber, name: &[u8]) -> Result<NamespaceAnswer, NamespaceError> {
    let has_some = view.inode(inode)?.value.xattr_bytes > 0 && !name.contains(&0);
    let key = keys::of_name(inode, name);
    let value = if has_some { XATTRS.at(view.kv, view.volume, &key, view.at)? } else { None };
    match value {
        Some(value) => Ok(NamespaceAnswer::Bytes(value.value)),
        None => refuse(ErrorKind::NoAttribute, format!("{inode} has no attribute '{}'", name.escape_ascii())),
    }
}

fn statistics(counters: &Counters) -> VolumeStatistics {
    VolumeStatistics {
        live_bytes: u64::try_from(counters.live_bytes).unwrap_or(u64::MAX),
        live_inodes: counters.live_inodes,
        stored_bytes: counters.stored_bytes,
    }
}

/// The version behind `n`.
pub(super) fn behind(n: VolumeVersion) -> VolumeVersion {
    VolumeVersion(n.0.saturating_add(1))
}
