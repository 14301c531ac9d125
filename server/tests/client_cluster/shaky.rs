//! A cluster of the real roles whose providers' machines can lose power: what their stores had not synced is gone.

use crate::harness::{PAGE, PATIENCE, connect};
use std::collections::HashSet;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use weft_common::client::{Cluster, Volume};
use weft_common::clock::SystemClock;
use weft_common::id::{ClusterId, Incarnation};
use weft_common::rpc::Address;
use weft_common::transport::LocalRpc;
use weft_common::weave::Geometry;
use weft_common::wire::{ProviderRole, VolumeSettings};
use weft_server::config::Role;
use weft_server::node::{LoggedMembership, OwnedStore, Provider, Roles};
use weft_server::placement::PlacementService;
use weft_server::storage::file::Identity;
use weft_server::storage::memory::MemoryStore;
use weft_server::storage::{Key, Listing, NewObject, ObjectStore, StoreError, StoreStatistics, StoredObject, VisitKey};
use weft_server::version::{Manager, ManagerOptions};

const CLUSTER: ClusterId = ClusterId(7);

/// A store on a disk that keeps what was synced. Nothing can be synced while its syncs are stalled.
#[derive(Debug, Default)]
struct ShakyStore {
    objects: MemoryStore,
    unsynced: Mutex<HashSet<Key>>,
    stalled: AtomicBool,
    incarnation: AtomicU64,
    identity: Mutex<Option<Identity>>,
}

impl ShakyStore {
    fn lose_power(&self) {
        let lost: Vec<Key> = self.unsynced.lock().unwrap().drain().collect();
        self.objects.delete(&lost).unwrap();
        self.incarnation.fetch_add(1, Ordering::SeqCst);
    }
}

impl ObjectStore for ShakyStore {
    fn blocks(&self) -> bool {
        false
    }

    fn put(&self, objects: &[NewObject<'_>]) -> Result<(), StoreError> {
        let new = objects.iter().map(|object| object.key).filter(|key| !self.objects.contains(key));
        self.unsynced.lock().unwrap().extend(new);
        self.objects.put(objects)
    }

    fn get(&self, key: &Key) -> Result<Option<StoredObject>, StoreError> {
        self.objects.get(key)
    }

    fn get_part(&self, key: &Key, range: Range<u32>) -> Result<Option<StoredObject>, StoreError> {
        self.objects.get_part(key, range)
    }

    fn contains(&self, key: &Key) -> bool {
        self.objects.contains(key)
    }

    fn delete(&self, keys: &[Key]) -> Result<usize, StoreError> {
        self.objects.delete(keys)
    }

    fn sync(&self) -> Result<(), StoreError> {
        if self.stalled.load(Ordering::SeqCst) {
            let source = std::io::Error::other("stalled");
            return Err(StoreError::Io { action: "sync", file: PathBuf::from("shaky"), source });
        }
        self.unsynced.lock().unwrap().clear();
        Ok(())
    }

    fn incarnation(&self) -> Incarnation {
        Incarnation(self.incarnation.load(Ordering::SeqCst))
    }

    fn keys(&self, visit: &mut VisitKey<'_>) -> Result<(), StoreError> {
        self.objects.keys(visit)
    }

    fn list(&self, after: &[u8], limit: usize) -> Result<Listing, StoreError> {
        self.objects.list(after, limit)
    }

    fn statistics(&self) -> Result<StoreStatistics, StoreError> {
        Ok(StoreStatistics { disk_total_bytes: 1 << 40, disk_free_bytes: 1 << 39, ..self.objects.statistics()? })
    }
}

impl OwnedStore for ShakyStore {
    fn identity(&self) -> Option<Identity> {
        *self.identity.lock().unwrap()
    }

    fn claim(&self, identity: Identity) -> Result<(), StoreError> {
        *self.identity.lock().unwrap() = Some(identity);
        Ok(())
    }
}

/// A provider's machine.
#[derive(Debug)]
struct Machine {
    name: &'static str,
    stores: ProviderRole,
    store: Arc<ShakyStore>,
    process: Option<JoinHandle<()>>,
}

/// The cluster: `data1`, `data2`, `metadata1`, `metadata2`, and a volume `show` of two copies.
#[derive(Debug)]
pub(crate) struct ShakyCluster {
    pub(crate) rpc: Arc<LocalRpc>,
    machines: Vec<Machine>,
    manager: Manager,
    _folder: tempfile::TempDir,
}

fn manager_address() -> Address {
    Address("manager".to_owned())
}

impl ShakyCluster {
    pub(crate) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let manager = Manager::open(folder.path(), ManagerOptions::default()).unwrap();
        let membership = Arc::new(LoggedMembership::new(manager.clone()));
        let placement = PlacementService::start(membership, CLUSTER, &SystemClock).await.unwrap();
        let rpc = Arc::new(LocalRpc::new());
        rpc.insert(manager_address(), Arc::new(Roles::new(manager_address(), Some(manager.clone()), Some(placement), &[])));
        let machine = |name, stores| Machine { name, stores, store: Arc::default(), process: None };
        let data = ["data1", "data2"].map(|name| machine(name, ProviderRole::Data));
        let metadata = ["metadata1", "metadata2"].map(|name| machine(name, ProviderRole::Metadata));
        let machines: Vec<Machine> = data.into_iter().chain(metadata).collect();
        let mut cluster = Self { rpc, machines, manager, _folder: folder };
        for name in cluster.names() {
            cluster.power_on(name).await;
        }
        let settings = VolumeSettings { geometry: Geometry::new(PAGE as u32, 2).unwrap(), copies: 2 };
        cluster.client().await.create_volume("show", settings, (0, 0)).await.unwrap();
        cluster
    }

    pub(crate) fn names(&self) -> Vec<&'static str> {
        self.machines.iter().map(|machine| machine.name).collect()
    }

    fn machine(&mut self, name: &str) -> &mut Machine {
        self.machines.iter_mut().find(|machine| machine.name == name).unwrap()
    }

    /// From now on nothing that is put gets to stable storage, or all of it may again.
    pub(crate) fn stall_syncs(&self, stalled: bool) {
        for machine in &self.machines {
            machine.store.stalled.store(stalled, Ordering::SeqCst);
        }
    }

    /// The machines lose power and stay off.
    pub(crate) fn cut_power(&mut self, names: &[&str]) {
        for name in names {
            self.rpc.remove(&Address((*name).to_owned()));
            let machine = self.machine(name);
            machine.process.take().unwrap().abort();
            machine.store.lose_power();
        }
    }

    /// The machine starts, and its provider joins.
    pub(crate) async fn power_on(&mut self, name: &str) {
        let (rpc, address) = (self.rpc.clone(), Address(name.to_owned()));
        let machine = self.machine(name);
        let (role, stores) = match machine.stores {
            ProviderRole::Data => (Role::Data, ProviderRole::Data),
            ProviderRole::Metadata => (Role::Metadata, ProviderRole::Metadata),
        };
        let provider = Provider::on(role, stores, machine.store.clone(), Path::new(name), CLUSTER).unwrap();
        rpc.insert(address.clone(), Arc::new(Roles::new(address.clone(), None, None, std::slice::from_ref(&provider))));
        let member = provider.member(rpc, vec![manager_address()], address, String::new());
        let (joined, mut is_joined) = watch::channel(false);
        machine.process = Some(tokio::spawn(async move {
            let (_stop, stopped) = watch::channel(false);
            member.take_part(joined, stopped).await.unwrap();
        }));
        is_joined.wait_for(|joined| *joined).await.unwrap();
    }

    /// All lose power at once, and are started again.
    pub(crate) async fn lose_power(&mut self, names: &[&str]) {
        self.cut_power(names);
        for name in names {
            self.power_on(name).await;
        }
    }

    /// Copies of page objects that are on the machine.
    pub(crate) fn objects_on(&mut self, name: &str) -> u64 {
        self.machine(name).store.statistics().unwrap().objects
    }

    /// A further client.
    pub(crate) async fn client(&self) -> Arc<Cluster> {
        connect(self.rpc.clone(), PATIENCE).await
    }

    /// The volume as a further client, with nothing in its caches, opens it.
    pub(crate) async fn volume(&self) -> Arc<Volume> {
        self.client().await.open_volume("show").await.unwrap()
    }

    pub(crate) async fn stop(mut self) {
        for machine in &mut self.machines {
            machine.process.take().into_iter().for_each(|process| process.abort());
        }
        self.manager.shutdown().await.unwrap();
    }
}
