//! A volume as the tools see it: look-ups by path, listings page by page, history, all over the two client traits. Works on
//! any [`Namespace`], so that the commands are tested without servers.

use super::error::CliError;
use futures_util::future::BoxFuture;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use weft_common::client::{BlobStore, ClientError, Namespace};
use weft_common::id::{InodeNumber, ROOT_INODE, VolumeVersion};
use weft_common::limits::{ENTRIES_PER_ANSWER_MAX, WATCH_WAIT};
use weft_common::name::FileName;
use weft_common::wire::{
    At, Attributes, Author, Change, ChangeRecord, ChangeReply, DirectoryEntry, ErrorKind, FileKind, HistoryState,
};
use weft_common::wire::{NamespaceAnswer, Query, Tag};

const PAGE: u32 = ENTRIES_PER_ANSWER_MAX as u32;

/// An open volume.
#[derive(Clone, Debug)]
pub(super) struct Volume {
    /// Its names.
    pub names: Arc<dyn Namespace>,
    /// Its bytes.
    pub blobs: Arc<dyn BlobStore>,
    /// Who the tools act as.
    pub author: Author,
}

/// Components of a path for a message: `/shots/frame.exr`.
#[must_use]
pub(super) fn show_path(path: &[FileName]) -> String {
    let names: Vec<_> = path.iter().map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned()).collect();
    format!("/{}", names.join("/"))
}

fn show_at(at: At) -> String {
    match at {
        At::Head => "the newest version".into(),
        At::Version(version) => format!("version {}", version.0),
    }
}

impl Volume {
    /// The newest version.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) async fn latest(&self) -> Result<VolumeVersion, CliError> {
        match self.names.query(At::Head, Query::Latest).await? {
            NamespaceAnswer::Version(version) => Ok(version),
            _ => Err(CliError::UnexpectedAnswer("latest")),
        }
    }

    /// Changes of the volume behind `after`, once there are some; none if there were none for some seconds.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) async fn changes_to_come(&self, after: VolumeVersion) -> Result<Vec<ChangeRecord>, CliError> {
        let query = Query::Watch { after, limit: PAGE, wait_ms: WATCH_WAIT.as_millis() as u32 };
        match self.names.query(At::Head, query).await? {
            NamespaceAnswer::Changes { changes, .. } => Ok(changes),
            _ => Err(CliError::UnexpectedAnswer("watch")),
        }
    }

    /// One inode.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) async fn attributes(&self, at: At, inode: InodeNumber) -> Result<Attributes, CliError> {
        match self.names.query(at, Query::Attributes(inode)).await? {
            NamespaceAnswer::Attributes(attributes) => Ok(attributes),
            _ => Err(CliError::UnexpectedAnswer("attributes")),
        }
    }

    /// One name of a directory; `None` if it is not there.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) async fn entry(&self, at: At, parent: InodeNumber, name: &FileName) -> Result<Option<Attributes>, CliError> {
        match self.names.query(at, Query::LookUp { parent, name: name.clone() }).await {
            Ok(NamespaceAnswer::Attributes(attributes)) => Ok(Some(attributes)),
            Ok(_) => Err(CliError::UnexpectedAnswer("look_up")),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// What a path names.
    ///
    /// # Errors
    /// [`CliError::NoSuchPath`] if it names nothing at that version.
    pub(super) async fn walk(&self, at: At, path: &[FileName]) -> Result<Attributes, CliError> {
        self.walk_from(at, ROOT_INODE, path).await
    }

    /// What a path that starts in a directory names.
    ///
    /// # Errors
    /// As for [`Volume::walk`].
    pub(super) async fn walk_from(&self, at: At, start: InodeNumber, path: &[FileName]) -> Result<Attributes, CliError> {
        let found = self.find_from(at, start, path).await?;
        found.ok_or_else(|| CliError::NoSuchPath { path: show_path(path), at: show_at(at) })
    }

    /// What a path names, if anything.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) async fn find(&self, at: At, path: &[FileName]) -> Result<Option<Attributes>, CliError> {
        self.find_from(at, ROOT_INODE, path).await
    }

    async fn find_from(&self, at: At, start: InodeNumber, path: &[FileName]) -> Result<Option<Attributes>, CliError> {
        let (mut here, path) = match self.attributes(at, start).await {
            Err(error) if start == ROOT_INODE && is_partly_kept(&error) => self.find_kept(at, path).await?.ok_or(error)?,
            found => (found?, path),
        };
        for name in path {
            match self.entry(at, here.inode, name).await? {
                Some(next) => here = next,
                None => return Ok(None),
            }
        }
        Ok(Some(here))
    }

    /// Of a version that only some directories keep: the uppermost directory on the path, as it is now, that does, and the rest of
    /// the path.
    async fn find_kept<'p>(&self, at: At, path: &'p [FileName]) -> Result<Option<(Attributes, &'p [FileName])>, CliError> {
        let mut now = ROOT_INODE;
        for (depth, name) in path.iter().enumerate() {
            let Some(next) = self.entry(At::Head, now, name).await? else { return Ok(None) };
            match self.attributes(at, next.inode).await {
                Ok(then) => return Ok(Some((then, &path[depth + 1..]))),
                Err(error) if is_partly_kept(&error) => now = next.inode,
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// All entries of a directory, in order of names.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) async fn entries(&self, at: At, directory: InodeNumber) -> Result<Vec<DirectoryEntry>, CliError> {
        let mut all: Vec<DirectoryEntry> = Vec::new();
        loop {
            let after = all.last().map(|entry| entry.name.clone());
            match self.names.query(at, Query::ReadDirectory { directory, after, limit: PAGE }).await? {
                NamespaceAnswer::Entries { entries, more } => {
                    let done = !more || entries.is_empty();
                    all.extend(entries);
                    if done {
                        return Ok(all);
                    }
                }
                _ => return Err(CliError::UnexpectedAnswer("read_directory")),
            }
        }
    }

    /// One page of a directory's changes behind a version, ascending, and whether there are more.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) async fn changes(
        &self,
        directory: InodeNumber,
        after: VolumeVersion,
    ) -> Result<(Vec<ChangeRecord>, bool), CliError> {
        match self.names.query(At::Head, Query::VersionsOf { directory, after, limit: PAGE }).await? {
            NamespaceAnswer::Changes { changes, more } => Ok((changes, more)),
            _ => Err(CliError::UnexpectedAnswer("versions_of")),
        }
    }

    /// Every kept state of one name, ascending.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) async fn history(&self, parent: InodeNumber, name: &FileName) -> Result<Vec<HistoryState>, CliError> {
        let mut all: Vec<HistoryState> = Vec::new();
        loop {
            let after = all.last().map_or(VolumeVersion(0), |state| state.from);
            match self.names.query(At::Head, Query::HistoryOf { parent, name: name.clone(), after, limit: PAGE }).await? {
                NamespaceAnswer::History { states, more } => {
                    let done = !more || states.is_empty();
                    all.extend(states);
                    if done {
                        return Ok(all);
                    }
                }
                _ => return Err(CliError::UnexpectedAnswer("history_of")),
            }
        }
    }

    /// All tags.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) async fn tags(&self) -> Result<Vec<Tag>, CliError> {
        match self.names.query(At::Head, Query::Tags).await? {
            NamespaceAnswer::Tags(tags) => Ok(tags),
            _ => Err(CliError::UnexpectedAnswer("tags")),
        }
    }

    /// One path of an inode; `None` if it had none then.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) async fn path_of(&self, at: At, inode: InodeNumber) -> Result<Option<Vec<FileName>>, CliError> {
        if inode == ROOT_INODE {
            return Ok(Some(Vec::new()));
        }
        match self.names.query(at, Query::PathOf(inode)).await {
            Ok(NamespaceAnswer::Path(path)) => Ok(Some(path)),
            Ok(_) => Err(CliError::UnexpectedAnswer("path_of")),
            Err(error) if is_absent(&error) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes what stands at `path`, and of a directory all that is in it first, directory by directory. `told` hears of each path
    /// before it goes; a dry run does no more than that.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) fn remove_all<'a>(
        &'a self,
        parent: InodeNumber,
        path: Vec<FileName>,
        what: Attributes,
        dry_run: bool,
        told: &'a (dyn Fn(&[FileName]) + Sync),
    ) -> BoxFuture<'a, Result<(), CliError>> {
        Box::pin(async move {
            let Some(name) = path.last().cloned() else { return Ok(()) };
            let change = if what.kind == FileKind::Directory {
                for entry in self.entries(At::Head, what.inode).await? {
                    let below = path.iter().cloned().chain([entry.name]).collect();
                    self.remove_all(what.inode, below, entry.attributes, dry_run, told).await?;
                }
                Change::RemoveDirectory { parent, name }
            } else {
                Change::Unlink { parent, name }
            };
            told(&path);
            if !dry_run {
                self.change(change).await?;
            }
            Ok(())
        })
    }

    /// The extended attributes of an inode.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) async fn xattrs(&self, at: At, inode: InodeNumber) -> Result<BTreeMap<Vec<u8>, Vec<u8>>, CliError> {
        let NamespaceAnswer::Names(names) = self.names.query(at, Query::ListXattrs(inode)).await? else {
            return Err(CliError::UnexpectedAnswer("list_xattrs"));
        };
        let mut xattrs = BTreeMap::new();
        for name in names {
            match self.names.query(at, Query::GetXattr { inode, name: name.clone() }).await {
                Ok(NamespaceAnswer::Bytes(value)) => drop(xattrs.insert(name, value)),
                Ok(_) => return Err(CliError::UnexpectedAnswer("get_xattr")),
                Err(ClientError::Service(error)) if error.kind == ErrorKind::NoAttribute => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(xattrs)
    }

    /// Changes the namespace.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) async fn change(&self, change: Change) -> Result<ChangeReply, CliError> {
        Ok(self.names.change(&self.author, change).await?)
    }
}

fn is_absent(error: &ClientError) -> bool {
    matches!(error, ClientError::Service(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::NotDirectory))
}

/// Whether the volume has let go of the version, while directories may keep it.
fn is_partly_kept(error: &CliError) -> bool {
    matches!(error, CliError::Client(ClientError::Service(error)) if error.kind == ErrorKind::Stale)
}

/// Paths of directories, asked for once each as long as nothing is renamed: walk the versions in order, and call
/// [`Paths::forget`] at each rename.
#[derive(Debug, Default)]
pub(super) struct Paths(HashMap<InodeNumber, String>);

/// Directories whose path is remembered.
const PATHS_MAX: usize = 65_536;
/// What stands for the path of a directory that has none.
pub(super) const NO_PATH: &str = "?";

impl Paths {
    /// Where `name` in `directory` was at `version`. A directory that has no path then (it was just removed) shows as `?`.
    pub(super) async fn of(
        &mut self,
        volume: &Volume,
        version: VolumeVersion,
        directory: InodeNumber,
        name: &FileName,
    ) -> String {
        if self.0.len() >= PATHS_MAX {
            self.0.clear();
        }
        if let Entry::Vacant(place) = self.0.entry(directory)
            && let Ok(NamespaceAnswer::Path(path)) = volume.names.query(At::Version(version), Query::PathOf(directory)).await
        {
            place.insert(show_path(&path));
        }
        let parent = self.0.get(&directory).map_or(NO_PATH, |parent| parent.trim_end_matches('/'));
        format!("{parent}/{}", String::from_utf8_lossy(name.as_bytes()))
    }

    /// Directories may have moved.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }
}
