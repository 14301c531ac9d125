//! `weft restore`: a past state becomes the present one, as new versions.
//!
//! A file comes back by one `Restore` (its content is shared with the old version, whatever its size). A directory is gone
//! through name by name: what is as it was stays untouched, what is gone or different is restored, and what was not there is
//! removed unless `--keep-new`. Files of one directory are restored several at a time. A pattern in the last component stands
//! for all that it matches there then. What is named, and was not there then, is refused: a mistyped version must not be an `rm`.

use super::args::RestoreArgs;
use super::connect::Client;
use super::error::CliError;
use super::names::{Volume, show_path};
use super::output::{Output, visible};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use glob::Pattern;
use indicatif::ProgressBar;
use serde::Serialize;
use std::collections::BTreeMap;
use std::sync::Mutex;
use weft_common::id::{InodeNumber, ROOT_INODE, VolumeVersion};
use weft_common::name::FileName;
use weft_common::wire::{At, Attributes, Change, FileKind};

/// Files that are restored at the same time.
const AT_ONCE: usize = 16;

/// What was done, or with `--dry-run` would be.
#[derive(Clone, Debug, Default, Serialize)]
struct Report {
    to: u64,
    restored: Vec<String>,
    removed: Vec<String>,
    unchanged: u64,
    dry_run: bool,
}

/// One name, now and then.
#[derive(Clone, Debug)]
struct Place {
    path: Vec<FileName>,
    /// The directory as it is now; `None` if it would have to be made first, which a dry run does not do.
    parent: Option<InodeNumber>,
    /// The directory in which the name was then; `None` if there was none.
    source: Option<InodeNumber>,
    now: Option<Attributes>,
    then: Option<Attributes>,
}

struct Restorer<'a> {
    volume: &'a Volume,
    to: VolumeVersion,
    keep_new: bool,
    dry_run: bool,
    bar: ProgressBar,
    report: Mutex<Report>,
}

/// Runs `weft restore`.
///
/// # Errors
/// [`CliError`].
pub(super) async fn run(client: &Client, args: &RestoreArgs) -> Result<(), CliError> {
    let output = Output::new(args.format.json);
    let (volume, path) = client.open_path(&args.target, &args.identity).await?;
    let to = args.to.resolve(&volume).await?;
    let bar = output.progress("restoring", 1);
    let report = Mutex::new(Report { to: to.0, dry_run: args.dry_run, ..Report::default() });
    let restorer = Restorer { volume: &volume, to, keep_new: args.keep_new, dry_run: args.dry_run, bar, report };
    restorer.run(&path).await?;
    restorer.bar.finish_and_clear();
    let report = restorer.report.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    output.data(&report, text);
    Ok(())
}

impl Restorer<'_> {
    async fn run(&self, path: &[FileName]) -> Result<(), CliError> {
        let then = At::Version(self.to);
        let Some((name, parents)) = path.split_last() else {
            return self.directory(path.to_vec(), Some(ROOT_INODE), Some(ROOT_INODE)).await;
        };
        let source = self.volume.find(then, parents).await?.map(|directory| directory.inode);
        let named = match (self.volume.find(then, path).await?, source) {
            (Some(old), _) => vec![(name.clone(), old)],
            (None, Some(source)) => self.matching(source, name).await?,
            (None, None) => Vec::new(),
        };
        if named.is_empty() {
            let there_now = self.volume.find(At::Head, path).await?.is_some();
            let made_later = if there_now { " (it was made later; remove it with rm if it should go)" } else { "" };
            return Err(CliError::NoSuchPath { path: show_path(path), at: format!("version {}{made_later}", self.to.0) });
        }
        let parent = self.ancestors(parents).await?;
        let mut places = Vec::new();
        for (name, old) in named {
            let now = self.entry_now(parent, &name).await?;
            let path = parents.iter().cloned().chain([name]).collect();
            places.push(Place { path, parent, source, now, then: Some(old) });
        }
        self.places(places).await
    }

    /// What matches a name with `*`, `?` or `[a-z]` in a directory as it was.
    async fn matching(&self, directory: InodeNumber, name: &FileName) -> Result<Vec<(FileName, Attributes)>, CliError> {
        let Some(pattern) = std::str::from_utf8(name.as_bytes()).ok().and_then(|text| Pattern::new(text).ok()) else {
            return Ok(Vec::new());
        };
        let entries = self.volume.entries(At::Version(self.to), directory).await?;
        let matches = |name: &FileName| std::str::from_utf8(name.as_bytes()).is_ok_and(|text| pattern.matches(text));
        Ok(entries.into_iter().map(|entry| (entry.name, entry.attributes)).filter(|(name, _)| matches(name)).collect())
    }

    /// The directory at `path` as it is now, made again where it is gone.
    async fn ancestors(&self, path: &[FileName]) -> Result<Option<InodeNumber>, CliError> {
        let mut now = Some(ROOT_INODE);
        for (depth, name) in path.iter().enumerate() {
            let here = self.entry_now(now, name).await?;
            now = match here {
                Some(here) if here.kind == FileKind::Directory => Some(here.inode),
                Some(_) => {
                    let problem = "something else than a directory stands in the way; rename it first";
                    return Err(CliError::WrongKind { path: show_path(&path[..=depth]), problem });
                }
                None => {
                    let place = Place { path: path[..=depth].to_vec(), parent: now, source: None, now: None, then: None };
                    let old_parent =
                        self.volume.find(At::Version(self.to), &path[..depth]).await?.map(|directory| directory.inode);
                    self.bring_back(&Place { source: old_parent, ..place }).await?.map(|made| made.inode)
                }
            };
        }
        Ok(now)
    }

    async fn entry_now(&self, parent: Option<InodeNumber>, name: &FileName) -> Result<Option<Attributes>, CliError> {
        match parent {
            Some(parent) => self.volume.entry(At::Head, parent, name).await,
            None => Ok(None),
        }
    }

    /// Makes one name what it was.
    fn place(&self, place: Place) -> BoxFuture<'_, Result<(), CliError>> {
        Box::pin(async move {
            self.bar.inc(1);
            match (&place.then, &place.now) {
                (None, None) => Ok(()),
                (None, Some(_)) if self.keep_new => Ok(()),
                (None, Some(now)) => self.remove(&place, now.clone()).await,
                (Some(then), Some(now)) if is_directory(&place.then) && is_directory(&place.now) => {
                    if !self.is_as_it_was(then, now).await? {
                        self.restore_name(&place).await?;
                    }
                    self.directory(place.path, Some(now.inode), Some(then.inode)).await
                }
                (Some(then), now) => {
                    if let Some(now) = now
                        && self.is_as_it_was(then, now).await?
                    {
                        self.report(|report| report.unchanged += 1);
                        return Ok(());
                    }
                    if let Some(now) =
                        place.now.clone().filter(|now| is_directory(&place.then) || now.kind == FileKind::Directory)
                    {
                        self.remove(&place, now).await?;
                    }
                    let made = self.bring_back(&place).await?;
                    match then.kind {
                        FileKind::Directory => self.directory(place.path, made.map(|made| made.inode), Some(then.inode)).await,
                        _ => Ok(()),
                    }
                }
            }
        })
    }

    /// Makes the entries of a directory what they were: files side by side, sub-directories one after the other.
    fn directory(
        &self,
        path: Vec<FileName>,
        now: Option<InodeNumber>,
        then: Option<InodeNumber>,
    ) -> BoxFuture<'_, Result<(), CliError>> {
        Box::pin(async move {
            let mut names: BTreeMap<FileName, (Option<Attributes>, Option<Attributes>)> = BTreeMap::new();
            if let Some(directory) = now {
                for entry in self.volume.entries(At::Head, directory).await? {
                    names.entry(entry.name).or_default().0 = Some(entry.attributes);
                }
            }
            if let Some(directory) = then {
                for entry in self.volume.entries(At::Version(self.to), directory).await? {
                    names.entry(entry.name).or_default().1 = Some(entry.attributes);
                }
            }
            self.bar.inc_length(names.len() as u64);
            let place = |(name, (old, new))| {
                let path = path.iter().cloned().chain([name]).collect();
                Place { path, parent: now, source: then, now: old, then: new }
            };
            self.places(names.into_iter().map(place)).await
        })
    }

    /// Places in one directory.
    async fn places(&self, all: impl IntoIterator<Item = Place>) -> Result<(), CliError> {
        let (directories, files): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|place| is_directory(&place.now) || is_directory(&place.then));
        stream::iter(files).map(|place| self.place(place)).buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        for place in directories {
            self.place(place).await?;
        }
        Ok(())
    }

    /// One `Restore`. `None` in a dry run.
    async fn bring_back(&self, place: &Place) -> Result<Option<Attributes>, CliError> {
        self.report(|report| report.restored.push(show_path(&place.path)));
        self.restore_name(place).await
    }

    async fn restore_name(&self, place: &Place) -> Result<Option<Attributes>, CliError> {
        let (Some(parent), Some(source), Some(name)) = (place.parent, place.source, place.path.last()) else {
            return Ok(None);
        };
        if self.dry_run {
            return Ok(None);
        }
        let change = Change::Restore { parent, name: name.clone(), source, to: self.to };
        Ok(self.volume.change(change).await?.attributes)
    }

    /// Removes a name; of a directory first what is in it.
    async fn remove(&self, place: &Place, now: Attributes) -> Result<(), CliError> {
        let Some(parent) = place.parent else { return Ok(()) };
        let told = |path: &[FileName]| self.report(|report| report.removed.push(show_path(path)));
        self.volume.remove_all(parent, place.path.clone(), now, self.dry_run, &told).await
    }

    async fn is_as_it_was(&self, then: &Attributes, now: &Attributes) -> Result<bool, CliError> {
        Ok(self.volume.difference((At::Version(self.to), then), (At::Head, now)).await?.is_none())
    }

    fn report(&self, change: impl FnOnce(&mut Report)) {
        change(&mut self.report.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
    }
}

fn is_directory(side: &Option<Attributes>) -> bool {
    side.as_ref().is_some_and(|side| side.kind == FileKind::Directory)
}

fn text(report: &Report) -> String {
    let mut text = String::new();
    let would = if report.dry_run { "would be " } else { "" };
    if report.dry_run {
        report.restored.iter().for_each(|path| text.push_str(&format!("restore {}\n", visible(path))));
        report.removed.iter().for_each(|path| text.push_str(&format!("remove  {}\n", visible(path))));
    }
    let (restored, removed) = (report.restored.len(), report.removed.len());
    let Report { to, unchanged, .. } = report;
    text + &format!("{restored} {would}restored to version {to}, {removed} {would}removed, {unchanged} are as they were\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_reads_well() {
        let report = Report { to: 7, restored: vec!["/a".into()], removed: vec![], unchanged: 3, dry_run: false };
        assert_eq!(text(&report), "1 restored to version 7, 0 removed, 3 are as they were\n");
        let dry = Report { dry_run: true, removed: vec!["/b".into()], ..report };
        assert_eq!(
            text(&dry),
            "restore /a\nremove  /b\n1 would be restored to version 7, 1 would be removed, 3 are as they were\n"
        );
    }
}
