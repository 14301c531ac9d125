//! Starting processes: the real roles, put together as `weftd` does it, over a simulated disk and network.

use super::disk::{LogDisk, SimStore, StoreDisk, TableDisk};
use super::life::{Killer, Life};
use super::network::{Line, Network};
use super::plant::Plant;
use super::world::{SkewedClock, World};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use weft_common::clock::Clock;
use weft_common::id::ClusterId;
use weft_common::limits::{BACKGROUND_SYNC, DELETES_PER_SECOND_DEFAULT, LEASE_PAUSE};
use weft_common::rpc::Address;
use weft_common::time::Timestamp;
use weft_common::wire::ProviderRole;
use weft_server::config::Role;
use weft_server::node::{LoggedMembership, NodeError, Provider, Roles, run_helper};
use weft_server::placement::PlacementService;
use weft_server::storage::ObjectStore;
use weft_server::version::store::{RedbKv, Writer};
use weft_server::version::{Manager, ManagerError, ManagerOptions, Workers};

/// Where the version manager answers.
pub const MANAGER: &str = "manager";
const CLUSTER: ClusterId = ClusterId(7);

/// A process that is being started.
#[derive(Clone, Debug)]
pub(super) struct Process {
    pub(super) world: Arc<World>,
    pub(super) network: Arc<Network>,
    pub(super) host: String,
    pub(super) killer: Killer,
    pub(super) life: Life,
    pub(super) clock: Arc<SkewedClock>,
}

impl Process {
    fn line(&self) -> Arc<Line> {
        self.network.line(&self.host, self.life.clone(), true)
    }

    fn address(&self) -> Address {
        Address(self.host.clone())
    }

    /// Starts a provider on `disk`.
    pub(super) fn run_provider(&self, stores: ProviderRole, disk: &Arc<StoreDisk>) {
        let store = disk.store(&self.world, self.life.clone());
        let role = if stores == ProviderRole::Data { Role::Data } else { Role::Metadata };
        let provider = match Provider::on(role, stores, store.clone(), Path::new(&self.host), CLUSTER) {
            Ok(provider) => provider,
            Err(error) => return self.world.violation(format!("{} does not start: {error}", self.host)),
        };
        let roles = Roles::new(self.address(), None, None, std::slice::from_ref(&provider));
        self.network.open(&self.host, Arc::new(roles), self.life.clone());
        self.life.spawn(keep_synced(store));
        let member = provider.member(self.line(), vec![Address(MANAGER.to_owned())], self.address(), String::new());
        let process = self.clone();
        self.life.spawn(async move {
            let (joined, _is_joined) = watch::channel(false);
            let (_stop, stopped) = watch::channel(false);
            match member.take_part(joined, stopped).await {
                Ok(()) => {}
                Err(NodeError::Store(error)) => {
                    process.world.log(format_args!("{} exits: {error}", process.host));
                    process.killer.kill();
                }
                Err(error) => process.world.violation(format!("{} is not taken: {error}", process.host)),
            }
        });
    }

    /// Starts version manager, provider manager and helper.
    pub(super) async fn run_manager(&self, log: &Arc<LogDisk>, table: &Arc<TableDisk>) -> Option<Manager> {
        let manager = match self.open_manager(log, table) {
            Ok(manager) => manager,
            Err(error) => {
                self.world.violation(format!("the version manager does not start: {error}"));
                return None;
            }
        };
        let membership = Arc::new(LoggedMembership::new(manager.clone()));
        let placement = match self.life.run(PlacementService::start(membership, CLUSTER, &*self.clock)).await? {
            Ok(placement) => placement,
            Err(error) => {
                self.world.log(format_args!("the provider manager does not start: {error}"));
                self.killer.kill();
                return None;
            }
        };
        let roles = Roles::new(self.address(), Some(manager.clone()), Some(placement), &[]);
        self.network.open(&self.host, Arc::new(roles), self.life.clone());
        let (line, network) = (self.line(), self.network.clone());
        let clock = Arc::new(CollectorClock { machine: self.clock.clone(), network, plant: self.world.plant });
        self.life.spawn(async move {
            let (_stop, stopped) = watch::channel(false);
            run_helper(line, vec![Address(MANAGER.to_owned())], clock, DELETES_PER_SECOND_DEFAULT, stopped).await;
        });
        let (process, failing) = (self.clone(), manager.clone());
        self.life.spawn(async move {
            let error = failing.failed().await;
            process.world.log(format_args!("the version manager exits: {error}"));
            process.killer.kill();
        });
        Some(manager)
    }

    fn open_manager(&self, log: &Arc<LogDisk>, table: &Arc<TableDisk>) -> Result<Manager, ManagerError> {
        let table = RedbKv::open_on(table.table(self.life.clone()), Writer::Caller)?;
        let log = log.log(&self.world, self.life.clone());
        let options = ManagerOptions {
            server: MANAGER.to_owned(),
            workers: Workers::Tasks { append: Duration::from_millis(self.world.between(1, 4)) },
            clock: self.clock.clone(),
            lease_pause: if self.world.chance(500_000) { Duration::ZERO } else { LEASE_PAUSE },
            ..ManagerOptions::default()
        };
        Manager::open_on(table, Box::new(log), Path::new(MANAGER), options)
    }
}

/// What the collector goes by: its machine's clock. What that showed is written down.
#[derive(Debug)]
struct CollectorClock {
    machine: Arc<SkewedClock>,
    network: Arc<Network>,
    plant: Plant,
}

impl Clock for CollectorClock {
    fn now(&self) -> Timestamp {
        let now = self.machine.now();
        self.network.ledger.policy_clock(now);
        if self.plant == Plant::ForeignClock { now.after(Duration::from_secs(3600)) } else { now }
    }
}

/// What the file engine's own thread does.
async fn keep_synced(store: Arc<SimStore>) {
    loop {
        tokio::time::sleep(BACKGROUND_SYNC).await;
        // A failure poisons the store, and the next put says so.
        let _ = store.sync();
    }
}
