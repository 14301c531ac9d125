//! A cluster of any size as its map shows it, without the hours that the real core would take to let ten thousand providers join.

use weft_benches::stage::{map_of, provider};
use weft_common::id::{GroupId, ProviderId};
use weft_common::limits::COPIES_MAX;
use weft_common::wire::{ClusterMap, ProviderInfo, ProviderRole, ReplicaGroup};
use weft_server::placement::core::{Member, Roster};

/// Groups of each size that a newcomer gets on average, from one member to eight. The core (`server/src/placement/groups.rs`) makes four, but
/// stops at the first that it has made already; a test here compares the two.
const SETS: [f64; COPIES_MAX as usize] = [1.0, 3.0, 3.4, 3.5, 3.5, 3.6, 3.6, 3.5];

/// How many there are of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    /// Data providers.
    pub(crate) data: u32,
    /// Metadata providers.
    pub(crate) metadata: u32,
    /// Mounts.
    pub(crate) clients: u64,
    /// Copies of pages and nodes.
    pub(crate) copies: u8,
}

/// The providers: data first, in the order in which they joined.
fn providers(size: Size) -> (Vec<ProviderInfo>, Vec<ProviderInfo>) {
    let data = (1..=size.data).map(|id| provider(id, ProviderRole::Data)).collect();
    let metadata = (size.data + 1..=size.data + size.metadata).map(|id| provider(id, ProviderRole::Metadata)).collect();
    (data, metadata)
}

/// As many groups of each size as the core makes. Partners are drawn by lot, where the core takes those that are in the fewest groups: that
/// makes no difference to the map's size, nor to what it costs to choose from it.
fn groups(data: u32) -> Vec<ReplicaGroup> {
    let mut random = fastrand::Rng::with_seed(7);
    let mut groups = Vec::new();
    for newcomer in 1..=data {
        for copies in 1..=u32::from(COPIES_MAX).min(newcomer) {
            for _ in 0..sets(newcomer, copies, random.f64()) {
                let mut members = vec![ProviderId(newcomer)];
                while members.len() < copies as usize {
                    let partner = ProviderId(random.u32(1..newcomer));
                    if !members.contains(&partner) {
                        members.push(partner);
                    }
                }
                groups.push(ReplicaGroup { id: GroupId(groups.len() as u32 + 1), members });
            }
        }
    }
    groups
}

/// How many groups of `copies` a newcomer among `all` providers gets, if `lot` is drawn from 0 to 1.
fn sets(all: u32, copies: u32, lot: f64) -> usize {
    let others = u64::from(all - 1);
    let mut possible = 1u64;
    for place in 0..u64::from(copies - 1) {
        possible = possible.saturating_mul(others - place) / (place + 1);
    }
    let wanted = SETS[copies as usize - 1] + lot;
    (wanted as usize).min(usize::try_from(possible).unwrap_or(usize::MAX))
}

/// The cluster map.
pub(crate) fn map(size: Size) -> ClusterMap {
    let (data, metadata) = providers(size);
    map_of(&data, &metadata, groups(size.data))
}

/// The same as the provider manager keeps it.
pub(crate) fn roster(map: &ClusterMap) -> Roster {
    let member = |info: &ProviderInfo| Member {
        id: info.id,
        role: info.role,
        address: info.address.clone(),
        zone: info.zone.clone(),
        joined: weft_common::time::Timestamp(0),
        incarnation: info.incarnation,
        synced: weft_common::time::Timestamp(0),
        lost_since: None,
    };
    Roster { members: map.providers.iter().map(member).collect(), groups: map.groups.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_common::id::ClusterId;
    use weft_common::time::Timestamp;
    use weft_common::wire::{PlacementReply, PlacementRequest, Space, encode};
    use weft_server::placement::core;
    use weft_server::version::kv::MemoryKv;

    /// The real core's groups of so many data providers.
    fn real_groups(data: u32) -> Vec<ReplicaGroup> {
        let mut kv = MemoryKv::default();
        for number in 1..=data {
            let info = provider(number, ProviderRole::Data);
            let mut provider = None;
            for _ in 0..2 {
                let (role, cluster, address, zone) = (info.role, Some(ClusterId(1)), info.address.clone(), info.zone.clone());
                let (space, incarnation) = (Space::default(), info.incarnation);
                let join = PlacementRequest::Join { role, provider, cluster, address, zone, space, incarnation };
                match core::apply(&mut kv, Timestamp(0), &join).unwrap() {
                    PlacementReply::Joined { provider: id, .. } => provider = Some(id),
                    other => panic!("{other:?}"),
                }
            }
        }
        Roster::load(&kv).unwrap().groups
    }

    #[test]
    fn there_are_as_many_groups_as_the_core_makes() {
        for data in [1, 2, 3, 9, 40, 100] {
            let (real, drawn) = (real_groups(data), groups(data));
            assert!(real.len().abs_diff(drawn.len()) <= 8.max(drawn.len() / 16), "{data}: {} and {}", real.len(), drawn.len());
            let (real, drawn) = (encode(&real).unwrap().len() as f64, encode(&drawn).unwrap().len() as f64);
            if data >= 40 {
                assert!((real / drawn - 1.0).abs() < 0.08, "{real} bytes and {drawn}");
            }
        }
    }
}
