//! One change under way. Operations check and compute on copies of the few records that they concern; only
//! [`Edit::commit`] writes, so a change that is refused has changed nothing.

use super::keys::{self, CHANGES, DIRECTORY_CHANGES, Key, ORPHANS, OTHER_NAMES};
use super::policies::PARENTS;
use super::records::{Body, Dated, InodeRecord, Place, to_row};
use super::txn::VolumeTxn;
use super::view::{ENTRIES, INODES, View, XATTRS};
use super::{NamespaceError, policies, refuse};
use crate::version::garbage;
use crate::version::kv::{Kv, KvError};
use std::collections::{BTreeMap, BTreeSet};
use weft_common::id::{BlobId, BlobVersion, InodeNumber, ROOT_INODE, VolumeId, VolumeVersion};
use weft_common::weave::Tree;
use weft_common::wire::{At, ChangeKind, ChangeRecord, ChangeReply, ErrorKind};

/// An inode that the change touches.
struct Staged {
    /// As it was; `None` if it is new, or had been released.
    old: Option<Dated<InodeRecord>>,
    new: InodeRecord,
}

impl Staged {
    /// The directories whose leases cover what is changed. A new inode is covered by its directory's, which changes as well.
    fn leased_under(&self, inode: InodeNumber) -> impl Iterator<Item = InodeNumber> {
        let directory = move |record: &InodeRecord| match &record.place {
            _ if record.is_directory() => Some(inode),
            place => place.as_ref().map(|place| place.directory),
        };
        let old = self.old.as_ref().map(|old| &old.value);
        old.and_then(directory).into_iter().chain(old.and_then(|_| directory(&self.new)))
    }
}

/// What the change is, for its record.
pub(super) struct Summary {
    pub(super) kind: ChangeKind,
    pub(super) inode: InodeNumber,
    pub(super) place: Option<Place>,
    pub(super) old_place: Option<Place>,
    pub(super) content: Option<(BlobId, BlobVersion, u64)>,
}

impl Summary {
    pub(super) fn new(kind: ChangeKind, inode: InodeNumber, place: Option<Place>) -> Self {
        Self { kind, inode, place, old_place: None, content: None }
    }
}

/// One change under way.
pub(super) struct Edit<'t, 'a> {
    pub(super) txn: &'t mut VolumeTxn<'a>,
    inodes: BTreeMap<InodeNumber, Staged>,
    entries: BTreeMap<Place, Option<InodeNumber>>,
    other_names: BTreeMap<(InodeNumber, Place), bool>,
    xattrs: BTreeMap<(InodeNumber, Vec<u8>), Option<Vec<u8>>>,
    touched: BTreeSet<InodeNumber>,
    /// Clones, and the blob versions that they begin with.
    clones: BTreeMap<BlobId, (BlobId, BlobVersion)>,
}

impl<'t, 'a> Edit<'t, 'a> {
    pub(super) fn new(txn: &'t mut VolumeTxn<'a>) -> Self {
        Self {
            txn,
            inodes: BTreeMap::new(),
            entries: BTreeMap::new(),
            other_names: BTreeMap::new(),
            xattrs: BTreeMap::new(),
            touched: BTreeSet::new(),
            clones: BTreeMap::new(),
        }
    }

    /// The volume as it was before the change.
    pub(super) fn head(&self) -> View<'_> {
        self.past(At::Head)
    }

    /// The volume as it was at `at`.
    pub(super) fn past(&self, at: At) -> View<'_> {
        View { kv: &*self.txn.kv, volume: self.txn.volume, at }
    }

    /// What `place` names before the change.
    pub(super) fn entry(&self, place: &Place) -> Result<Option<InodeNumber>, KvError> {
        self.head().entry(place.directory, &place.name)
    }

    /// What `place` names before the change, or `NotFound`.
    pub(super) fn existing(&self, place: &Place) -> Result<InodeNumber, NamespaceError> {
        match self.entry(place)? {
            Some(inode) => Ok(inode),
            None => refuse(ErrorKind::NotFound, format!("there is no {}", self.describe(place))),
        }
    }

    /// A name for messages.
    pub(super) fn describe(&self, place: &Place) -> String {
        format!("'{}' in directory {} of {}", place.name, place.directory, self.txn.volume)
    }

    /// The inode's new state, to be worked on.
    pub(super) fn stage(&mut self, inode: InodeNumber) -> Result<&mut InodeRecord, NamespaceError> {
        if !self.inodes.contains_key(&inode) {
            let old = self.head().inode(inode)?;
            self.inodes.insert(inode, Staged { new: old.value.clone(), old: Some(old) });
        }
        match self.inodes.get_mut(&inode) {
            Some(staged) => Ok(&mut staged.new),
            None => Err(KvError(format!("{inode} was lost while it was changed")).into()),
        }
    }

    /// A new inode, or one that comes back after its last name had gone.
    pub(super) fn stage_new(&mut self, inode: InodeNumber, record: InodeRecord) -> Result<(), KvError> {
        let old = self.head().find_inode(inode)?;
        self.inodes.insert(inode, Staged { old, new: record });
        Ok(())
    }

    /// The version that the change will make.
    pub(super) fn next_version(&self) -> VolumeVersion {
        VolumeVersion(self.txn.counters.latest.0 + 1)
    }

    /// A number for a new inode. Call it behind all checks.
    pub(super) fn fresh_inode(&mut self) -> InodeNumber {
        self.txn.counters.next_inode += 1;
        InodeNumber(self.txn.counters.next_inode - 1)
    }

    /// A new blob. Call it behind all checks.
    pub(super) fn fresh_blob(&mut self) -> BlobId {
        self.txn.counters.next_blob += 1;
        BlobId { volume: self.txn.volume, number: self.txn.counters.next_blob - 1 }
    }

    /// A new blob that begins with the content of `tree`. Call it behind all checks.
    pub(super) fn clone_tree(&mut self, tree: &Tree) -> Tree {
        let clone = self.fresh_blob();
        if let Some(root) = tree.root {
            // The root is in the tree of the version that wrote it, which may be another blob's: then `tree` is a clone itself.
            self.clones.insert(clone, (BlobId { volume: clone.volume, number: root.blob }, root.version));
        }
        Tree { blob: clone, version: BlobVersion(0), ..*tree }
    }

    /// Gives `inode` the name `place`, which is free by now.
    pub(super) fn attach(&mut self, place: &Place, inode: InodeNumber) -> Result<(), NamespaceError> {
        let now = self.txn.now;
        let record = self.stage(inode)?;
        record.changed = now;
        let is_directory = record.is_directory();
        record.links += u32::from(!is_directory);
        if record.place.is_none() {
            record.place = Some(place.clone());
        } else {
            self.other_names.insert((inode, place.clone()), true);
        }
        self.entries.insert(place.clone(), Some(inode));
        self.count_entry(place, is_directory, 1)
    }

    /// Takes the name `place` from `inode`, whose name it is. A directory keeps its links: see [`Edit::remove`].
    pub(super) fn detach(&mut self, place: &Place, inode: InodeNumber) -> Result<(), NamespaceError> {
        let now = self.txn.now;
        let has_others = self.stage(inode)?.links > 1;
        let other = if has_others { self.head().other_name(inode, InodeNumber(0))? } else { None };
        let record = self.stage(inode)?;
        record.changed = now;
        let is_directory = record.is_directory();
        record.links -= u32::from(!is_directory);
        let lost = if record.place.as_ref() == Some(place) {
            record.place.clone_from(&other);
            other
        } else {
            Some(place.clone())
        };
        if let Some(lost) = lost {
            self.other_names.insert((inode, lost), false);
        }
        self.entries.insert(place.clone(), None);
        self.count_entry(place, is_directory, -1)
    }

    /// Takes the name `place` from `inode` and, if it was the last, the inode from the tree.
    pub(super) fn remove(&mut self, place: &Place, inode: InodeNumber) -> Result<(), NamespaceError> {
        self.detach(place, inode)?;
        let record = self.stage(inode)?;
        if record.is_directory() {
            record.links = 0;
        }
        Ok(())
    }

    fn count_entry(&mut self, place: &Place, is_directory: bool, by: i32) -> Result<(), NamespaceError> {
        let now = self.txn.now;
        self.touched.insert(place.directory);
        let directory = self.stage(place.directory)?;
        directory.modified = now;
        directory.changed = now;
        if is_directory {
            directory.links = directory.links.saturating_add_signed(by);
        }
        if let Body::Directory { entries } = &mut directory.body {
            *entries = entries.saturating_add_signed(i64::from(by));
        }
        Ok(())
    }

    /// Sets or removes an extended attribute. Counting its bytes is the caller's.
    pub(super) fn set_xattr(&mut self, inode: InodeNumber, name: &[u8], value: Option<Vec<u8>>) {
        self.xattrs.insert((inode, name.to_vec()), value);
    }

    /// The change shows in every directory that has a name of `inode`, and in a directory itself.
    pub(super) fn touch_directories_of(&mut self, inode: InodeNumber) -> Result<(), NamespaceError> {
        let record = self.stage(inode)?.clone();
        let directories = self.head().directories_of(inode, &record)?;
        self.touched.extend(directories);
        if record.is_directory() {
            self.touched.insert(inode);
        }
        Ok(())
    }

    /// Writes the change as the next version.
    pub(super) fn commit(mut self, summary: Summary) -> Result<ChangeReply, NamespaceError> {
        let n = self.next_version();
        let inode = summary.inode;
        self.write(n)?;
        self.write_record(n, summary)?;
        self.txn.counters.latest = n;
        self.txn.counters.changed = self.txn.now;
        self.reply(inode)
    }

    /// Writes a change of one staged inode: as the next version, or in place if it has no name.
    pub(super) fn commit_inode(mut self, kind: ChangeKind, inode: InodeNumber) -> Result<ChangeReply, NamespaceError> {
        let place = self.stage(inode)?.place.clone();
        let unnamed_since = self.inodes.get(&inode).and_then(|staged| staged.old.as_ref()).filter(|old| old.value.links == 0);
        if let Some(since) = unnamed_since.map(|old| old.from) {
            self.write(since)?;
            return self.reply(inode);
        }
        self.touch_directories_of(inode)?;
        let content = match self.stage(inode)?.tree() {
            Some(tree) if matches!(kind, ChangeKind::Write | ChangeKind::Restore) => Some((tree.blob, tree.version, tree.size)),
            _ => None,
        };
        self.commit(Summary { content, ..Summary::new(kind, inode, place) })
    }

    /// Writes nothing; the answer of a change that changes nothing.
    pub(super) fn reply(&self, inode: InodeNumber) -> Result<ChangeReply, NamespaceError> {
        let attributes = Some(self.head().inode(inode)?.attributes(inode));
        Ok(ChangeReply { version: self.txn.counters.latest, attributes })
    }

    fn write(&mut self, n: VolumeVersion) -> Result<(), KvError> {
        self.write_inodes(n)?;
        let (kv, volume) = (&mut *self.txn.kv, self.txn.volume);
        for (place, inode) in &self.entries {
            let key = keys::of_name(place.directory, place.name.as_bytes());
            match inode {
                Some(inode) => ENTRIES.set(kv, volume, &key, n, inode)?,
                None => ENTRIES.remove(kv, volume, &key, n)?,
            }
        }
        for ((inode, place), is_name) in &self.other_names {
            let key = Key::new(OTHER_NAMES, volume).inode(*inode).inode(place.directory).name(place.name.as_bytes());
            if *is_name { kv.put(&key, &[])? } else { kv.delete(&key)? }
        }
        for ((inode, name), value) in &self.xattrs {
            let key = keys::of_name(*inode, name);
            match value {
                Some(value) => XATTRS.set(kv, volume, &key, n, value)?,
                None => XATTRS.remove(kv, volume, &key, n)?,
            }
        }
        self.clones.iter().try_for_each(|(clone, origin)| garbage::pin(kv, *origin, *clone))
    }

    fn write_inodes(&mut self, n: VolumeVersion) -> Result<(), KvError> {
        let VolumeTxn { kv, volume, counters, touched, .. } = &mut *self.txn;
        for (inode, staged) in &self.inodes {
            touched.extend(staged.leased_under(*inode));
            let was_live = staged.old.as_ref().is_some_and(|old| old.value.links > 0);
            let is_live = staged.new.links > 0;
            let (old_bytes, old_inodes) = staged.old.as_ref().map_or((0, 0), |old| old.value.footprint());
            let (new_bytes, new_inodes) = staged.new.footprint();
            counters.live_bytes = counters.live_bytes - u128::from(old_bytes) + u128::from(new_bytes);
            counters.live_inodes = counters.live_inodes - old_inodes + new_inodes;
            let key = keys::of_inode(*inode);
            if staged.new.is_directory() {
                write_parent(*kv, *volume, *inode, staged, n)?;
            }
            if was_live {
                INODES.set(*kv, *volume, &key, n, &staged.new)?;
            } else {
                // A state without a name belongs to no version: it leaves no past.
                INODES.replace(*kv, *volume, &key, n, &staged.new)?;
            }
            let orphan = Key::new(ORPHANS, *volume).inode(*inode);
            match (was_live, is_live) {
                (true, false) => {
                    let since = garbage::let_go_now(*kv)?;
                    kv.put(&orphan, &to_row(&since)?)?;
                }
                (false, true) if staged.old.is_some() => kv.delete(&orphan)?,
                _ => {}
            }
        }
        Ok(())
    }

    fn write_record(&mut self, n: VolumeVersion, summary: Summary) -> Result<(), KvError> {
        let (kv, volume) = (&mut *self.txn.kv, self.txn.volume);
        for directory in self.touched.iter().filter(|directory| **directory != ROOT_INODE) {
            kv.put(&Key::new(DIRECTORY_CHANGES, volume).inode(*directory).version(n), &[])?;
        }
        let tuple = |place: Place| (place.directory, place.name);
        let record = ChangeRecord {
            version: n,
            time: self.txn.now,
            author: self.txn.author.clone(),
            kind: summary.kind,
            inode: summary.inode,
            place: summary.place.map(tuple),
            old_place: summary.old_place.map(tuple),
            content: summary.content,
        };
        kv.put(&Key::new(CHANGES, volume).version(n), &to_row(&record)?)
    }
}

/// A directory lies in another one, or in none, from version `n` on. One that is removed loses its policy.
fn write_parent(
    kv: &mut dyn Kv,
    volume: VolumeId,
    directory: InodeNumber,
    staged: &Staged,
    n: VolumeVersion,
) -> Result<(), KvError> {
    let parent = |record: &InodeRecord| record.place.as_ref().filter(|_| record.links > 0).map(|place| place.directory);
    let (old, new) = (staged.old.as_ref().and_then(|old| parent(&old.value)), parent(&staged.new));
    match new {
        _ if old == new => Ok(()),
        Some(new) => PARENTS.set(kv, volume, &keys::of_inode(directory), n, &new),
        None => {
            PARENTS.remove(kv, volume, &keys::of_inode(directory), n)?;
            policies::end_policy(kv, volume, directory, n)
        }
    }
}
