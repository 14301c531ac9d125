//! Copysets: which sets of data providers hold pages together.
//!
//! If every page chose its own random set, the loss of any k providers would lose some page; with few sets, most losses of k
//! providers lose nothing (Cidon et al., "Copysets", USENIX ATC 2013). But a set that is too lonely has few partners to
//! repair from. So each provider is in about [`SCATTER`] groups of each size.

use crate::placement::core::{Member, Roster};
use std::collections::BTreeSet;
use weft_common::id::ProviderId;
use weft_common::limits::COPIES_MAX;
use weft_common::wire::ProviderRole;

/// Groups of each size that a newcomer gets, if there are so many different ones.
const SCATTER: usize = 4;

/// The groups to add, for every number of copies, now that `newcomer` is in the roster.
pub(super) fn for_newcomer(roster: &Roster, newcomer: ProviderId) -> Vec<Vec<ProviderId>> {
    let others: Vec<&Member> =
        roster.members.iter().filter(|member| member.role == ProviderRole::Data && member.id != newcomer).collect();
    let Some(newcomer) = roster.members.iter().find(|member| member.id == newcomer) else { return Vec::new() };
    let mut made = Vec::new();
    for copies in 1..=usize::from(COPIES_MAX).min(others.len() + 1) {
        made.extend(of_size(roster, newcomer, &others, copies));
    }
    made
}

/// Groups of one size: each takes the partners that are in the fewest groups of that size, other zones first. Two ids at one
/// address are one disk (a join whose answer was lost was repeated) and never in one group.
fn of_size(roster: &Roster, newcomer: &Member, others: &[&Member], copies: usize) -> Vec<Vec<ProviderId>> {
    let mut made: Vec<Vec<ProviderId>> = Vec::new();
    let mut seen: BTreeSet<BTreeSet<ProviderId>> = BTreeSet::new();
    for _ in 0..SCATTER {
        let mut group = vec![newcomer.id];
        let mut zones = vec![newcomer.zone.as_str()];
        let mut addresses = vec![newcomer.address.as_str()];
        while group.len() < copies {
            let load = |id: ProviderId| {
                let old = roster.groups.iter().map(|group| &group.members);
                old.chain(&made).filter(|members| members.len() == copies && members.contains(&id)).count()
            };
            // Partners of groups made just now count as loaded, so that the next group takes others.
            let best = others
                .iter()
                .filter(|member| !group.contains(&member.id) && !addresses.contains(&member.address.as_str()))
                .min_by_key(|member| (zones.contains(&member.zone.as_str()), load(member.id), member.id));
            let Some(best) = best else { return made };
            group.push(best.id);
            zones.push(&best.zone);
            addresses.push(&best.address);
        }
        if !seen.insert(group.iter().copied().collect()) {
            break;
        }
        made.push(group);
    }
    made
}
