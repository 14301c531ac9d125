//! Where a new page object goes, and in which order its replicas are read. Pure: the caller passes the map, what it
//! suspects, and a random number.
//!
//! A group takes part in the draw in proportion to the free space of its fullest member: young, empty providers fill up
//! faster, and many writers spread over all groups without talking to one another.

use crate::id::{GroupId, ProviderId};
use crate::wire::{ClusterMap, ProviderInfo, ProviderRole, ProviderState, ReplicaGroup};

/// Why no group can take an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoGroup {
    /// No group of that size is alive as a whole.
    TooFew {
        /// Data providers that are alive.
        alive: usize,
        /// Data providers that ever joined: with fewer than copies, waiting does not help.
        known: usize,
    },
    /// The groups that are alive are full.
    Full,
    /// There are groups, but all were excluded by the caller.
    Excluded,
}

/// Draws a group of `copies` living members, none of `excluded`; without suspects if possible.
/// `draw` is uniform over all `u64`.
pub(crate) fn choose_group<'map>(
    map: &'map ClusterMap,
    copies: u8,
    excluded: &[GroupId],
    is_suspect: impl Fn(ProviderId) -> bool,
    draw: u64,
) -> Result<&'map ReplicaGroup, NoGroup> {
    let alive: Vec<_> = sized(map, copies).filter(|group| all_members(map, group, &[ProviderState::Alive])).collect();
    let pool: Vec<_> = alive.iter().copied().filter(|group| !excluded.contains(&group.id)).collect();
    let healthy: Vec<_> = pool.iter().copied().filter(|group| !group.members.iter().any(|id| is_suspect(*id))).collect();
    let pool = if healthy.is_empty() { pool } else { healthy };
    match draw_weighted(map, &pool, draw) {
        Some(group) => Ok(group),
        None if !alive.is_empty() => Err(NoGroup::Excluded),
        None => Err(why_none(map, copies)),
    }
}

fn sized(map: &ClusterMap, copies: u8) -> impl Iterator<Item = &ReplicaGroup> {
    map.groups.iter().filter(move |group| group.members.len() == usize::from(copies))
}

fn all_members(map: &ClusterMap, group: &ReplicaGroup, states: &[ProviderState]) -> bool {
    group.members.iter().all(|id| map.provider(*id).is_some_and(|provider| states.contains(&provider.state)))
}

fn why_none(map: &ClusterMap, copies: u8) -> NoGroup {
    if sized(map, copies).any(|group| all_members(map, group, &[ProviderState::Alive, ProviderState::Full])) {
        return NoGroup::Full;
    }
    let (alive, known) = count(map, ProviderRole::Data);
    NoGroup::TooFew { alive, known }
}

/// Providers of a role: alive ones, and all.
pub(crate) fn count(map: &ClusterMap, role: ProviderRole) -> (usize, usize) {
    let of_role = || map.providers.iter().filter(move |provider| provider.role == role);
    (of_role().filter(|provider| provider.state == ProviderState::Alive).count(), of_role().count())
}

/// Whether objects or nodes with `copies` could be stored if only the providers were not full.
pub(crate) fn lacks_only_room(map: &ClusterMap, role: ProviderRole, copies: u8) -> bool {
    let in_state = |state| map.providers.iter().filter(|provider| provider.role == role && provider.state == state).count();
    let (alive, full) = (in_state(ProviderState::Alive), in_state(ProviderState::Full));
    alive < usize::from(copies) && alive + full >= usize::from(copies)
}

/// Free bytes of the fullest member; at least 1, so that every group takes part.
fn weight(map: &ClusterMap, group: &ReplicaGroup) -> u128 {
    let free = group.members.iter().filter_map(|id| map.provider(*id)).map(|provider| provider.free_bytes).min();
    u128::from(free.unwrap_or(0).max(1))
}

fn draw_weighted<'map>(map: &ClusterMap, pool: &[&'map ReplicaGroup], draw: u64) -> Option<&'map ReplicaGroup> {
    let total: u128 = pool.iter().map(|group| weight(map, group)).sum();
    // 32 bits are fine enough for a draw, and leave room for the sum of 2^32 groups.
    let mut point = (total * u128::from(draw >> 32)) >> 32;
    for group in pool {
        let weight = weight(map, group);
        if point < weight {
            return Some(group);
        }
        point -= weight;
    }
    pool.last().copied()
}

/// The members of a group in the order in which they are asked for an object: living and unsuspected first, then those
/// within this process, then those of the same zone; the rest is spread by `draw`.
pub(crate) fn read_order<'map>(
    map: &'map ClusterMap,
    members: &[ProviderId],
    is_suspect: impl Fn(ProviderId) -> bool,
    distance: impl Fn(&ProviderInfo) -> u8,
    draw: u64,
) -> Vec<&'map ProviderInfo> {
    let mut order: Vec<_> = members.iter().filter_map(|id| map.provider(*id)).collect();
    if !order.is_empty() {
        let by = (draw % order.len() as u64) as usize;
        order.rotate_left(by);
    }
    order.sort_by_key(|provider| (provider.state == ProviderState::Dead, is_suspect(provider.id), distance(provider)));
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ClusterId;
    use std::collections::HashMap;

    fn provider(id: u32, state: ProviderState, free_bytes: u64) -> ProviderInfo {
        let zone = if id == 1 { "here" } else { "there" }.to_owned();
        let address = format!("data-{id}");
        let (role, total_bytes, incarnation) = (ProviderRole::Data, 1 << 40, crate::id::Incarnation(1));
        ProviderInfo { id: ProviderId(id), role, address, zone, state, total_bytes, free_bytes, incarnation, lost_since: None }
    }

    fn map(providers: Vec<ProviderInfo>, groups: &[&[u32]]) -> ClusterMap {
        let group = |(place, members): (usize, &&[u32])| ReplicaGroup {
            id: GroupId(place as u32),
            members: members.iter().map(|id| ProviderId(*id)).collect(),
        };
        let groups = groups.iter().enumerate().map(group).collect();
        ClusterMap { cluster: ClusterId(1), epoch: 1, providers, groups, partitions: Vec::new() }
    }

    fn draws(map: &ClusterMap, copies: u8, excluded: &[GroupId], suspect: u32) -> HashMap<GroupId, u32> {
        let mut random = fastrand::Rng::with_seed(7);
        let mut counts = HashMap::new();
        for _ in 0..1000 {
            let group = choose_group(map, copies, excluded, |id| id.0 == suspect, random.u64(..)).unwrap();
            *counts.entry(group.id).or_default() += 1;
        }
        counts
    }

    #[test]
    fn load_spreads_by_free_space_over_living_groups_of_the_right_size() {
        use ProviderState::{Alive, Dead};
        let gib = 1 << 30;
        let providers = vec![
            provider(1, Alive, 300 * gib),
            provider(2, Alive, 300 * gib),
            provider(3, Alive, 100 * gib),
            provider(4, Dead, 900 * gib),
        ];
        let map = map(providers, &[&[1, 2], &[2, 3], &[1, 4], &[1, 2, 3]]);
        let counts = draws(&map, 2, &[], 0);
        assert_eq!(counts.len(), 2);
        assert!((650..850).contains(&counts[&GroupId(0)]), "{counts:?}");
        assert_eq!(draws(&map, 2, &[], 3).len(), 1, "a suspect's group is avoided");
        assert_eq!(draws(&map, 2, &[GroupId(0)], 3)[&GroupId(1)], 1000, "a suspect is better than nobody");
    }

    #[test]
    fn says_why_there_is_no_group() {
        use ProviderState::{Alive, Dead, Full};
        let none =
            |map: &ClusterMap, copies, excluded: &[GroupId]| choose_group(map, copies, excluded, |_| false, 5).unwrap_err();
        let one_dead = map(vec![provider(1, Alive, 9), provider(2, Dead, 9)], &[&[1, 2]]);
        assert_eq!(none(&one_dead, 2, &[]), NoGroup::TooFew { alive: 1, known: 2 });
        assert_eq!(none(&one_dead, 3, &[]), NoGroup::TooFew { alive: 1, known: 2 });
        let one_full = map(vec![provider(1, Alive, 9), provider(2, Full, 0)], &[&[1, 2]]);
        assert_eq!(none(&one_full, 2, &[]), NoGroup::Full);
        let fine = map(vec![provider(1, Alive, 9)], &[&[1]]);
        assert_eq!(none(&fine, 1, &[GroupId(0)]), NoGroup::Excluded);
    }

    #[test]
    fn near_living_replicas_are_read_first() {
        use ProviderState::{Alive, Dead};
        let map = map(vec![provider(1, Dead, 9), provider(2, Alive, 9), provider(3, Alive, 9), provider(4, Alive, 9)], &[]);
        let members = [1, 2, 3, 4].map(ProviderId);
        let distance = |provider: &ProviderInfo| u8::from(provider.id != ProviderId(4));
        for draw in 0..8 {
            let order: Vec<_> = read_order(&map, &members, |id| id.0 == 2, distance, draw).iter().map(|p| p.id.0).collect();
            assert_eq!(order, [4, 3, 2, 1]);
        }
        let firsts: std::collections::BTreeSet<_> =
            (0..8).map(|draw| read_order(&map, &members, |_| false, |_| 0, draw)[0].id.0).collect();
        assert_eq!(firsts.len(), 3, "equals share the load");
    }
}
