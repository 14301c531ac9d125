//! Where two versions of a volume can differ at all, found from the volume's record of changes and not by looking at its tree.
//!
//! A path differs between two versions if another inode is there, or the same one in another state. In the first case a change
//! between them names the directory and the name; in the second, the inode. So the paths of all inodes and all places that the
//! changes name, as they were in both versions, are all the paths that have to be compared; whole sub-directories only where a
//! directory came, went, or took another's place.
//!
//! A file with several names shows up at all of them, and the record names one: whoever meets such a file compares whole trees.

use super::super::error::CliError;
use super::super::names::Volume;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use std::collections::BTreeSet;
use weft_common::id::VolumeVersion;
use weft_common::limits::ENTRIES_PER_ANSWER_MAX;
use weft_common::name::FileName;
use weft_common::wire::{At, ChangeRecord, NamespaceAnswer, Query};

/// With more changes than this between two versions, comparing their trees is not worse.
const CHANGES_MAX: usize = 20_000;
/// Questions that are asked at the same time.
const AT_ONCE: usize = 16;

/// A path below the volume's root.
pub(in crate::cli) type Path = Vec<FileName>;

/// The paths at which `from` and `to` can differ, whichever is older; `None` if there are too many changes to tell.
///
/// # Errors
/// [`CliError`].
pub(super) async fn candidates(
    volume: &Volume,
    from: VolumeVersion,
    to: VolumeVersion,
) -> Result<Option<BTreeSet<Path>>, CliError> {
    let mut inodes = BTreeSet::new();
    let mut places = BTreeSet::new();
    let (mut after, last) = (from.min(to), from.max(to));
    let mut count = 0;
    while after < last {
        let page = changes(volume, after).await?;
        let Some(newest) = page.last().map(|change| change.version) else { break };
        after = newest;
        for change in page.into_iter().filter(|change| change.version <= last) {
            count += 1;
            inodes.insert(change.inode);
            places.extend(change.place.into_iter().chain(change.old_place));
        }
        if count > CHANGES_MAX {
            return Ok(None);
        }
    }
    inodes.extend(places.iter().map(|(directory, _)| *directory));
    let mut paths = BTreeSet::new();
    for at in [At::Version(from), At::Version(to)] {
        let known = stream::iter(&inodes).map(|inode| volume.path_of(at, *inode)).buffered(AT_ONCE);
        let known: Vec<_> = inodes.iter().copied().zip(known.try_collect::<Vec<_>>().await?).collect();
        for (directory, name) in &places {
            let found = known.binary_search_by_key(directory, |(inode, _)| *inode);
            let parent = found.ok().and_then(|index| known[index].1.clone());
            paths.extend(parent.map(|parent| parent.into_iter().chain([name.clone()]).collect()));
        }
        paths.extend(known.into_iter().filter_map(|(_, path)| path));
    }
    Ok(Some(paths))
}

/// Every change behind a version, kept or thinned by now: one page of them.
async fn changes(volume: &Volume, after: VolumeVersion) -> Result<Vec<ChangeRecord>, CliError> {
    let query = Query::Watch { after, limit: ENTRIES_PER_ANSWER_MAX as u32, wait_ms: 0 };
    match volume.names.query(At::Head, query).await? {
        NamespaceAnswer::Changes { changes, .. } => Ok(changes),
        _ => Err(CliError::UnexpectedAnswer("watch")),
    }
}
