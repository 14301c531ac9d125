//! What one operation of a mount sends. Bytes are counted on a stage, where the real client does it; numbers of messages follow from the
//! protocol as well ([`of_write`]), and a test holds the two together.

use super::cluster::Size;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use weft_benches::Outcome;
use weft_benches::clerk::{Clerk, VOLUME, author};
use weft_benches::loom::Loom;
use weft_benches::stage::{Stage, Tally};
use weft_common::client::{BlobStore, Namespace, PublishRequest, Published, Volume};
use weft_common::id::{BlobId, BlobVersion, NodeId, ROOT_INODE};
use weft_common::limits::{CLIENT_MEMORY_DEFAULT, MIB};
use weft_common::name::FileName;
use weft_common::time::Timestamp;
use weft_common::weave::{ByteRange, DataExtent, Geometry, Operation, Update, encode_node};
use weft_common::wire::{At, Attributes, Change, ClusterMap, NamespaceAnswer, NewInode, Query, VolumeSettings};
use weft_server::storage::memory::MemoryStore;
use weft_server::storage::{Key, NewObject, ObjectStore};
use weft_server::version::store::RedbKv;

/// Bytes of a page, the default.
pub(crate) const PAGE: u64 = MIB;
/// Pages of a frame.
pub(crate) const FRAME_PAGES: u64 = 8;
/// Fan-out, the default.
pub(crate) const FAN_OUT: u32 = 32;

/// Numbers of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Messages {
    /// Page objects to data providers.
    pub(crate) page_puts: u64,
    /// Batches of nodes to metadata providers.
    pub(crate) node_puts: u64,
    /// Nodes in them, each counted once.
    pub(crate) nodes: u64,
    /// Tickets and commits.
    pub(crate) manager: u64,
}

/// The nodes of a version that writes `pages` pages from `first` on, of a file that has `file_pages` then.
pub(crate) fn nodes_of_write(
    blob: BlobId,
    version: BlobVersion,
    fan_out: u32,
    first: u64,
    pages: u64,
    file_pages: u64,
) -> Vec<NodeId> {
    let fan_out = u64::from(fan_out);
    let mut nodes = Vec::new();
    let (mut level, mut covered) = (1, fan_out);
    loop {
        let last = first + pages - 1;
        nodes.extend((first / covered..=last / covered).map(|index| NodeId { blob, version, level, index }));
        if covered >= file_pages {
            return nodes;
        }
        (level, covered) = (level + 1, covered.saturating_mul(fan_out));
    }
}

/// What such a version sends: every page to each of its copies, a batch of nodes to each metadata provider that gets any.
pub(crate) fn of_write(map: &ClusterMap, copies: u8, pages: u64, nodes: &[NodeId]) -> Messages {
    let holders = nodes.iter().flat_map(|id| map.metadata_providers(id).iter().take(usize::from(copies)));
    let node_puts = holders.collect::<BTreeSet<_>>().len() as u64;
    Messages { page_puts: pages * u64::from(copies), node_puts, nodes: nodes.len() as u64, manager: 2 }
}

/// What was counted of a mount's operations, each done once.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    /// Joining: the map, a session, the volume.
    pub(crate) mount: Tally,
    /// A new file of [`FRAME_PAGES`] pages: looked for, made, written, closed.
    pub(crate) frame: Tally,
    /// The same file read by somebody who knows nothing of it: looked up, opened, read.
    pub(crate) frame_read: Tally,
    /// A new file of 4 KiB.
    pub(crate) small: Tally,
    /// A page in the middle of a sparse file of 1 TiB, by somebody who knows nothing of it.
    pub(crate) patch: Tally,
    /// What came of the frame.
    pub(crate) published: Published,
}

/// Bytes of a small file.
const SMALL_BYTES: usize = 4096;

/// Does each operation once in a cluster with this map, and counts.
pub(crate) fn count(map: &ClusterMap, size: Size) -> Outcome<Counted> {
    // One thread, so that what is drawn by lot is drawn in the same order each time.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    fastrand::seed(7);
    runtime.block_on(count_on(map, size))
}

async fn count_on(map: &ClusterMap, size: Size) -> Outcome<Counted> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("state.redb");
    let geometry = Geometry::new(PAGE as u32, FAN_OUT)?;
    let (table, _) = RedbKv::open(&path)?;
    let mut clerk = Clerk::new(table, VolumeSettings { geometry, copies: size.copies })?;
    let large = clerk.create("large.vdb")?;
    let ticket = clerk.ticket(large, Update { grow_to: Some(1 << 40), ..Update::default() })?;
    let nodes = Arc::new(MemoryStore::default());
    for (id, node) in Loom::default().weave(&ticket)? {
        nodes.put(&[NewObject { key: Key::from(id), extra: &[], body: &encode_node(&id, &node)? }])?;
    }
    clerk.commit(ticket.blob, ticket.entry.version)?;
    let applied = clerk.commands();
    clerk.table_mut().checkpoint(applied)?;
    drop(clerk);
    let page: Bytes = vec![7; PAGE as usize].into();
    let stage = Stage::open(folder.path(), RedbKv::open(&path)?, map.clone(), nodes, page.clone())?;
    let _ = stage.take();
    let writer = stage.client(VOLUME, CLIENT_MEMORY_DEFAULT).await?;
    let mount = stage.take();
    let frame = vec![page.clone(); FRAME_PAGES as usize];
    let published = write_new(&writer, "frame.0042.exr", &frame).await?;
    let frame = stage.take();
    let reader = stage.client(VOLUME, CLIENT_MEMORY_DEFAULT).await?;
    let _ = stage.take();
    read(&reader, "frame.0042.exr", FRAME_PAGES).await?;
    let frame_read = stage.take();
    write_new(&writer, "note.txt", &[page.slice(..SMALL_BYTES)]).await?;
    let small = stage.take();
    patch_middle(&reader, page).await?;
    let patch = stage.take();
    drop((writer, reader));
    stage.stop().await?;
    Ok(Counted { mount, frame, frame_read, small, patch, published })
}

/// As a mount does it: a look-up that finds nothing, a creation, and what the close publishes.
async fn write_new(client: &Arc<Volume>, file: &str, pages: &[Bytes]) -> Outcome<Published> {
    let name = FileName::new(file)?;
    let found = client.query(At::Head, Query::LookUp { parent: ROOT_INODE, name: name.clone() }).await;
    if found.is_ok() {
        return Err(format!("{file} is there already").into());
    }
    let (parent, inode) = (ROOT_INODE, NewInode::File);
    let create = Change::Create { parent, name, inode, mode: 0o644, uid: 1000, gid: 1000, exclusive: true, umask: 0 };
    let reply = client.change(&author(), create).await?;
    let inode = reply.attributes.ok_or("a new file without attributes")?.inode;
    publish(client, inode, 0, pages).await
}

async fn publish(client: &Arc<Volume>, inode: weft_common::id::InodeNumber, first: u64, pages: &[Bytes]) -> Outcome<Published> {
    let mut update = Update::default();
    for (place, page) in pages.iter().enumerate() {
        let object = client.put_object(page.clone()).await?;
        let offset = (first + place as u64) * PAGE;
        update.data.push(DataExtent { offset, length: object.length, object: place as u32, object_offset: 0 });
        update.objects.push(object);
    }
    let (operation, author) = (Operation::Write(update), author());
    Ok(client.publish(PublishRequest { inode, operation, modified: Timestamp(1), author, only_in: None }).await?)
}

async fn attributes(client: &Arc<Volume>, query: Query) -> Outcome<Attributes> {
    match client.query(At::Head, query).await? {
        NamespaceAnswer::Attributes(attributes) => Ok(attributes),
        other => Err(format!("attributes were asked for, and {other:?} came").into()),
    }
}

/// As a mount does it: the name, the file as it is when it is opened, its nodes, its pages.
async fn read(client: &Arc<Volume>, file: &str, pages: u64) -> Outcome<()> {
    let found = attributes(client, Query::LookUp { parent: ROOT_INODE, name: FileName::new(file)? }).await?;
    let tree = attributes(client, Query::Attributes(found.inode)).await?.tree.ok_or("a file without content")?;
    for page in 0..pages {
        client.read(&tree, ByteRange::new(page * PAGE, (page + 1) * PAGE)).await?;
    }
    Ok(())
}

async fn patch_middle(client: &Arc<Volume>, page: Bytes) -> Outcome<()> {
    let found = attributes(client, Query::LookUp { parent: ROOT_INODE, name: FileName::new("large.vdb")? }).await?;
    publish(client, found.inode, (1 << 19) + 5, &[page]).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::cluster;
    use super::*;

    #[test]
    fn the_real_client_sends_what_the_model_says() {
        for (data, metadata, copies) in [(3, 3, 1), (60, 20, 2), (60, 100, 3)] {
            let size = Size { data, metadata, clients: 1, copies };
            let map = cluster::map(size);
            let counted = count(&map, size).unwrap();
            let Published { blob, blob_version, .. } = counted.published;
            let nodes = nodes_of_write(blob, blob_version, FAN_OUT, 0, FRAME_PAGES, FRAME_PAGES);
            let expected = of_write(&map, copies, FRAME_PAGES, &nodes);
            let calls = |kind: &str| counted.frame.calls(kind);
            let real = Messages {
                page_puts: calls("put page"),
                node_puts: calls("put nodes"),
                nodes: counted.frame.nodes_put / u64::from(copies),
                manager: calls("ticket") + calls("commit"),
            };
            assert_eq!(real, expected, "{size:?}");
            assert_eq!((calls("look_up"), calls("create"), counted.frame.commands), (1, 1, 3), "{size:?}");
            assert_eq!(counted.frame_read.calls("get page"), FRAME_PAGES);
            assert_eq!((counted.frame_read.calls("look_up"), counted.frame_read.calls("attributes")), (1, 1));
            let deep = nodes_of_write(blob, blob_version, FAN_OUT, (1 << 19) + 5, 1, 1 << 20);
            assert_eq!(counted.patch.nodes_put, deep.len() as u64 * u64::from(copies));
        }
    }
}
