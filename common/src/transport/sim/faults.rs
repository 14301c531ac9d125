//! What goes wrong while there is trouble, beyond what paths do to packets: partitions, servers and clients that vanish, paths that
//! change.

use super::client::Client;
use super::network::Network;
use super::plan::Plan;
use super::server::Server;
use super::world::World;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// Everybody there is.
#[derive(Clone, Debug)]
pub(super) struct Cast {
    pub(super) network: Arc<Network>,
    pub(super) clients: Vec<Arc<Client>>,
    pub(super) servers: Vec<Arc<Server>>,
}

impl Cast {
    fn world(&self) -> &World {
        &self.network.world
    }

    /// All ordered pairs of a client's and a server's host.
    pub(super) fn ways(&self) -> Vec<(IpAddr, IpAddr)> {
        let pairs = self.clients.iter().flat_map(|client| self.servers.iter().map(|server| (client.host.ip, server.host.ip)));
        pairs.flat_map(|(client, server)| [(client, server), (server, client)]).collect()
    }

    fn some_way(&self) -> (IpAddr, IpAddr) {
        let ways = self.ways();
        ways[self.world().between(0, ways.len() as u64 - 1) as usize]
    }

    fn some_server(&self) -> &Server {
        &self.servers[self.world().between(0, self.servers.len() as u64 - 1) as usize]
    }
}

/// One after the other, until trouble ends.
pub(super) async fn trouble(cast: Cast, plan: Plan) {
    let world = cast.network.world.clone();
    while world.elapsed() < plan.trouble {
        world.pause(100, 2500).await;
        match world.between(0, 7) {
            0 if plan.partitions => partition(&cast).await,
            1 if plan.crashes => crash(&cast).await,
            2 if plan.restarts => restart(&cast).await,
            3 if plan.vanishing_clients => vanish(&cast),
            4 if plan.shrinking_packets => shrink(&cast, &plan),
            5 => hold(&cast),
            _ => change(&cast, &plan),
        }
    }
}

async fn partition(cast: &Cast) {
    let world = cast.world();
    let (from, to) = cast.some_way();
    let is_one_way = world.chance(500_000);
    let ways = if is_one_way { vec![(from, to)] } else { vec![(from, to), (to, from)] };
    world.count(if is_one_way { "one-way partition" } else { "partition" });
    world.log(format_args!("nothing gets from {from} to {to}{}", if is_one_way { "" } else { ", nor back" }));
    ways.iter().for_each(|way| cast.network.change_path(way.0, way.1, |path| path.is_cut = true));
    world.pause(100, 14_000).await;
    ways.iter().for_each(|way| cast.network.change_path(way.0, way.1, |path| path.is_cut = false));
    world.log(format_args!("{from} and {to} are connected again"));
}

async fn crash(cast: &Cast) {
    let (world, server) = (cast.world(), cast.some_server());
    if server.crash().await {
        world.count("server crash");
        world.log(format_args!("server {} crashed", server.index));
        world.pause(0, world.pick([50, 3_000, 12_000])).await;
        server.start();
        world.log(format_args!("server {} is back", server.index));
    }
}

async fn restart(cast: &Cast) {
    let (world, server) = (cast.world(), cast.some_server());
    world.log(format_args!("server {} is asked to stop", server.index));
    if server.stop().await {
        world.count("server restart");
        world.log(format_args!("server {} stopped", server.index));
        world.pause(0, 2_000).await;
        server.start();
        world.log(format_args!("server {} is back", server.index));
    }
}

fn vanish(cast: &Cast) {
    let world = cast.world();
    let client = &cast.clients[world.between(0, cast.clients.len() as u64 - 1) as usize];
    world.count("client vanished");
    world.log(format_args!("client {} vanished, another one begins", client.index));
    client.vanish();
}

/// Large packets vanish from now on: the path became another one.
fn shrink(cast: &Cast, plan: &Plan) {
    let world = cast.world();
    let (from, to) = cast.some_way();
    let bytes = world.pick([1_200, 1_300, 1_472]).min(plan.calm_path().packet_bytes_max);
    world.count("path carries smaller packets");
    world.log(format_args!("packets from {from} to {to} have at most {bytes} bytes"));
    cast.network.change_path(from, to, |path| path.packet_bytes_max = bytes);
}

/// A host stands still for a while: what is sent to it arrives when it goes on, all at once.
fn hold(cast: &Cast) {
    let world = cast.world();
    let (_, host) = cast.some_way();
    let until = world.elapsed() + Duration::from_millis(world.between(50, 3_000));
    world.count("host stood still");
    world.log(format_args!("{host} gets nothing until {until:?}"));
    for (from, to) in cast.ways().into_iter().filter(|(_, to)| *to == host) {
        cast.network.change_path(from, to, |path| path.held_until = until);
    }
}

/// Another kind of weather on one way.
fn change(cast: &Cast, plan: &Plan) {
    let world = cast.world();
    let (from, to) = cast.some_way();
    let new = plan.troubled_path(world);
    world.log(format_args!("from {from} to {to}: loss {} ppm, delay {:?}", new.loss, new.delay));
    cast.network.change_path(from, to, |path| path.become_like(&new));
}
