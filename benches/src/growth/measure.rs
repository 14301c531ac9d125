//! What one operation costs: the messages that the real client sends for it, counted on a stage, and the time that it takes there.

use super::volume::{FILE, Growing, volume};
use crate::report::median;
use serde::Serialize;
use std::sync::Arc;
use std::time::Instant;
use weft_benches::Outcome;
use weft_benches::clerk::author;
use weft_benches::stage::{Stage, Tally};
use weft_common::client::{BlobStore, Namespace, PublishRequest, Volume};
use weft_common::id::ROOT_INODE;
use weft_common::limits::CLIENT_MEMORY_DEFAULT;
use weft_common::name::FileName;
use weft_common::time::Timestamp;
use weft_common::weave::{ByteRange, DataExtent, Operation, Update};
use weft_common::wire::{At, Change, NewInode};

/// A client with so little memory caches nothing: each of its operations costs what the first one does.
const NO_MEMORY: u64 = 1;

/// Operations that are measured, in the order of the table.
pub(super) const OPERATIONS: [&str; 9] = [
    "write",
    "write, nothing cached",
    "read, nothing cached",
    "read of the oldest version",
    "look-up",
    "look-up at the oldest version",
    "create",
    "rename",
    "unlink",
];

/// What one operation costs. All but the time is counted; means of some repetitions.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Cost {
    /// One of [`OPERATIONS`].
    pub(crate) operation: &'static str,
    /// Nodes that it stores.
    pub(crate) nodes_put: f64,
    /// Nodes that it fetches.
    pub(crate) nodes_got: f64,
    /// Requests to the version manager.
    pub(crate) manager_calls: f64,
    /// Bytes to and from the version manager.
    pub(crate) manager_bytes: f64,
    /// Requests to metadata providers.
    pub(crate) node_calls: f64,
    /// Bytes to and from metadata providers.
    pub(crate) node_bytes: f64,
    /// Requests to data providers.
    pub(crate) page_calls: f64,
    /// Commands in the version manager's log.
    pub(crate) commands: f64,
    /// Their bytes.
    pub(crate) logged_bytes: f64,
    /// Microseconds, the median, with everything in one process, and without the log's syncs: those are the disk's and the same at any size.
    pub(crate) micros: f64,
    /// What those took.
    pub(crate) sync_micros: f64,
}

impl Cost {
    /// Requests, of whatever kind.
    pub(super) fn messages(&self) -> f64 {
        self.manager_calls + self.node_calls + self.page_calls
    }
}

/// The costs of every operation on the volume as it stands.
pub(super) async fn measure(growing: &mut Growing, repetitions: u32) -> Outcome<Vec<Cost>> {
    growing
        .on_stage(async |growing: &mut Growing, stage: &Arc<Stage>| {
            let mut bench = Bench { stage, growing, repetitions };
            bench.all().await
        })
        .await
}

struct Bench<'a> {
    stage: &'a Arc<Stage>,
    growing: &'a mut Growing,
    repetitions: u32,
}

impl Bench<'_> {
    async fn all(&mut self) -> Outcome<Vec<Cost>> {
        let cold = self.stage.client(volume(), NO_MEMORY).await?;
        let warm = self.stage.client(volume(), CLIENT_MEMORY_DEFAULT).await?;
        // Everything on the way to the pages is in the second client's cache afterwards.
        let tree = warm.look_up(FILE, At::Head).await?.tree.ok_or("a file without content")?;
        for offset in self.growing.offsets() {
            warm.next_data(&tree, offset).await?;
        }
        let mut costs = Vec::new();
        for operation in OPERATIONS {
            let client = if operation == "write" { &warm } else { &cold };
            costs.push(self.repeat(operation, client).await?);
        }
        Ok(costs)
    }

    async fn repeat(&mut self, operation: &'static str, client: &Arc<Volume>) -> Outcome<Cost> {
        let (mut tallies, mut micros, mut syncs) = (Vec::new(), Vec::new(), Vec::new());
        for _ in 0..self.repetitions {
            self.prepare(operation, client).await?;
            let _ = self.stage.take();
            let started = Instant::now();
            self.once(operation, client).await?;
            let took = started.elapsed();
            let tally = self.stage.take();
            micros.push(took.saturating_sub(tally.syncing).as_secs_f64() * 1e6);
            syncs.push(tally.syncing.as_secs_f64() * 1e6);
            tallies.push(tally);
        }
        Ok(Cost { micros: median(micros), sync_micros: median(syncs), ..mean(operation, &tallies) })
    }

    /// What has to be there before the operation.
    async fn prepare(&mut self, operation: &str, client: &Arc<Volume>) -> Outcome<()> {
        if ["rename", "unlink"].contains(&operation) {
            self.change(client, create(&self.name())?).await?;
        }
        Ok(())
    }

    fn name(&self) -> String {
        format!("made{}", self.growing.made)
    }

    async fn once(&mut self, operation: &str, client: &Arc<Volume>) -> Outcome<()> {
        let oldest = At::Version(self.growing.first);
        match operation {
            "write" | "write, nothing cached" => self.write(client).await,
            "read, nothing cached" => self.read(client, At::Head).await,
            "read of the oldest version" => self.read(client, oldest).await,
            "look-up" => look_up(client, At::Head).await,
            "look-up at the oldest version" => look_up(client, oldest).await,
            "create" => {
                self.growing.made += 1;
                self.change(client, create(&format!("new{}", self.growing.made))?).await
            }
            "rename" => {
                let (name, new_name) = (FileName::new(self.name())?, FileName::new(format!("moved{}", self.growing.made))?);
                self.growing.made += 1;
                let (parent, new_parent) = (ROOT_INODE, ROOT_INODE);
                let change = Change::Rename { parent, name, new_parent, new_name, no_replace: false, exchange: false };
                self.change(client, change).await
            }
            "unlink" => {
                let name = FileName::new(self.name())?;
                self.growing.made += 1;
                self.change(client, Change::Unlink { parent: ROOT_INODE, name }).await
            }
            other => Err(format!("no operation is called '{other}'").into()),
        }
    }

    async fn change(&self, client: &Arc<Volume>, change: Change) -> Outcome<()> {
        client.change(&author(), change).await?;
        Ok(())
    }

    /// One page, as one version.
    async fn write(&mut self, client: &Arc<Volume>) -> Outcome<()> {
        let offset = self.growing.any_offset();
        let object = client.put_object(self.growing.page()).await?;
        let extent = DataExtent { offset, length: object.length, object: 0, object_offset: 0 };
        let operation = Operation::Write(Update { objects: vec![object], data: vec![extent], ..Update::default() });
        let (inode, author) = (self.growing.inode(), author());
        client.publish(PublishRequest { inode, operation, modified: Timestamp(1), author, only_in: None }).await?;
        Ok(())
    }

    /// One page; where the tree is was asked for by a look-up that is part of it.
    async fn read(&mut self, client: &Arc<Volume>, at: At) -> Outcome<()> {
        let tree = client.look_up(FILE, at).await?.tree.ok_or("a file without content")?;
        let offset = self.growing.any_offset();
        let range = ByteRange::new(offset, offset + u64::from(tree.geometry.page_size()));
        let bytes = client.read(&tree, range).await?;
        if bytes == self.growing.page() { Ok(()) } else { Err(format!("other bytes at {offset} than were written").into()) }
    }
}

async fn look_up(client: &Arc<Volume>, at: At) -> Outcome<()> {
    client.look_up(FILE, at).await?;
    Ok(())
}

fn create(name: &str) -> Outcome<Change> {
    let (parent, name, inode) = (ROOT_INODE, FileName::new(name)?, NewInode::File);
    Ok(Change::Create { parent, name, inode, mode: 0o644, uid: 1000, gid: 1000, exclusive: true, umask: 0 })
}

fn mean(operation: &'static str, tallies: &[Tally]) -> Cost {
    let mean = |of: &dyn Fn(&Tally) -> u64| tallies.iter().map(of).sum::<u64>() as f64 / tallies.len().max(1) as f64;
    let of_kinds = |is: fn(&str) -> bool, bytes: bool| {
        mean(&|tally: &Tally| {
            let counts = tally.foreground().filter(|(kind, _)| is(kind)).map(|(_, count)| count);
            counts.map(|count| if bytes { count.asked_bytes + count.answered_bytes } else { count.calls }).sum()
        })
    };
    Cost {
        operation,
        nodes_put: mean(&|tally| tally.nodes_put),
        nodes_got: mean(&|tally| tally.nodes_got),
        manager_calls: of_kinds(is_manager, false),
        manager_bytes: of_kinds(is_manager, true),
        node_calls: of_kinds(is_nodes, false),
        node_bytes: of_kinds(is_nodes, true),
        page_calls: of_kinds(|kind| kind.ends_with("page"), false),
        commands: mean(&|tally| tally.commands),
        logged_bytes: mean(&|tally| tally.logged_bytes),
        micros: 0.0,
        sync_micros: 0.0,
    }
}

fn is_nodes(kind: &str) -> bool {
    kind.ends_with("nodes")
}

fn is_manager(kind: &str) -> bool {
    !is_nodes(kind) && !kind.ends_with("page")
}
