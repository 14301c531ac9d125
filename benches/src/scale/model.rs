//! From what one operation sends and what the parts cost to what a whole cluster needs: each resource's load, and the number of clients at
//! which it is used up. Pure: every figure is an argument.

use super::cluster::Size;
use super::costs::{Costs, Curve};
use super::messages::{Counted, FRAME_PAGES, PAGE};
use std::collections::BTreeMap;
use std::time::Duration;
use weft_benches::stage::{BACKGROUND, Tally};
use weft_common::id::ProviderId;
use weft_common::limits::{
    COMMANDS_PER_COMMIT_MAX, CONNECTIONS_MAX, HEARTBEAT, KEEP_ALIVE, MAP_REFRESH, SESSION_RENEWAL, SESSIONS_MAX,
    SYNCED_NOTED_EVERY, WAITERS_MAX,
};
use weft_common::wire::ClusterMap;

/// What a mount does all day.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// Frames of 8 MiB that it writes in a second.
    pub(crate) frames_written: f64,
    /// Frames that it reads in a second, each from the cluster.
    pub(crate) frames_read: f64,
}

/// One frame written in 8 s and four read.
pub(crate) const WORK: Work = Work { frames_written: 1.0 / 8.0, frames_read: 4.0 / 8.0 };
/// A link of the manager's machine, bytes a second: 10 Gbit/s.
pub(crate) const LINK_BYTES: f64 = 1.25e9;
/// How often a provider dies or restarts: once a month, and comes back. Each is two changes of the map.
pub(crate) const RESTART_EVERY: Duration = Duration::from_secs(30 * 24 * 3600);
/// How long a mount may watch a volume's changes before it asks again (`fs/src/filesystem/watch.rs`).
const WATCH_PAUSE: f64 = 0.2;
/// Bytes of a change as a watch tells it, with author and name.
const CHANGE_BYTES: f64 = 75.0;
/// Threads that a process answers with, at most (`common/src/rpc.rs`).
const WORKERS: f64 = 4.0;

/// Something that is used up at some number of clients.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub(crate) name: &'static str,
    /// How the load comes about, with its figures.
    pub(crate) load: String,
    /// Share that is used without any client.
    pub(crate) base: f64,
    /// Share that each client uses.
    pub(crate) each: f64,
    /// What would lift it.
    pub(crate) remedy: &'static str,
}

impl Resource {
    /// Share that is used; 1 is all.
    pub(crate) fn used(&self, clients: u64) -> f64 {
        self.base + self.each * clients as f64
    }

    /// Clients that use it up; `None` if there is no such number.
    pub(crate) fn clients_max(&self) -> Option<u64> {
        match self.base {
            base if base >= 1.0 => Some(0),
            _ if self.each > 0.0 => Some(((1.0 - self.base) / self.each) as u64),
            _ => None,
        }
    }
}

/// The last point of a curve, which is at the cluster's own size.
pub(crate) fn last(curve: &Curve) -> f64 {
    curve.last().map_or(0.0, |(_, seconds)| *seconds)
}

/// Requests of a tally that go to the version manager.
pub(crate) fn manager_calls(tally: &Tally) -> f64 {
    tally
        .foreground()
        .filter(|(kind, _)| !kind.ends_with("page") && !kind.ends_with("nodes"))
        .map(|(_, count)| count.calls as f64)
        .sum()
}

fn calls(tally: &Tally, kind: &str) -> f64 {
    tally.calls(kind) as f64
}

/// Share of all nodes that the busiest metadata provider is asked for first, and how many are asked at all.
pub(crate) fn busiest(map: &ClusterMap, copies: u8) -> (f64, usize) {
    let mut load: BTreeMap<ProviderId, usize> = BTreeMap::new();
    for ranking in &map.partitions {
        for provider in ranking.iter().take(usize::from(copies)) {
            *load.entry(*provider).or_default() += 1;
        }
    }
    let most = load.values().max().copied().unwrap_or(0) as f64;
    (most / map.partitions.len().max(1) as f64, load.len())
}

/// Everything that can be used up by work, in no particular order. `watched`: mounts follow the volume's changes.
pub(crate) fn resources(
    size: Size,
    map: &ClusterMap,
    map_bytes: u64,
    counted: &Counted,
    costs: &Costs,
    watched: bool,
) -> Vec<Resource> {
    let mut all = vec![state_thread(counted, costs), log(counted, costs), manager_ends(counted, costs)];
    all.extend(provider_manager(size, map_bytes, costs));
    all.push(metadata(size, map, counted, costs));
    all.push(data(size, costs));
    all.push(placing(costs));
    if watched {
        all.push(watch(costs));
    }
    all
}

fn state_thread(counted: &Counted, costs: &Costs) -> Resource {
    let written = costs.create + costs.ticket_and_commit + costs.look_up;
    let read = manager_calls(&counted.frame_read) * costs.look_up;
    let renewals = costs.look_up / SESSION_RENEWAL.as_secs_f64();
    let each = WORK.frames_written * written + WORK.frames_read * read + renewals;
    Resource {
        name: "version manager: the state's thread",
        load: format!("{:.1} µs a frame written, {:.1} µs a frame read; one thread", written * 1e6, read * 1e6),
        base: 0.0,
        each,
        remedy: "volumes on several version managers; ticket and commit in one command; leases instead of look-ups",
    }
}

fn log(counted: &Counted, costs: &Costs) -> Resource {
    let commands = WORK.frames_written * counted.frame.commands as f64;
    Resource {
        name: "version manager: syncs of the log",
        load: format!(
            "{} commands a frame, {} in a sync of {:.2} ms at most",
            counted.frame.commands,
            COMMANDS_PER_COMMIT_MAX,
            costs.sync * 1e3
        ),
        base: 0.0,
        each: commands * costs.sync / COMMANDS_PER_COMMIT_MAX as f64,
        remedy: "larger groups; fewer commands a frame; volumes on several version managers",
    }
}

fn manager_ends(counted: &Counted, costs: &Costs) -> Resource {
    let frame = manager_calls(&counted.frame) * WORK.frames_written + manager_calls(&counted.frame_read) * WORK.frames_read;
    let background = 1.0 / SESSION_RENEWAL.as_secs_f64() + 1.0 / MAP_REFRESH.as_secs_f64();
    Resource {
        name: "version manager: its ends of calls",
        load: format!(
            "{:.2} calls a second of a client, {background:.2} of them by the clock; {:.0} µs each, {WORKERS} threads",
            frame + background,
            costs.call * 1e6
        ),
        base: 0.0,
        each: (frame + background) * costs.call / WORKERS,
        remedy: "map questions away from the version manager; leases instead of look-ups",
    }
}

fn provider_manager(size: Size, map_bytes: u64, costs: &Costs) -> [Resource; 3] {
    let providers = f64::from(size.data + size.metadata);
    let question = last(&costs.map_question);
    let notes = providers / SYNCED_NOTED_EVERY.as_secs_f64();
    let changes = providers * 2.0 / RESTART_EVERY.as_secs_f64();
    [
        Resource {
            name: "provider manager: questions for the map, and heartbeats",
            load: format!(
                "{:.1} ms each: every question puts the whole map together under one lock; one of a client in {} s, of a provider too",
                question * 1e3,
                MAP_REFRESH.as_secs()
            ),
            base: providers / HEARTBEAT.as_secs_f64() * question,
            each: question / MAP_REFRESH.as_secs_f64(),
            remedy: "the map put together when something changes, addresses looked up by hash; questions answered by comparing epochs",
        },
        Resource {
            name: "version manager: what providers say of their syncs",
            load: format!(
                "a command of each provider in {} s, and after each the whole roster is read again: {:.0} ms",
                SYNCED_NOTED_EVERY.as_secs(),
                last(&costs.roster) * 1e3
            ),
            base: notes * last(&costs.roster),
            each: 0.0,
            remedy: "the one row that changed is taken over instead of the roster; notes of many providers in one command",
        },
        Resource {
            name: "the manager's link: maps to clients",
            load: format!(
                "{:.1} MB to each client at each of {:.1} changes an hour (each provider restarts once in 30 days); 10 Gbit/s",
                map_bytes as f64 / 1e6,
                changes * 3600.0
            ),
            base: 0.0,
            each: changes * map_bytes as f64 / LINK_BYTES,
            remedy: "differences of maps instead of maps; passed on by providers; groups as a rule instead of a list",
        },
    ]
}

fn metadata(size: Size, map: &ClusterMap, counted: &Counted, costs: &Costs) -> Resource {
    let (share, asked) = busiest(map, 1);
    let (puts, gets) = (calls(&counted.frame, "put nodes"), calls(&counted.frame_read, "get nodes"));
    let each = (WORK.frames_written * puts + WORK.frames_read * gets) * costs.call;
    Resource {
        name: "the busiest metadata provider",
        load: format!(
            "{:.1} % of all nodes: {} partitions lie on {asked} of {} providers; {WORKERS} threads",
            share * 100.0,
            map.partitions.len(),
            size.metadata
        ),
        base: 0.0,
        each: each * share / WORKERS,
        remedy: "as many partitions as there may ever be metadata providers, times ten",
    }
}

/// What each mount computes, however many there are.
fn placing(costs: &Costs) -> Resource {
    let choice = last(&costs.choice);
    Resource {
        name: "each mount: choosing where a page goes",
        load: format!(
            "{:.1} ms a page, all groups and for each member all providers; so a mount writes {:.1} MB/s at most",
            choice * 1e3,
            PAGE as f64 / choice / 1e6
        ),
        base: WORK.frames_written * FRAME_PAGES as f64 * choice,
        each: 0.0,
        remedy: "groups sorted by size and providers by id when the map comes; a table of sums of weights to draw from",
    }
}

fn data(size: Size, costs: &Costs) -> Resource {
    let frame_gb = FRAME_PAGES as f64 * PAGE as f64 / 1e9;
    let written = WORK.frames_written * frame_gb * f64::from(size.copies) * (costs.page_gb + costs.store_gb);
    let read = WORK.frames_read * frame_gb * costs.page_gb;
    Resource {
        name: "data providers, all alike",
        load: format!(
            "{:.2} s of a processor for a GB taken in, {:.2} s for one sent; {WORKERS} threads each",
            costs.page_gb + costs.store_gb,
            costs.page_gb
        ),
        base: 0.0,
        each: (written + read) / (f64::from(size.data) * WORKERS),
        remedy: "more of them",
    }
}

/// With watches on, each client asks again and again, whoever changes anything.
fn watch(costs: &Costs) -> Resource {
    Resource {
        name: "version manager: watches, its ends of calls",
        load: format!("a question of each client in {WATCH_PAUSE} s while anything changes at all"),
        base: 0.0,
        each: costs.call / WATCH_PAUSE / WORKERS,
        remedy: "watches of directories that a client has looked into (leases), not of the volume",
    }
}

/// Clients whose watches of one volume fill the manager's link: each hears of every change of all others.
pub(crate) fn watchers_max() -> u64 {
    (LINK_BYTES / (WORK.frames_written * 2.0 * CHANGE_BYTES)).sqrt() as u64
}

/// A bound of the implementation that stands in the way at some number of something.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) name: &'static str,
    pub(crate) bound: u64,
    /// What counts against it in this cluster.
    pub(crate) needed: u64,
    pub(crate) remedy: &'static str,
}

/// The bounds of `limits.rs` that such a cluster meets.
pub(crate) fn bounds(size: Size, map_bytes: u64) -> Vec<Bound> {
    let providers = u64::from(size.data + size.metadata);
    let hour = (WORK.frames_written * FRAME_PAGES as f64 * f64::from(size.copies) * 3600.0) as u64;
    let of_client = distinct(u64::from(size.data), hour);
    let of_provider = distinct(size.clients, (size.clients as f64 * of_client as f64 / f64::from(size.data)) as u64);
    vec![
        Bound {
            name: "connections of the manager: every provider and every client",
            bound: CONNECTIONS_MAX as u64,
            needed: providers + size.clients,
            remedy: "a bound by role and memory; questions for the map and heartbeats over other servers",
        },
        Bound {
            name: "connections of a client: data providers that it wrote to within an hour (none is ever closed)",
            bound: CONNECTIONS_MAX as u64,
            needed: of_client,
            remedy: "a client writes to some groups of its own for a while; connections that nobody uses are closed",
        },
        Bound {
            name: "connections of a data provider: clients that wrote to it within an hour",
            bound: CONNECTIONS_MAX as u64,
            needed: of_provider,
            remedy: "the same",
        },
        Bound {
            name: "open sessions",
            bound: SESSIONS_MAX,
            needed: size.clients,
            remedy: "their list in pages: the bound only keeps it in one answer",
        },
        Bound {
            name: "bytes of the map in one answer",
            bound: u64::from(weft_common::limits::HEADER_BYTES_MAX),
            needed: map_bytes,
            remedy: "groups as a rule instead of a list; the map in parts",
        },
        Bound {
            name: "questions that wait at the manager, if mounts watch",
            bound: WAITERS_MAX as u64,
            needed: size.clients,
            remedy: "a larger bound: a waiter is a hundred bytes",
        },
    ]
}

/// How many of `all` are met if `times` are drawn by lot.
fn distinct(all: u64, times: u64) -> u64 {
    (all as f64 * (1.0 - (1.0 - 1.0 / all as f64).powf(times as f64))).round() as u64
}

/// Keep-alives a second of a client that is connected to so many servers.
pub(crate) fn keep_alives(connections: u64) -> f64 {
    connections as f64 / KEEP_ALIVE.as_secs_f64()
}

/// Messages and bytes by whom they go to: (role, calls, bytes). What is sent by the clock counts only if it is asked for.
pub(crate) fn by_role(tally: &Tally, with_background: bool) -> Vec<(&'static str, u64, u64)> {
    let mut roles: BTreeMap<&'static str, (u64, u64)> = BTreeMap::new();
    for (kind, count) in &tally.kinds {
        let role = match *kind {
            kind if BACKGROUND.contains(&kind) && !with_background => continue,
            kind if kind.ends_with("page") => "data providers",
            kind if kind.ends_with("nodes") => "metadata providers",
            _ => "version manager",
        };
        let sum = roles.entry(role).or_default();
        *sum = (sum.0 + count.calls, sum.1 + count.asked_bytes + count.answered_bytes);
    }
    roles.into_iter().map(|(role, (calls, bytes))| (role, calls, bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_resource_says_when_it_is_used_up() {
        let resource = |base, each| Resource { name: "", load: String::new(), base, each, remedy: "" };
        assert_eq!(resource(0.5, 0.001).clients_max(), Some(500));
        assert_eq!(resource(1.5, 0.001).clients_max(), Some(0));
        assert_eq!(resource(0.5, 0.0).clients_max(), None);
        assert!((resource(0.5, 0.001).used(250) - 0.75).abs() < 1e-9);
    }

    #[test]
    fn partitions_lie_on_fewer_providers_than_there_are() {
        let size = Size { data: 3, metadata: 500, clients: 1, copies: 1 };
        let (share, asked) = busiest(&super::super::cluster::map(size), 1);
        assert!(asked <= 64 && share >= 1.0 / 64.0, "{asked} {share}");
    }

    #[test]
    fn who_draws_often_meets_all() {
        assert_eq!(distinct(10, 1000), 10);
        assert_eq!(distinct(1000, 1), 1);
    }
}
