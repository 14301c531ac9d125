//! Listing directories, however large, by streaming.
//!
//! An open directory keeps one window of entries and a cursor behind it. The offset of an entry is its place in the listing:
//! `.` is 0, `..` is 1. Going on behind the window fetches the next one, going back before it starts anew; either way
//! an entry that is there all the time is listed exactly once, because servers list in order of names, behind a name.

use std::sync::Arc;
use std::time::Duration;
use weft_common::id::{InodeNumber, VolumeVersion};
use weft_common::limits::ENTRIES_PER_ANSWER_MAX;
use weft_common::name::FileName;
use weft_common::time::Timestamp;
use weft_common::wire::{At, Attributes, FileKind, HistoryState, NamespaceAnswer, Query};

use super::{Entry, Failure, Filesystem, unexpected};
use crate::handle::{HandleId, Open};
use crate::inode::{Node, NodeId, state_name};

/// The number that `readdir` shows for what has none before it is looked up.
const UNKNOWN: NodeId = NodeId(0xffff_ffff);

/// One listed name.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// The name.
    pub(crate) name: Vec<u8>,
    /// The number that is shown.
    pub(crate) node: NodeId,
    /// What it is.
    pub(crate) kind: FileKind,
    content: Content,
}

/// What is known of a listed name without asking again.
#[derive(Clone, Debug)]
enum Content {
    /// `.` and `..`.
    Dots,
    /// An inode as it is.
    Live(Box<Attributes>),
    /// An inode as it was: its directory, the `.versions` entry that it lies under, and the version.
    Old(NodeId, NodeId, VolumeVersion, Box<Attributes>),
    /// A state in this `.history/FILE`.
    State(NodeId, Box<HistoryState>),
    /// Nothing; it must be looked up in this directory.
    In(NodeId),
}

impl Item {
    /// Whether its attributes cost a call of their own, so that one answer should not bring many of them.
    pub(crate) fn is_costly(&self) -> bool {
        matches!(self.content, Content::In(_))
    }
}

/// How far a listing has come.
#[derive(Clone, Debug)]
enum Cursor {
    Start,
    Name(FileName),
    Version(VolumeVersion),
    End,
}

/// A directory that is being listed.
#[derive(Debug)]
pub(crate) struct DirectoryStream {
    id: NodeId,
    node: Node,
    window: Arc<Vec<Item>>,
    /// Offset of the window's first entry.
    first: u64,
    /// What is behind the window.
    cursor: Cursor,
}

impl DirectoryStream {
    fn new(id: NodeId, node: Node) -> Self {
        Self { id, node, window: Arc::default(), first: 0, cursor: Cursor::Start }
    }

    /// Whether what is listed never changes.
    fn is_old(&self) -> bool {
        matches!(self.node, Node::Old(_))
    }

    /// The entries at hand from `offset` on, if it is among them.
    fn at_hand(&self, offset: u64) -> Option<Items> {
        let skipped = usize::try_from(offset.checked_sub(self.first)?).ok()?;
        (skipped < self.window.len()).then(|| Items { window: Arc::clone(&self.window), skipped })
    }
}

/// Some entries of a listing, shared with the open directory: an answer to the kernel takes a few, and asks for the next ones soon.
#[derive(Clone, Debug, Default)]
pub(crate) struct Items {
    window: Arc<Vec<Item>>,
    skipped: usize,
}

impl std::ops::Deref for Items {
    type Target = [Item];

    fn deref(&self) -> &[Item] {
        &self.window[self.skipped..]
    }
}

impl Filesystem {
    /// Opens a directory. Answers the handle, and whether the kernel may cache the listing for ever.
    pub(crate) fn open_directory(&self, id: NodeId) -> Result<(HandleId, bool), Failure> {
        let stream = DirectoryStream::new(id, self.node(id)?);
        let (handle, is_old) = (self.handles.next(), stream.is_old());
        self.handles.insert(handle, Open::Directory(Arc::new(tokio::sync::Mutex::new(stream))));
        Ok((handle, is_old))
    }

    fn stream(&self, id: HandleId) -> Result<Arc<tokio::sync::Mutex<DirectoryStream>>, Failure> {
        match self.handles.get(id) {
            Some(Open::Directory(stream)) => Ok(stream),
            _ => Err(Failure::Unknown),
        }
    }

    /// The entries from `offset` on that are at hand, at least one unless the listing ends there.
    pub(crate) async fn items(&self, id: HandleId, offset: u64) -> Result<Items, Failure> {
        let stream = self.stream(id)?;
        let mut stream = stream.lock().await;
        self.list(&mut stream, offset).await
    }

    /// As [`Filesystem::items`], if nobody needs to be asked.
    pub(crate) fn known_items(&self, id: HandleId, offset: u64) -> Option<Items> {
        // The beginning is always listed anew.
        let stream = self.stream(id).ok().filter(|_| offset > 0)?;
        stream.try_lock().ok()?.at_hand(offset)
    }

    /// Closes a directory.
    pub(crate) fn release_directory(&self, id: HandleId) {
        self.handles.remove(id);
    }

    async fn list(&self, stream: &mut DirectoryStream, offset: u64) -> Result<Items, Failure> {
        if offset < stream.first || offset == 0 {
            *stream = DirectoryStream::new(stream.id, stream.node.clone());
        }
        loop {
            if let Some(items) = stream.at_hand(offset) {
                return Ok(items);
            }
            if matches!(stream.cursor, Cursor::End) {
                return Ok(Items::default());
            }
            let before = std::mem::replace(&mut stream.cursor, Cursor::End);
            let (window, cursor) = match self.next_window(stream, before.clone()).await {
                Ok(next) => next,
                Err(failure) => {
                    stream.cursor = before;
                    return Err(failure);
                }
            };
            stream.first += stream.window.len() as u64;
            (stream.window, stream.cursor) = (Arc::new(window), cursor);
        }
    }

    async fn next_window(&self, stream: &DirectoryStream, cursor: Cursor) -> Result<(Vec<Item>, Cursor), Failure> {
        let limit = ENTRIES_PER_ANSWER_MAX as u32;
        let mut window = Vec::new();
        if matches!(cursor, Cursor::Start) {
            window.extend([b".".to_vec(), b"..".to_vec()].map(|name| virtual_item(name, stream.id, Content::Dots)));
            if stream.id == NodeId::ROOT && self.settings.show_versions {
                window.push(virtual_item(b".versions".to_vec(), UNKNOWN, Content::In(stream.id)));
            }
        }
        let cursor = match &stream.node {
            Node::Live(directory) => self.list_names(At::Head, *directory, cursor, limit, &mut window, live_item(self)).await?,
            Node::Old(old) => {
                self.uses.note(old.at);
                let under = old.entry.unwrap_or(stream.id);
                let item = |name: &FileName, attributes: Attributes| Item {
                    name: name.as_bytes().to_vec(),
                    node: attributes.inode.into(),
                    kind: attributes.kind,
                    content: Content::Old(stream.id, under, old.at, Box::new(attributes)),
                };
                self.list_names(At::Version(old.at), old.attributes.inode, cursor, limit, &mut window, item).await?
            }
            Node::Versions(directory) => self.list_versions(stream.id, *directory, cursor, limit, &mut window).await?,
            Node::History(directory) => {
                let item = |name: &FileName, attributes: Attributes| {
                    let mut item = virtual_item(name.as_bytes().to_vec(), UNKNOWN, Content::In(stream.id));
                    if attributes.kind == FileKind::Directory {
                        item.name.clear();
                    }
                    item
                };
                let cursor = self.list_names(At::Head, *directory, cursor, limit, &mut window, item).await?;
                window.retain(|item| !item.name.is_empty());
                cursor
            }
            Node::FileHistory(directory, file) => {
                self.list_states(stream.id, *directory, file, cursor, limit, &mut window).await?
            }
        };
        Ok((window, cursor))
    }

    async fn list_names(
        &self,
        at: At,
        directory: InodeNumber,
        cursor: Cursor,
        limit: u32,
        window: &mut Vec<Item>,
        item: impl Fn(&FileName, Attributes) -> Item + Send,
    ) -> Result<Cursor, Failure> {
        let after = match cursor {
            Cursor::Name(name) => Some(name),
            _ => None,
        };
        let NamespaceAnswer::Entries { entries, more } =
            self.volume.query(at, Query::ReadDirectory { directory, after, limit }).await?
        else {
            return Err(unexpected());
        };
        let last = entries.last().map(|entry| entry.name.clone());
        window.extend(entries.into_iter().map(|entry| item(&entry.name, entry.attributes)));
        Ok(last.filter(|_| more).map_or(Cursor::End, Cursor::Name))
    }

    async fn list_versions(
        &self,
        id: NodeId,
        directory: InodeNumber,
        cursor: Cursor,
        limit: u32,
        window: &mut Vec<Item>,
    ) -> Result<Cursor, Failure> {
        let (versions, more) = self.versions_of(directory, after_version(&cursor), limit).await?;
        let label = |name: String| virtual_item(name.into_bytes(), UNKNOWN, Content::In(id));
        window.extend(versions.iter().map(|version| label(version.0.to_string())));
        if let Some(last) = versions.last().filter(|_| more) {
            return Ok(Cursor::Version(*last));
        }
        if directory == weft_common::id::ROOT_INODE {
            window.extend(self.tags().await?.into_iter().map(|tag| label(tag.name)));
        }
        Ok(Cursor::End)
    }

    async fn list_states(
        &self,
        parent: NodeId,
        directory: InodeNumber,
        file: &FileName,
        cursor: Cursor,
        limit: u32,
        window: &mut Vec<Item>,
    ) -> Result<Cursor, Failure> {
        let (states, more) = self.states(directory, file, after_version(&cursor), limit).await?;
        let last = states.last().map(|state| state.from);
        window.extend(states.into_iter().map(|state| Item {
            name: state_name(file.as_bytes(), state.from),
            node: UNKNOWN,
            kind: state.attributes.kind,
            content: Content::State(parent, Box::new(state)),
        }));
        Ok(last.filter(|_| more).map_or(Cursor::End, Cursor::Version))
    }

    /// The entry of a listed name, counted as one look-up except for `.` and `..`; `None` if it is gone meanwhile.
    pub(crate) async fn item_entry(&self, item: &Item) -> Option<Entry> {
        let place = |parent| Some((parent, FileName::new(item.name.as_slice()).ok()?));
        match &item.content {
            Content::Dots => Some(dots(item.node)),
            Content::Live(attributes) => {
                let name = FileName::new(item.name.as_slice()).ok();
                Some(self.live_entry((**attributes).clone(), name.as_ref()).await)
            }
            Content::Old(parent, under, at, attributes) => {
                Some(self.old_entry(place(*parent)?, *under, *at, (**attributes).clone()))
            }
            Content::State(parent, state) => Some(self.history_entry(place(*parent)?, (**state).clone())),
            Content::In(directory) => self.look_up(*directory, &item.name).await.ok(),
        }
    }

    /// Takes back one look-up that the kernel was not told of.
    pub(crate) fn uncount(&self, node: NodeId) {
        self.nodes.forget(node, 1);
    }
}

fn after_version(cursor: &Cursor) -> VolumeVersion {
    match cursor {
        Cursor::Version(version) => *version,
        _ => VolumeVersion(0),
    }
}

fn live_item(filesystem: &Filesystem) -> impl Fn(&FileName, Attributes) -> Item + Send + '_ {
    |name, attributes| Item {
        name: name.as_bytes().to_vec(),
        node: filesystem.nodes.peek(attributes.inode),
        kind: attributes.kind,
        content: Content::Live(Box::new(attributes)),
    }
}

fn virtual_item(name: Vec<u8>, node: NodeId, content: Content) -> Item {
    Item { name, node, kind: FileKind::Directory, content }
}

/// The entry of `.` or `..`, of which the kernel uses nothing but that it is a directory.
fn dots(node: NodeId) -> Entry {
    let zero = Timestamp(0);
    let attributes = Attributes {
        inode: InodeNumber(node.0),
        kind: FileKind::Directory,
        mode: 0o555,
        uid: 0,
        gid: 0,
        links: 2,
        size: 0,
        rdev: 0,
        accessed: zero,
        modified: zero,
        changed: zero,
        born: zero,
        version: VolumeVersion(0),
        xattr_bytes: 0,
        tree: None,
    };
    Entry { node, attributes, entry_lifetime: Duration::ZERO, attribute_lifetime: Duration::ZERO }
}
