//! A live file that is open: the published states that its readers see, and the update in the making above them.
//!
//! A *view* is what one kernel inode number shows (see [`crate::inode`]). A view is *pinned* while nobody writes through its
//! number: then a newer version, published elsewhere, does not move it, and look-ups answer an alias instead. With a
//! writer, it follows, because the writer's bytes go on top of whatever is newest.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};
use weft_common::id::{InodeNumber, VolumeVersion};
use weft_common::name::FileName;
use weft_common::weave::Tree;
use weft_common::wire::Attributes;

use super::{HandleId, LockBook};
use crate::inode::NodeId;
use crate::lock;
use crate::read::plan;
use crate::write::pending::Pending;

/// What one kernel inode number shows of a file.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// The number.
    pub(crate) node: NodeId,
    /// The published state that is shown.
    pub(crate) attributes: Attributes,
    /// Handles that were opened by the number.
    pub(crate) handles: usize,
    /// Those of them that may write.
    pub(crate) writers: usize,
}

impl View {
    /// The content that is shown.
    pub(crate) fn tree(&self) -> Option<Tree> {
        self.attributes.tree
    }
}

/// A file's state. Locked for moments only, never across an await.
#[derive(Debug)]
pub(crate) struct State {
    /// The newest published state that this mount has seen.
    pub(crate) newest: Attributes,
    /// What is shown under which number.
    pub(crate) views: Vec<View>,
    /// The update in the making.
    pub(crate) pending: Pending,
    /// The update that is being published: below `pending`, above the views.
    pub(crate) in_flight: Option<Arc<Pending>>,
    /// Handles that lost data, and the error number that they go on answering.
    pub(crate) lost: BTreeMap<HandleId, i32>,
    /// The newest state is known to have no `security.capability`; the kernel asks before writes.
    pub(crate) has_no_capability: bool,
}

/// How a view stands to the newest published state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// Nothing is open under the number, or it shows the newest.
    Current,
    /// It was moved to the newest; pages that the kernel holds are from before.
    Moved,
    /// It is pinned to this older content.
    Pinned(Tree),
}

impl State {
    fn new(newest: Attributes) -> Self {
        Self {
            newest,
            views: Vec::new(),
            pending: Pending::default(),
            in_flight: None,
            lost: BTreeMap::new(),
            has_no_capability: false,
        }
    }

    /// The updates above the published state, oldest first.
    pub(crate) fn layers(&self) -> Vec<&Pending> {
        let below = self.in_flight.as_deref().into_iter();
        below.chain((!self.pending.is_empty()).then_some(&self.pending)).collect()
    }

    /// Whether anything is not published yet.
    pub(crate) fn is_dirty(&self) -> bool {
        self.in_flight.is_some() || !self.pending.is_empty()
    }

    /// Whether the file may have capabilities (`setcap`), as far as is known.
    pub(crate) fn may_have_capability(&self) -> bool {
        self.newest.xattr_bytes > 0 && !self.has_no_capability
    }

    /// The view of `node`.
    pub(crate) fn view(&self, node: NodeId) -> Option<&View> {
        self.views.iter().find(|view| view.node == node)
    }

    /// The view of `node`, to be changed.
    pub(crate) fn view_mut(&mut self, node: NodeId) -> Option<&mut View> {
        self.views.iter_mut().find(|view| view.node == node)
    }

    /// The published content that a reader through `node` sees below pending updates.
    pub(crate) fn base(&self, node: NodeId) -> Option<Tree> {
        self.view(node).map_or(self.newest.tree, View::tree)
    }

    /// The volume version whose state a reader through `node` sees below pending updates.
    pub(crate) fn version(&self, node: NodeId) -> VolumeVersion {
        self.view(node).map_or(self.newest.version, |view| view.attributes.version)
    }

    /// The size below the update in the making: what it is an update of, as far as this mount knows.
    pub(crate) fn size_below(&self) -> u64 {
        let newest = self.newest.tree.map_or(0, |tree| tree.size);
        self.in_flight.as_ref().map_or(newest, |layer| layer.size_over(newest))
    }

    /// Takes in what the cluster just said, unless something newer is known.
    pub(crate) fn learn(&mut self, newest: Attributes) {
        if self.is_older_than(&newest) {
            self.has_no_capability = false;
            self.newest = newest;
        }
    }

    /// Whether `other` is a later state than the newest that is known. What happens to a file without a name takes no volume version, but
    /// one of its blob, or a time of change. (Under a name, a blob version without a volume version is the same bytes, put together anew.)
    pub(crate) fn is_older_than(&self, other: &Attributes) -> bool {
        let state = |attributes: &Attributes| (attributes.tree.map(|tree| (tree.blob, tree.version)), attributes.changed);
        match other.version.cmp(&self.newest.version) {
            Ordering::Greater => true,
            Ordering::Less => false,
            Ordering::Equal => other.links == 0 && state(other) > state(&self.newest),
        }
    }

    /// Brings the view of `node` to the newest state if it is not pinned.
    pub(crate) fn refresh(&mut self, node: NodeId) -> Freshness {
        let newest = self.newest.clone();
        let Some(view) = self.view_mut(node) else { return Freshness::Current };
        match view.attributes.tree {
            Some(older) if Some(older) != newest.tree && view.writers == 0 => Freshness::Pinned(older),
            older => {
                let moved = older != newest.tree;
                view.attributes = newest;
                if moved { Freshness::Moved } else { Freshness::Current }
            }
        }
    }

    /// Moves a view that shows `older` to the newest state: it was found to go on where `older` ends.
    pub(crate) fn follow(&mut self, node: NodeId, older: Tree) {
        let newest = self.newest.clone();
        if let Some(view) = self.view_mut(node).filter(|view| view.tree() == Some(older)) {
            view.attributes = newest;
        }
    }

    /// Moves a view to the newest state, pinned or not. Whether its content is another one now.
    pub(crate) fn move_to_newest(&mut self, node: NodeId) -> bool {
        let newest = self.newest.clone();
        let Some(view) = self.view_mut(node) else { return false };
        let has_moved = view.attributes.tree != newest.tree;
        view.attributes = newest;
        has_moved
    }

    /// A handle more on the view of `node`, which shows the newest state if it is new or may be moved.
    pub(crate) fn attach(&mut self, node: NodeId, writes: bool) {
        if self.view(node).is_none() {
            self.views.push(View { node, attributes: self.newest.clone(), handles: 0, writers: 0 });
        }
        if let Some(view) = self.view_mut(node) {
            view.handles += 1;
            view.writers += usize::from(writes);
        }
    }

    /// A handle less.
    pub(crate) fn detach(&mut self, node: NodeId, id: HandleId, writes: bool) {
        self.lost.remove(&id);
        if let Some(view) = self.view_mut(node) {
            view.handles -= 1;
            view.writers -= usize::from(writes);
        }
        self.views.retain(|view| view.handles > 0);
    }

    /// What `stat` shows under `node`: the newest attributes with the view's content, pending updates included.
    pub(crate) fn shown(&self, node: NodeId) -> Attributes {
        let mut shown = self.newest.clone();
        if let Some(view) = self.view(node).filter(|view| view.tree() != shown.tree) {
            shown.modified = view.attributes.modified;
            shown.changed = view.attributes.changed;
            shown.tree = view.tree();
        }
        let layers = self.layers();
        shown.size = plan::size(shown.tree.map_or(shown.size, |tree| tree.size), &layers);
        if let Some(modified) = layers.iter().rev().find_map(|layer| layer.modified) {
            shown.modified = modified;
            shown.changed = shown.changed.max(modified);
        }
        shown
    }
}

/// A live file that is open, or being changed.
#[derive(Debug)]
pub(crate) struct File {
    /// Its inode.
    pub(crate) inode: InodeNumber,
    /// Held while an update is published: updates of one mount go one after the other. Taken before [`File::state`].
    pub(crate) publishing: tokio::sync::Mutex<()>,
    /// A name that it was found by, for logs.
    pub(crate) name: Option<FileName>,
    /// Locks that programs here hold of it.
    pub(crate) locks: LockBook,
    state: Mutex<State>,
}

impl File {
    /// What to call it in logs.
    pub(crate) fn label(&self) -> String {
        self.name.as_ref().map_or_else(|| self.inode.to_string(), |name| format!("{name} ({})", self.inode))
    }

    /// Locks the state.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// The files that are open or being changed.
#[derive(Debug, Default)]
pub(crate) struct FileTable(Mutex<HashMap<InodeNumber, (Arc<File>, usize)>>);

impl FileTable {
    /// The file, entered with `newest` if nobody uses it yet. It stays until the last reference goes.
    pub(crate) fn open(self: &Arc<Self>, newest: &Attributes, name: Option<FileName>) -> FileRef {
        let mut files = lock(&self.0);
        let (file, users) = files.entry(newest.inode).or_insert_with(|| {
            let state = Mutex::new(State::new(newest.clone()));
            let publishing = tokio::sync::Mutex::new(());
            (Arc::new(File { inode: newest.inode, publishing, name, locks: LockBook::default(), state }), 0)
        });
        *users += 1;
        FileRef { table: Arc::clone(self), file: Arc::clone(file) }
    }

    /// The file, if somebody uses it.
    pub(crate) fn get(self: &Arc<Self>, inode: InodeNumber) -> Option<FileRef> {
        let mut files = lock(&self.0);
        let (file, users) = files.get_mut(&inode)?;
        *users += 1;
        Some(FileRef { table: Arc::clone(self), file: Arc::clone(file) })
    }

    /// All files in use.
    pub(crate) fn all(&self) -> Vec<Arc<File>> {
        lock(&self.0).values().map(|(file, _)| Arc::clone(file)).collect()
    }
}

/// Keeps a file in the table.
#[derive(Debug)]
pub(crate) struct FileRef {
    table: Arc<FileTable>,
    file: Arc<File>,
}

impl Clone for FileRef {
    fn clone(&self) -> Self {
        let mut files = lock(&self.table.0);
        if let Some((_, users)) = files.get_mut(&self.file.inode) {
            *users += 1;
        }
        Self { table: Arc::clone(&self.table), file: Arc::clone(&self.file) }
    }
}

impl std::ops::Deref for FileRef {
    type Target = File;

    fn deref(&self) -> &File {
        &self.file
    }
}

impl Drop for FileRef {
    fn drop(&mut self) {
        let mut files = lock(&self.table.0);
        if let Some((_, users)) = files.get_mut(&self.file.inode) {
            *users -= 1;
            if *users == 0 {
                files.remove(&self.file.inode);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FakeVolume, TestMount};
    use weft_common::id::BlobVersion;

    #[tokio::test]
    async fn a_compaction_is_no_other_state_and_what_happens_without_a_name_is() {
        let volume = FakeVolume::new();
        let mount = TestMount::new(&volume);
        mount.put("f", b"bytes").await;
        let known = mount.find("f").await.unwrap().attributes;
        let mut state = State::new(known.clone());
        let tree = known.tree.unwrap();
        let compacted = Attributes { tree: Some(Tree { version: BlobVersion(tree.version.0 + 1), ..tree }), ..known.clone() };
        state.learn(compacted.clone());
        assert_eq!(state.newest, known, "a reader would get another inode number for the same bytes");
        let nameless = |attributes: &Attributes| Attributes { links: 0, ..attributes.clone() };
        state.learn(nameless(&compacted));
        assert_eq!(state.newest.tree, compacted.tree, "another mount wrote to it");
        state.learn(nameless(&known));
        assert_eq!(state.newest.tree, compacted.tree, "a late answer");
        let changed = weft_common::time::Timestamp(known.changed.0 + 1);
        state.learn(Attributes { mode: 0o600, changed, ..nameless(&compacted) });
        assert_eq!(state.newest.mode, 0o600);
    }
}
