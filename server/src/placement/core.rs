//! Members and replica groups: the part of the provider manager that is logged. Pure.
//!
//! A provider gets an id when it joins and keeps it in its store folder; when it comes back, perhaps at another address, it
//! is the same provider with the same page objects. Groups are only ever added: a fragment names its group for good.
//!
//! Joining takes two steps. A new folder is given an id, and is a member of nothing yet; when it has written the id down and comes
//! with it, it is a member and in groups. An answer may be lost on the way: the folder then asks for another id, and what was
//! stored under the first would be on a provider that nobody is.

use crate::placement::groups;
use crate::version::failure::Failure;
use crate::version::kv::{Kv, KvError};
use crate::version::table;
use serde::{Deserialize, Serialize};
use weft_common::id::{ClusterId, GroupId, Incarnation, ProviderId};
use weft_common::time::Timestamp;
use weft_common::wire::{ErrorKind, PlacementReply, PlacementRequest, ProviderRole, ReplicaGroup};

const COUNTERS: u8 = 0xC0;
const MEMBERS: u8 = 0xC1;
const GROUPS: u8 = 0xC2;
const RESERVED: u8 = 0xC3;

/// A provider that joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its id.
    pub id: ProviderId,
    /// What it stores.
    pub role: ProviderRole,
    /// Where it answers, as of its last join.
    pub address: String,
    /// Its zone.
    pub zone: String,
    /// When it first joined.
    pub joined: Timestamp,
    /// The incarnation of its store, as of its last join.
    pub incarnation: Incarnation,
    /// What it took before this moment of the log's time is on stable storage: everything that versions published earlier need of it.
    pub synced: Timestamp,
    /// `synced` as it was when the provider came into another incarnation, until somebody has looked what it lost by that.
    pub lost_since: Option<Timestamp>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Counters {
    providers: u32,
    groups: u32,
}

/// Everything that is logged about placement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// Members in order of their ids.
    pub members: Vec<Member>,
    /// Groups in order of their ids.
    pub groups: Vec<ReplicaGroup>,
}

impl Roster {
    /// Reads the roster.
    ///
    /// # Errors
    /// [`KvError`] is fatal.
    pub fn load(kv: &dyn Kv) -> Result<Self, KvError> {
        let members = table::collect(kv, &[MEMBERS], &[MEMBERS + 1])?.into_iter().map(|(_, member)| member).collect();
        let groups = table::collect(kv, &[GROUPS], &[GROUPS + 1])?.into_iter().map(|(_, group)| group).collect();
        Ok(Self { members, groups })
    }
}

/// Carries out a logged request: reads of the map are not, and heartbeats only now and then.
///
/// # Errors
/// [`Failure`].
pub fn apply(kv: &mut dyn Kv, now: Timestamp, request: &PlacementRequest) -> Result<PlacementReply, Failure> {
    match request {
        PlacementRequest::Join { role, provider, cluster, address, zone, incarnation, .. } => {
            let Some(cluster) = *cluster else {
                return Err(Failure::refuse(ErrorKind::InvalidArgument, "a logged join names the cluster"));
            };
            let provider = match provider {
                None => reserve(kv, *role)?,
                Some(id) => {
                    let (address, zone, incarnation) = (address.clone(), zone.clone(), *incarnation);
                    let (id, role) = (*id, *role);
                    let coming = Member { id, role, address, zone, joined: now, incarnation, synced: now, lost_since: None };
                    match table::get::<Member>(kv, &key(MEMBERS, id.0))? {
                        Some(before) => come_back(kv, before, coming)?,
                        None => join(kv, coming)?,
                    }
                }
            };
            Ok(PlacementReply::Joined { provider, cluster: ClusterId(cluster.0) })
        }
        PlacementRequest::Heartbeat { provider, synced, .. } => {
            let member = member(kv, *provider)?;
            let synced = member.synced.max(*synced);
            table::put(kv, &key(MEMBERS, provider.0), &Member { synced, ..member })?;
            Ok(PlacementReply::Heard { time: now })
        }
        PlacementRequest::Examined { provider, incarnation } => {
            let member = member(kv, *provider)?;
            if member.incarnation == *incarnation {
                table::put(kv, &key(MEMBERS, provider.0), &Member { lost_since: None, ..member })?;
            }
            Ok(PlacementReply::Epoch(0))
        }
        PlacementRequest::Map { .. } => Err(Failure::refuse(ErrorKind::InvalidArgument, "reads of the map are not logged")),
    }
}

fn member(kv: &dyn Kv, id: ProviderId) -> Result<Member, Failure> {
    table::get(kv, &key(MEMBERS, id.0))?.ok_or_else(|| unknown(id))
}

fn unknown(id: ProviderId) -> Failure {
    let message = format!(
        "{id} is not a member of this cluster: its store folder is from another one, or the version manager's folder was replaced"
    );
    Failure::refuse(ErrorKind::NotFound, message)
}

/// An id for a new folder.
fn reserve(kv: &mut dyn Kv, role: ProviderRole) -> Result<ProviderId, KvError> {
    let mut counters: Counters = table::get(kv, &[COUNTERS])?.unwrap_or_default();
    counters.providers += 1;
    let id = ProviderId(counters.providers);
    table::put(kv, &key(RESERVED, id.0), &role)?;
    table::put(kv, &[COUNTERS], &counters)?;
    Ok(id)
}

/// A folder has the id that it was given.
fn join(kv: &mut dyn Kv, member: Member) -> Result<ProviderId, Failure> {
    let (id, role) = (member.id, member.role);
    let reserved = table::get::<ProviderRole>(kv, &key(RESERVED, id.0))?.ok_or_else(|| unknown(id))?;
    check_role(id, reserved, role)?;
    let mut counters: Counters = table::get(kv, &[COUNTERS])?.unwrap_or_default();
    let mut roster = Roster::load(kv)?;
    kv.delete(&key(RESERVED, id.0))?;
    table::put(kv, &key(MEMBERS, id.0), &member)?;
    roster.members.push(member);
    if role == ProviderRole::Data {
        for members in groups::for_newcomer(&roster, id) {
            counters.groups += 1;
            let group = ReplicaGroup { id: GroupId(counters.groups), members };
            table::put(kv, &key(GROUPS, group.id.0), &group)?;
        }
    }
    table::put(kv, &[COUNTERS], &counters)?;
    Ok(id)
}

/// A provider whose store is in another incarnation may have lost what it had not synced: from the last moment on of which it is known
/// that it had, also if it came back several times before somebody looked.
fn come_back(kv: &mut dyn Kv, before: Member, back: Member) -> Result<ProviderId, Failure> {
    let id = back.id;
    check_role(id, before.role, back.role)?;
    let is_same_life = before.incarnation == back.incarnation;
    let lost_since = before.lost_since.or_else(|| (!is_same_life).then_some(before.synced));
    let member = Member { joined: before.joined, synced: before.synced, lost_since, ..back };
    table::put(kv, &key(MEMBERS, id.0), &member)?;
    Ok(id)
}

fn check_role(id: ProviderId, joined: ProviderRole, role: ProviderRole) -> Result<(), Failure> {
    if joined == role {
        return Ok(());
    }
    let message = format!("{id} joined as a {joined:?} provider, its folder cannot serve as {role:?}; use an empty folder");
    Err(Failure::refuse(ErrorKind::InvalidArgument, message))
}

fn key(table: u8, id: u32) -> Vec<u8> {
    [&[table][..], &id.to_be_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::version::kv::MemoryKv;
    use weft_common::limits::COPIES_MAX;
    use weft_common::wire::Space;

    fn request(role: ProviderRole, provider: Option<ProviderId>, zone: &str) -> PlacementRequest {
        request_from("host:1", role, provider, zone)
    }

    fn request_from(address: &str, role: ProviderRole, provider: Option<ProviderId>, zone: &str) -> PlacementRequest {
        let (cluster, address, zone) = (Some(ClusterId(7)), address.to_owned(), zone.to_owned());
        let (space, incarnation) = (Space::default(), Incarnation(1));
        PlacementRequest::Join { role, provider, cluster, address, zone, space, incarnation }
    }

    fn add(kv: &mut MemoryKv, zone: &str) -> ProviderId {
        let address = format!("host{}:1", Roster::load(kv).unwrap().members.len());
        add_at(kv, &address, zone)
    }

    fn add_at(kv: &mut MemoryKv, address: &str, zone: &str) -> ProviderId {
        let id = ask(kv, address, None, zone);
        assert_eq!(ask(kv, address, Some(id), zone), id);
        id
    }

    fn ask(kv: &mut MemoryKv, address: &str, provider: Option<ProviderId>, zone: &str) -> ProviderId {
        match apply(kv, Timestamp(0), &request_from(address, ProviderRole::Data, provider, zone)).unwrap() {
            PlacementReply::Joined { provider, .. } => provider,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_id_whose_answer_was_lost_is_in_no_group() {
        let mut kv = MemoryKv::default();
        let lost = ask(&mut kv, "host:1", None, "");
        assert_eq!(Roster::load(&kv).unwrap(), Roster::default());
        let id = add_at(&mut kv, "host:1", "");
        assert_ne!(id, lost);
        let roster = Roster::load(&kv).unwrap();
        assert_eq!(roster.members.iter().map(|member| member.id).collect::<Vec<_>>(), [id]);
        assert!(roster.groups.iter().all(|group| group.members == [id]), "{roster:?}");
        let as_metadata = request(ProviderRole::Metadata, Some(lost), "");
        assert!(apply(&mut kv, Timestamp(0), &as_metadata).is_err(), "it was given to a data provider");
    }

    #[test]
    fn every_number_of_copies_has_groups_and_old_ones_never_change() {
        let mut kv = MemoryKv::default();
        let mut before = Roster::default();
        for count in 1..=12_usize {
            let newcomer = add(&mut kv, "");
            let now = Roster::load(&kv).unwrap();
            assert_eq!(now.groups[..before.groups.len()], before.groups[..], "groups are only added");
            for copies in 1..=count.min(usize::from(COPIES_MAX)) {
                let with_newcomer =
                    now.groups.iter().filter(|group| group.members.len() == copies && group.members.contains(&newcomer));
                assert!(with_newcomer.count() > 0, "{newcomer} takes no pages of {copies} copies");
            }
            for group in &now.groups {
                let mut members = group.members.clone();
                members.sort();
                members.dedup();
                assert_eq!(members.len(), group.members.len(), "a provider twice in {group:?}");
            }
            before = now;
        }
    }

    #[test]
    fn two_ids_at_one_address_are_never_two_copies() {
        let mut kv = MemoryKv::default();
        for address in ["a:1", "b:1", "b:1", "c:1", "b:1"] {
            add_at(&mut kv, address, "");
        }
        let roster = Roster::load(&kv).unwrap();
        let address = |id: &ProviderId| roster.members[id.0 as usize - 1].address.as_str();
        for group in &roster.groups {
            let addresses: std::collections::BTreeSet<_> = group.members.iter().map(address).collect();
            assert_eq!(addresses.len(), group.members.len(), "{group:?} has a disk twice");
        }
        assert!(roster.groups.iter().any(|group| group.members.len() == 3));
    }

    #[test]
    fn three_providers_make_every_pair() {
        let mut kv = MemoryKv::default();
        for _ in 0..3 {
            add(&mut kv, "");
        }
        let mut pairs: Vec<Vec<u32>> = Roster::load(&kv)
            .unwrap()
            .groups
            .into_iter()
            .filter(|group| group.members.len() == 2)
            .map(|group| {
                let mut ids: Vec<u32> = group.members.iter().map(|id| id.0).collect();
                ids.sort_unstable();
                ids
            })
            .collect();
        pairs.sort();
        assert_eq!(pairs, [[1, 2], [1, 3], [2, 3]]);
    }

    #[test]
    fn copies_go_to_different_zones_where_there_are_some() {
        let mut kv = MemoryKv::default();
        for zone in ["rack1", "rack1", "rack1", "rack2", "rack2"] {
            add(&mut kv, zone);
        }
        let roster = Roster::load(&kv).unwrap();
        let zone = |id: &ProviderId| roster.members.iter().find(|member| member.id == *id).map(|member| member.zone.clone());
        let fifth = ProviderId(5);
        let first = roster.groups.iter().find(|group| group.members.len() == 2 && group.members.contains(&fifth)).unwrap();
        assert_ne!(zone(&first.members[0]), zone(&first.members[1]));
    }

    #[test]
    fn a_loss_is_known_until_it_was_looked_into_and_goes_back_to_what_was_synced() {
        let mut kv = MemoryKv::default();
        let id = add(&mut kv, "");
        let (role, address, zone, cluster) = (ProviderRole::Data, String::new(), String::new(), Some(ClusterId(7)));
        let come_back = |kv: &mut MemoryKv, incarnation| {
            let (provider, space, address, zone) = (Some(id), Space::default(), address.clone(), zone.clone());
            let join = PlacementRequest::Join { role, provider, cluster, address, zone, space, incarnation };
            apply(kv, Timestamp(50), &join).unwrap();
            Roster::load(kv).unwrap().members[0].lost_since
        };
        let report = |kv: &mut MemoryKv, synced| {
            let heartbeat = PlacementRequest::Heartbeat { provider: id, space: Space::default(), synced: Timestamp(synced) };
            apply(kv, Timestamp(50), &heartbeat).unwrap();
        };
        report(&mut kv, 20);
        report(&mut kv, 10);
        assert_eq!(come_back(&mut kv, Incarnation(1)), None, "a process that died lost nothing");
        assert_eq!(come_back(&mut kv, Incarnation(2)), Some(Timestamp(20)));
        report(&mut kv, 30);
        assert_eq!(come_back(&mut kv, Incarnation(3)), Some(Timestamp(20)), "nobody has looked since");
        let mut examined = |incarnation| {
            apply(&mut kv, Timestamp(50), &PlacementRequest::Examined { provider: id, incarnation }).unwrap();
            Roster::load(&kv).unwrap().members[0].lost_since
        };
        assert_eq!(examined(Incarnation(2)), Some(Timestamp(20)), "it lost power again meanwhile");
        assert_eq!(examined(Incarnation(3)), None);
        assert_eq!(come_back(&mut kv, Incarnation(4)), Some(Timestamp(30)));
    }

    #[test]
    fn a_provider_comes_back_as_itself_and_nobody_else() {
        let mut kv = MemoryKv::default();
        let id = add(&mut kv, "");
        let back = apply(&mut kv, Timestamp(9), &request(ProviderRole::Data, Some(id), "elsewhere")).unwrap();
        assert_eq!(back, PlacementReply::Joined { provider: id, cluster: ClusterId(7) });
        let roster = Roster::load(&kv).unwrap();
        assert_eq!(
            (roster.members.len(), roster.members[0].zone.as_str(), roster.members[0].joined),
            (1, "elsewhere", Timestamp(0))
        );
        assert!(apply(&mut kv, Timestamp(9), &request(ProviderRole::Data, Some(ProviderId(99)), "")).is_err());
        assert!(apply(&mut kv, Timestamp(9), &request(ProviderRole::Metadata, Some(id), "")).is_err());
    }
}
