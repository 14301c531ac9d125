//! Clients: the real client library, used as a mount uses it, with everything that it is told written down.

use super::boot::MANAGER;
use super::deeds::{author, change_of, outcome_of};
use super::faults;
use super::history::{Deed, Edit, History, Outcome, SyncedUpdate, payload};
use super::life::Life;
use super::network::Network;
use super::servers::Servers;
use super::world::{SkewedClock, World};
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use weft_common::client::{BlobStore, ClientError, ClientOptions, Cluster, Namespace, PublishRequest, Volume};
use weft_common::id::InodeNumber;
use weft_common::limits::CLIENT_MEMORY_DEFAULT;
use weft_common::rpc::Address;
use weft_common::time::Timestamp;
use weft_common::weave::{ByteRange, DataExtent, Operation, PageObject, Update};
use weft_server::storage::Key;

/// Page size of the volume: small, so that trees are high.
pub const PAGE: u64 = 64 << 10;
/// Name of the volume.
pub const VOLUME: &str = "show";

/// How often all power is lost at the moment a client is told that everything is synced, in millionths.
const BLACKOUT_AFTER_SYNC: u64 = 60_000;

/// What the parts of a simulation share.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The world.
    pub world: Arc<World>,
    /// The network.
    pub network: Arc<Network>,
    /// The servers.
    pub servers: Arc<Servers>,
    /// What clients did and saw.
    pub history: Arc<History>,
    /// Whether clients copy and restore.
    pub sharing: bool,
    /// How often all power will still be lost.
    pub blackouts_left: Arc<AtomicU64>,
}

/// A client process.
#[derive(Debug)]
pub struct Client {
    pub(super) stage: Stage,
    pub(super) host: String,
    pub(super) volume: Arc<Volume>,
    unsynced: Mutex<Vec<Unsynced>>,
}

/// An update that is done and not known to be synced.
#[derive(Debug)]
struct Unsynced {
    /// The losses that were known when it began.
    losses: u64,
    objects: Vec<PageObject>,
    update: SyncedUpdate,
}

impl Client {
    /// Connects the process `life` at `host`, which waits `patience` for each call.
    ///
    /// # Errors
    /// Those of the client library.
    pub async fn connect(stage: &Stage, host: &str, life: &Life, patience: Duration) -> Result<Self, ClientError> {
        let cluster = connect(stage, host, life, patience).await?;
        let volume = cluster.open_volume(VOLUME).await?;
        Ok(Self { stage: stage.clone(), host: host.to_owned(), volume, unsynced: Mutex::default() })
    }

    /// The open volume.
    #[must_use]
    pub fn volume(&self) -> &Arc<Volume> {
        &self.volume
    }

    pub(super) fn log(&self, what: std::fmt::Arguments<'_>) {
        self.stage.world.log(format_args!("{}: {what}", self.host));
    }

    fn end(&self, number: usize, deed: &Deed, outcome: Outcome) {
        let counted = match &outcome {
            Outcome::Unknown => "change unknown",
            Outcome::Done(..) => "change done",
            Outcome::Refused(_) => "change refused",
        };
        self.stage.world.count(counted);
        if matches!(outcome, Outcome::Done(..)) {
            self.stage.world.count(deed.counted());
        }
        self.log(format_args!("op{number} {deed:?}: {outcome:?}"));
        self.stage.history.end(number, outcome);
    }

    /// Changes the namespace. The new inode of a `Create`.
    pub async fn change(&self, deed: Deed) -> Option<u64> {
        let change = change_of(&deed)?;
        let number = self.stage.history.begin(deed.clone());
        let reply = self.volume.change(&author(number), change).await;
        let inode = reply.as_ref().ok().and_then(|reply| reply.attributes.as_ref()).map(|attributes| attributes.inode.0);
        let outcome = match reply {
            Ok(reply) => Outcome::Done(reply.version.0, None),
            Err(error) => outcome_of(&error),
        };
        self.end(number, &deed, outcome);
        inode
    }

    /// Writes. Nothing is promised when it fails.
    pub async fn edit(&self, inode: u64, edit: Edit) {
        let deed = Deed::Edit(inode, edit.clone());
        let number = self.stage.history.begin(deed.clone());
        let losses = self.volume.losses();
        let update = match self.upload(number, &edit).await {
            Ok(update) => update,
            Err(error) => {
                self.log(format_args!("op{number}: upload failed: {error}"));
                self.stage.world.count("upload failed");
                return;
            }
        };
        let objects = update.objects.clone();
        let operation = if edit.append { Operation::Append(update) } else { Operation::Write(update) };
        let request = PublishRequest {
            inode: InodeNumber(inode),
            operation,
            modified: Timestamp(number as i64),
            author: author(number),
            only_in: None,
        };
        let outcome = match self.volume.publish(request).await {
            Ok(published) => {
                let base = if edit.append { published.offset } else { 0 };
                let ranges = edit.data.iter().map(|(offset, length)| (base + offset, base + offset + u64::from(*length)));
                let (blob, version, ranges) = (published.blob, published.version.0, ranges.collect());
                let update = SyncedUpdate { inode, blob, version, ranges, complaint: None };
                let unsynced = Unsynced { losses, objects, update };
                self.unsynced.lock().unwrap_or_else(PoisonError::into_inner).push(unsynced);
                Outcome::Done(published.version.0, Some((published.blob, published.blob_version.0, published.offset)))
            }
            Err(error) => {
                self.log(format_args!("op{number}: {error}"));
                // Behind its ticket an update is published whatever its writer is told.
                Outcome::Unknown
            }
        };
        self.end(number, &deed, outcome);
    }

    async fn upload(&self, number: usize, edit: &Edit) -> Result<Update, ClientError> {
        let bytes = Bytes::from(payload(number, edit.data.iter().map(|(_, length)| *length as usize).sum()));
        let holes = edit.holes.iter().map(|(start, end)| ByteRange::new(*start, *end)).collect();
        let mut update = Update { cut_to: edit.cut_to, holes, grow_to: edit.grow_to, ..Update::default() };
        let mut from = 0;
        for (offset, length) in &edit.data {
            let (mut at, end) = (*offset, offset + u64::from(*length));
            while at < end {
                let length = (PAGE - at % PAGE).min(end - at) as u32;
                let object = self.volume.put_object(bytes.slice(from..from + length as usize)).await?;
                let home = self.hosts_of(&object);
                self.stage.servers.note_home(Key::from(object.id), home.into_iter().collect());
                update.data.push(DataExtent { offset: at, length, object: update.objects.len() as u32, object_offset: 0 });
                update.objects.push(object);
                from += length as usize;
                at += u64::from(length);
            }
        }
        Ok(update)
    }

    /// Syncs; what was published before is then on stable storage of all its copies.
    pub async fn sync(&self) {
        let waiting = std::mem::take(&mut *self.unsynced.lock().unwrap_or_else(PoisonError::into_inner));
        let result = self.volume.sync().await;
        let losses = self.volume.losses();
        self.log(format_args!("sync: {result:?}"));
        if result.is_err() {
            self.stage.world.count("sync failed");
            return;
        }
        self.stage.world.count("sync");
        // After a loss nothing is promised of what came before it.
        for unsynced in waiting.into_iter().filter(|unsynced| unsynced.losses == losses) {
            let mut update = unsynced.update;
            let now = self.stage.world.elapsed();
            // What it was overwritten by may be all that is kept.
            if self.stage.network.ledger.is_owed(update.version, now, now) {
                update.complaint = unsynced.objects.iter().find_map(|object| self.complain_of(object));
            }
            self.stage.history.note_synced(update);
        }
        if self.stage.world.chance(BLACKOUT_AFTER_SYNC) {
            // The moment at which a sync that promised too much is found out.
            faults::lose_all_power(&self.stage);
        }
    }

    /// The machines of an object's group.
    fn hosts_of(&self, object: &PageObject) -> BTreeSet<String> {
        let map = self.volume.cluster().map();
        let members = map.group(object.group).map(|group| group.members.clone()).unwrap_or_default();
        members.iter().filter_map(|member| map.provider(*member)).map(|provider| provider.address.clone()).collect()
    }

    /// An object is to lie on as many machines as there are to be copies, each on stable storage.
    fn complain_of(&self, object: &PageObject) -> Option<String> {
        let hosts = self.hosts_of(object);
        let key = Key::from(object.id);
        let synced = hosts.iter().filter(|host| self.stage.servers.has(host, &key, true)).count();
        let copies = usize::from(self.volume.info().settings.copies);
        (synced < copies).then(|| {
            format!("{} was synced and lies on {synced} disks, not on {copies}: {} at {hosts:?}", object.id, object.group)
        })
    }
}

/// A connection of the process `life` at `host`.
///
/// # Errors
/// Those of the client library.
pub async fn connect(stage: &Stage, host: &str, life: &Life, patience: Duration) -> Result<Arc<Cluster>, ClientError> {
    let line = stage.network.line(host, life.clone(), false);
    let purpose = "simulation".to_owned();
    // With little memory reads go to the providers again and again.
    let memory = if stage.world.chance(500_000) { PAGE } else { CLIENT_MEMORY_DEFAULT };
    let (leases, clock) = (stage.world.chance(500_000), SkewedClock::new(&stage.world));
    let host = host.to_owned();
    let options = ClientOptions { timeout: patience, host, purpose, memory, leases, clock, ..ClientOptions::default() };
    Cluster::connect(line, vec![Address(MANAGER.to_owned())], options).await
}
