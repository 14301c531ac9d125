//! What the kernel has cached, and how it is told to drop it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};
use tokio::runtime::Handle;
use weft_common::id::{BlobId, BlobVersion};
use weft_common::name::FileName;
use weft_common::weave::Tree;

use crate::handle::HandleId;
use crate::inode::NodeId;
use crate::lock;

/// Tells the kernel to drop what it has cached. Calls may block on locks that running requests hold.
pub(crate) trait KernelCache: Send + Sync + std::fmt::Debug {
    /// Pages and attributes of an inode.
    fn drop_inode(&self, node: NodeId);
    /// A name of a directory.
    fn drop_entry(&self, parent: NodeId, name: &FileName);
    /// Attributes of an inode. Waits for no lock.
    fn drop_attributes(&self, node: NodeId);
}

/// What the kernel's pages of an inode are of.
#[derive(Clone, Copy, Debug)]
struct Pages {
    content: (BlobId, BlobVersion),
    /// The open whose answer has the kernel drop the pages from before, while it may not have taken that answer in.
    awaits: Option<HandleId>,
}

/// The kernel's caches, as far as the mount knows them.
#[derive(Debug)]
pub(crate) struct Kernel {
    runtime: Handle,
    cache: OnceLock<Arc<dyn KernelCache>>,
    pages: Mutex<HashMap<NodeId, Pages>>,
}

impl Kernel {
    /// Nothing is cached yet. Blocking calls run in threads of `runtime`.
    pub(crate) fn new(runtime: Handle) -> Self {
        Self { runtime, cache: OnceLock::new(), pages: Mutex::default() }
    }

    /// Where background work runs.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// The way to the kernel, known once the filesystem is mounted.
    pub(crate) fn connect(&self, cache: Arc<dyn KernelCache>) {
        if self.cache.set(cache).is_err() {
            tracing::warn!("the mount was connected to the kernel twice");
        }
    }

    /// The pages that the kernel has for `node` are those of `tree`.
    pub(crate) fn note_pages(&self, node: NodeId, tree: Tree) {
        lock(&self.pages).insert(node, Pages { content: (tree.blob, tree.version), awaits: None });
    }

    /// The pages that the kernel has for `node` will be those of `tree` when it has taken in the answer to the open of `handle`.
    /// Another open that is answered meanwhile may be taken in first, so that one must not keep any pages either.
    pub(crate) fn expect_pages(&self, node: NodeId, tree: Tree, handle: HandleId) {
        lock(&self.pages).insert(node, Pages { content: (tree.blob, tree.version), awaits: Some(handle) });
    }

    /// The kernel uses `handle`, so it has taken in the answer to its open.
    pub(crate) fn is_used(&self, node: NodeId, handle: HandleId) {
        if let Some(pages) = lock(&self.pages).get_mut(&node).filter(|pages| pages.awaits == Some(handle)) {
            pages.awaits = None;
        }
    }

    /// Whether the pages that the kernel has for `node` are those of `tree`.
    pub(crate) fn has_pages_of(&self, node: NodeId, tree: Tree) -> bool {
        let is_same = |pages: &Pages| pages.awaits.is_none() && pages.content == (tree.blob, tree.version);
        lock(&self.pages).get(&node).is_some_and(is_same)
    }

    /// The kernel has forgotten `node`.
    pub(crate) fn forget(&self, node: NodeId) {
        lock(&self.pages).remove(&node);
    }

    /// The kernel drops its pages and attributes of `node`. Does not wait: a request under way may hold the pages' locks.
    pub(crate) fn drop_pages(&self, node: NodeId) {
        self.forget(node);
        if let Some(cache) = self.cache.get().cloned() {
            self.runtime.spawn_blocking(move || cache.drop_inode(node));
        }
    }

    /// As [`Kernel::drop_pages`]; done when the kernel has dropped them. Not to be awaited while something holds up other
    /// requests for `node`.
    pub(crate) async fn drop_pages_now(&self, node: NodeId) {
        self.forget(node);
        if let Some(cache) = self.cache.get().cloned() {
            let dropping = self.runtime.spawn_blocking(move || cache.drop_inode(node));
            if let Err(error) = dropping.await {
                tracing::warn!(?node, %error, "the kernel was not told to drop a file's pages; it may show older ones for a moment");
            }
        }
    }

    /// When this returns, the kernel believes nothing that it knew of the attributes of `nodes`. Waits for nobody.
    pub(crate) fn drop_attributes(&self, nodes: impl IntoIterator<Item = NodeId>) {
        if let Some(cache) = self.cache.get() {
            nodes.into_iter().for_each(|node| cache.drop_attributes(node));
        }
    }

    /// The kernel drops names, and what it knows below them but for what is in use. Does not wait.
    pub(crate) fn drop_entries(&self, names: Vec<(NodeId, FileName)>) {
        if let Some(cache) = self.cache.get().cloned().filter(|_| !names.is_empty()) {
            self.runtime.spawn_blocking(move || names.iter().for_each(|(parent, name)| cache.drop_entry(*parent, name)));
        }
    }
}
