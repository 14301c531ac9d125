//! A volume in memory, and a mount of it without a kernel: what the tests of operations run on.

mod locks;
mod namespace;
mod volume;

pub(crate) use namespace::attributes;
pub(crate) use volume::FakeVolume;

use std::sync::{Arc, Mutex};
use std::time::Duration;
use weft_common::name::FileName;
use weft_common::wire::{AttributeChange, FileKind, NewInode};

use crate::errno::Failure;
use crate::filesystem::{AttributeRequest, Caller, Entry, Filesystem, KernelCache, NewFile, Settings};
use crate::handle::{HandleId, OpenMode};
use crate::inode::NodeId;
use crate::lock;

/// Who asks in tests.
pub(crate) const ROOT_USER: Caller = Caller { uid: 0, gid: 0, pid: 0 };
/// What something new is made with.
pub(crate) const NEW: NewFile = NewFile { mode: 0o755, umask: 0, exclusive: true };
/// Opens for reading.
pub(crate) const READ: OpenMode = OpenMode { read: true, write: false, append: false, truncate: false, sync: false };
/// Opens for writing.
pub(crate) const WRITE: OpenMode = OpenMode { read: true, write: true, append: false, truncate: false, sync: false };
/// Opens for appending.
pub(crate) const APPEND: OpenMode = OpenMode { append: true, ..WRITE };
/// Opens for writing anew.
pub(crate) const TRUNCATE: OpenMode = OpenMode { truncate: true, ..WRITE };

/// Remembers what the kernel was told to drop: inodes, names, attributes.
#[derive(Debug, Default)]
pub(crate) struct Dropped(Mutex<Vec<NodeId>>, Mutex<Vec<(NodeId, FileName)>>, Mutex<Vec<NodeId>>);

impl KernelCache for Dropped {
    fn drop_inode(&self, node: NodeId) {
        lock(&self.0).push(node);
    }

    fn drop_entry(&self, parent: NodeId, name: &FileName) {
        lock(&self.1).push((parent, name.clone()));
    }

    fn drop_attributes(&self, node: NodeId) {
        lock(&self.2).push(node);
    }
}

/// One mount of a volume in memory.
pub(crate) struct TestMount {
    pub(crate) filesystem: Arc<Filesystem>,
    pub(crate) dropped: Arc<Dropped>,
}

impl TestMount {
    /// A mount of `volume`, with memory for a few pages.
    pub(crate) fn new(volume: &Arc<FakeVolume>) -> Self {
        Self::with_memory(volume, 8 << 20)
    }

    /// A mount with so many bytes for dirty data.
    pub(crate) fn with_memory(volume: &Arc<FakeVolume>, write_memory: u64) -> Self {
        Self::with(volume, write_memory, Duration::ZERO)
    }

    /// A mount whose kernel believes what it was told for a while, as that of a local volume does.
    pub(crate) fn believing(volume: &Arc<FakeVolume>) -> Self {
        Self::with(volume, 8 << 20, Duration::from_secs(1))
    }

    fn with(volume: &Arc<FakeVolume>, write_memory: u64, lifetime: Duration) -> Self {
        let settings = Settings {
            entry_lifetime: lifetime,
            attribute_lifetime: lifetime,
            show_versions: false,
            local_locks: false,
            write_memory,
            read_ahead_max: 1 << 20,
            control: "weft://host/show identity=/etc/weft".to_owned(),
            host: "desk".to_owned(),
        };
        let runtime = tokio::runtime::Handle::current();
        let filesystem = Arc::new(Filesystem::new(Arc::clone(volume) as _, settings, &runtime));
        let dropped = Arc::new(Dropped::default());
        filesystem.kernel().connect(Arc::clone(&dropped) as _);
        Self { filesystem, dropped }
    }

    /// Whether the kernel was told to drop pages of `node`. Waits for the thread that tells it.
    pub(crate) async fn has_dropped(&self, node: NodeId) -> bool {
        becomes(|| lock(&self.dropped.0).contains(&node)).await
    }

    /// Whether the kernel was told to drop `name` of `parent`. Waits likewise.
    pub(crate) async fn has_dropped_name(&self, parent: NodeId, name: &str) -> bool {
        let name = FileName::new(name).expect("a name");
        becomes(|| lock(&self.dropped.1).contains(&(parent, name.clone()))).await
    }

    /// Walks a path from the root.
    pub(crate) async fn find(&self, path: &str) -> Result<Entry, Failure> {
        let mut entry = None;
        let mut node = NodeId::ROOT;
        for name in path.split('/').filter(|name| !name.is_empty()) {
            let found = self.filesystem.look_up(node, name.as_bytes()).await?;
            node = found.node;
            entry = Some(found);
        }
        entry.ok_or(Failure::Unknown)
    }

    /// Makes a directory in the root.
    pub(crate) async fn make_directory(&self, name: &str) -> NodeId {
        let made = self.filesystem.make_node(ROOT_USER, NodeId::ROOT, name.as_bytes(), NewInode::Directory, NEW).await;
        made.expect("a directory").node
    }

    /// Makes a file and opens it for writing.
    pub(crate) async fn create(&self, parent: NodeId, name: &str) -> HandleId {
        let new = NewFile { mode: 0o644, umask: 0, exclusive: false };
        self.filesystem.create(ROOT_USER, parent, name.as_bytes(), new, WRITE).await.expect("a file").1.handle
    }

    /// Looks a path up and opens it.
    pub(crate) async fn open(&self, path: &str, mode: OpenMode) -> HandleId {
        self.open_with_cache(path, mode).await.0
    }

    /// As `open`; also whether the kernel may keep its pages, and the number.
    pub(crate) async fn open_with_cache(&self, path: &str, mode: OpenMode) -> (HandleId, bool, NodeId) {
        let entry = self.find(path).await.expect("a file");
        assert_eq!(entry.attributes.kind, FileKind::File);
        let opened = self.filesystem.open(ROOT_USER, entry.node, mode).await.expect("opened");
        (opened.handle, opened.keep_cache, entry.node)
    }

    /// Writes as the adapter does: at once if possible.
    pub(crate) async fn write(&self, handle: HandleId, offset: u64, data: &[u8]) -> Result<(), Failure> {
        match self.filesystem.try_write(handle, offset, data, false) {
            Some(written) => written,
            None => self.filesystem.write(ROOT_USER, handle, offset, data, false).await,
        }
    }

    /// Everything that a handle reads.
    pub(crate) async fn read(&self, handle: HandleId) -> Vec<u8> {
        self.filesystem.read(handle, 0, u32::MAX).await.expect("read").to_vec()
    }

    /// Closes a handle.
    pub(crate) async fn close(&self, handle: HandleId) -> Result<(), Failure> {
        let flushed = self.filesystem.flush(ROOT_USER, handle, 0).await;
        self.filesystem.release(handle).await;
        flushed
    }

    /// Replaces a file's content, close included.
    pub(crate) async fn put(&self, path: &str, data: &[u8]) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let parent = if parent.is_empty() { NodeId::ROOT } else { self.find(parent).await.expect("a directory").node };
        let handle = match self.find(path).await {
            Ok(_) => self.open(path, TRUNCATE).await,
            Err(_) => self.create(parent, name).await,
        };
        self.write(handle, 0, data).await.expect("written");
        self.close(handle).await.expect("closed");
    }

    /// The content of a path.
    pub(crate) async fn get(&self, path: &str) -> Vec<u8> {
        let handle = self.open(path, READ).await;
        let bytes = self.read(handle).await;
        self.close(handle).await.expect("closed");
        bytes
    }

    /// The names in a directory, without the dots.
    pub(crate) async fn names(&self, directory: NodeId) -> Vec<String> {
        let (handle, _) = self.filesystem.open_directory(directory).expect("opened");
        let (mut names, mut offset) = (Vec::new(), 0);
        loop {
            let items = self.filesystem.items(handle, offset).await.expect("listed");
            if items.is_empty() {
                break;
            }
            offset += items.len() as u64;
            names.extend(items.iter().map(|item| String::from_utf8_lossy(&item.name).into_owned()));
        }
        self.filesystem.release_directory(handle);
        assert_eq!(names[..2], [".", ".."]);
        names.split_off(2)
    }

    /// `truncate(2)` by path.
    pub(crate) async fn truncate(&self, path: &str, size: u64) {
        let node = self.find(path).await.expect("a file").node;
        let request = AttributeRequest { set: AttributeChange::default(), size: Some(size), handle: None };
        self.filesystem.set_attributes(ROOT_USER, node, request).await.expect("truncated");
    }
}

/// The error number of a failure.
pub(crate) fn errno<T: std::fmt::Debug>(result: Result<T, Failure>) -> i32 {
    result.expect_err("a failure").errno()
}

/// Whether something comes true within a second.
async fn becomes(is_so: impl Fn() -> bool) -> bool {
    for _ in 0..200 {
        if is_so() {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    false
}
