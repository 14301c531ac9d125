//! The namespace as anybody would write it who has memory to waste: a whole copy of everything per version. No intervals,
//! no counters, no indexes: links, sizes and histories are counted when they are asked for.

use super::*;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use weft_common::id::{BlobId, BlobVersion, ROOT_INODE as ROOT};
use weft_common::wire::{ChangeKind, FileKind, XattrMode};

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// Links, size and version are left 0: see [`Tree::attributes`].
    pub(super) attributes: Attributes,
    pub(super) entries: BTreeMap<FileName, InodeNumber>,
    pub(super) target: Vec<u8>,
    pub(super) xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Which content it is; a compaction leaves it.
    pub(super) content: u64,
}

/// Everything at one version.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct State(pub(super) BTreeMap<InodeNumber, Node>);

impl State {
    pub(super) fn is_directory(&self, inode: InodeNumber) -> bool {
        self.0.get(&inode).is_some_and(|node| node.attributes.kind == FileKind::Directory)
    }

    pub(super) fn places(&self, inode: InodeNumber) -> Vec<(InodeNumber, FileName)> {
        let all = self.0.iter().flat_map(|(directory, node)| node.entries.iter().map(move |entry| (*directory, entry)));
        all.filter(|(_, (_, named))| **named == inode).map(|(directory, (name, _))| (directory, name.clone())).collect()
    }

    pub(super) fn attributes(&self, inode: InodeNumber) -> Attributes {
        let node = &self.0[&inode];
        let (mut links, mut size) = (self.places(inode).len() as u32, 0);
        match node.attributes.kind {
            FileKind::Directory if links == 1 || inode == ROOT => {
                links = 2 + node.entries.values().filter(|child| self.is_directory(**child)).count() as u32;
                size = node.entries.len() as u64;
            }
            FileKind::File => size = node.attributes.tree.unwrap().size,
            FileKind::Symlink => size = node.target.len() as u64,
            _ => {}
        }
        let xattr_bytes = node.xattrs.iter().map(|(name, value)| (name.len() + value.len()) as u32).sum();
        Attributes { links, size, xattr_bytes, ..node.attributes.clone() }
    }

    fn has_name(&self, inode: InodeNumber) -> bool {
        inode == ROOT || !self.places(inode).is_empty()
    }

    /// A directory that new names can go to.
    fn check_directory(&self, inode: InodeNumber) -> Result<(), ErrorKind> {
        match self.0.get(&inode) {
            Some(_) if !self.is_directory(inode) => Err(ErrorKind::NotDirectory),
            Some(_) if self.has_name(inode) => Ok(()),
            _ => Err(ErrorKind::NotFound),
        }
    }

    fn entry(&self, directory: InodeNumber, name: &FileName) -> Option<InodeNumber> {
        self.0.get(&directory)?.entries.get(name).copied()
    }

    fn is_within(&self, inner: InodeNumber, outer: InodeNumber) -> bool {
        inner == outer || (inner != ROOT && self.is_within(self.places(inner)[0].0, outer))
    }

    fn check_empty(&self, inode: InodeNumber) -> Result<(), ErrorKind> {
        if self.0[&inode].entries.is_empty() { Ok(()) } else { Err(ErrorKind::NotEmpty) }
    }

    fn set_entry(&mut self, directory: InodeNumber, name: &FileName, to: Option<InodeNumber>, now: Timestamp) {
        let node = self.0.get_mut(&directory).unwrap();
        (node.attributes.modified, node.attributes.changed) = (now, now);
        let old = node.entries.remove(name);
        node.entries.extend(to.map(|to| (name.clone(), to)));
        for inode in old.into_iter().chain(to) {
            self.0.get_mut(&inode).unwrap().attributes.changed = now;
        }
    }
}

/// What one version was.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) time: Timestamp,
    pub(super) kind: ChangeKind,
    pub(super) inode: InodeNumber,
    /// The directories it shows in.
    pub(super) directories: BTreeSet<InodeNumber>,
}

#[derive(Debug)]
pub(super) struct Model {
    /// As it is now, inodes without names included.
    pub(super) head: State,
    /// Per version, inodes without names left out.
    pub(super) versions: Vec<Rc<State>>,
    pub(super) changes: Vec<Made>,
    pub(super) tags: BTreeMap<String, VolumeVersion>,
    pub(super) names_seen: BTreeSet<(InodeNumber, FileName)>,
    pub(super) inodes_made: u64,
    blobs_made: u64,
    contents_made: u64,
}

impl Model {
    pub(super) fn new(root: Attributes) -> Self {
        let attributes = Attributes { links: 0, size: 0, ..root };
        let node = Node { attributes, entries: BTreeMap::new(), target: Vec::new(), xattrs: BTreeMap::new(), content: 0 };
        let head = State(BTreeMap::from([(ROOT, node)]));
        Self {
            versions: vec![Rc::new(head.clone())],
            head,
            changes: Vec::new(),
            tags: BTreeMap::new(),
            names_seen: BTreeSet::new(),
            inodes_made: 1,
            blobs_made: 0,
            contents_made: 0,
        }
    }

    pub(super) fn latest(&self) -> VolumeVersion {
        VolumeVersion(self.changes.len() as u64)
    }

    /// The inode that the reply is about.
    pub(super) fn apply(&mut self, change: &Change, now: Timestamp) -> Result<Option<InodeNumber>, ErrorKind> {
        let before = self.head.clone();
        let (kind, done) = match change {
            Change::Create { .. } => (ChangeKind::Create, self.create(change, now)),
            Change::Link { inode, parent, name } => (ChangeKind::Link, self.link(*inode, *parent, name, now)),
            Change::Unlink { parent, name } => (ChangeKind::Remove, self.remove(*parent, name, false, now)),
            Change::RemoveDirectory { parent, name } => (ChangeKind::Remove, self.remove(*parent, name, true, now)),
            Change::Rename { .. } => (ChangeKind::Rename, self.rename(change, now)),
            Change::SetAttributes { inode, set } => (ChangeKind::Attributes, self.set_attributes(*inode, set, now)),
            Change::SetXattr { .. } | Change::RemoveXattr { .. } => (ChangeKind::Attributes, self.xattr(change, now)),
            Change::Restore { parent, name, source, to } => (ChangeKind::Restore, self.restore(*parent, name, *source, *to, now)),
            Change::Clone { source, at, parent, name } => (ChangeKind::Clone, self.clone_tree(*source, *at, *parent, name, now)),
            Change::ShareContent { .. } => (ChangeKind::Write, self.share(change, now)),
            Change::FallBack { .. } => unreachable!("a recovery's, and tested by itself"),
            Change::SetTag { name, version } => {
                assert!(*version <= self.latest());
                match self.tags.get(name) {
                    Some(old) if old != version => return Err(ErrorKind::AlreadyExists),
                    _ => self.tags.insert(name.clone(), *version),
                };
                return Ok(None);
            }
            Change::RemoveTag(name) => return self.tags.remove(name).map(|_| None).ok_or(ErrorKind::NotFound),
        };
        let inode = done.inspect_err(|_| assert_eq!(before, self.head))?;
        let about = inode.or_else(|| match change {
            Change::Restore { parent, name, .. } => before.entry(*parent, name),
            _ => None,
        });
        self.record(kind, about.unwrap_or(ROOT), &before, now);
        Ok(inode)
    }

    /// Makes a version of what has changed, if anything that has a name did.
    fn record(&mut self, kind: ChangeKind, inode: InodeNumber, before: &State, now: Timestamp) {
        let mut directories = BTreeSet::new();
        for (directory, node) in &self.head.0 {
            let old = before.0.get(directory).map(|node| node.entries.clone()).unwrap_or_default();
            directories.extend((old != node.entries).then_some(*directory));
            self.names_seen.extend(node.entries.keys().map(|name| (*directory, name.clone())));
        }
        if directories.is_empty() {
            let unchanged = before.0.get(&inode) == self.head.0.get(&inode);
            if unchanged || !self.head.has_name(inode) {
                return;
            }
            directories.extend(self.head.places(inode).into_iter().map(|(directory, _)| directory));
            directories.extend(self.head.is_directory(inode).then_some(inode));
        }
        self.changes.push(Made { time: now, kind, inode, directories });
        let named = self.head.0.iter().filter(|(inode, _)| self.head.has_name(**inode));
        self.versions.push(Rc::new(State(named.map(|(inode, node)| (*inode, node.clone())).collect())));
    }

    fn fresh_content(&mut self) -> u64 {
        self.contents_made += 1;
        self.contents_made
    }

    fn fresh_blob(&mut self) -> BlobId {
        self.blobs_made += 1;
        BlobId { volume: VOLUME, number: self.blobs_made }
    }

    fn fresh_inode(&mut self) -> InodeNumber {
        self.inodes_made += 1;
        InodeNumber(self.inodes_made)
    }

    fn create(&mut self, change: &Change, now: Timestamp) -> Result<Option<InodeNumber>, ErrorKind> {
        let Change::Create { parent, name, inode: new, mode, uid, gid, exclusive, umask } = change else { unreachable!() };
        if name.is_reserved() {
            return Err(ErrorKind::NotPermitted);
        }
        self.check_directory(*parent)?;
        if let Some(inode) = self.head.entry(*parent, name) {
            return match self.head.0[&inode].attributes.kind {
                FileKind::File if !exclusive && *new == NewInode::File => Ok(Some(inode)),
                FileKind::Directory if !exclusive && *new == NewInode::File => Err(ErrorKind::IsDirectory),
                _ => Err(ErrorKind::AlreadyExists),
            };
        }
        let (kind, tree, target, rdev) = match new {
            NewInode::File => (FileKind::File, Some(Tree::empty(self.fresh_blob(), settings().geometry)), vec![], 0),
            NewInode::Directory => (FileKind::Directory, None, vec![], 0),
            NewInode::Symlink(target) => (FileKind::Symlink, None, target.clone(), 0),
            NewInode::Special(kind, rdev) => (*kind, None, vec![], *rdev),
        };
        let setgid = self.head.0[parent].attributes.mode & 0o2000 != 0;
        let attributes = Attributes {
            inode: self.fresh_inode(),
            kind,
            mode: mode & 0o7777 & !umask | if setgid && kind == FileKind::Directory { 0o2000 } else { 0 },
            uid: *uid,
            gid: if setgid { self.head.0[parent].attributes.gid } else { *gid },
            links: 0,
            size: 0,
            rdev,
            accessed: now,
            modified: now,
            changed: now,
            born: now,
            version: VolumeVersion(0),
            xattr_bytes: 0,
            tree,
        };
        let inode = attributes.inode;
        let content = self.fresh_content();
        let node = Node { attributes, entries: BTreeMap::new(), target, xattrs: BTreeMap::new(), content };
        self.head.0.insert(inode, node);
        self.head.set_entry(*parent, name, Some(inode), now);
        Ok(Some(inode))
    }

    fn link(
        &mut self,
        inode: InodeNumber,
        parent: InodeNumber,
        name: &FileName,
        now: Timestamp,
    ) -> Result<Option<InodeNumber>, ErrorKind> {
        if name.is_reserved() {
            return Err(ErrorKind::NotPermitted);
        }
        self.check_directory(parent)?;
        if self.head.entry(parent, name).is_some() {
            return Err(ErrorKind::AlreadyExists);
        }
        self.check_inode(inode)?;
        if self.head.is_directory(inode) {
            return Err(ErrorKind::NotPermitted);
        }
        if !self.head.has_name(inode) {
            return Err(ErrorKind::NotFound);
        }
        self.head.set_entry(parent, name, Some(inode), now);
        Ok(Some(inode))
    }

    fn check_directory(&self, inode: InodeNumber) -> Result<(), ErrorKind> {
        self.check_inode(inode)?;
        self.head.check_directory(inode)
    }

    fn check_inode(&self, inode: InodeNumber) -> Result<(), ErrorKind> {
        match self.head.0.contains_key(&inode) {
            true => Ok(()),
            false if inode.0 <= self.inodes_made => Err(ErrorKind::Stale),
            false => Err(ErrorKind::NotFound),
        }
    }

    fn remove(
        &mut self,
        parent: InodeNumber,
        name: &FileName,
        directory: bool,
        now: Timestamp,
    ) -> Result<Option<InodeNumber>, ErrorKind> {
        self.check_directory(parent)?;
        let inode = self.head.entry(parent, name).ok_or(ErrorKind::NotFound)?;
        match (directory, self.head.is_directory(inode)) {
            (true, false) => return Err(ErrorKind::NotDirectory),
            (false, true) => return Err(ErrorKind::IsDirectory),
            _ => self.head.check_empty(inode)?,
        }
        self.head.set_entry(parent, name, None, now);
        Ok(Some(inode))
    }

    fn rename(&mut self, change: &Change, now: Timestamp) -> Result<Option<InodeNumber>, ErrorKind> {
        let Change::Rename { parent, name, new_parent, new_name, no_replace, exchange } = change else { unreachable!() };
        if *no_replace && *exchange {
            return Err(ErrorKind::InvalidArgument);
        }
        self.check_directory(*parent)?;
        if new_name.is_reserved() {
            return Err(ErrorKind::NotPermitted);
        }
        self.check_directory(*new_parent)?;
        let head = &mut self.head;
        let moved = head.entry(*parent, name).ok_or(ErrorKind::NotFound)?;
        let other = head.entry(*new_parent, new_name);
        match other {
            None if *exchange => return Err(ErrorKind::NotFound),
            Some(_) if *no_replace => return Err(ErrorKind::AlreadyExists),
            Some(other) if other == moved => return Ok(Some(moved)),
            _ => {}
        }
        let would_loop = |inode, directory| head.is_directory(inode) && head.is_within(directory, inode);
        if would_loop(moved, *new_parent) || (*exchange && other.is_some_and(|other| would_loop(other, *parent))) {
            return Err(ErrorKind::InvalidArgument);
        }
        if let Some(other) = other.filter(|_| !exchange) {
            match (head.is_directory(moved), head.is_directory(other)) {
                (true, false) => return Err(ErrorKind::NotDirectory),
                (false, true) => return Err(ErrorKind::IsDirectory),
                _ => head.check_empty(other)?,
            }
        }
        head.set_entry(*parent, name, other.filter(|_| *exchange), now);
        head.set_entry(*new_parent, new_name, Some(moved), now);
        Ok(Some(moved))
    }

    fn set_attributes(
        &mut self,
        inode: InodeNumber,
        set: &AttributeChange,
        now: Timestamp,
    ) -> Result<Option<InodeNumber>, ErrorKind> {
        self.check_inode(inode)?;
        let attributes = &mut self.head.0.get_mut(&inode).unwrap().attributes;
        if let Some(mode) = set.mode {
            attributes.mode = mode & 0o7777;
        }
        attributes.uid = set.uid.unwrap_or(attributes.uid);
        attributes.gid = set.gid.unwrap_or(attributes.gid);
        attributes.accessed = set.accessed.unwrap_or(attributes.accessed);
        attributes.modified = set.modified.unwrap_or(attributes.modified);
        if *set != AttributeChange::default() {
            attributes.changed = now;
        }
        Ok(Some(inode))
    }

    fn xattr(&mut self, change: &Change, now: Timestamp) -> Result<Option<InodeNumber>, ErrorKind> {
        let (Change::SetXattr { inode, name, .. } | Change::RemoveXattr { inode, name }) = change else { unreachable!() };
        self.check_inode(*inode)?;
        let node = self.head.0.get_mut(inode).unwrap();
        let exists = node.xattrs.contains_key(name);
        match change {
            Change::SetXattr { mode: XattrMode::Create, .. } if exists => return Err(ErrorKind::AlreadyExists),
            Change::SetXattr { mode: XattrMode::Replace, .. } if !exists => return Err(ErrorKind::NoAttribute),
            Change::SetXattr { value, .. } => node.xattrs.insert(name.clone(), value.clone()),
            _ if !exists => return Err(ErrorKind::NoAttribute),
            _ => node.xattrs.remove(name),
        };
        node.attributes.changed = now;
        Ok(Some(*inode))
    }

    fn restore(
        &mut self,
        parent: InodeNumber,
        name: &FileName,
        source: InodeNumber,
        to: VolumeVersion,
        now: Timestamp,
    ) -> Result<Option<InodeNumber>, ErrorKind> {
        let past = Rc::clone(&self.versions[to.0 as usize]);
        past.check_directory(source)?;
        if name.is_reserved() {
            return Err(ErrorKind::NotPermitted);
        }
        self.check_directory(parent)?;
        let then = past.entry(source, name).map(|inode| (inode, past.0[&inode].clone()));
        let (Some((inode, then)), current) = (then, self.head.entry(parent, name)) else {
            let Some(current) = self.head.entry(parent, name) else { return Ok(None) };
            self.head.check_empty(current)?;
            self.head.set_entry(parent, name, None, now);
            return Ok(None);
        };
        let is_directory = then.attributes.kind == FileKind::Directory;
        if let Some(current) = current
            && (current == inode || (is_directory && self.head.is_directory(current)))
        {
            self.restore_in_place(current, &then, now);
            return Ok(Some(current));
        }
        if let Some(current) = current {
            self.head.check_empty(current)?;
            self.head.set_entry(parent, name, None, now);
        }
        let new = if self.head.0.contains_key(&inode) && self.head.has_name(inode) { self.fresh_inode() } else { inode };
        let born = if new == inode { then.attributes.born } else { now };
        let mut node = Node { entries: BTreeMap::new(), ..then };
        node.attributes = Attributes { inode: new, changed: now, born, ..node.attributes };
        self.clone_content(&mut node);
        self.head.0.insert(new, node);
        self.head.set_entry(parent, name, Some(new), now);
        Ok(Some(new))
    }

    fn restore_in_place(&mut self, inode: InodeNumber, then: &Node, now: Timestamp) {
        let current = self.head.0[&inode].clone();
        let mut node = Node { xattrs: then.xattrs.clone(), ..current.clone() };
        let Attributes { mode, uid, gid, accessed, modified, .. } = then.attributes;
        node.attributes = Attributes { mode, uid, gid, accessed, modified, ..node.attributes };
        let is_file = then.attributes.kind == FileKind::File;
        if node == current && (!is_file || then.content == current.content) {
            return;
        }
        if is_file && then.content != current.content {
            node.attributes.tree = then.attributes.tree;
            self.clone_content(&mut node);
        }
        node.attributes.changed = now;
        self.head.0.insert(inode, node);
    }

    fn clone_tree(
        &mut self,
        source: InodeNumber,
        at: At,
        parent: InodeNumber,
        name: &FileName,
        now: Timestamp,
    ) -> Result<Option<InodeNumber>, ErrorKind> {
        let from = match at {
            At::Head => self.head.clone(),
            At::Version(n) => State::clone(&self.versions[n.0 as usize]),
        };
        match at {
            At::Head => self.check_inode(source)?,
            At::Version(_) if !from.0.contains_key(&source) => return Err(ErrorKind::NotFound),
            At::Version(_) => {}
        }
        if name.is_reserved() {
            return Err(ErrorKind::NotPermitted);
        }
        self.check_directory(parent)?;
        if self.head.entry(parent, name).is_some() {
            return Err(ErrorKind::AlreadyExists);
        }
        if !from.has_name(source) {
            return Err(ErrorKind::NotFound);
        }
        if at == At::Head && from.is_directory(source) && from.is_within(parent, source) {
            return Err(ErrorKind::InvalidArgument);
        }
        let top = self.copy(&from, source, now);
        let mut directories = vec![(source, top)];
        let mut next = 0;
        while let Some((old, new)) = directories.get(next).copied() {
            for (name, inode) in &from.0[&old].entries {
                let copy = self.copy(&from, *inode, now);
                self.head.0.get_mut(&new).unwrap().entries.insert(name.clone(), copy);
                if from.is_directory(*inode) {
                    directories.push((*inode, copy));
                }
            }
            next += 1;
        }
        self.head.set_entry(parent, name, Some(top), now);
        Ok(Some(top))
    }

    fn share(&mut self, change: &Change, now: Timestamp) -> Result<Option<InodeNumber>, ErrorKind> {
        let Change::ShareContent { source, at, content, inode, replaces, modified } = change else { unreachable!() };
        let node = match at {
            At::Head => self.check_inode(*source).map(|()| self.head.0[source].clone())?,
            At::Version(n) => self.versions[n.0 as usize].0.get(source).cloned().ok_or(ErrorKind::NotFound)?,
        };
        let expected = |node: &Node, content: &(BlobId, BlobVersion)| match node.attributes.tree {
            None => Err(ErrorKind::InvalidArgument),
            Some(tree) if (tree.blob, tree.version) == *content => Ok(()),
            Some(_) => Err(ErrorKind::Conflict),
        };
        expected(&node, content)?;
        self.check_inode(*inode)?;
        expected(&self.head.0[inode], replaces)?;
        if content == replaces {
            return Err(ErrorKind::InvalidArgument);
        }
        let mut changed = self.head.0[inode].clone();
        changed.attributes = Attributes { tree: node.attributes.tree, modified: *modified, changed: now, ..changed.attributes };
        self.clone_content(&mut changed);
        self.head.0.insert(*inode, changed);
        Ok(Some(*inode))
    }

    /// A copy of one inode, without entries.
    fn copy(&mut self, from: &State, inode: InodeNumber, now: Timestamp) -> InodeNumber {
        let new = self.fresh_inode();
        let mut node = Node { entries: BTreeMap::new(), ..from.0[&inode].clone() };
        node.attributes = Attributes { inode: new, changed: now, born: now, ..node.attributes };
        self.clone_content(&mut node);
        self.head.0.insert(new, node);
        new
    }

    fn clone_content(&mut self, node: &mut Node) {
        node.content = self.fresh_content();
        if let Some(tree) = &mut node.attributes.tree {
            tree.blob = self.fresh_blob();
            tree.version = BlobVersion(0);
        }
    }

    /// As [`publish_content`]; whether it made a version.
    pub(super) fn publish(&mut self, inode: InodeNumber, tree: &Tree, modified: Timestamp, now: Timestamp) -> bool {
        let (before, latest, content) = (self.head.clone(), self.latest(), self.fresh_content());
        let Some(node) = self.head.0.get_mut(&inode) else { return false };
        if node.attributes.tree.unwrap().blob != tree.blob {
            return false;
        }
        node.content = content;
        node.attributes = Attributes { tree: Some(*tree), modified, changed: now, ..node.attributes.clone() };
        self.record(ChangeKind::Write, inode, &before, now);
        self.latest() > latest
    }

    /// As [`replace_tree`], for an inode whose present state is from `from`.
    pub(super) fn compact(&mut self, inode: InodeNumber, tree: &Tree, from: VolumeVersion) {
        self.head.0.get_mut(&inode).unwrap().attributes.tree = Some(*tree);
        for version in &mut self.versions[from.0 as usize..] {
            if let Some(node) = Rc::make_mut(version).0.get_mut(&inode) {
                node.attributes.tree = Some(*tree);
            }
        }
    }

    pub(super) fn release(&mut self, inode: InodeNumber) {
        if !self.head.has_name(inode) {
            self.head.0.remove(&inode);
        }
    }

    /// (from, inode, removed) of each state of a name.
    pub(super) fn history_of(
        &self,
        directory: InodeNumber,
        name: &FileName,
    ) -> Vec<(VolumeVersion, InodeNumber, Option<VolumeVersion>)> {
        let mut states: Vec<(VolumeVersion, InodeNumber, Option<VolumeVersion>)> = Vec::new();
        let mut shown = None;
        for (n, version) in self.versions.iter().enumerate() {
            let n = VolumeVersion(n as u64);
            let now = version.entry(directory, name).map(|inode| {
                let node = &version.0[&inode];
                (inode, if node.attributes.kind == FileKind::File { node.content } else { 0 })
            });
            match now {
                Some((inode, _)) if now != shown => states.push((n, inode, None)),
                None if shown.is_some() => states.last_mut().unwrap().2 = Some(n),
                _ => {}
            }
            shown = now;
        }
        states
    }
}
