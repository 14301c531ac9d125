//! The provider manager's service: joins are logged, heartbeats are not, and the map is put together from both.

use crate::placement::core::{Member, Roster};
use crate::placement::liveness::Liveness;
use crate::placement::ranking::rank;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;
use weft_common::clock::Clock;
use weft_common::id::{ClusterId, ProviderId};
use weft_common::limits::SYNCED_NOTED_EVERY;
use weft_common::rpc::{Answer, Call, Peer};
use weft_common::time::Timestamp;
use weft_common::wire::{
    ClusterMap, ErrorKind, PlacementReply, PlacementRequest, ProviderInfo, ProviderRole, ProviderState, Reply, Request,
    ServiceError, Space,
};

/// The replicated state machine as far as placement needs it.
#[async_trait::async_trait]
pub trait Membership: Send + Sync + std::fmt::Debug {
    /// Logs and carries out a request that changes the roster.
    ///
    /// # Errors
    /// [`ServiceError`].
    async fn log(&self, request: PlacementRequest) -> Result<PlacementReply, ServiceError>;

    /// Members and groups as they stand.
    ///
    /// # Errors
    /// [`ServiceError`].
    async fn roster(&self) -> Result<Roster, ServiceError>;

    /// The time of the newest command that was carried out.
    ///
    /// # Errors
    /// [`ServiceError`].
    async fn time(&self) -> Result<Timestamp, ServiceError>;
}

/// The provider manager.
#[derive(Debug)]
pub struct PlacementService {
    membership: Arc<dyn Membership>,
    cluster: ClusterId,
    /// Held from a change's proposal until its roster is in the state: rosters are taken in in the order of the log. Taken before `state`.
    changing: tokio::sync::Mutex<()>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    roster: Roster,
    liveness: Liveness,
    map: Arc<ClusterMap>,
}

impl PlacementService {
    /// Starts with the members that the log knows.
    ///
    /// # Errors
    /// [`ServiceError`] when they cannot be read.
    pub async fn start(membership: Arc<dyn Membership>, cluster: ClusterId, clock: &dyn Clock) -> Result<Self, ServiceError> {
        let now = Instant::now();
        let liveness = Liveness::new(now);
        let roster = membership.roster().await?;
        // Epochs only have to differ from those of the time before the restart: clients fetch any map but the one they have.
        let epoch = clock.now().0.unsigned_abs();
        let map = Arc::new(assemble(cluster, epoch, &roster, &liveness, now));
        Ok(Self {
            membership,
            cluster,
            changing: tokio::sync::Mutex::new(()),
            state: Mutex::new(State { roster, liveness, map }),
        })
    }

    /// Answers [`Request::Placement`]; anything else is for another role.
    ///
    /// # Errors
    /// [`ServiceError`].
    pub async fn handle(&self, peer: &Peer, call: Call) -> Result<Answer, ServiceError> {
        let Request::Placement(request) = call.request else {
            return Err(ServiceError::new(ErrorKind::WrongServer, "the provider manager answers placement requests only"));
        };
        let reply = match request {
            PlacementRequest::Join { .. } => self.join(peer, request).await?,
            PlacementRequest::Heartbeat { provider, space, synced } => {
                only_servers(peer)?;
                if self.heartbeat(provider, space, synced)? {
                    self.change(request).await?;
                }
                PlacementReply::Heard { time: self.membership.time().await? }
            }
            PlacementRequest::Examined { provider, .. } => {
                only_servers(peer)?;
                tracing::info!(%provider, "what the provider had lost was looked into");
                self.change(request).await?;
                PlacementReply::Epoch(self.map().epoch)
            }
            PlacementRequest::Map { known } => {
                let map = self.map();
                if map.epoch == known { PlacementReply::Epoch(known) } else { PlacementReply::Map(Box::new((*map).clone())) }
            }
        };
        Ok(Answer { reply: Reply::Placement(reply), body: bytes::Bytes::new() })
    }

    /// The cluster map as it is now.
    pub fn map(&self) -> Arc<ClusterMap> {
        let mut state = self.lock();
        self.refresh(&mut state);
        state.map.clone()
    }

    async fn join(&self, peer: &Peer, request: PlacementRequest) -> Result<PlacementReply, ServiceError> {
        only_servers(peer)?;
        let PlacementRequest::Join { role, provider, cluster, address, zone, space, incarnation } = request else {
            return Err(ServiceError::new(ErrorKind::InvalidArgument, "not a join"));
        };
        if let Some(other) = cluster.filter(|other| *other != self.cluster) {
            let message = format!(
                "the store folder of {address} belongs to cluster {other}, this is {}; give it an empty folder",
                self.cluster
            );
            return Err(ServiceError::new(ErrorKind::InvalidArgument, message));
        }
        tracing::info!(%address, ?role, ?provider, peer = %peer.name, "a provider joins");
        let cluster = Some(self.cluster);
        self.change(PlacementRequest::Join { role, provider, cluster, address, zone, space, incarnation }).await
    }

    /// Has a request logged, and takes in what it made of the roster.
    async fn change(&self, request: PlacementRequest) -> Result<PlacementReply, ServiceError> {
        // A new folder that only asks for an id is no member yet.
        let joining = match request {
            PlacementRequest::Join { provider, space, .. } => provider.map(|provider| (provider, space)),
            _ => None,
        };
        let _turn = self.changing.lock().await;
        let reply = self.membership.log(request).await?;
        let roster = self.membership.roster().await?;
        let mut state = self.lock();
        state.roster = roster;
        if let Some((provider, space)) = joining {
            state.liveness.report(provider, space, Instant::now());
        }
        self.refresh(&mut state);
        Ok(reply)
    }

    /// Whether what the provider says of its syncs is so much news that it is to be logged.
    fn heartbeat(&self, provider: ProviderId, space: Space, synced: Timestamp) -> Result<bool, ServiceError> {
        let mut state = self.lock();
        let Some(known) = state.roster.members.iter().find(|member| member.id == provider).map(|member| member.synced) else {
            return Err(ServiceError::new(
                ErrorKind::NotFound,
                format!("{provider} is not a member of this cluster; it has to join first"),
            ));
        };
        state.liveness.report(provider, space, Instant::now());
        self.refresh(&mut state);
        Ok(synced >= known.after(SYNCED_NOTED_EVERY))
    }

    /// Puts the map together again; a new epoch if anything but free space changed, so that maps are not sent for nothing.
    fn refresh(&self, state: &mut State) {
        let fresh = assemble(self.cluster, state.map.epoch, &state.roster, &state.liveness, Instant::now());
        if fresh == *state.map {
            return;
        }
        for (new, old) in fresh.providers.iter().zip(&state.map.providers) {
            if new.state != old.state {
                log_transition(new, old.state);
            }
        }
        let epoch = state.map.epoch + u64::from(differs(&fresh, &state.map));
        state.map = Arc::new(ClusterMap { epoch, ..fresh });
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log_transition(provider: &ProviderInfo, before: ProviderState) {
    let ProviderInfo { id, address, role, state, .. } = provider;
    match state {
        ProviderState::Alive => tracing::info!(%id, %address, ?role, ?before, "provider takes data again"),
        ProviderState::Dead => tracing::warn!(%id, %address, ?role, "provider has gone silent; is weftd running there?"),
        ProviderState::Full => {
            tracing::warn!(%id, %address, ?role, free_bytes = provider.free_bytes, "provider's disk is full; it is only read from")
        }
    }
}

/// Free space moves all the time; it counts as a change when it moved by more than a sixteenth of the disk.
fn differs(fresh: &ClusterMap, old: &ClusterMap) -> bool {
    let same = |new: &ProviderInfo, old: &ProviderInfo| {
        let moved = new.free_bytes.abs_diff(old.free_bytes);
        moved <= new.total_bytes / 16 && *new == ProviderInfo { free_bytes: new.free_bytes, ..old.clone() }
    };
    let providers =
        fresh.providers.len() == old.providers.len() && fresh.providers.iter().zip(&old.providers).all(|(a, b)| same(a, b));
    !providers || fresh.groups != old.groups
}

fn assemble(cluster: ClusterId, epoch: u64, roster: &Roster, liveness: &Liveness, now: Instant) -> ClusterMap {
    let providers = roster.members.iter().map(|member| {
        let (mut state, space) = liveness.state(member.id, now);
        if is_replaced(member, roster, liveness) {
            state = ProviderState::Dead;
        }
        ProviderInfo {
            id: member.id,
            role: member.role,
            address: member.address.clone(),
            zone: member.zone.clone(),
            state,
            total_bytes: space.total_bytes,
            free_bytes: space.free_bytes,
            incarnation: member.incarnation,
            lost_since: member.lost_since,
        }
    });
    let metadata: Vec<ProviderId> =
        roster.members.iter().filter(|member| member.role == ProviderRole::Metadata).map(|member| member.id).collect();
    ClusterMap { cluster, epoch, providers: providers.collect(), groups: roster.groups.clone(), partitions: rank(&metadata) }
}

/// Whether another provider answers at the address of `member` by now: a new store folder in the place of an older one. They are
/// one disk and must not count as two.
fn is_replaced(member: &Member, roster: &Roster, liveness: &Liveness) -> bool {
    let heard = |member: &Member| (liveness.last_heard(member.id), member.id);
    roster.members.iter().any(|other| {
        other.id != member.id && other.role == member.role && other.address == member.address && heard(other) > heard(member)
    })
}

fn only_servers(peer: &Peer) -> Result<(), ServiceError> {
    if peer.is_server {
        return Ok(());
    }
    let message = format!("'{}' has a client's certificate; providers need the cluster's server certificate", peer.name);
    Err(ServiceError::new(ErrorKind::Untrusted, message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::placement::core;
    use crate::version::kv::MemoryKv;
    use weft_common::clock::SystemClock;
    use weft_common::id::{Incarnation, RequestId};
    use weft_common::limits::RPC_DEADLINE;

    /// A log that answers each next reader of the roster faster than the one before.
    #[derive(Debug, Default)]
    struct UnevenLog {
        kv: tokio::sync::Mutex<MemoryKv>,
        asked: std::sync::atomic::AtomicU64,
    }

    #[async_trait::async_trait]
    impl Membership for UnevenLog {
        async fn log(&self, request: PlacementRequest) -> Result<PlacementReply, ServiceError> {
            let mut kv = self.kv.lock().await;
            Ok(core::apply(&mut *kv, Timestamp(0), &request).unwrap())
        }

        async fn roster(&self) -> Result<Roster, ServiceError> {
            let roster = Roster::load(&*self.kv.lock().await).unwrap();
            let asked = self.asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            tokio::time::sleep(std::time::Duration::from_millis(20 / (asked + 1))).await;
            Ok(roster)
        }

        async fn time(&self) -> Result<Timestamp, ServiceError> {
            Ok(Timestamp(0))
        }
    }

    async fn join(service: &PlacementService, role: ProviderRole, provider: Option<ProviderId>) -> ProviderId {
        let peer = Peer { name: "server".into(), is_server: true };
        let (address, zone) = ("host:1".to_owned(), String::new());
        let (cluster, space, incarnation) = (None, Space::default(), Incarnation(1));
        let join = PlacementRequest::Join { role, provider, cluster, address, zone, space, incarnation };
        let request = Request::Placement(join);
        let call = Call { id: RequestId(1), request, body: bytes::Bytes::new(), deadline: RPC_DEADLINE };
        match service.handle(&peer, call).await.unwrap().reply {
            Reply::Placement(PlacementReply::Joined { provider, .. }) => provider,
            other => panic!("{other:?}"),
        }
    }

    async fn add(service: &PlacementService, role: ProviderRole) -> ProviderId {
        let id = join(service, role, None).await;
        join(service, role, Some(id)).await
    }

    #[tokio::test]
    async fn providers_that_join_at_once_are_all_in_the_map() {
        let service = PlacementService::start(Arc::new(UnevenLog::default()), ClusterId(7), &SystemClock).await.unwrap();
        let joins = [ProviderRole::Data, ProviderRole::Metadata, ProviderRole::Data].map(|role| add(&service, role));
        futures_util::future::join_all(joins).await;
        assert_eq!(service.map().providers.len(), 3);
    }

    #[tokio::test]
    async fn a_provider_whose_join_brought_no_answer_counts_once() {
        let service = PlacementService::start(Arc::new(UnevenLog::default()), ClusterId(7), &SystemClock).await.unwrap();
        let lost = join(&service, ProviderRole::Metadata, None).await;
        let id = add(&service, ProviderRole::Metadata).await;
        assert_ne!(id, lost);
        assert_eq!(service.map().providers.iter().map(|provider| provider.id).collect::<Vec<_>>(), [id]);
    }

    #[tokio::test]
    async fn of_two_folders_at_one_address_the_one_that_reports_is_there() {
        let service = PlacementService::start(Arc::new(UnevenLog::default()), ClusterId(7), &SystemClock).await.unwrap();
        for _ in 0..2 {
            add(&service, ProviderRole::Metadata).await;
        }
        let states = || service.map().providers.iter().map(|provider| provider.state).collect::<Vec<_>>();
        assert_eq!(states(), [ProviderState::Dead, ProviderState::Full]);
        service.heartbeat(ProviderId(1), Space::default(), Timestamp(0)).unwrap();
        assert_eq!(states(), [ProviderState::Full, ProviderState::Dead], "whoever reports last is there");
    }
}
