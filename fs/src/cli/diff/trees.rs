//! Two versions of a directory, compared name by name where they can differ.

use super::super::error::CliError;
use super::super::names::Volume;
use super::super::states::Difference;
use super::candidates::{Path, candidates};
use std::collections::BTreeMap;
use weft_common::id::{InodeNumber, VolumeVersion};
use weft_common::name::FileName;
use weft_common::wire::{At, Attributes, FileKind};

/// A path at which the versions differ.
#[derive(Debug)]
pub(in crate::cli) struct Changed {
    /// Where.
    pub path: Path,
    /// How.
    pub change: &'static str,
    /// What was there in the first version.
    pub old: Option<Attributes>,
    /// What was there in the second.
    pub new: Option<Attributes>,
}

/// A path in both versions that is still to be compared.
type Pair = (Path, Option<Attributes>, Option<Attributes>);

/// A file that has several names: the record of changes knows one of them.
struct SeveralNames;

/// Compares what `path` names in two versions, and all below it.
#[derive(Debug)]
pub(in crate::cli) struct Comparison<'a> {
    /// The volume.
    pub volume: &'a Volume,
    /// One version.
    pub from: VolumeVersion,
    /// The other.
    pub to: VolumeVersion,
}

impl Comparison<'_> {
    /// What differs at `path` and below, in order of paths.
    ///
    /// # Errors
    /// [`CliError`].
    pub(in crate::cli) async fn run(&self, path: Path) -> Result<Vec<Changed>, CliError> {
        let changed = match candidates(self.volume, self.from, self.to).await? {
            Some(candidates) => {
                let below = candidates.iter().filter(|candidate| candidate.len() > path.len() && candidate.starts_with(&path));
                self.at(std::iter::once(path.clone()).chain(below.cloned())).await?
            }
            None => Err(SeveralNames),
        };
        let mut changed = match changed {
            Ok(changed) => changed,
            Err(SeveralNames) => {
                let (old, new) = self.both(&path).await?;
                self.below(vec![(path, old, new)], true).await?
            }
        };
        changed.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(changed)
    }

    /// What there is at `path` and below in the second version, as if nothing had been there in the first.
    ///
    /// # Errors
    /// [`CliError`].
    pub(in crate::cli) async fn whole(&self, path: Path) -> Result<Vec<Changed>, CliError> {
        let now = self.volume.find(At::Version(self.to), &path).await?;
        let mut all = self.below(vec![(path, None, now)], true).await?;
        all.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(all)
    }

    /// What differs at the given paths, which come in order. A directory that is the same inode in both versions is not
    /// entered: what differs in it is among the paths.
    async fn at(&self, paths: impl Iterator<Item = Path>) -> Result<Result<Vec<Changed>, SeveralNames>, CliError> {
        let mut changed = Vec::new();
        let mut entered: Option<Path> = None;
        for path in paths {
            if entered.as_ref().is_some_and(|entered| path.starts_with(entered)) {
                continue;
            }
            let (old, new) = self.both(&path).await?;
            let enter = inode_of_directory(&old) != inode_of_directory(&new);
            entered = enter.then(|| path.clone());
            changed.extend(self.below(vec![(path, old, new)], enter).await?);
        }
        // A touched file that differs is met at one of its names at least, and has several there in one of the versions.
        let several =
            |side: &Option<Attributes>| side.as_ref().is_some_and(|side| side.kind != FileKind::Directory && side.links > 1);
        let met = changed.iter().any(|changed| several(&changed.old) || several(&changed.new));
        Ok(if met { Err(SeveralNames) } else { Ok(changed) })
    }

    async fn both(&self, path: &[FileName]) -> Result<(Option<Attributes>, Option<Attributes>), CliError> {
        let (from, to) = (At::Version(self.from), At::Version(self.to));
        futures_util::future::try_join(self.volume.find(from, path), self.volume.find(to, path)).await
    }

    /// What differs at the pairs and, with `enter`, below them.
    async fn below(&self, mut waiting: Vec<Pair>, enter: bool) -> Result<Vec<Changed>, CliError> {
        let mut changed = Vec::new();
        while let Some((path, old, new)) = waiting.pop() {
            let (old_directory, new_directory) = (inode_of_directory(&old), inode_of_directory(&new));
            if enter && (old_directory.is_some() || new_directory.is_some()) {
                waiting.extend(self.children(old_directory, new_directory, &path).await?);
            }
            if let Some(change) = self.change_of(old.as_ref(), new.as_ref()).await? {
                changed.push(Changed { path, change, old, new });
            }
        }
        Ok(changed)
    }

    async fn children(
        &self,
        old: Option<InodeNumber>,
        new: Option<InodeNumber>,
        path: &[FileName],
    ) -> Result<Vec<Pair>, CliError> {
        let mut names: BTreeMap<FileName, (Option<Attributes>, Option<Attributes>)> = BTreeMap::new();
        if let Some(directory) = old {
            for entry in self.volume.entries(At::Version(self.from), directory).await? {
                names.entry(entry.name).or_default().0 = Some(entry.attributes);
            }
        }
        if let Some(directory) = new {
            for entry in self.volume.entries(At::Version(self.to), directory).await? {
                names.entry(entry.name).or_default().1 = Some(entry.attributes);
            }
        }
        let below = |name: FileName| path.iter().cloned().chain([name]).collect();
        Ok(names.into_iter().map(|(name, (old, new))| (below(name), old, new)).collect())
    }

    async fn change_of(&self, old: Option<&Attributes>, new: Option<&Attributes>) -> Result<Option<&'static str>, CliError> {
        let (old, new) = match (old, new) {
            (None, None) => return Ok(None),
            (None, Some(_)) => return Ok(Some("added")),
            (Some(_), None) => return Ok(Some("removed")),
            (Some(old), Some(new)) => (old, new),
        };
        let difference = self.volume.difference((At::Version(self.from), old), (At::Version(self.to), new)).await?;
        Ok(difference.map(|difference| match difference {
            Difference::Kind => "replaced",
            Difference::Content => "modified",
            Difference::Attributes => "attributes",
        }))
    }
}

fn inode_of_directory(side: &Option<Attributes>) -> Option<InodeNumber> {
    side.as_ref().filter(|side| side.kind == FileKind::Directory).map(|side| side.inode)
}
