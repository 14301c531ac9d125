//! Queries about the history itself: which versions there are, what changed in them, what states a name had.

use super::intervals::{Interval, try_scan};
use super::keys::{self, CHANGES, DIRECTORY_CHANGES, Key, TAGS};
use super::policies::Policies;
use super::query::behind;
use super::ranges::{Left, Ranges};
use super::records::{Counters, Dated, InodeRecord, TagRecord, from_row};
use super::view::{ENTRIES, INODES, View};
use super::{NamespaceError, policies, refuse, thinning};
use crate::version::kv::{KvError, Order};
use weft_common::id::{InodeNumber, ROOT_INODE, VolumeVersion};
use weft_common::name::FileName;
use weft_common::time::Timestamp;
use weft_common::wire::{Author, ChangeRecord, ErrorKind, HistoryState, NamespaceAnswer, Tag};

/// The newest version not after `time` that is kept in a directory: a binary search, since versions are in order of time.
pub(super) fn version_at(
    view: &View<'_>,
    counters: &Counters,
    directory: InodeNumber,
    time: Timestamp,
) -> Result<NamespaceAnswer, NamespaceError> {
    if time < counters.created {
        return refuse(ErrorKind::NotFound, "the volume did not exist then; it was made later".to_owned());
    }
    let mut best = VolumeVersion(0);
    let (mut low, mut high) = (0, counters.latest.0);
    // Versions up to `low` are not after `time`, those behind `high` are.
    while low < high {
        let middle = low + (high - low).div_ceil(2);
        match newest_change(view, low + 1, middle)? {
            Some(change) if change.time > time => high = change.version.0 - 1,
            found => {
                best = found.map_or(best, |change| change.version);
                low = middle;
            }
        }
    }
    Ok(NamespaceAnswer::Version(policies::newest_kept(view.kv, view.volume, directory, best)?))
}

/// The newest change of the versions `first..=last`.
fn newest_change(view: &View<'_>, first: u64, last: u64) -> Result<Option<ChangeRecord>, KvError> {
    let key = |n| Key::new(CHANGES, view.volume).version(VolumeVersion(n));
    let mut found = None;
    view.kv.scan(&key(first), &key(last).end(), Order::Descending, &mut |_, row| {
        found = Some(row.to_vec());
        false
    })?;
    found.map(|row| from_row(&row)).transpose()
}

fn change(view: &View<'_>, n: VolumeVersion) -> Result<ChangeRecord, KvError> {
    match view.kv.get(&Key::new(CHANGES, view.volume).version(n))? {
        Some(row) => from_row(&row),
        None => Err(KvError(format!("{} has no record of its change {n}", view.volume))),
    }
}

/// Every change behind `after`.
pub(super) fn changes(view: &View<'_>, after: VolumeVersion, limit: usize) -> Result<NamespaceAnswer, NamespaceError> {
    let all = Key::new(CHANGES, view.volume);
    let (mut changes, mut more) = (Vec::new(), false);
    try_scan(view.kv, &all.clone().version(behind(after)), &all.end(), &mut |_, row| {
        more = changes.len() == limit;
        if !more {
            changes.push(from_row(row)?);
        }
        Ok(!more)
    })?;
    Ok(NamespaceAnswer::Changes { changes, more })
}

/// The changes behind `after` that made versions which are kept whole.
pub(super) fn kept_changes(view: &View<'_>, after: VolumeVersion, limit: usize) -> Result<NamespaceAnswer, NamespaceError> {
    let mut changes = Vec::new();
    thinning::kept_changes(view.kv, view.volume, ROOT_INODE, after, &mut |change| {
        changes.push(change);
        changes.len() <= limit
    })?;
    let more = changes.len() > limit;
    changes.truncate(limit);
    Ok(NamespaceAnswer::Changes { changes, more })
}

/// The version `n`, if it is kept in a directory.
pub(super) fn version(
    view: &View<'_>,
    counters: &Counters,
    directory: InodeNumber,
    n: VolumeVersion,
) -> Result<NamespaceAnswer, NamespaceError> {
    if n <= counters.latest && policies::is_kept(view.kv, view.volume, directory, n)? {
        return Ok(NamespaceAnswer::Version(n));
    }
    refuse(ErrorKind::NotFound, format!("{} has no version {n}, or does not keep it any more", view.volume))
}

/// The changes behind `after` that show in one directory and made versions that are kept in it.
pub(super) fn changes_of(
    view: &View<'_>,
    directory: InodeNumber,
    after: VolumeVersion,
    limit: usize,
) -> Result<NamespaceAnswer, NamespaceError> {
    let all = Key::new(DIRECTORY_CHANGES, view.volume).inode(directory);
    let (of_volume, policies) = (Ranges::new(view.volume, ROOT_INODE), Policies::load(view.kv, view.volume)?);
    let is_kept = |n| -> Result<bool, KvError> {
        Ok(of_volume.is_left(view.kv, n, Left::Kept)? || policies.keep(view.kv, view.volume, directory, n)?)
    };
    let mut versions = Vec::new();
    try_scan(view.kv, &all.clone().version(behind(after)), &all.end(), &mut |key, _| {
        if let Some(version) = keys::last_version(key)
            && is_kept(version)?
        {
            versions.push(version);
        }
        Ok(versions.len() <= limit)
    })?;
    let more = versions.len() > limit;
    versions.truncate(limit);
    let changes = versions.into_iter().map(|n| change(view, n)).collect::<Result<_, _>>()?;
    Ok(NamespaceAnswer::Changes { changes, more })
}

/// The version with the tag.
pub(super) fn version_tagged(view: &View<'_>, tag: &str) -> Result<NamespaceAnswer, NamespaceError> {
    match view.kv.get(&Key::new(TAGS, view.volume).bytes(tag.as_bytes()))? {
        Some(row) => Ok(NamespaceAnswer::Version(from_row::<TagRecord>(&row)?.version)),
        None => refuse(
            ErrorKind::NotFound,
            format!("there is no tag '{}'; versions are named by number, tag or @TIME", tag.escape_debug()),
        ),
    }
}

/// All tags.
pub(super) fn tags(view: &View<'_>) -> Result<NamespaceAnswer, NamespaceError> {
    let all = Key::new(TAGS, view.volume);
    let mut tags = Vec::new();
    try_scan(view.kv, &all, &all.end(), &mut |key, row| {
        let TagRecord { version, created } = from_row(row)?;
        tags.push(Tag { name: String::from_utf8_lossy(&key[all.len()..]).into_owned(), version, created });
        Ok(true)
    })?;
    Ok(NamespaceAnswer::Tags(tags))
}

/// The states that a name had behind `after`: of each inode that it named, for that time, one state per content. Attributes
/// that change later do not make a state; a state's attributes are those it began with.
pub(super) fn history_of(
    view: &View<'_>,
    parent: InodeNumber,
    name: &FileName,
    after: VolumeVersion,
    limit: usize,
) -> Result<NamespaceAnswer, NamespaceError> {
    let mut states: Vec<State> = Vec::new();
    let key = keys::of_name(parent, name.as_bytes());
    ENTRIES.intervals(view.kv, view.volume, &key, behind(after), &mut |entry| {
        end_last(&mut states, entry.from);
        add_states(view, &entry, after, limit + 1, &mut states)?;
        Ok(states.len() <= limit)
    })?;
    let more = states.len() > limit;
    states.truncate(limit);
    let states = states.into_iter().map(|state| state.answer(view)).collect::<Result<_, _>>()?;
    Ok(NamespaceAnswer::History { states, more })
}

struct State {
    from: VolumeVersion,
    inode: InodeNumber,
    record: InodeRecord,
    since: VolumeVersion,
    removed: Option<VolumeVersion>,
}

impl State {
    fn answer(self, view: &View<'_>) -> Result<HistoryState, KvError> {
        let author = if self.from.0 == 0 { Author::default() } else { change(view, self.from)?.author };
        let attributes = Dated { from: self.since, value: self.record }.attributes(self.inode);
        Ok(HistoryState { from: self.from, attributes, author, removed: self.removed })
    }
}

/// The name names another inode from `n` on: what it named before was replaced, not removed, if it had it until then.
fn end_last(states: &mut [State], n: VolumeVersion) {
    if let Some(last) = states.last_mut()
        && last.removed == Some(n)
    {
        last.removed = None;
    }
}

/// The states of one inode while it had the name.
fn add_states(
    view: &View<'_>,
    entry: &Interval<InodeNumber>,
    after: VolumeVersion,
    limit: usize,
    states: &mut Vec<State>,
) -> Result<(), KvError> {
    let first = states.len();
    let mut shown = None;
    let start = entry.from.max(after);
    INODES.intervals(view.kv, view.volume, &keys::of_inode(entry.value), start, &mut |inode| {
        if entry.to.is_some_and(|to| inode.from >= to) {
            return Ok(false);
        }
        let content = inode.value.content();
        let from = inode.from.max(entry.from);
        if shown != Some(content) && from > after {
            if states.len() == limit {
                return Ok(false);
            }
            states.push(State { from, inode: entry.value, record: inode.value, since: inode.from, removed: None });
        }
        shown = Some(content);
        Ok(true)
    })?;
    if states.len() > first
        && let Some(last) = states.last_mut()
    {
        last.removed = entry.to;
    }
    Ok(())
}
