//! `.versions` and `.history`: what their names mean, and what they list.

use std::time::{Duration, SystemTime};
use weft_common::id::{InodeNumber, VolumeVersion};
use weft_common::name::FileName;
use weft_common::time::Timestamp;
use weft_common::wire::{At, FileKind, HistoryState, NamespaceAnswer, Query, Tag};

use super::holds::LABEL_LIFETIME;
use super::{Entry, Failure, Filesystem, not_found, unexpected};
use crate::inode::{Key, Label, Node, NodeId, Old, parse_state_name};

/// How far clocks of this host and the version manager may differ. A time further back means the same version for ever.
const CLOCK_SKEW_MAX: Duration = Duration::from_secs(60);

impl Filesystem {
    /// `D/.versions/LABEL`.
    pub(super) async fn version_entry(&self, parent: NodeId, directory: InodeNumber, name: &FileName) -> Result<Entry, Failure> {
        let (at, lifetime) = self.resolve(directory, name).await?;
        self.uses.note(at);
        let attributes = self.attributes_at(At::Version(at), directory).await?;
        let key = Key::Entry(directory, name.as_bytes().to_vec(), at);
        Ok(self.interned(key, Old { at, attributes, entry: None, place: (parent, name.clone()) }, lifetime))
    }

    /// The version that a label means now in a directory, and how long that will hold.
    async fn resolve(&self, directory: InodeNumber, name: &FileName) -> Result<(VolumeVersion, Duration), Failure> {
        match Label::parse(name.as_bytes()).ok_or_else(not_found)? {
            Label::Number(version) => {
                // What is kept can be thinned: the kernel asks again, so that it is known what is in use.
                Ok((self.version(Query::Version { directory, version }).await?, LABEL_LIFETIME))
            }
            Label::Time(time) => {
                let time = time.through_second();
                let is_past = time.after(CLOCK_SKEW_MAX) < Timestamp::from(SystemTime::now());
                let lifetime = if is_past { LABEL_LIFETIME } else { Duration::ZERO };
                Ok((self.version(Query::VersionAt { directory, time }).await?, lifetime))
            }
            Label::Tag(tag) => Ok((self.version(Query::VersionTagged(tag)).await?, self.settings.entry_lifetime)),
        }
    }

    async fn version(&self, query: Query) -> Result<VolumeVersion, Failure> {
        match self.volume.query(At::Head, query).await? {
            NamespaceAnswer::Version(version) => Ok(version),
            _ => Err(unexpected()),
        }
    }

    /// `D/.history/FILE`, of any name that ever was a file in `D`.
    pub(super) async fn file_history_entry(&self, directory: InodeNumber, name: FileName) -> Result<Entry, Failure> {
        let (states, _) = self.states(directory, &name, VolumeVersion(0), 64).await?;
        if states.is_empty() {
            return Err(not_found());
        }
        let about = self.directory(directory).await?;
        let key = Key::FileHistory(directory, name.clone());
        Ok(self.virtual_entry(key, Node::FileHistory(directory, name), about))
    }

    /// `D/.history/FILE/N.ext`.
    pub(super) async fn state_entry(
        &self,
        parent: NodeId,
        directory: InodeNumber,
        file: FileName,
        name: &FileName,
    ) -> Result<Entry, Failure> {
        let version = parse_state_name(file.as_bytes(), name.as_bytes()).ok_or_else(not_found)?;
        let before = VolumeVersion(version.0.checked_sub(1).ok_or_else(not_found)?);
        let (states, _) = self.states(directory, &file, before, 1).await?;
        let state = states.into_iter().find(|state| state.from == version).ok_or_else(not_found)?;
        Ok(self.history_entry((parent, name.clone()), state))
    }

    /// The entry of one state of a file, counted as one look-up.
    pub(super) fn history_entry(&self, place: (NodeId, FileName), state: HistoryState) -> Entry {
        let key = Key::OldFile(state.attributes.inode, state.attributes.version);
        self.interned(key, Old { at: state.from, attributes: state.attributes, entry: None, place }, LABEL_LIFETIME)
    }

    /// States of one name, files only, and whether there are more behind them.
    pub(super) async fn states(
        &self,
        parent: InodeNumber,
        name: &FileName,
        after: VolumeVersion,
        limit: u32,
    ) -> Result<(Vec<HistoryState>, bool), Failure> {
        let query = Query::HistoryOf { parent, name: name.clone(), after, limit };
        match self.volume.query(At::Head, query).await? {
            NamespaceAnswer::History { mut states, more } => {
                states.retain(|state| state.attributes.kind != FileKind::Directory);
                Ok((states, more))
            }
            _ => Err(unexpected()),
        }
    }

    /// Kept versions of a directory behind `after`, and whether there are more behind them.
    pub(super) async fn versions_of(
        &self,
        directory: InodeNumber,
        after: VolumeVersion,
        limit: u32,
    ) -> Result<(Vec<VolumeVersion>, bool), Failure> {
        match self.volume.query(At::Head, Query::VersionsOf { directory, after, limit }).await? {
            NamespaceAnswer::Changes { changes, more } => {
                let mut versions: Vec<_> = changes.iter().map(|change| change.version).collect();
                versions.dedup();
                Ok((versions, more))
            }
            _ => Err(unexpected()),
        }
    }

    /// All tags.
    pub(super) async fn tags(&self) -> Result<Vec<Tag>, Failure> {
        match self.volume.query(At::Head, Query::Tags).await? {
            NamespaceAnswer::Tags(tags) => Ok(tags),
            _ => Err(unexpected()),
        }
    }
}
