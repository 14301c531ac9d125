//! Random histories of every operation, against the model: same answers, same refusals, and every version reads as it was.

use super::keeping::Keeping;
use super::model::{Model, Node, State};
use super::*;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::RefCell;
use std::collections::BTreeMap;
use weft_common::id::ROOT_INODE as ROOT;
use weft_common::wire::{FileKind, XattrMode};

const HISTORIES: u32 = 300;
const OPERATIONS: usize = 60;
const NO_CONTENT: (weft_common::id::BlobId, weft_common::id::BlobVersion) =
    (weft_common::id::BlobId { volume: VOLUME, number: 0 }, weft_common::id::BlobVersion(0));
const NAMES: [&str; 6] = ["a", "b", "c", "ab", "a!", ".versions"];

/// An operation whose arguments are picks among what there is when it comes to it.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Create { directory: u8, name: u8, kind: u8, mode: u16, exclusive: bool },
    Link { inode: u8, directory: u8, name: u8 },
    Remove { place: (u8, u8), rightly: bool },
    Rename { from: (u8, u8), to: (u8, u8), flags: u8 },
    SetAttributes { inode: u8, what: u8, value: u16 },
    SetXattr { inode: u8, name: u8, value: u8, mode: u8 },
    RemoveXattr { inode: u8, name: u8 },
    Publish { inode: u8, size: u16, stale: bool },
    Compact { inode: u8 },
    Restore { directory: u8, name: u8, source: Option<u8>, to: u8 },
    Clone { source: u8, at: Option<u8>, directory: u8, name: u8 },
    Share { source: u8, at: Option<u8>, inode: u8, stale: bool },
    Tag { name: u8, version: u8, remove: bool },
    Release { inode: u8 },
}

pub(super) fn step() -> impl Strategy<Value = Step> {
    let place = (any::<u8>(), any::<u8>());
    prop_oneof![
        8 => (place, any::<u8>(), any::<u16>(), any::<bool>()).prop_map(
            |((directory, name), kind, mode, exclusive)| Step::Create { directory, name, kind, mode, exclusive }),
        5 => (any::<u8>(), place).prop_map(|(inode, (directory, name))| Step::Link { inode, directory, name }),
        6 => (place, prop::bool::weighted(0.9)).prop_map(|(place, rightly)| Step::Remove { place, rightly }),
        5 => (place, place, any::<u8>()).prop_map(|(from, to, flags)| Step::Rename { from, to, flags }),
        2 => (any::<u8>(), any::<u8>(), any::<u16>()).prop_map(
            |(inode, what, value)| Step::SetAttributes { inode, what, value }),
        2 => (any::<u8>(), any::<u8>(), any::<u8>(), any::<u8>()).prop_map(
            |(inode, name, value, mode)| Step::SetXattr { inode, name, value, mode }),
        4 => (any::<u8>(), any::<u8>()).prop_map(|(inode, name)| Step::RemoveXattr { inode, name }),
        5 => (any::<u8>(), any::<u16>(), prop::bool::weighted(0.1)).prop_map(
            |(inode, size, stale)| Step::Publish { inode, size, stale }),
        1 => any::<u8>().prop_map(|inode| Step::Compact { inode }),
        5 => (place, prop::option::weighted(0.1, any::<u8>()), any::<u8>()).prop_map(
            |((directory, name), source, to)| Step::Restore { directory, name, source, to }),
        4 => (any::<u8>(), prop::option::of(any::<u8>()), place).prop_map(
            |(source, at, (directory, name))| Step::Clone { source, at, directory, name }),
        4 => (any::<u8>(), prop::option::of(any::<u8>()), any::<u8>(), prop::bool::weighted(0.1)).prop_map(
            |(source, at, inode, stale)| Step::Share { source, at, inode, stale }),
        2 => (any::<u8>(), any::<u8>(), any::<bool>()).prop_map(
            |(name, version, remove)| Step::Tag { name, version, remove }),
        2 => any::<u8>().prop_map(|inode| Step::Release { inode }),
    ]
}

fn named(pick: u8) -> FileName {
    name(NAMES[if pick > 250 { 5 } else { usize::from(pick) % 5 }])
}

/// Both, side by side.
pub(super) struct Pair {
    pub(super) volume: Volume,
    pub(super) model: Model,
    /// How often something succeeded and made a version.
    pub(super) done: BTreeMap<&'static str, u32>,
    pub(super) keeping: Keeping,
}

impl Pair {
    pub(super) fn new() -> Self {
        let volume = Volume::new();
        let model = Model::new(volume.head(ROOT));
        Self { volume, model, done: BTreeMap::new(), keeping: Keeping::default() }
    }

    /// Mostly a directory that is there, sometimes any inode or none.
    pub(super) fn directory(&self, pick: u8) -> InodeNumber {
        let latest = self.model.versions.last().unwrap();
        let directories: Vec<_> = latest.0.keys().copied().filter(|inode| latest.is_directory(*inode)).collect();
        if pick >= 240 { self.inode(pick) } else { directories[usize::from(pick) % directories.len()] }
    }

    /// Mostly an inode that is there, sometimes any that ever was, or the one after.
    fn inode(&self, pick: u8) -> InodeNumber {
        let there = self.model.head.0.keys().nth(usize::from(pick) % 16);
        if let Some(inode) = there.filter(|_| pick < 240) {
            return *inode;
        }
        InodeNumber(1 + u64::from(pick) % (self.model.inodes_made + 1))
    }

    fn file(&self, pick: u8) -> Option<InodeNumber> {
        let files = self.model.head.0.iter().filter(|(_, node)| node.attributes.kind == FileKind::File);
        let files: Vec<_> = files.map(|(inode, _)| *inode).collect();
        (!files.is_empty()).then(|| files[usize::from(pick) % files.len()])
    }

    /// Mostly a name that is there, sometimes any.
    fn place(&self, pick: (u8, u8)) -> (InodeNumber, FileName) {
        let latest = self.model.versions.last().unwrap();
        let all = latest.0.iter().flat_map(|(inode, node)| node.entries.keys().map(|name| (*inode, name.clone())));
        let all: Vec<_> = all.collect();
        match all.is_empty() || pick.1.is_multiple_of(4) {
            true => (self.directory(pick.0), named(pick.1 / 4)),
            false => all[usize::from(pick.0) % all.len()].clone(),
        }
    }

    pub(super) fn version(&self, pick: u8) -> VolumeVersion {
        VolumeVersion(u64::from(pick) % (self.model.latest().0 + 1))
    }

    pub(super) fn step(&mut self, step: &Step) {
        match step {
            Step::Publish { inode, size, stale } => self.publish(*inode, *size, *stale),
            Step::Compact { inode } => self.compact(*inode),
            Step::Release { inode } => {
                let orphans = orphans(&self.volume.kv, VOLUME, InodeNumber(0), 100).unwrap();
                let pick = usize::from(*inode) % (orphans.len() + 1);
                let inode = orphans.get(pick).map(|(inode, _)| *inode).unwrap_or_else(|| self.inode(*inode));
                self.count(if pick < orphans.len() { "release" } else { "release nothing" });
                release_orphan(&mut self.volume.kv, VOLUME, inode).unwrap();
                self.model.release(inode);
            }
            step => self.change(&self.keeping.of_what_is_kept(&self.model, self.to_change(step))),
        }
        assert_eq!(self.volume.latest(), self.model.latest());
    }

    pub(super) fn count(&mut self, what: &'static str) {
        *self.done.entry(what).or_default() += 1;
    }

    fn change(&mut self, change: &Change) {
        let (before, inodes) = (self.model.latest(), self.model.inodes_made);
        let reply = self.volume.change(change);
        let expected = self.model.apply(change, self.volume.now);
        let inode = reply.clone().map(|reply| reply.attributes.map(|attributes| attributes.inode));
        assert_eq!(inode, expected, "{change:?}");
        if let Ok(ChangeReply { version, attributes }) = reply {
            assert_eq!(version, self.model.latest());
            let is_tag = matches!(change, Change::SetTag { .. } | Change::RemoveTag(_));
            self.count(match change {
                _ if version == before && !is_tag => "no version",
                Change::Restore { .. } if attributes.is_none() => "restore absence",
                Change::Restore { .. } if self.model.inodes_made > inodes => "restore as a new inode",
                Change::Rename { exchange: true, .. } => "exchange",
                Change::Clone { .. } if self.model.inodes_made > inodes + 1 => "clone a tree",
                _ => change.name(),
            });
            if let Some(attributes) = attributes {
                assert_same(&attributes, &self.model.head.attributes(attributes.inode));
            }
        }
    }

    fn publish(&mut self, pick: u8, size: u16, stale: bool) {
        let Some(inode) = self.file(pick) else { return };
        let mut tree = self.model.head.0[&inode].attributes.tree.unwrap();
        tree.version.0 += 1;
        tree.size = size.into();
        tree.blob.number -= u64::from(stale);
        let modified = Timestamp(size.into());
        let n = self.volume.run(|txn| publish_content(txn, inode, &tree, modified, 7)).unwrap();
        let made = self.model.publish(inode, &tree, modified, self.volume.now);
        assert_eq!(n, made.then(|| self.model.latest()));
        self.count(if made { "publish" } else { "publish without a name" });
    }

    fn compact(&mut self, pick: u8) {
        let Some(inode) = self.file(pick) else { return };
        let mut tree = self.model.head.0[&inode].attributes.tree.unwrap();
        tree.version.0 += 1;
        let from = self.volume.head(inode).version;
        self.volume.run(|txn| replace_tree(txn, inode, &tree, 0)).unwrap();
        self.model.compact(inode, &tree, from);
        self.count("compact");
    }

    fn to_change(&self, step: &Step) -> Change {
        let xattr = |pick: u8| [b"user.a", b"user.b"][usize::from(pick) % 2].to_vec();
        match *step {
            Step::Create { directory, name, kind, mode, exclusive } => Change::Create {
                parent: self.directory(directory),
                name: named(name),
                inode: match kind % 8 {
                    0..4 => NewInode::File,
                    4..6 => NewInode::Directory,
                    6 => NewInode::Symlink(vec![b'x'; 1 + usize::from(kind)]),
                    _ => NewInode::Special(FileKind::BlockDevice, 8),
                },
                mode,
                uid: kind.into(),
                gid: name.into(),
                exclusive,
                umask: mode >> 7 & 0o77,
            },
            Step::Link { inode, directory, name } => {
                Change::Link { inode: self.inode(inode), parent: self.directory(directory), name: named(name) }
            }
            Step::Remove { place, rightly } => {
                let (parent, name) = self.place(place);
                let named = self.model.head.0.get(&parent).and_then(|node| node.entries.get(&name));
                let is_directory = named.is_some_and(|named| self.model.head.is_directory(*named));
                if is_directory == rightly { Change::RemoveDirectory { parent, name } } else { Change::Unlink { parent, name } }
            }
            Step::Rename { from, to, flags } => {
                let ((parent, name), (new_parent, new_name)) = (self.place(from), self.place(to));
                let (no_replace, exchange) = (flags.is_multiple_of(8), flags.is_multiple_of(3));
                Change::Rename { parent, name, new_parent, new_name, no_replace, exchange }
            }
            Step::SetAttributes { inode, what, value } => {
                let bit = |bit: u8| what & bit != 0;
                let set = AttributeChange {
                    mode: bit(1).then_some(value),
                    uid: bit(2).then_some(value.into()),
                    gid: bit(4).then_some(value.into()),
                    accessed: bit(8).then_some(Timestamp(value.into())),
                    modified: bit(16).then_some(Timestamp(value.into())),
                };
                Change::SetAttributes { inode: self.inode(inode), set }
            }
            Step::SetXattr { inode, name, value, mode } => Change::SetXattr {
                inode: self.inode(inode),
                name: xattr(name),
                value: vec![value; usize::from(value % 4)],
                mode: match mode % 4 {
                    0 => XattrMode::Create,
                    1 => XattrMode::Replace,
                    _ => XattrMode::Any,
                },
            },
            Step::RemoveXattr { inode, name } => Change::RemoveXattr { inode: self.inode(inode), name: xattr(name) },
            Step::Restore { directory, name, source, to } => {
                let to = self.version(to);
                let seen: Vec<_> = self.model.names_seen.iter().collect();
                let (parent, name) = match seen.is_empty() || name.is_multiple_of(4) {
                    true => (self.directory(directory), named(name / 4)),
                    false => seen[usize::from(name) % seen.len()].clone(),
                };
                let source = source.map_or(parent, |source| self.directory(source));
                Change::Restore { parent, name, source, to }
            }
            Step::Clone { source, at, directory, name } => Change::Clone {
                source: self.inode(source),
                at: at.map_or(At::Head, |at| At::Version(self.version(at))),
                parent: self.directory(directory),
                name: named(name),
            },
            Step::Share { source, at, inode, stale } => {
                let content = |state: &State, inode| state.0.get(&inode).and_then(|node: &Node| node.attributes.tree);
                let pair = |tree: Option<Tree>| tree.map_or(NO_CONTENT, |tree| (tree.blob, tree.version));
                let at = at.map_or(At::Head, |at| At::Version(self.version(at)));
                let source = self.file(source).unwrap_or_else(|| self.inode(source));
                let inode = self.file(inode).unwrap_or_else(|| self.inode(inode));
                let from = match at {
                    At::Head => &self.model.head,
                    At::Version(n) => &self.model.versions[n.0 as usize],
                };
                let (mut from, to) = (pair(content(from, source)), pair(content(&self.model.head, inode)));
                from.1.0 += u64::from(stale);
                Change::ShareContent { source, at, content: from, inode, replaces: to, modified: Timestamp(77) }
            }
            Step::Tag { name, remove: true, .. } => Change::RemoveTag(format!("tag{}", name % 3)),
            Step::Tag { name, version, .. } => {
                Change::SetTag { name: format!("tag{}", name % 3), version: self.version(version) }
            }
            Step::Publish { .. } | Step::Compact { .. } | Step::Release { .. } => unreachable!(),
        }
    }

    /// The head, and any one version.
    fn check_some(&self, pick: usize) {
        self.check_state(At::Head, self.model.versions.last().unwrap());
        let n = pick % self.model.versions.len();
        self.check_state(At::Version(VolumeVersion(n as u64)), &self.model.versions[n]);
    }

    fn check_everything(&self) {
        for (n, state) in self.model.versions.iter().enumerate() {
            self.check_state(At::Version(VolumeVersion(n as u64)), state);
        }
        self.check_orphans();
        self.check_changes();
        self.check_histories();
        self.check_tags_and_statistics();
    }

    pub(super) fn check_state(&self, at: At, state: &State) {
        let volume = &self.volume;
        for (inode, node) in &state.0 {
            let attributes = volume.attributes(at, &Query::Attributes(*inode)).unwrap();
            assert_same(&attributes, &state.attributes(*inode));
            if self.keeping.keeps(&self.model, *inode, attributes.version) {
                let at_its_version = volume.attributes(At::Version(attributes.version), &Query::Attributes(*inode));
                assert_eq!(at_its_version.unwrap(), attributes, "the state that it says it is of");
            }
            self.check_contents(at, *inode, state);
            self.check_xattrs(at, *inode, &node.xattrs);
            self.check_path(at, *inode);
        }
        let unnamed = (1..=self.model.inodes_made).map(InodeNumber).filter(|inode| !state.0.contains_key(inode));
        for inode in unnamed.filter(|_| at != At::Head) {
            assert_eq!(volume.attributes(at, &Query::Attributes(inode)), Err(ErrorKind::NotFound));
        }
    }

    pub(super) fn check_contents(&self, at: At, inode: InodeNumber, state: &State) {
        let (volume, node) = (&self.volume, &state.0[&inode]);
        match node.attributes.kind {
            FileKind::Directory => {
                let listed = volume.list(at, inode, 2);
                let found: BTreeMap<_, _> = listed.iter().map(|entry| (entry.name.clone(), entry.attributes.inode)).collect();
                assert!(listed.is_sorted_by(|a, b| a.name < b.name));
                assert_eq!(found, node.entries);
                for entry in &listed {
                    assert_same(&entry.attributes, &state.attributes(entry.attributes.inode));
                }
                for text in NAMES {
                    let found = volume.look_up(at, inode, text).map(|attributes| attributes.inode);
                    assert_eq!(found, node.entries.get(&name(text)).copied().ok_or(ErrorKind::NotFound));
                }
                let expected = if inode == ROOT { ROOT } else { state.places(inode)[0].0 };
                let is_there = |n| self.keeping.keeps(&self.model, expected, n);
                if !matches!(at, At::Version(n) if !is_there(n)) {
                    let parent = volume.attributes(at, &Query::Parent(inode)).unwrap();
                    assert_same(&parent, &state.attributes(expected));
                }
            }
            FileKind::Symlink => {
                let target = NamespaceAnswer::Bytes(node.target.clone());
                assert_eq!(volume.query(at, &Query::ReadLink(inode)), Ok(target));
            }
            _ => {}
        }
    }

    pub(super) fn check_xattrs(&self, at: At, inode: InodeNumber, xattrs: &BTreeMap<Vec<u8>, Vec<u8>>) {
        let names = NamespaceAnswer::Names(xattrs.keys().cloned().collect());
        assert_eq!(self.volume.query(at, &Query::ListXattrs(inode)), Ok(names));
        for name in [b"user.a", b"user.b"] {
            let expected = xattrs.get(name.as_slice()).cloned().map(NamespaceAnswer::Bytes).ok_or(ErrorKind::NoAttribute);
            assert_eq!(self.volume.query(at, &Query::GetXattr { inode, name: name.to_vec() }), expected);
        }
    }

    fn check_path(&self, at: At, inode: InodeNumber) {
        let Ok(NamespaceAnswer::Path(path)) = self.volume.query(at, &Query::PathOf(inode)) else {
            panic!("{inode} has a path at {at:?}")
        };
        let end = path
            .iter()
            .fold(ROOT, |parent, name| self.volume.attributes(at, &Query::LookUp { parent, name: name.clone() }).unwrap().inode);
        assert_eq!(end, inode);
    }

    /// Inodes without a name, and no inode that was released.
    fn check_orphans(&self) {
        let (head, latest) = (&self.model.head, self.model.versions.last().unwrap());
        let expected: Vec<_> = head.0.keys().copied().filter(|inode| !latest.0.contains_key(inode)).collect();
        let found = orphans(&self.volume.kv, VOLUME, InodeNumber(0), usize::MAX).unwrap();
        assert_eq!(found.into_iter().map(|(inode, _)| inode).collect::<Vec<_>>(), expected);
        for inode in expected {
            assert_same(&self.volume.head(inode), &head.attributes(inode));
            self.check_xattrs(At::Head, inode, &head.0[&inode].xattrs);
        }
    }

    fn check_changes(&self) {
        let (volume, model) = (&self.volume, &self.model);
        let at = |time| Query::VersionAt { directory: ROOT, time };
        let all = volume.versions_of(ROOT, 7);
        assert_eq!(all.len(), model.changes.len());
        for (index, (found, expected)) in all.iter().zip(&model.changes).enumerate() {
            let n = VolumeVersion(index as u64 + 1);
            assert_eq!((found.version, found.time, found.kind, found.inode), (n, expected.time, expected.kind, expected.inode));
            assert_eq!(found.author, author());
            assert_eq!(volume.version(&at(expected.time)), Ok(n));
            assert_eq!(volume.version(&at(Timestamp(expected.time.0 - 1))), Ok(VolumeVersion(n.0 - 1)));
        }
        for directory in (2..=model.inodes_made).map(InodeNumber) {
            let shows = |index: &usize| model.changes[*index].directories.contains(&directory);
            let expected: Vec<_> = (0..all.len()).filter(shows).map(|index| all[index].clone()).collect();
            assert_eq!(volume.versions_of(directory, 3), expected, "{directory}");
        }
    }

    fn check_histories(&self) {
        for (directory, name) in &self.model.names_seen {
            let expected = self.model.history_of(*directory, name);
            for limit in [1, 3, 100] {
                let found = self.volume.history_of(*directory, name, limit);
                let brief: Vec<_> = found.iter().map(|state| (state.from, state.attributes.inode, state.removed)).collect();
                assert_eq!(brief, expected, "{name} in {directory}, {limit} at a time");
                for state in found {
                    let then = &self.model.versions[state.from.0 as usize];
                    assert_same(&state.attributes, &then.attributes(state.attributes.inode));
                }
            }
        }
    }

    fn check_tags_and_statistics(&self) {
        let Ok(NamespaceAnswer::Tags(tags)) = self.volume.query(At::Head, &Query::Tags) else { panic!() };
        let tags: BTreeMap<_, _> = tags.into_iter().map(|tag| (tag.name, tag.version)).collect();
        assert_eq!(tags, self.model.tags);
        let latest = self.model.versions.last().unwrap();
        let statistics = self.volume.statistics();
        let bytes: u64 = latest.0.values().filter_map(|node| node.attributes.tree).map(|tree| tree.size).sum();
        assert_eq!((statistics.live_bytes, statistics.live_inodes), (bytes, latest.0.len() as u64));
    }
}

/// Equal, but for the version that the state is from, which the model does not know.
pub(super) fn assert_same(found: &Attributes, expected: &Attributes) {
    assert_eq!(Attributes { version: expected.version, ..found.clone() }, *expected);
}

#[test]
fn random_histories_read_as_the_model() {
    let config = ProptestConfig { cases: HISTORIES, failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new(config);
    let done = RefCell::new(BTreeMap::<&'static str, u32>::new());
    let histories = (prop::collection::vec(step(), OPERATIONS), 0..1000_usize);
    runner
        .run(&histories, |(steps, pick)| {
            let mut pair = Pair::new();
            for (index, step) in steps.iter().enumerate() {
                pair.step(step);
                pair.check_some(pick + index * 7);
            }
            pair.check_everything();
            for (what, count) in pair.done {
                *done.borrow_mut().entry(what).or_default() += count;
            }
            Ok(())
        })
        .unwrap();
    // Nothing passed because it never happened.
    let done = done.into_inner();
    assert_eq!(done.len(), 23, "{done:?}");
    assert!(done.values().all(|count| *count >= HISTORIES / 20), "{done:?}");
}
