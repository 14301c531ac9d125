//! `weft diff`: what differs between two versions.
//!
//! Directories are compared name by name. A file counts as the same when both versions read the same tree, which needs no
//! data at all; only `weft diff FILE` reads bytes, and only when the trees differ.

use super::args::DiffArgs;
use super::connect::Client;
use super::error::CliError;
use super::human;
use super::names::{Volume, show_path};
use super::output::{Output, table};
use serde::Serialize;
use std::collections::BTreeMap;
use weft_common::id::{InodeNumber, VolumeVersion};
use weft_common::name::FileName;
use weft_common::weave::{ByteRange, Tree};
use weft_common::wire::{At, Attributes, FileKind, NamespaceAnswer, Query};

/// Bytes of both versions that are compared at a time.
const STEP: u64 = 4 << 20;
/// Differing ranges with fewer equal bytes than this between them are shown as one: a list of single bytes helps nobody.
const GAP: u64 = 64;

/// One difference between two trees.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct Difference {
    path: String,
    change: &'static str,
    old_size: Option<u64>,
    new_size: Option<u64>,
}

/// A range of bytes that differ.
#[derive(Debug, Serialize, PartialEq, Eq)]
struct Range {
    offset: u64,
    length: u64,
}

/// Runs `weft diff`.
///
/// # Errors
/// [`CliError`].
pub(super) async fn run(client: &Client, args: &DiffArgs) -> Result<(), CliError> {
    let output = Output::new(args.format.json);
    let (volume, path) = client.open_path(&args.target, &args.identity).await?;
    let (from, to) = (args.from.resolve(&volume).await?, args.to.resolve(&volume).await?);
    let (old, new) = (volume.find(At::Version(from), &path).await?, volume.find(At::Version(to), &path).await?);
    if let (Some(Attributes { tree: Some(old), .. }), Some(Attributes { tree: Some(new), .. })) = (&old, &new) {
        let ranges = compare_files(&volume, output, old, new).await?;
        output.data(&ranges, |ranges| ranges_text(ranges));
        return Ok(());
    }
    if old.is_none() && new.is_none() {
        return Err(CliError::NoSuchPath { path: show_path(&path), at: format!("version {} or {}", from.0, to.0) });
    }
    let differences = compare_trees(&volume, (from, to), path, (old, new)).await?;
    output.data(&differences, |differences| differences_text(differences));
    Ok(())
}

/// A path in both versions that is still to be compared.
type Pair = (Vec<FileName>, Option<Attributes>, Option<Attributes>);

async fn compare_trees(
    volume: &Volume,
    (from, to): (VolumeVersion, VolumeVersion),
    path: Vec<FileName>,
    (old, new): (Option<Attributes>, Option<Attributes>),
) -> Result<Vec<Difference>, CliError> {
    let mut differences = Vec::new();
    let mut waiting: Vec<Pair> = vec![(path, old, new)];
    while let Some((path, old, new)) = waiting.pop() {
        if let Some(change) = change_of(volume, (from, to), old.as_ref(), new.as_ref()).await? {
            let size = |side: &Option<Attributes>| side.as_ref().filter(|side| side.kind == FileKind::File).map(|side| side.size);
            differences.push(Difference { path: show_path(&path), change, old_size: size(&old), new_size: size(&new) });
        }
        let directory = |side: Option<Attributes>| side.filter(|side| side.kind == FileKind::Directory).map(|side| side.inode);
        let (old, new) = (directory(old), directory(new));
        if old.is_some() || new.is_some() {
            let mut below = children(volume, (from, old), (to, new), &path).await?;
            below.reverse();
            waiting.append(&mut below);
        }
    }
    Ok(differences)
}

async fn children(
    volume: &Volume,
    (from, old): (VolumeVersion, Option<InodeNumber>),
    (to, new): (VolumeVersion, Option<InodeNumber>),
    path: &[FileName],
) -> Result<Vec<Pair>, CliError> {
    let mut names: BTreeMap<FileName, (Option<Attributes>, Option<Attributes>)> = BTreeMap::new();
    if let Some(directory) = old {
        for entry in volume.entries(At::Version(from), directory).await? {
            names.entry(entry.name).or_default().0 = Some(entry.attributes);
        }
    }
    if let Some(directory) = new {
        for entry in volume.entries(At::Version(to), directory).await? {
            names.entry(entry.name).or_default().1 = Some(entry.attributes);
        }
    }
    let below = |name: FileName| path.iter().cloned().chain([name]).collect();
    Ok(names.into_iter().map(|(name, (old, new))| (below(name), old, new)).collect())
}

async fn change_of(
    volume: &Volume,
    (from, to): (VolumeVersion, VolumeVersion),
    old: Option<&Attributes>,
    new: Option<&Attributes>,
) -> Result<Option<&'static str>, CliError> {
    let (old, new) = match (old, new) {
        (None, None) => return Ok(None),
        (None, Some(_)) => return Ok(Some("added")),
        (Some(_), None) => return Ok(Some("removed")),
        (Some(old), Some(new)) => (old, new),
    };
    if old.kind != new.kind {
        return Ok(Some("replaced"));
    }
    let same_content = match old.kind {
        FileKind::File => same_bytes(old.tree.as_ref(), new.tree.as_ref()),
        FileKind::Symlink if old.inode != new.inode => {
            link_target(volume, from, old.inode).await? == link_target(volume, to, new.inode).await?
        }
        _ => old.rdev == new.rdev,
    };
    let owner = |side: &Attributes| (side.mode, side.uid, side.gid);
    let touched = old.kind == FileKind::File && old.modified != new.modified;
    Ok(match (same_content, owner(old) == owner(new) && !touched) {
        (false, _) => Some("modified"),
        (true, false) => Some("attributes"),
        (true, true) => None,
    })
}

/// Whether two trees surely read the same: equal size and the same root node, as a restored file has with its origin.
fn same_bytes(old: Option<&Tree>, new: Option<&Tree>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => old.size == new.size && old.root_id() == new.root_id() && old.geometry == new.geometry,
        _ => old.is_none() && new.is_none(),
    }
}

async fn link_target(volume: &Volume, version: VolumeVersion, inode: InodeNumber) -> Result<Vec<u8>, CliError> {
    match volume.names.query(At::Version(version), Query::ReadLink(inode)).await? {
        NamespaceAnswer::Bytes(target) => Ok(target),
        _ => Err(CliError::UnexpectedAnswer("read_link")),
    }
}

async fn compare_files(volume: &Volume, output: Output, old: &Tree, new: &Tree) -> Result<Vec<Range>, CliError> {
    let mut found = Ranges::default();
    if same_bytes(Some(old), Some(new)) {
        return Ok(found.0);
    }
    let common = old.size.min(new.size);
    let bar = output.progress("comparing", common);
    let mut offset = 0;
    while offset < common {
        let range = ByteRange::new(offset, (offset + STEP).min(common));
        let (left, right) = futures_util::future::try_join(volume.blobs.read(old, range), volume.blobs.read(new, range)).await?;
        found.compare(offset, &left, &right);
        offset = range.end;
        bar.set_position(offset);
    }
    bar.finish_and_clear();
    found.add(common, old.size.max(new.size));
    Ok(found.0)
}

/// Ranges in ascending order, near ones joined.
#[derive(Debug, Default)]
struct Ranges(Vec<Range>);

impl Ranges {
    fn add(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        match self.0.last_mut() {
            Some(last) if start - (last.offset + last.length) < GAP => last.length = end - last.offset,
            _ => self.0.push(Range { offset: start, length: end - start }),
        }
    }

    fn compare(&mut self, offset: u64, left: &[u8], right: &[u8]) {
        if left == right {
            return;
        }
        for (index, (left, right)) in left.iter().zip(right).enumerate() {
            if left != right {
                let at = offset + index as u64;
                self.add(at, at + 1);
            }
        }
    }
}

fn differences_text(differences: &[Difference]) -> String {
    let size = |size: Option<u64>| size.map_or_else(|| "-".into(), human::size);
    let row = |difference: &Difference| {
        vec![difference.change.into(), size(difference.old_size), size(difference.new_size), difference.path.clone()]
    };
    match differences.len() {
        0 => String::new(),
        _ => table(&["CHANGE", "OLD", "NEW", "PATH"], &differences.iter().map(row).collect::<Vec<_>>()),
    }
}

fn ranges_text(ranges: &[Range]) -> String {
    let row = |range: &Range| vec![range.offset.to_string(), range.length.to_string(), human::size(range.length)];
    match ranges.len() {
        0 => String::new(),
        _ => table(&["OFFSET", "LENGTH", ""], &ranges.iter().map(row).collect::<Vec<_>>()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differing_bytes_become_ranges() {
        let (left, mut right) = (vec![7u8; 1000], vec![7u8; 1000]);
        for at in [0, 1, 2, 300, 300 + GAP as usize, 700] {
            right[at] = 8;
        }
        let mut ranges = Ranges::default();
        ranges.compare(10_000, &left, &right);
        ranges.add(20_000, 20_000);
        ranges.add(20_000, 20_005);
        let expected = [(10_000, 3), (10_300, GAP + 1), (10_700, 1), (20_000, 5)];
        assert_eq!(ranges.0, expected.map(|(offset, length)| Range { offset, length }));
    }
}
