//! The servers and their disks: they are started, killed, and lose power.

use super::boot::{MANAGER, Process};
use super::disk::{LogDisk, LogFault, StoreDisk, StoreFault, TableDisk};
use super::life::{Killer, Life, birth};
use super::network::Network;
use super::world::{SkewedClock, World};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use weft_common::wire::ProviderRole;
use weft_server::storage::Key;
use weft_server::version::Manager;

#[derive(Clone, Debug)]
enum Disk {
    Manager { log: Arc<LogDisk>, table: Arc<TableDisk> },
    Provider(ProviderRole, Arc<StoreDisk>),
}

#[derive(Debug)]
struct Server {
    disk: Disk,
    clock: Arc<SkewedClock>,
    process: Option<(Killer, Life)>,
    /// The running version manager, for questions that cross no network.
    manager: Option<Manager>,
}

/// See the module.
#[derive(Debug)]
pub struct Servers {
    world: Arc<World>,
    network: Arc<Network>,
    servers: Mutex<BTreeMap<String, Server>>,
    /// Where each page object is to lie. Taken after `servers`.
    homes: Mutex<BTreeMap<Key, Vec<String>>>,
    /// What the loss of all power took from all disks. Taken after `servers`.
    lost: Mutex<BTreeSet<Key>>,
}

/// What became of an object or node of which a client says that no provider has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Some disk has it.
    There,
    /// All power was lost before it was synced.
    Lost,
    /// It was deleted, or never stored.
    Gone,
}

impl Servers {
    /// One version manager and so many providers; nobody runs yet.
    #[must_use]
    pub fn new(world: &Arc<World>, network: &Arc<Network>, data: u64, metadata: u64) -> Arc<Self> {
        let (world, network) = (world.clone(), network.clone());
        let (homes, lost) = (Mutex::default(), Mutex::default());
        let servers = Arc::new(Self { world, network, servers: Mutex::default(), homes, lost });
        servers.add(MANAGER, Disk::Manager { log: Arc::default(), table: Arc::default() });
        (1..=data).for_each(|place| servers.add_provider(&format!("data{place}"), ProviderRole::Data));
        (1..=metadata).for_each(|place| servers.add_provider(&format!("meta{place}"), ProviderRole::Metadata));
        servers
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Server>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, host: &str, disk: Disk) {
        let clock = SkewedClock::new(&self.world);
        self.lock().insert(host.to_owned(), Server { disk, clock, process: None, manager: None });
    }

    /// A further provider, which does not run yet.
    pub fn add_provider(&self, host: &str, stores: ProviderRole) {
        self.add(host, Disk::Provider(stores, StoreDisk::new()));
    }

    /// All hosts.
    #[must_use]
    pub fn hosts(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// Whether the process at `host` runs.
    #[must_use]
    pub fn is_up(&self, host: &str) -> bool {
        self.lock().get(host).is_some_and(|server| server.process.as_ref().is_some_and(|(_, life)| !life.is_over()))
    }

    /// The version manager, if it runs.
    #[must_use]
    pub fn manager(&self) -> Option<Manager> {
        if self.is_up(MANAGER) { self.lock().get(MANAGER)?.manager.clone() } else { None }
    }

    /// Sets a host's clock wrong.
    pub fn skew(&self, host: &str, skew_ms: i64) {
        if let Some(server) = self.lock().get(host) {
            server.clock.set(skew_ms);
        }
    }

    /// Starts the process at `host`, unless it runs. A store that had failed has lost what it could not write.
    pub async fn start(&self, host: &str) {
        if self.is_up(host) {
            return;
        }
        self.world.log(format_args!("{host} starts"));
        let Some((disk, process)) = self.new_process(host) else { return };
        match disk {
            Disk::Provider(stores, disk) => {
                if disk.is_poisoned() {
                    disk.lose(&self.world, !self.others_have_what_is_at_risk(host));
                }
                process.run_provider(stores, &disk);
            }
            Disk::Manager { log, table } => {
                let manager = process.run_manager(&log, &table).await;
                if let Some(server) = self.lock().get_mut(host) {
                    server.manager = manager;
                }
            }
        }
    }

    fn new_process(&self, host: &str) -> Option<(Disk, Process)> {
        let (killer, life) = birth();
        let mut servers = self.lock();
        let server = servers.get_mut(host)?;
        server.process = Some((killer.clone(), life.clone()));
        let (world, network, clock) = (self.world.clone(), self.network.clone(), server.clock.clone());
        Some((server.disk.clone(), Process { world, network, host: host.to_owned(), killer, life, clock }))
    }

    /// The process at `host` dies; what it wrote stays.
    pub fn kill(&self, host: &str) {
        let mut servers = self.lock();
        let Some(server) = servers.get_mut(host) else { return };
        if let Some((killer, _)) = server.process.take() {
            killer.kill();
            self.network.close(host);
        }
        let manager = server.manager.take();
        drop(servers);
        drop(manager);
    }

    /// The machine `host` loses power: what it had not synced goes.
    pub fn cut_power(&self, host: &str) {
        self.kill(host);
        let disk = self.lock().get(host).map(|server| server.disk.clone());
        match disk {
            Some(Disk::Manager { log, table }) => {
                log.lose();
                table.lose(&self.world);
            }
            Some(Disk::Provider(_, disk)) => disk.lose(&self.world, false),
            None => {}
        }
    }

    /// All machines lose power. Whether something is on no disk any more that was on one.
    pub fn cut_all_power(&self) -> bool {
        let before = self.stored();
        for host in self.hosts() {
            self.cut_power(&host);
        }
        let after = self.stored();
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        lost.extend(before.difference(&after));
        !lost.is_empty()
    }

    /// Everything that some disk has on which it is looked for: a copy that a put left behind on its way to another group is not.
    fn stored(&self) -> BTreeSet<Key> {
        let servers = self.lock();
        let homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
        let mut stored = BTreeSet::new();
        for (host, server) in servers.iter() {
            let Disk::Provider(_, disk) = &server.disk else { continue };
            let is_home = |key: &Key| homes.get(key).is_none_or(|home| home.contains(host));
            stored.extend(disk.keys().into_iter().filter(is_home));
        }
        stored
    }

    /// What became of the thing that an error calls `what`.
    #[must_use]
    pub fn fate(&self, what: &str) -> Fate {
        let name = what.strip_prefix("page object ").unwrap_or(what);
        let is_named = |key: &Key| key.to_string() == name;
        if self.stored().iter().any(is_named) {
            Fate::There
        } else if self.lost.lock().unwrap_or_else(PoisonError::into_inner).iter().any(is_named) {
            Fate::Lost
        } else {
            Fate::Gone
        }
    }

    /// `key` is to lie on the disks of `hosts`.
    pub fn note_home(&self, key: Key, hosts: Vec<String>) {
        self.homes.lock().unwrap_or_else(PoisonError::into_inner).insert(key, hosts);
    }

    /// Whether of everything that `host` has not synced another disk that is to have it has a copy: whether fewer than k copies
    /// go with it. (A node may lie on any disk. A page object of which nobody knows yet where it is to lie counts as the only copy.)
    #[must_use]
    pub fn others_have_what_is_at_risk(&self, host: &str) -> bool {
        let servers = self.lock();
        let homes = self.homes.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(Server { disk: Disk::Provider(_, disk), .. }) = servers.get(host) else { return true };
        let elsewhere = |key: &Key| {
            let home = homes.get(key);
            let is_home = |name: &String| if key.node().is_some() { true } else { home.is_some_and(|home| home.contains(name)) };
            servers.iter().filter(|(name, _)| *name != host && is_home(name)).any(|(_, server)| match &server.disk {
                Disk::Provider(_, other) => other.has(key, false),
                Disk::Manager { .. } => false,
            })
        };
        disk.at_risk().iter().all(elsewhere)
    }

    /// Plans a fault of a provider's disk.
    pub fn plan_store_fault(&self, host: &str, fault: Option<StoreFault>) {
        if let Some(Server { disk: Disk::Provider(_, disk), .. }) = self.lock().get(host) {
            disk.plan(fault);
        }
    }

    /// Plans a fault of the log's disk.
    pub fn plan_log_fault(&self, fault: Option<LogFault>) {
        if let Some(Server { disk: Disk::Manager { log, .. }, .. }) = self.lock().get(MANAGER) {
            log.plan(fault);
        }
    }

    /// Providers whose store waits for a new process.
    #[must_use]
    pub fn poisoned(&self) -> Vec<String> {
        let poisoned = |server: &Server| matches!(&server.disk, Disk::Provider(_, disk) if disk.is_poisoned());
        self.lock().iter().filter(|(_, server)| poisoned(server)).map(|(host, _)| host.clone()).collect()
    }

    /// Whether the provider at `host` has `key` on its disk, if need be on stable storage.
    #[must_use]
    pub fn has(&self, host: &str, key: &Key, synced: bool) -> bool {
        matches!(self.lock().get(host), Some(Server { disk: Disk::Provider(_, disk), .. }) if disk.has(key, synced))
    }
}
