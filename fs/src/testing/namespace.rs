//! Names of a volume in memory: every version is a whole copy.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use weft_common::client::{ClientError, Namespace};
use weft_common::id::{BlobId, BlobVersion, InodeNumber, ROOT_INODE, VolumeVersion};
use weft_common::name::FileName;
use weft_common::time::Timestamp;
use weft_common::weave::Tree;
use weft_common::wire::{
    At, Attributes, Author, Change, ChangeKind, ChangeRecord, ChangeReply, DirectoryEntry, ErrorKind, FileKind, HistoryState,
    NamespaceAnswer, NewInode, Query, ServiceError, Tag, VolumeInfo, VolumeSettings, VolumeStatistics,
};

use super::volume::{FakeVolume, VOLUME, geometry};
use crate::lock;

/// Time of version 0; each version is a second later.
pub(super) const EPOCH_SECONDS: i64 = 1_700_000_000;

#[derive(Clone, Debug)]
struct Inode {
    attributes: Attributes,
    entries: BTreeMap<FileName, InodeNumber>,
    target: Vec<u8>,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

type Snapshot = HashMap<InodeNumber, Inode>;

/// All versions of the names.
#[derive(Debug)]
pub(super) struct Names {
    versions: Vec<Snapshot>,
    records: Vec<ChangeRecord>,
    tags: BTreeMap<String, VolumeVersion>,
    last_inode: u64,
}

fn refuse<T>(kind: ErrorKind) -> Result<T, ClientError> {
    Err(ServiceError::new(kind, "the volume in memory refuses").into())
}

/// Attributes of a new inode.
pub(crate) fn attributes(inode: InodeNumber, kind: FileKind, version: VolumeVersion, time: Timestamp) -> Attributes {
    let blob = BlobId { volume: VOLUME, number: inode.0 };
    Attributes {
        inode,
        kind,
        mode: 0o755,
        uid: 0,
        gid: 0,
        links: if kind == FileKind::Directory { 2 } else { 1 },
        size: 0,
        rdev: 0,
        accessed: time,
        modified: time,
        changed: time,
        born: time,
        version,
        xattr_bytes: 0,
        tree: (kind == FileKind::File).then(|| Tree::empty(blob, geometry())),
    }
}

impl Names {
    pub(super) fn new() -> Self {
        let root = attributes(ROOT_INODE, FileKind::Directory, VolumeVersion(0), Timestamp::from_parts(EPOCH_SECONDS, 0));
        let root = Inode { attributes: root, entries: BTreeMap::new(), target: Vec::new(), xattrs: BTreeMap::new() };
        let versions = vec![HashMap::from([(ROOT_INODE, root)])];
        Self { versions, records: Vec::new(), tags: BTreeMap::new(), last_inode: 1 }
    }

    fn head(&self) -> &Snapshot {
        self.versions.last().expect("a version")
    }

    fn latest(&self) -> VolumeVersion {
        VolumeVersion(self.versions.len() as u64 - 1)
    }

    fn at(&self, at: At) -> Result<&Snapshot, ClientError> {
        match at {
            At::Head => Ok(self.head()),
            At::Version(version) => self.versions.get(version.0 as usize).map_or_else(|| refuse(ErrorKind::NotFound), Ok),
        }
    }

    pub(super) fn inode(&self, inode: InodeNumber) -> Option<&Attributes> {
        self.head().get(&inode).map(|inode| &inode.attributes)
    }

    pub(super) fn inode_at(&self, at: At, inode: InodeNumber) -> Result<&Attributes, ClientError> {
        self.at(at)?.get(&inode).map_or_else(|| refuse(ErrorKind::NotFound), |inode| Ok(&inode.attributes))
    }

    /// The next version, made by `change` of a copy.
    fn advance(
        &mut self,
        kind: ChangeKind,
        author: &Author,
        inode: InodeNumber,
        change: impl FnOnce(&mut Snapshot, VolumeVersion, Timestamp),
    ) -> VolumeVersion {
        let version = VolumeVersion(self.versions.len() as u64);
        let time = Timestamp::from_parts(EPOCH_SECONDS + version.0 as i64, 0);
        let mut next = self.head().clone();
        change(&mut next, version, time);
        if let Some(changed) = next.get_mut(&inode) {
            changed.attributes.version = version;
            changed.attributes.changed = time;
        }
        let place = next.iter().find_map(|(parent, directory)| {
            let name = directory.entries.iter().find(|(_, child)| **child == inode)?.0;
            Some((*parent, name.clone()))
        });
        let content = next.get(&inode).and_then(|inode| inode.attributes.tree).map(|tree| (tree.blob, tree.version, tree.size));
        let author = author.clone();
        self.records.push(ChangeRecord { version, time, author, kind, inode, place, old_place: None, content });
        self.versions.push(next);
        version
    }

    pub(super) fn publish(
        &mut self,
        inode: InodeNumber,
        tree: Tree,
        modified: Timestamp,
        author: &Author,
        kind: ChangeKind,
    ) -> VolumeVersion {
        self.advance(kind, author, inode, |snapshot, _, _| {
            if let Some(file) = snapshot.get_mut(&inode) {
                file.attributes.tree = Some(tree);
                file.attributes.size = tree.size;
                file.attributes.modified = modified;
            }
        })
    }

    fn child(&self, parent: InodeNumber, name: &FileName) -> Result<InodeNumber, ClientError> {
        let child = self.head().get(&parent).and_then(|directory| directory.entries.get(name));
        child.copied().map_or_else(|| refuse(ErrorKind::NotFound), Ok)
    }

    fn change(&mut self, author: &Author, change: Change) -> Result<(VolumeVersion, Option<InodeNumber>), ClientError> {
        match change {
            Change::Create { parent, name, inode, mode, uid, gid, exclusive, umask } => {
                if let Ok(existing) = self.child(parent, &name) {
                    return if exclusive { refuse(ErrorKind::AlreadyExists) } else { Ok((self.latest(), Some(existing))) };
                }
                self.last_inode += 1;
                let number = InodeNumber(self.last_inode);
                let (kind, target) = match inode {
                    NewInode::File => (FileKind::File, Vec::new()),
                    NewInode::Directory => (FileKind::Directory, Vec::new()),
                    NewInode::Symlink(target) => (FileKind::Symlink, target),
                    NewInode::Special(kind, _) => (kind, Vec::new()),
                };
                let made = self.advance(ChangeKind::Create, author, number, |snapshot, version, time| {
                    let mut attributes = attributes(number, kind, version, time);
                    (attributes.mode, attributes.uid, attributes.gid) = (mode & !umask, uid, gid);
                    let inode = Inode { attributes, entries: BTreeMap::new(), target, xattrs: BTreeMap::new() };
                    snapshot.insert(number, inode);
                    snapshot.get_mut(&parent).expect("a parent").entries.insert(name, number);
                });
                Ok((made, Some(number)))
            }
            Change::Unlink { parent, name } | Change::RemoveDirectory { parent, name } => {
                let inode = self.child(parent, &name)?;
                let version = self.advance(ChangeKind::Remove, author, inode, |snapshot, _, _| {
                    snapshot.get_mut(&parent).expect("a parent").entries.remove(&name);
                    snapshot.get_mut(&inode).expect("an inode").attributes.links -= 1;
                });
                Ok((version, Some(inode)))
            }
            Change::Rename { parent, name, new_parent, new_name, .. } => {
                let inode = self.child(parent, &name)?;
                let version = self.advance(ChangeKind::Rename, author, inode, |snapshot, _, _| {
                    snapshot.get_mut(&parent).expect("a parent").entries.remove(&name);
                    let replaced = snapshot.get_mut(&new_parent).expect("a parent").entries.insert(new_name, inode);
                    if let Some(replaced) = replaced {
                        snapshot.get_mut(&replaced).expect("an inode").attributes.links -= 1;
                    }
                });
                Ok((version, Some(inode)))
            }
            Change::SetAttributes { inode, set } => {
                let version = self.advance(ChangeKind::Attributes, author, inode, |snapshot, _, _| {
                    let attributes = &mut snapshot.get_mut(&inode).expect("an inode").attributes;
                    attributes.mode = set.mode.unwrap_or(attributes.mode);
                    attributes.uid = set.uid.unwrap_or(attributes.uid);
                    attributes.modified = set.modified.unwrap_or(attributes.modified);
                });
                Ok((version, Some(inode)))
            }
            Change::SetXattr { inode, name, value, .. } => {
                let version = self.advance(ChangeKind::Attributes, author, inode, |snapshot, _, _| {
                    let inode = snapshot.get_mut(&inode).expect("an inode");
                    inode.xattrs.insert(name, value);
                    inode.attributes.xattr_bytes = 1;
                });
                Ok((version, Some(inode)))
            }
            Change::SetTag { name, version } => {
                self.tags.insert(name, version);
                Ok((self.latest(), None))
            }
            _ => refuse(ErrorKind::Unsupported),
        }
    }

    fn history(&self, parent: InodeNumber, name: &FileName) -> Vec<HistoryState> {
        let mut states = Vec::<HistoryState>::new();
        for (number, snapshot) in self.versions.iter().enumerate().skip(1) {
            let child = snapshot.get(&parent).and_then(|directory| directory.entries.get(name));
            let now = child.and_then(|child| snapshot.get(child)).map(|inode| inode.attributes.clone());
            let version = VolumeVersion(number as u64);
            match (states.last_mut().filter(|state| state.removed.is_none()), now) {
                (Some(state), None) => state.removed = Some(version),
                (Some(state), Some(now)) if state.attributes.tree == now.tree => {}
                (_, None) => {}
                (_, Some(attributes)) => {
                    states.push(HistoryState { from: version, attributes, author: Author::default(), removed: None });
                }
            }
        }
        states
    }

    fn query(&self, at: At, query: Query) -> Result<NamespaceAnswer, ClientError> {
        let inode = |inode: InodeNumber| self.at(at)?.get(&inode).map_or_else(|| refuse(ErrorKind::NotFound), Ok);
        let page = |all: Vec<ChangeRecord>, limit: u32| {
            let more = all.len() > limit as usize;
            NamespaceAnswer::Changes { changes: all.into_iter().take(limit as usize).collect(), more }
        };
        match query {
            Query::LookUp { parent, name } => match inode(parent)?.entries.get(&name) {
                Some(child) => Ok(NamespaceAnswer::Attributes(inode(*child)?.attributes.clone())),
                None => refuse(ErrorKind::NotFound),
            },
            Query::Attributes(number) => Ok(NamespaceAnswer::Attributes(inode(number)?.attributes.clone())),
            Query::ReadDirectory { directory, after, limit } => {
                let all = inode(directory)?.entries.iter();
                let mut rest = all.filter(|(name, _)| after.as_ref().is_none_or(|after| *name > after));
                let mut entries = Vec::new();
                for (name, child) in rest.by_ref().take(limit as usize) {
                    entries.push(DirectoryEntry { name: name.clone(), attributes: inode(*child)?.attributes.clone() });
                }
                Ok(NamespaceAnswer::Entries { entries, more: rest.next().is_some() })
            }
            Query::ReadLink(number) => Ok(NamespaceAnswer::Bytes(inode(number)?.target.clone())),
            Query::GetXattr { inode: number, name } => match inode(number)?.xattrs.get(&name) {
                Some(value) => Ok(NamespaceAnswer::Bytes(value.clone())),
                None => refuse(ErrorKind::NoAttribute),
            },
            Query::ListXattrs(number) => Ok(NamespaceAnswer::Names(inode(number)?.xattrs.keys().cloned().collect())),
            Query::Latest => Ok(NamespaceAnswer::Version(self.latest())),
            Query::Version { version, .. } if version <= self.latest() => Ok(NamespaceAnswer::Version(version)),
            Query::Version { .. } => refuse(ErrorKind::NotFound),
            Query::VersionAt { time, .. } => {
                let seconds = time.seconds() - EPOCH_SECONDS;
                match u64::try_from(seconds) {
                    Ok(version) => Ok(NamespaceAnswer::Version(VolumeVersion(version.min(self.latest().0)))),
                    Err(_) => refuse(ErrorKind::NotFound),
                }
            }
            Query::VersionTagged(tag) => match self.tags.get(&tag) {
                Some(version) => Ok(NamespaceAnswer::Version(*version)),
                None => refuse(ErrorKind::NotFound),
            },
            Query::Tags => {
                let tag = |(name, version): (&String, &VolumeVersion)| Tag {
                    name: name.clone(),
                    version: *version,
                    created: Timestamp(0),
                };
                Ok(NamespaceAnswer::Tags(self.tags.iter().map(tag).collect()))
            }
            Query::VersionsOf { directory, after, limit } => {
                let is_in = |record: &&ChangeRecord| {
                    let here = record.place.as_ref().is_some_and(|(parent, _)| *parent == directory);
                    record.version > after && (directory == ROOT_INODE || here)
                };
                Ok(page(self.records.iter().filter(is_in).cloned().collect(), limit))
            }
            Query::HistoryOf { parent, name, after, limit } => {
                let mut states = self.history(parent, &name);
                states.retain(|state| state.from > after);
                let more = states.len() > limit as usize;
                states.truncate(limit as usize);
                Ok(NamespaceAnswer::History { states, more })
            }
            Query::Watch { after, limit, .. } => {
                Ok(page(self.records.iter().filter(|record| record.version > after).cloned().collect(), limit))
            }
            Query::Statistics => Ok(NamespaceAnswer::Statistics(VolumeStatistics::default())),
            Query::Parent(_) | Query::PathOf(_) => refuse(ErrorKind::Unsupported),
        }
    }
}

#[async_trait::async_trait]
impl Namespace for FakeVolume {
    fn info(&self) -> VolumeInfo {
        let settings = VolumeSettings { geometry: geometry(), copies: 1 };
        let latest = lock(&self.names).latest();
        VolumeInfo { id: VOLUME, name: "show".to_owned(), settings, latest, created: Timestamp(0) }
    }

    async fn query(&self, at: At, query: Query) -> Result<NamespaceAnswer, ClientError> {
        self.queries.fetch_add(1, Ordering::Relaxed);
        tokio::task::yield_now().await;
        lock(&self.names).query(at, query)
    }

    async fn change(&self, author: &Author, change: Change) -> Result<ChangeReply, ClientError> {
        tokio::task::yield_now().await;
        if let Change::ShareContent { .. } = change {
            return self.share(author, &change);
        }
        let mut names = lock(&self.names);
        let (version, inode) = names.change(author, change)?;
        Ok(ChangeReply { version, attributes: inode.and_then(|inode| names.inode(inode).cloned()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_the_fake_are_whole_copies() {
        let mut names = Names::new();
        let file = FileName::new("a").expect("a name");
        let create = Change::Create {
            parent: ROOT_INODE,
            name: file.clone(),
            inode: NewInode::File,
            mode: 0o644,
            uid: 0,
            gid: 0,
            exclusive: true,
            umask: 0,
        };
        names.change(&Author::default(), create).expect("made");
        names.change(&Author::default(), Change::Unlink { parent: ROOT_INODE, name: file.clone() }).expect("gone");
        assert!(names.at(At::Version(VolumeVersion(1))).expect("kept")[&ROOT_INODE].entries.contains_key(&file));
        assert!(names.head()[&ROOT_INODE].entries.is_empty());
        assert_eq!(names.history(ROOT_INODE, &file)[0].removed, Some(VolumeVersion(2)));
        assert_eq!(BlobVersion(0), names.history(ROOT_INODE, &file)[0].attributes.tree.expect("a file").version);
    }
}
