//! Names and attributes of a baseline, in memory.

use fuser::{Errno, FileAttr, FileType, INodeNo};
use std::collections::{BTreeMap, HashMap};
use std::ffi::{OsStr, OsString};
use std::time::SystemTime;

/// One file or directory.
#[derive(Debug)]
struct Node {
    attributes: FileAttr,
    /// What is in it, if it is a directory: by name, and by number, in whose order it is listed.
    entries: HashMap<OsString, u64>,
    listed: BTreeMap<u64, OsString>,
    parent: u64,
}

/// The tree.
#[derive(Debug)]
pub(super) struct Namespace {
    nodes: HashMap<u64, Node>,
    next: u64,
}

/// One name of a listing: its number, its place behind which the listing goes on, its name and attributes.
pub(super) type Listed = (u64, OsString, FileAttr);

impl Namespace {
    pub(super) fn new() -> Self {
        let mut namespace = Self { nodes: HashMap::new(), next: INodeNo::ROOT.0 };
        namespace.insert(INodeNo::ROOT.0, FileType::Directory, 0o755, (0, 0));
        namespace
    }

    fn insert(&mut self, parent: u64, kind: FileType, mode: u32, owner: (u32, u32)) -> FileAttr {
        let (now, number) = (SystemTime::now(), self.next);
        self.next += 1;
        let attributes = FileAttr {
            ino: INodeNo(number),
            size: 0,
            blocks: 0,
            atime: now,
            mtime: now,
            ctime: now,
            crtime: now,
            kind,
            perm: (mode & 0o7777) as u16,
            nlink: 1,
            uid: owner.0,
            gid: owner.1,
            rdev: 0,
            blksize: 4096,
            flags: 0,
        };
        self.nodes.insert(number, Node { attributes, entries: HashMap::new(), listed: BTreeMap::new(), parent });
        attributes
    }

    fn node(&self, number: u64) -> Result<&Node, Errno> {
        self.nodes.get(&number).ok_or(Errno::ENOENT)
    }

    pub(super) fn attributes(&self, number: u64) -> Result<FileAttr, Errno> {
        self.node(number).map(|node| node.attributes)
    }

    pub(super) fn find(&self, parent: u64, name: &OsStr) -> Result<FileAttr, Errno> {
        self.attributes(*self.node(parent)?.entries.get(name).ok_or(Errno::ENOENT)?)
    }

    pub(super) fn make(
        &mut self,
        parent: u64,
        name: &OsStr,
        kind: FileType,
        mode: u32,
        owner: (u32, u32),
    ) -> Result<FileAttr, Errno> {
        if self.node(parent)?.entries.contains_key(name) {
            return Err(Errno::EEXIST);
        }
        let made = self.insert(parent, kind, mode, owner);
        let directory = self.nodes.get_mut(&parent).ok_or(Errno::ENOENT)?;
        directory.entries.insert(name.to_owned(), made.ino.0);
        directory.listed.insert(made.ino.0, name.to_owned());
        Ok(made)
    }

    pub(super) fn remove(&mut self, parent: u64, name: &OsStr) -> Result<u64, Errno> {
        let number = self.find(parent, name)?.ino.0;
        if !self.node(number)?.entries.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.nodes.remove(&number);
        if let Some(directory) = self.nodes.get_mut(&parent) {
            directory.entries.remove(name);
            directory.listed.remove(&number);
        }
        Ok(number)
    }

    /// Changes attributes.
    pub(super) fn change(&mut self, number: u64, change: impl FnOnce(&mut FileAttr)) -> Result<FileAttr, Errno> {
        let node = self.nodes.get_mut(&number).ok_or(Errno::ENOENT)?;
        change(&mut node.attributes);
        node.attributes.blocks = node.attributes.size.div_ceil(512);
        Ok(node.attributes)
    }

    /// Everything in a directory, itself and its parent included, behind the place `after`. Places stay what they are while names come
    /// and go.
    pub(super) fn list(&self, directory: u64, after: u64) -> Result<impl Iterator<Item = Listed> + '_, Errno> {
        let node = self.node(directory)?;
        let dots = [(1, ".", directory), (2, "..", node.parent)].into_iter().filter(move |(place, ..)| *place > after);
        let dots = dots.map(|(place, name, number)| (place, OsString::from(name), number));
        // Numbers of what was made begin behind the root's.
        let entries = node.listed.range(after.saturating_sub(1).max(2)..);
        let entries = entries.map(|(number, name)| (number + 2, name.clone(), *number)).filter(move |(place, ..)| *place > after);
        Ok(dots.chain(entries).filter_map(|(place, name, number)| Some((place, name, self.attributes(number).ok()?))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listing_goes_on_where_it_was_whatever_was_removed_meanwhile() {
        let mut namespace = Namespace::new();
        for number in 0..100 {
            namespace.make(1, OsStr::new(&format!("f{number}")), FileType::RegularFile, 0o644, (0, 0)).expect("a file");
        }
        let (mut after, mut seen) = (0, 0);
        loop {
            let some: Vec<Listed> = namespace.list(1, after).expect("a listing").take(7).collect();
            let Some(last) = some.last() else { break };
            after = last.0;
            for (_, name, _) in some.iter().filter(|(_, name, _)| name != "." && name != "..") {
                seen += 1;
                namespace.remove(1, name).expect("it was listed");
            }
        }
        assert_eq!(seen, 100);
        assert_eq!(namespace.list(1, 0).expect("a listing").count(), 2, "itself and its parent");
    }
}
