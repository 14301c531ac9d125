//! A volume that grows: the version manager's core at a real table and the real node engine, without a network in between, so that a
//! million versions take a minute. When its costs are to be measured, a cluster is put up around the same table and the same nodes.

use bytes::Bytes;
use std::path::Path;
use std::sync::Arc;
use tempfile::TempDir;
use weft_benches::Outcome;
use weft_benches::clerk::{Clerk, VOLUME};
use weft_benches::loom::Loom;
use weft_benches::stage::{Stage, map_of, provider};
use weft_common::checksum::{ChunkTable, Digest};
use weft_common::id::{GroupId, InodeNumber, NodeId, VolumeVersion};
use weft_common::weave::{Geometry, Node, Update, encode_node};
use weft_common::wire::{At, ClusterMap, ProviderRole, ReplicaGroup, Ticket, VolumeSettings};
use weft_server::storage::file::{FileStore, FileStoreOptions};
use weft_server::storage::{Key, NewObject, ObjectStore};
use weft_server::version::store::RedbKv;

/// The file that is written.
pub(super) const FILE: &str = "scene.dat";
/// Pages of it that are written, evenly spread.
const PAGES_WRITTEN: u64 = 256;
/// Nodes that are put into the engine at once.
const NODES_PER_PUT: usize = 512;
/// As in production: commands between two checkpoints of the table.
const CHECKPOINT_COMMANDS: u64 = 16_384;
const PROVIDERS: u32 = 3;

/// See the module.
#[derive(Debug)]
pub(super) struct Growing {
    folder: TempDir,
    geometry: Geometry,
    file_bytes: u64,
    /// `None` only while a stage has the table.
    clerk: Option<Clerk<RedbKv>>,
    loom: Loom,
    nodes: Arc<FileStore>,
    unstored: Vec<(NodeId, Node)>,
    inode: InodeNumber,
    /// Commands that the table's file has.
    checkpointed: u64,
    page: Bytes,
    digest: Digest,
    random: fastrand::Rng,
    files: u64,
    /// Names that measurements made.
    pub(super) made: u64,
    /// The volume version after which the file has its whole size and nothing was overwritten yet.
    pub(super) first: VolumeVersion,
}

impl Growing {
    /// A volume with one sparse file of `file_bytes`, in a folder of its own below `dir`.
    pub(super) fn new(dir: &Path, geometry: Geometry, file_bytes: u64) -> Outcome<Self> {
        let folder = tempfile::tempdir_in(dir)?;
        let (table, _) = RedbKv::open(&folder.path().join("state.redb"))?;
        let mut clerk = Clerk::new(table, VolumeSettings { geometry, copies: 1 })?;
        let inode = clerk.create(FILE)?;
        let options = FileStoreOptions { background: false, ..FileStoreOptions::default() };
        let nodes = Arc::new(FileStore::open(&folder.path().join("nodes"), ProviderRole::Metadata, options)?);
        let loom = Loom::upon(nodes.clone());
        let page: Bytes =
            (0..geometry.page_size()).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect::<Vec<_>>().into();
        let digest = ChunkTable::of(&page).digest();
        let (unstored, random) = (Vec::new(), fastrand::Rng::with_seed(7));
        let mut volume = Self {
            folder,
            geometry,
            file_bytes,
            clerk: Some(clerk),
            loom,
            nodes,
            unstored,
            inode,
            checkpointed: 0,
            page,
            digest,
            random,
            files: 1,
            made: 0,
            first: VolumeVersion(0),
        };
        let ticket = volume.order(Update { grow_to: Some(file_bytes), ..Update::default() })?;
        volume.publish(&ticket)?;
        for place in 0..volume.places() {
            let ticket = volume.order_page(place)?;
            volume.publish(&ticket)?;
        }
        volume.first = volume.clerk()?.look_up(At::Head, FILE)?.version;
        Ok(volume)
    }

    fn clerk(&mut self) -> Outcome<&mut Clerk<RedbKv>> {
        Ok(self.clerk.as_mut().ok_or("a stage has the table")?)
    }

    pub(super) fn inode(&self) -> InodeNumber {
        self.inode
    }

    pub(super) fn page(&self) -> Bytes {
        self.page.clone()
    }

    /// Pages that are written.
    fn places(&self) -> u64 {
        PAGES_WRITTEN.min(self.geometry.pages(self.file_bytes))
    }

    /// Where in the file the page is that is written in `place`.
    fn offset(&self, place: u64) -> u64 {
        let pages = self.geometry.pages(self.file_bytes);
        place * (pages / self.places()) * u64::from(self.geometry.page_size())
    }

    /// Where one of the pages is, drawn by lot.
    pub(super) fn any_offset(&mut self) -> u64 {
        let place = self.random.u64(..self.places());
        self.offset(place)
    }

    /// Where each of them is.
    pub(super) fn offsets(&self) -> impl Iterator<Item = u64> + use<'_> {
        (0..self.places()).map(|place| self.offset(place))
    }

    /// Levels of the file's tree.
    pub(super) fn height(&self) -> u64 {
        let (pages, fan_out) = (self.geometry.pages(self.file_bytes), u64::from(self.geometry.fan_out()));
        (1..).find(|height| fan_out.checked_pow(*height).is_none_or(|covered| covered >= pages)).unwrap_or(1).into()
    }

    fn order_page(&mut self, place: u64) -> Outcome<Ticket> {
        let (offset, length, digest) = (self.offset(place), self.geometry.page_size(), self.digest);
        let mut update = self.clerk()?.update(offset, &[length]);
        update.objects[0].digest = digest;
        self.order(update)
    }

    fn order(&mut self, update: Update) -> Outcome<Ticket> {
        let inode = self.inode;
        self.clerk()?.ticket(inode, update)
    }

    fn publish(&mut self, ticket: &Ticket) -> Outcome<()> {
        self.unstored.extend(self.loom.weave(ticket)?);
        if self.unstored.len() >= NODES_PER_PUT {
            self.store()?;
        }
        self.clerk()?.commit(ticket.blob, ticket.entry.version)?;
        self.checkpoint_if(CHECKPOINT_COMMANDS)
    }

    fn store(&mut self) -> Outcome<()> {
        let encode = |(id, node): &(NodeId, Node)| Ok((Key::from(*id), encode_node(id, node)?));
        let encoded: Vec<(Key, Vec<u8>)> = self.unstored.iter().map(encode).collect::<Outcome<_>>()?;
        let objects: Vec<NewObject<'_>> = encoded.iter().map(|(key, body)| NewObject { key: *key, extra: &[], body }).collect();
        self.nodes.put(&objects)?;
        self.unstored.clear();
        Ok(())
    }

    fn checkpoint_if(&mut self, commands: u64) -> Outcome<()> {
        let checkpointed = self.checkpointed;
        let clerk = self.clerk()?;
        if clerk.commands() >= commands {
            let applied = checkpointed + clerk.commands();
            clerk.table_mut().checkpoint(applied)?;
            self.checkpointed = applied;
            self.clerk()?.forget_count();
        }
        Ok(())
    }

    /// The file is overwritten so many times, a page each.
    pub(super) fn overwrite(&mut self, times: u64) -> Outcome<()> {
        for _ in 0..times {
            let place = self.random.u64(..self.places());
            let ticket = self.order_page(place)?;
            self.publish(&ticket)?;
        }
        Ok(())
    }

    /// The volume has at least so many files.
    pub(super) fn create_files(&mut self, files: u64) -> Outcome<()> {
        while self.files < files {
            let name = format!("file{}", self.files);
            self.clerk()?.create(&name)?;
            self.files += 1;
            self.checkpoint_if(CHECKPOINT_COMMANDS)?;
        }
        Ok(())
    }

    /// So many more clients have a session.
    pub(super) fn open_sessions(&mut self, count: u64) -> Outcome<()> {
        for _ in 0..count {
            self.clerk()?.open_session()?;
            self.checkpoint_if(CHECKPOINT_COMMANDS)?;
        }
        Ok(())
    }

    /// So many updates are ordered and not committed; the ticket of one more. Nothing can be measured on a stage afterwards.
    pub(super) fn crowd(&mut self, in_flight: u64) -> Outcome<(Ticket, &mut Loom)> {
        for _ in 0..in_flight {
            let place = self.random.u64(..self.places());
            self.order_page(place)?;
        }
        let place = self.random.u64(..self.places());
        let ticket = self.order_page(place)?;
        Ok((ticket, &mut self.loom))
    }

    /// Has `measure` use a cluster with this volume's table and nodes.
    pub(super) async fn on_stage<T>(&mut self, measure: impl AsyncFnOnce(&mut Self, &Arc<Stage>) -> Outcome<T>) -> Outcome<T> {
        self.store()?;
        self.checkpoint_if(1)?;
        let seat = self.clerk.take().ok_or("a stage has the table already")?.leave();
        let path = self.folder.path().join("state.redb");
        let stage = Stage::open(self.folder.path(), RedbKv::open(&path)?, small_map(), self.nodes.clone(), self.page.clone())?;
        let measured = measure(self, &stage).await;
        stage.stop().await?;
        drop(stage);
        let (table, applied) = reopen(&path).await?;
        self.checkpointed = applied;
        self.clerk = Some(Clerk::resume(seat, table)?);
        measured
    }
}

/// The manager's threads let go of the table a moment after they said that they had stopped.
async fn reopen(path: &Path) -> Outcome<(RedbKv, u64)> {
    let mut attempts = 0;
    loop {
        match RedbKv::open(path) {
            Ok(table) => return Ok(table),
            Err(error) if attempts == 100 => return Err(error.into()),
            Err(_) => attempts += 1,
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

/// Name of the volume.
pub(super) fn volume() -> &'static str {
    VOLUME
}

fn small_map() -> ClusterMap {
    let data: Vec<_> = (1..=PROVIDERS).map(|id| provider(id, ProviderRole::Data)).collect();
    let metadata: Vec<_> = (PROVIDERS + 1..=2 * PROVIDERS).map(|id| provider(id, ProviderRole::Metadata)).collect();
    // The data providers are all alike, so group 0 of a clerk's updates is as good as any.
    let group = |(place, info): (usize, &weft_common::wire::ProviderInfo)| ReplicaGroup {
        id: GroupId(place as u32),
        members: vec![info.id],
    };
    let groups = data.iter().enumerate().map(group).collect();
    map_of(&data, &metadata, groups)
}
