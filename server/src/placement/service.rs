//! The provider manager's service: joins are logged, heartbeats are not, and the map is put together from both.

use crate::placement::core::{Member, Roster};
use crate::placement::liveness::Liveness;
use crate::placement::ranking::rank;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;
use weft_common::clock::Clock;
use weft_common::id::{ClusterId, ProviderId};
use weft_common::rpc::{Answer, Call, Peer};
use weft_common::wire::{
    ClusterMap, ErrorKind, PlacementReply, PlacementRequest, ProviderInfo, ProviderRole, ProviderState, Reply, Request,
    ServiceError,
};

/// The replicated state machine as far as placement needs it.
#[async_trait::async_trait]
pub trait Membership: Send + Sync + std::fmt::Debug {
    /// Logs and carries out a join.
    ///
    /// # Errors
    /// [`ServiceError`].
    async fn join(&self, request: PlacementRequest) -> Result<PlacementReply, ServiceError>;

    /// Members and groups as they stand.
    ///
    /// # Errors
    /// [`ServiceError`].
    async fn roster(&self) -> Result<Roster, ServiceError>;
}

/// The provider manager.
#[derive(Debug)]
pub struct PlacementService {
    membership: Arc<dyn Membership>,
    cluster: ClusterId,
    /// Held from a join's proposal until its roster is in the state: rosters are taken in in the order of the log. Taken before `state`.
    joining: tokio::sync::Mutex<()>,
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
        Ok(Self { membership, cluster, joining: tokio::sync::Mutex::new(()), state: Mutex::new(State { roster, liveness, map }) })
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
            PlacementRequest::Heartbeat { provider, space } => {
                only_servers(peer)?;
                PlacementReply::Epoch(self.heartbeat(provider, space)?)
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
        let PlacementRequest::Join { role, provider, cluster, address, zone, space } = request else {
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
        let is_member = provider.is_some();
        let logged = PlacementRequest::Join { role, provider, cluster: Some(self.cluster), address, zone, space };
        let _turn = self.joining.lock().await;
        let reply = self.membership.join(logged).await?;
        let roster = self.membership.roster().await?;
        let mut state = self.lock();
        state.roster = roster;
        if let PlacementReply::Joined { provider, .. } = reply
            && is_member
        {
            state.liveness.report(provider, space, Instant::now());
        }
        self.refresh(&mut state);
        Ok(reply)
    }

    fn heartbeat(&self, provider: ProviderId, space: weft_common::wire::Space) -> Result<u64, ServiceError> {
        let mut state = self.lock();
        if !state.roster.members.iter().any(|member| member.id == provider) {
            return Err(ServiceError::new(
                ErrorKind::NotFound,
                format!("{provider} is not a member of this cluster; it has to join first"),
            ));
        }
        state.liveness.report(provider, space, Instant::now());
        self.refresh(&mut state);
        Ok(state.map.epoch)
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
    use weft_common::id::RequestId;
    use weft_common::limits::RPC_DEADLINE;
    use weft_common::time::Timestamp;
    use weft_common::wire::Space;

    /// A log that answers each next reader of the roster faster than the one before.
    #[derive(Debug, Default)]
    struct UnevenLog {
        kv: tokio::sync::Mutex<MemoryKv>,
        asked: std::sync::atomic::AtomicU64,
    }

    #[async_trait::async_trait]
    impl Membership for UnevenLog {
        async fn join(&self, request: PlacementRequest) -> Result<PlacementReply, ServiceError> {
            let mut kv = self.kv.lock().await;
            Ok(core::apply(&mut *kv, Timestamp(0), &request).unwrap())
        }

        async fn roster(&self) -> Result<Roster, ServiceError> {
            let roster = Roster::load(&*self.kv.lock().await).unwrap();
            let asked = self.asked.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            tokio::time::sleep(std::time::Duration::from_millis(20 / (asked + 1))).await;
            Ok(roster)
        }
    }

    async fn join(service: &PlacementService, role: ProviderRole, provider: Option<ProviderId>) -> ProviderId {
        let peer = Peer { name: "server".into(), is_server: true };
        let (address, zone) = ("host:1".to_owned(), String::new());
        let join = PlacementRequest::Join { role, provider, cluster: None, address, zone, space: Space::default() };
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
        service.heartbeat(ProviderId(1), Space::default()).unwrap();
        assert_eq!(states(), [ProviderState::Full, ProviderState::Dead], "whoever reports last is there");
    }
}
