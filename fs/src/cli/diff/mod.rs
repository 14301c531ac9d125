//! `weft diff`: what differs between two versions.
//!
//! The work is in proportion to the difference. Of a directory only the paths are looked at that the changes between the two
//! versions name ([`candidates`]); a file counts as the same when both versions read the same tree; of two trees only what they do
//! not share is walked, and only those bytes are read.

mod candidates;
mod trees;

use super::args::DiffArgs;
use super::connect::Client;
use super::error::CliError;
use super::human;
use super::names::{Volume, show_path};
use super::output::{Output, table};
use super::states::same_bytes;
use serde::Serialize;
pub(in crate::cli) use trees::{Changed, Comparison};
use weft_common::weave::{ByteRange, Tree};
use weft_common::wire::{At, Attributes, FileKind};

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

impl Difference {
    fn of(changed: &Changed) -> Self {
        let size = |side: &Option<Attributes>| side.as_ref().filter(|side| side.kind == FileKind::File).map(|side| side.size);
        let Changed { path, change, old, new } = changed;
        Self { path: show_path(path), change, old_size: size(old), new_size: size(new) }
    }
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
        let ranges = compare_files(&volume, Some(output), old, new).await?;
        if args.stat {
            let totals =
                Totals { modified: u64::from(!ranges.is_empty()), changed_bytes: bytes_of(&ranges), ..Totals::default() };
            output.data(&totals, totals_text);
            return Ok(());
        }
        output.data(&ranges, |ranges| ranges_text(ranges));
        return Ok(());
    }
    if old.is_none() && new.is_none() {
        return Err(CliError::NoSuchPath { path: show_path(&path), at: format!("version {} or {}", from.0, to.0) });
    }
    let changed = Comparison { volume: &volume, from, to }.run(path).await?;
    if args.stat {
        output.data(&Totals::of(&volume, &changed).await?, totals_text);
        return Ok(());
    }
    let differences: Vec<_> = changed.iter().map(Difference::of).collect();
    output.data(&differences, |differences| differences_text(differences));
    Ok(())
}

/// What differs, in numbers.
#[derive(Debug, Default, Serialize, PartialEq, Eq)]
struct Totals {
    added: u64,
    removed: u64,
    modified: u64,
    attributes: u64,
    /// Bytes of modified files that differ.
    changed_bytes: u64,
    /// Bytes of files that are only in the second version.
    added_bytes: u64,
    /// Bytes of files that were only in the first.
    removed_bytes: u64,
}

impl Totals {
    async fn of(volume: &Volume, changed: &[Changed]) -> Result<Self, CliError> {
        let mut totals = Self::default();
        for Changed { change, old, new, .. } in changed {
            let bytes = |side: &Option<Attributes>| side.as_ref().and_then(|side| side.tree).map_or(0, |tree| tree.size);
            let trees = old.as_ref().and_then(|old| old.tree).zip(new.as_ref().and_then(|new| new.tree));
            match *change {
                "attributes" => totals.attributes += 1,
                "added" => totals.added += 1,
                "removed" => totals.removed += 1,
                _ => totals.modified += 1,
            }
            if let Some((old, new)) = trees {
                totals.changed_bytes += bytes_of(&compare_files(volume, None, &old, &new).await?);
            } else {
                totals.removed_bytes += bytes(old);
                totals.added_bytes += bytes(new);
            }
        }
        Ok(totals)
    }
}

fn bytes_of(ranges: &[Range]) -> u64 {
    ranges.iter().map(|range| range.length).sum()
}

/// The ranges that differ. Only what the two trees do not share is read.
async fn compare_files(volume: &Volume, output: Option<Output>, old: &Tree, new: &Tree) -> Result<Vec<Range>, CliError> {
    let mut found = Ranges::default();
    if same_bytes(Some(old), Some(new)) {
        return Ok(found.0);
    }
    let common = ByteRange::new(0, old.size.min(new.size));
    let changed = volume.blobs.changed_ranges(old, new).await?;
    let shared: Vec<_> = changed.iter().map(|range| range.intersection(&common)).filter(|range| !range.is_empty()).collect();
    let bar = output.map(|output| output.progress("comparing", shared.iter().map(|range| range.end - range.start).sum()));
    for range in shared {
        let mut offset = range.start;
        while offset < range.end {
            let part = ByteRange::new(offset, (offset + STEP).min(range.end));
            let (left, right) =
                futures_util::future::try_join(volume.blobs.read(old, part), volume.blobs.read(new, part)).await?;
            found.compare(offset, &left, &right);
            if let Some(bar) = &bar {
                bar.inc(part.end - offset);
            }
            offset = part.end;
        }
    }
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    found.add(common.end, old.size.max(new.size));
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

fn totals_text(totals: &Totals) -> String {
    let Totals { added, removed, modified, attributes, changed_bytes, added_bytes, removed_bytes } = totals;
    let (changed_bytes, added_bytes, removed_bytes) = (*changed_bytes, *added_bytes, *removed_bytes);
    format!(
        "{modified} modified ({} differ), {added} added ({}), {removed} removed ({}), {attributes} with other attributes\n",
        human::size(changed_bytes),
        human::size(added_bytes),
        human::size(removed_bytes)
    )
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
