//! The machines of an experiment: network namespaces on links of a chosen speed, and a cluster whose processes each have one.

use super::plan::{Setting, Trial};
use std::error::Error;
use std::path::Path;
use weft_mount_tests::cluster::{Cluster, Shape};
use weft_mount_tests::mount::Mount;
use weft_mount_tests::network::wired::{Traffic, Wire, Wired};
use weft_mount_tests::network::{Place, Site};

/// Bits that Ethernet carries in a second, with everything.
const GIGABIT: f64 = 1e9;
/// Bytes of the largest IP packet, as in the paper.
const MTU: u32 = 1500;
/// What the kernel counts of a full frame, and what the frame takes of a real wire: there are a preamble, a checksum and a gap.
const FRAME_BYTES: [f64; 2] = [1514.0, 1538.0];
/// A little more than the largest piece that the kernel hands to an interface at once.
const BURST_BYTES: u32 = 80 << 10;
/// As much as a thousand packets, Linux' usual queue.
const HOST_QUEUE_BYTES: u32 = 1500 << 10;
/// What a switch of a rack has for a port: some megabytes of memory for a few dozen.
const SWITCH_QUEUE_BYTES: u32 = 512 << 10;

/// A wire `factor` times slower than 1 Gbit/s.
fn wire(factor: u32) -> Wire {
    Wire {
        bits_per_second: (GIGABIT * FRAME_BYTES[0] / FRAME_BYTES[1] / f64::from(factor)) as u64,
        mtu: MTU,
        burst_bytes: BURST_BYTES,
        host_queue_bytes: HOST_QUEUE_BYTES,
        switch_queue_bytes: SWITCH_QUEUE_BYTES,
    }
}

/// Nominal speed of a wire that is so much slower, in MB/s.
pub(crate) fn nominal_mb_per_second(factor: u32) -> f64 {
    GIGABIT / 8e6 / f64::from(factor)
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Testbed {
    // Processes end before their namespaces.
    cluster: Cluster,
    network: Wired,
    clients: Vec<Site>,
}

impl Testbed {
    /// Builds the network, then the cluster in it, with its stores in `folder`. Names of namespaces begin with `prefix`.
    pub(crate) fn build(setting: &Setting, prefix: &str, folder: &Path) -> Result<Self, Box<dyn Error>> {
        let own_clients = if setting.co_deployed { 0 } else { setting.clients };
        let network = Wired::new(prefix, 1 + setting.metadata + setting.data + own_clients, &wire(setting.factor))?;
        let places: Vec<Place> = (0..network.len()).map(|number| network.host(number)).collect();
        let (manager, places) = places.split_first().ok_or("no host")?;
        let (metadata, places) = places.split_at(setting.metadata);
        let (data, others) = places.split_at(setting.data);
        let clients = if setting.co_deployed { data } else { others };
        let clients = clients[..setting.clients].iter().map(|place| place.site.clone()).collect();
        let cluster = Cluster::start_spread(folder, manager, metadata, data);
        Ok(Self { cluster, network, clients })
    }

    /// A volume of the trial's shape, mounted by every client.
    pub(crate) fn mount(&mut self, volume: &str, trial: &Trial) -> Vec<Mount> {
        let shape = Shape { page_kib: trial.page_kib, fan_out: trial.fan_out, copies: 1 };
        self.cluster.create_volume(volume, shape);
        self.cluster.mount_each(&self.clients, volume, &[])
    }

    /// Where a client is, and the address of another host: its neighbour on the other side of the switch.
    pub(crate) fn pair(&self) -> (Site, Place) {
        (self.clients[0].clone(), self.network.host(0))
    }

    /// The processes of all servers.
    pub(crate) fn servers(&self) -> Vec<u32> {
        self.cluster.processes()
    }

    /// What the links have carried and dropped so far.
    pub(crate) fn traffic(&self) -> Result<Traffic, String> {
        self.network.traffic()
    }
}
