//! Clients: the real client library, used as a mount uses it, with everything that it is told written down.

use super::boot::MANAGER;
use super::history::{Deed, Edit, Found, History, ListRecord, Outcome, Place, ReadRecord, payload};
use super::life::Life;
use super::network::Network;
use super::servers::Servers;
use super::world::World;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use weft_common::client::{BlobStore, ClientError, ClientOptions, Cluster, Namespace, PublishRequest, Volume};
use weft_common::id::{InodeNumber, VolumeVersion};
use weft_common::name::FileName;
use weft_common::rpc::Address;
use weft_common::time::Timestamp;
use weft_common::weave::{ByteRange, DataExtent, Operation, PageObject, Update};
use weft_common::wire::{At, Attributes, Author, Change, ErrorKind, NamespaceAnswer, NewInode, Query};
use weft_server::storage::Key;

/// Page size of the volume: small, so that trees are high.
pub const PAGE: u64 = 64 << 10;
/// Name of the volume.
pub const VOLUME: &str = "show";

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
}

/// A client process.
#[derive(Debug)]
pub struct Client {
    stage: Stage,
    host: String,
    volume: Arc<Volume>,
    /// Objects of changes that are done and not known to be synced, with the losses that were known when they began.
    unsynced: Mutex<Vec<(u64, Vec<PageObject>)>>,
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

    fn log(&self, what: std::fmt::Arguments<'_>) {
        self.stage.world.log(format_args!("{}: {what}", self.host));
    }

    fn end(&self, number: usize, deed: &Deed, outcome: Outcome) {
        let counted = match &outcome {
            Outcome::Unknown => "change unknown",
            Outcome::Done(..) => "change done",
            Outcome::Refused(_) => "change refused",
        };
        self.stage.world.count(counted);
        self.log(format_args!("op{number} {deed:?}: {outcome:?}"));
        self.stage.history.end(number, outcome);
    }

    /// Looks a name up.
    ///
    /// # Errors
    /// Those of the client library, but `NotFound`.
    pub async fn look_up(&self, at: At, (parent, name): &Place) -> Result<Option<Attributes>, ClientError> {
        let Ok(name) = FileName::new(name.as_str()) else { return Ok(None) };
        match self.volume.query(at, Query::LookUp { parent: InodeNumber(*parent), name }).await {
            Ok(NamespaceAnswer::Attributes(attributes)) => Ok(Some(attributes)),
            Ok(other) => {
                self.stage.world.violation(format!("a look-up was answered with {other:?}"));
                Ok(None)
            }
            Err(ClientError::Service(error)) if error.kind == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
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
        let request =
            PublishRequest { inode: InodeNumber(inode), operation, modified: Timestamp(number as i64), author: author(number) };
        let outcome = match self.volume.publish(request).await {
            Ok(published) => {
                self.unsynced.lock().unwrap_or_else(PoisonError::into_inner).push((losses, objects));
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

    /// Looks a name up and reads part of the file behind it, `share` being where in it and how much (in 256ths).
    ///
    /// # Errors
    /// Those of the client library.
    pub async fn read(&self, at: At, place: Place, share: (u64, u64)) -> Result<Option<u64>, ClientError> {
        let history = &self.stage.history;
        let low = history.seen();
        let version = match at {
            At::Head => None,
            At::Version(version) => Some(version.0),
        };
        let Some(attributes) = self.look_up(at, &place).await? else {
            self.log(format_args!("{place:?} at {version:?} is not there (known then: N{low})"));
            history.note_read(ReadRecord { low, at: version, place, found: None });
            return Ok(None);
        };
        let mut found = Found {
            inode: attributes.inode.0,
            blob_version: attributes.tree.map(|tree| tree.version.0),
            size: attributes.size,
            start: 0,
            end: 0,
            bytes: Bytes::new(),
        };
        if let Some(tree) = attributes.tree {
            if version.is_none() {
                history.saw(tree.blob, tree.version.0);
            }
            found.start = tree.size * share.0 / 256;
            let range = ByteRange::new(found.start, found.start + (tree.size * share.1).div_ceil(256));
            found.end = range.end;
            found.bytes = self.volume.read(&tree, range).await?;
        }
        self.log(format_args!("read {place:?} at {version:?}: {:?}, {} bytes", found.blob_version, found.bytes.len()));
        self.stage.world.count("read");
        history.note_read(ReadRecord { low, at: version, place, found: Some(found) });
        Ok(Some(attributes.inode.0))
    }

    /// Lists a directory.
    ///
    /// # Errors
    /// Those of the client library.
    pub async fn list(&self, directory: u64) -> Result<(), ClientError> {
        let low = self.stage.history.seen();
        let query = Query::ReadDirectory { directory: InodeNumber(directory), after: None, limit: 1000 };
        if let NamespaceAnswer::Entries { entries, .. } = self.volume.query(At::Head, query).await? {
            let entry = |entry: weft_common::wire::DirectoryEntry| {
                (String::from_utf8_lossy(entry.name.as_bytes()).into_owned(), entry.attributes.inode.0)
            };
            let entries = entries.into_iter().map(entry).collect();
            self.stage.history.note_list(ListRecord { low, directory, entries });
        }
        Ok(())
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
        for (_, objects) in waiting.into_iter().filter(|(known, _)| *known == losses) {
            objects.iter().for_each(|object| self.check_synced(object));
        }
    }

    /// The machines of an object's group.
    fn hosts_of(&self, object: &PageObject) -> BTreeSet<String> {
        let map = self.volume.cluster().map();
        let members = map.group(object.group).map(|group| group.members.clone()).unwrap_or_default();
        members.iter().filter_map(|member| map.provider(*member)).map(|provider| provider.address.clone()).collect()
    }

    /// On as many machines as there are to be copies, each on stable storage.
    fn check_synced(&self, object: &PageObject) {
        let hosts = self.hosts_of(object);
        let key = Key::from(object.id);
        let synced = hosts.iter().filter(|host| self.stage.servers.has(host, &key, true)).count();
        let copies = usize::from(self.volume.info().settings.copies);
        if synced < copies {
            let what =
                format!("{} was synced and lies on {synced} disks, not on {copies}: {} at {hosts:?}", object.id, object.group);
            self.stage.world.violation(what);
        }
    }

    /// A volume version that was there at some time; `None` as long as there was none.
    #[must_use]
    pub fn some_version(&self) -> Option<At> {
        let seen = self.stage.history.seen();
        (seen > 0).then(|| At::Version(VolumeVersion(1 + self.stage.world.below(seen))))
    }
}

/// A connection of the process `life` at `host`.
///
/// # Errors
/// Those of the client library.
pub async fn connect(stage: &Stage, host: &str, life: &Life, patience: Duration) -> Result<Arc<Cluster>, ClientError> {
    let line = stage.network.line(host, life.clone(), false);
    let purpose = "simulation".to_owned();
    let options = ClientOptions { timeout: patience, host: host.to_owned(), purpose, ..ClientOptions::default() };
    Cluster::connect(line, vec![Address(MANAGER.to_owned())], options).await
}

fn author(number: usize) -> Author {
    Author { uid: 0, host: "simulated".to_owned(), program: format!("op{number}") }
}

fn change_of(deed: &Deed) -> Option<Change> {
    let name = |place: &Place| FileName::new(place.1.as_str()).ok();
    let parent = |place: &Place| InodeNumber(place.0);
    Some(match deed {
        Deed::Create(place, directory) => {
            let (inode, mode) = if *directory { (NewInode::Directory, 0o755) } else { (NewInode::File, 0o644) };
            Change::Create { parent: parent(place), name: name(place)?, inode, mode, uid: 0, gid: 0, exclusive: true }
        }
        Deed::Unlink(place) => Change::Unlink { parent: parent(place), name: name(place)? },
        Deed::Rename(from, to) => Change::Rename {
            parent: parent(from),
            name: name(from)?,
            new_parent: parent(to),
            new_name: name(to)?,
            no_replace: false,
            exchange: false,
        },
        Deed::Edit(..) => return None,
    })
}

/// Only these refusals say that nothing was done: others leave open what became of an earlier attempt.
fn outcome_of(error: &ClientError) -> Outcome {
    match error {
        ClientError::Service(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::AlreadyExists) => {
            Outcome::Refused(error.kind)
        }
        _ => Outcome::Unknown,
    }
}
