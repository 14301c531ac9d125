//! What kind of cluster, network and trouble a seed gives.

use super::network::Path;
use super::world::World;
use crate::transport::socket::UDP_PAYLOAD_BYTES_MAX;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) clients: u8,
    pub(super) servers: u8,
    /// Whether all hosts are loopback addresses, for which the transport has settings of its own.
    is_loopback: bool,
    /// How long there is trouble.
    pub(super) trouble: Duration,
    /// Most loss, in millionths of packets; the others likewise.
    loss_max: u64,
    duplication_max: u64,
    lateness_max: u64,
    damage_max: u64,
    stall_max: u64,
    delay_us: u64,
    bytes_per_ms: u64,
    packet_bytes_max: usize,
    pub(super) partitions: bool,
    pub(super) crashes: bool,
    pub(super) restarts: bool,
    pub(super) vanishing_clients: bool,
    pub(super) shrinking_packets: bool,
    /// Whether one client asks for more at once than a connection may, when all is calm again.
    pub(super) crowd: bool,
}

impl Plan {
    /// The plan of a world's seed.
    pub(super) fn draw(world: &World) -> Self {
        let often = || world.chance(500_000);
        let is_loopback = world.chance(250_000);
        Self {
            clients: world.between(1, 3) as u8,
            servers: world.between(1, 3) as u8,
            is_loopback,
            trouble: Duration::from_secs(world.between(5, 30)),
            loss_max: world.pick([0, 10_000, 50_000, 150_000, 300_000]),
            duplication_max: world.pick([0, 10_000, 200_000]),
            lateness_max: world.pick([0, 10_000, 200_000]),
            damage_max: world.pick([0, 0, 5_000, 50_000]),
            stall_max: world.pick([0, 0, 20_000]),
            delay_us: world.pick([100, 1_000, 10_000, 60_000]),
            bytes_per_ms: world.pick([100, 500, 5_000, 100_000]),
            packet_bytes_max: if is_loopback { UDP_PAYLOAD_BYTES_MAX } else { world.pick([1_200, 1_472, 8_972]) },
            partitions: often(),
            crashes: often(),
            restarts: often(),
            vanishing_clients: world.chance(250_000),
            shrinking_packets: !is_loopback && often(),
            crowd: world.chance(200_000),
        }
    }

    pub(super) fn client_ip(&self, index: u8) -> IpAddr {
        self.ip(1, index)
    }

    pub(super) fn server_ip(&self, index: u8) -> IpAddr {
        self.ip(2, index)
    }

    fn ip(&self, kind: u8, index: u8) -> IpAddr {
        let network = if self.is_loopback { 127 } else { 10 };
        Ipv4Addr::new(network, 0, kind, index + 1).into()
    }

    /// A way between two hosts while there is trouble.
    pub(super) fn troubled_path(&self, world: &World) -> Path {
        let mut path = self.calm_path();
        path.loss = world.between(0, self.loss_max);
        path.duplication = world.between(0, self.duplication_max);
        path.lateness = world.between(0, self.lateness_max);
        path.damage = world.between(0, self.damage_max);
        path.stall = world.between(0, self.stall_max);
        path.delay = Duration::from_micros(world.between(self.delay_us, self.delay_us * 3));
        path.bytes_per_ms = self.bytes_per_ms;
        path.queue_bytes = world.pick([64 << 10, 512 << 10, 4 << 20]);
        path
    }

    /// The same way when all is well.
    pub(super) fn calm_path(&self) -> Path {
        let mut path = Path::calm(Duration::from_micros(self.delay_us));
        path.packet_bytes_max = self.packet_bytes_max;
        path
    }
}
