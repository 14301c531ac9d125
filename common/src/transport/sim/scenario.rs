//! The course of one simulation: trouble; then calm, in which every client has to reach every server soon; then the end, after
//! which nothing may be left.

use super::adapter::Host;
use super::client::Client;
use super::faults::{Cast, trouble};
use super::history::{End, LATENESS_MAX, Order, client_name};
use super::identities;
use super::network::Network;
use super::plan::Plan;
use super::server::Server;
use super::world::World;
use crate::limits::{
    CONNECT_TIMEOUT, DIAL_BACKOFF_MAX, IDLE_TIMEOUT, MIB, REQUESTS_PER_CONNECTION_MAX, SHUTDOWN_GRACE, SILENCE_MAX,
};
use crate::transport::identity::{Holder, IdentityError};
use crate::transport::tuning::GOODBYE_WAIT;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Within this span after the last fault every client has an answer of every server: a dead connection is noticed, a dial that was
/// begun too early fails, its back-off passes, the next one succeeds.
const HEALING_MAX: Duration = Duration::from_secs(
    IDLE_TIMEOUT.as_secs() + CONNECT_TIMEOUT.as_secs() + DIAL_BACKOFF_MAX.as_secs() + /* the answer's way */ 1,
);
/// A closed or idle connection is forgotten after three probe time-outs (RFC 9000, section 10), each of up to three round trips as the
/// connection measured them (RFC 9002, section 6.2). Slow queues and withheld acknowledgements make those as long as trouble and the
/// last call of it: 30 s each.
const DRAINING_MAX: Duration = Duration::from_secs(3 * 3 * 60);
/// Calls at once of a crowd, a fifth more than one connection may carry.
const CROWD: usize = REQUESTS_PER_CONNECTION_MAX as usize * 6 / 5;
/// Calls of a second each, one after the other, after which a dead connection must have been given up: one for packets that were under way.
const SHORT_CALLS: u64 = SILENCE_MAX.as_secs() + 1;

/// See the module.
pub(super) async fn run(world: &Arc<World>) {
    let plan = Plan::draw(world);
    world.log(format_args!("{plan:?}"));
    let network = Network::new(world);
    let cast = match assemble(&network, &plan) {
        Ok(cast) => cast,
        Err(error) => return world.violation(format!("no certificates: {error}")),
    };
    for (from, to) in cast.ways() {
        network.set_path(from, to, plan.troubled_path(world));
    }
    let carrier = tokio::spawn(network.clone().run());
    cast.servers.iter().for_each(|server| server.start());
    live(&cast, &plan).await;
    world.log(format_args!("all is calm"));
    for (from, to) in cast.ways() {
        network.set_path(from, to, plan.calm_path());
    }
    heal(&cast).await;
    impatience(&cast).await;
    silence(&cast, &plan).await;
    if plan.crowd {
        crowd(&cast).await;
        narrow(&cast, &plan).await;
    }
    finish(&cast).await;
    carrier.abort();
}

fn assemble(network: &Arc<Network>, plan: &Plan) -> Result<Cast, IdentityError> {
    let authority = identities::cluster()?;
    let servers = (0..plan.servers).map(|index| {
        let host = Host { network: network.clone(), ip: plan.server_ip(index) };
        let identity = identities::issue(&authority, Holder::Server, &format!("server-{index}"), 10 + index)?;
        Ok(Server::new(index, host, identity))
    });
    let clients = (0..plan.clients).map(|index| {
        let host = Host { network: network.clone(), ip: plan.client_ip(index) };
        let identity = identities::issue(&authority, Holder::Client, &client_name(index), 20 + index)?;
        Ok(Client::new(index, host, identity))
    });
    Ok(Cast {
        network: network.clone(),
        servers: servers.collect::<Result<_, IdentityError>>()?,
        clients: clients.collect::<Result<_, IdentityError>>()?,
    })
}

/// Programs call while things go wrong; afterwards all servers are up.
async fn live(cast: &Cast, plan: &Plan) {
    let mut tasks = JoinSet::new();
    for client in &cast.clients {
        for _ in 0..2 {
            tasks.spawn(client.clone().program(cast.servers.clone(), plan.clone()));
        }
    }
    for _ in 0..2 {
        tasks.spawn(trouble(cast.clone(), plan.clone()));
    }
    tasks.join_all().await;
}

fn small(client: &Client, server: &Server) -> Order {
    Order {
        client: client.index,
        server: server.index,
        request_bytes: 10,
        answer_bytes: 2000,
        deadline: Duration::from_secs(2),
        work: Duration::ZERO,
        is_refused: false,
    }
}

async fn heal(cast: &Cast) {
    let mut tasks = JoinSet::new();
    for (client, server) in cast.clients.iter().flat_map(|client| cast.servers.iter().map(move |server| (client, server))) {
        let (client, server) = (client.clone(), server.clone());
        tasks.spawn(async move { reach(&client, &server).await });
    }
    tasks.join_all().await;
}

/// Calls until there is an answer.
async fn reach(client: &Client, server: &Server) {
    let start = Instant::now();
    while client.call(server, small(client, server), None).await != End::Answered {
        if start.elapsed() > HEALING_MAX {
            let (client_index, server_index) = (client.index, server.index);
            let what =
                format!("client {client_index} has no answer of server {server_index} {HEALING_MAX:?} after the last fault");
            return client.world().violation(what);
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    if start.elapsed() > Duration::from_secs(1) {
        client.world().count("healed only after a second");
    }
}

/// One client asks one server for more at once than it may work on: more requests than a connection may carry, then more bytes of bodies
/// than the server may hold. All are answered nevertheless, one after the other.
async fn crowd(cast: &Cast) {
    let (client, server) = (&cast.clients[0], &cast.servers[0]);
    let world = client.world();
    while server.requests().0 > 0 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let tiny = Order { work: Duration::from_millis(500), deadline: Duration::from_secs(9), ..small(client, server) };
    call_at_once(client, server, tiny, CROWD).await;
    let (_, most) = server.requests();
    if most > REQUESTS_PER_CONNECTION_MAX as usize {
        world.violation(format!("server {} worked on {most} requests of one connection at once", server.index));
    }
    // A few less may be the most: QUIC gives the places of finished streams back an eighth of all at a time.
    if most >= REQUESTS_PER_CONNECTION_MAX as usize * 7 / 8 {
        world.count("connection carried all it may");
    }
    // Until an idle time-out after the last fault, requests whose clients are gone may hold what the server has for bodies.
    let large = Order { request_bytes: MIB as usize, work: Duration::from_millis(200), deadline: IDLE_TIMEOUT * 3, ..tiny };
    call_at_once(client, server, large, 6).await;
}

async fn call_at_once(client: &Arc<Client>, server: &Arc<Server>, order: Order, count: usize) {
    let mut calls = JoinSet::new();
    for _ in 0..count {
        let (client, server) = (client.clone(), server.clone());
        calls.spawn(async move { client.call(&server, order, None).await });
    }
    let ends = calls.join_all().await;
    let answered = ends.iter().filter(|end| **end == End::Answered).count();
    if answered < count {
        client.world().violation(format!("{} of {count} calls at once got no answer on a calm network", count - answered));
    }
}

/// Bodies fill a narrow way, and a control request that overtakes them opens the streams of those that were not begun. They are late
/// then, which is no fault of theirs: whether they are answered is open, that they are called malformed is not ([`History::end`]).
///
/// [`History::end`]: super::history::History::end
async fn narrow(cast: &Cast, plan: &Plan) {
    let (client, server) = (&cast.clients[0], &cast.servers[0]);
    let (from, to) = (client.host.ip, server.host.ip);
    cast.network.change_path(from, to, |path| (path.bytes_per_ms, path.queue_bytes) = (100, 512 << 10));
    let large = Order { request_bytes: MIB as usize, deadline: Duration::from_secs(60), ..small(client, server) };
    let tiny = Order { request_bytes: 10, answer_bytes: 10, ..large };
    let overtaking = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        client.call(server, tiny, None).await
    };
    let call = || client.call(server, large, None);
    tokio::join!(call(), call(), call(), overtaking);
    cast.network.set_path(from, to, plan.calm_path());
}

/// A call that does not wait for long must not take the connection away from one that does. (That one waits for longer than the work
/// takes: a connection whose window shrank in trouble may have to wait for a probe time-out before it sends again.)
async fn impatience(cast: &Cast) {
    let (client, server) = (&cast.clients[0], &cast.servers[0]);
    let patient = Order { work: Duration::from_millis(300), deadline: HEALING_MAX, ..small(client, server) };
    let short = Order { deadline: Duration::from_millis(5), ..patient };
    let short_calls = async {
        for _ in 0..5 {
            client.call(server, short, None).await;
        }
    };
    if tokio::join!(client.call(server, patient, None), short_calls).0 != End::Answered {
        client.world().violation("a call lost its answer to the impatience of others".into());
    }
}

/// All calls have less patience than it takes to call a connection dead. While the server is only slow, they leave it alone; when nothing gets
/// there any more, it is given up nevertheless, long before QUIC does that.
async fn silence(cast: &Cast, plan: &Plan) {
    let (client, server) = (&cast.clients[0], &cast.servers[0]);
    let (world, connections) = (client.world(), client.open_connections());
    let short = Order { deadline: Duration::from_secs(1), work: Duration::from_millis(1500), ..small(client, server) };
    if short_calls(client, server, short).await != connections {
        world.violation("calls that lost patience with a slow server gave its connection up".into());
    }
    let ways = [(client.host.ip, server.host.ip), (server.host.ip, client.host.ip)];
    ways.iter().for_each(|way| cast.network.change_path(way.0, way.1, |path| path.is_cut = true));
    if short_calls(client, server, short).await == connections {
        world.violation(format!("{SHORT_CALLS} calls of {:?} in vain did not give a dead connection up", short.deadline));
    } else {
        world.count("dead connection given up by short calls");
    }
    ways.iter().for_each(|way| cast.network.set_path(way.0, way.1, plan.calm_path()));
    reach(client, server).await;
}

/// Calls one after the other, until a connection is gone or it was often enough; how many there are then.
async fn short_calls(client: &Client, server: &Server, order: Order) -> usize {
    let connections = client.open_connections();
    for _ in 0..SHORT_CALLS {
        client.call(server, order, None).await;
        if client.open_connections() != connections {
            break;
        }
        // A call that fails at once must not keep time from passing.
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    client.open_connections()
}

/// Everybody goes; nothing may be left.
async fn finish(cast: &Cast) {
    let world = &cast.network.world;
    for client in &cast.clients {
        client.close().await;
    }
    for server in &cast.servers {
        let start = Instant::now();
        server.stop().await;
        let took = start.elapsed();
        if took > SHUTDOWN_GRACE + GOODBYE_WAIT + LATENESS_MAX {
            world.violation(format!("server {} took {took:?} to stop", server.index));
        }
    }
    let start = Instant::now();
    // The one that is left carries packets.
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks() - 1;
    while tasks() > 0 && start.elapsed() < DRAINING_MAX {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let pools = cast.clients.iter().map(|client| client.pools_in_use()).sum::<usize>()
        + cast.servers.iter().map(|server| server.pools_in_use()).sum::<usize>();
    for (count, what) in [(tasks(), "tasks"), (cast.network.open_sockets(), "sockets"), (pools, "pools with bodies in use")] {
        if count > 0 {
            world.violation(format!("{count} {what} are left at the end"));
        }
    }
    world.log(format_args!("the end"));
}
