//! The machines of an experiment: network namespaces on links of a chosen speed, and a cluster whose processes each have one.

use super::plan::{Setting, Trial};
use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};
use weft_mount_tests::cluster::{Cluster, Shape};
use weft_mount_tests::mount::Mount;
use weft_mount_tests::network::wired::{Traffic, Wire, Wired};
use weft_mount_tests::network::{Place, Site};

/// Bits that Ethernet carries in a second, with everything.
const GIGABIT: f64 = 1e9;
/// What the kernel counts of a frame beside its IP packet, and what a real wire carries more: a preamble, a checksum and a gap.
const FRAME_BYTES: [u32; 2] = [14, 38];
/// A little more than the largest piece that the kernel hands to an interface at once.
const BURST_BYTES: u32 = 80 << 10;
/// As much as a thousand packets, Linux' usual queue.
const HOST_QUEUE_BYTES: u32 = 1500 << 10;
/// What a switch of a rack has for a port: some megabytes of memory for a few dozen.
const SWITCH_QUEUE_BYTES: u32 = 512 << 10;

/// How long the wires are looked at, and the share of what they carry below which they are quiet.
const GLANCE: Duration = Duration::from_millis(500);
const QUIET: f64 = 0.03;

/// A wire `factor` times slower than 1 Gbit/s, for IP packets of at most `mtu` bytes.
fn wire(factor: u32, mtu: u32) -> Wire {
    let [counted, carried] = FRAME_BYTES.map(|bytes| f64::from(bytes + mtu));
    Wire {
        bits_per_second: (GIGABIT * counted / carried / f64::from(factor)) as u64,
        mtu,
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
    /// Numbers of the clients' hosts.
    clients: Vec<usize>,
    /// What the wires of all data providers carry together.
    bytes_per_second: f64,
}

impl Testbed {
    /// Builds the network, then the cluster in it, with its stores in `folder`. Names of namespaces begin with `prefix`.
    pub(crate) fn build(setting: &Setting, prefix: &str, folder: &Path) -> Result<Self, Box<dyn Error>> {
        let own_clients = if setting.co_deployed { 0 } else { setting.clients };
        let network = Wired::new(prefix, 1 + setting.metadata + setting.data + own_clients, &wire(setting.factor, setting.mtu))?;
        let places: Vec<Place> = (0..network.len()).map(|number| network.host(number)).collect();
        let (manager, metadata) = (&places[0], &places[1..=setting.metadata]);
        let first_data = 1 + setting.metadata;
        let data = &places[first_data..first_data + setting.data];
        let first_client = if setting.co_deployed { first_data } else { first_data + setting.data };
        let cluster = caught(|| Cluster::start_spread(folder, manager, metadata, data))?;
        let clients = (first_client..first_client + setting.clients).collect();
        let bytes_per_second = nominal_mb_per_second(setting.factor) * 1e6 * setting.data as f64;
        Ok(Self { cluster, network, clients, bytes_per_second })
    }

    /// A volume of the trial's shape, mounted by every client.
    pub(crate) fn mount(&mut self, volume: &str, trial: &Trial) -> Result<Vec<Mount>, Box<dyn Error>> {
        let shape = Shape { page_kib: trial.page_kib, fan_out: trial.fan_out, copies: 1 };
        let sites: Vec<Site> = self.clients.iter().map(|host| self.network.host(*host).site).collect();
        caught(|| {
            self.cluster.create_volume(volume, shape);
            self.cluster.mount_each(&sites, volume, &[])
        })
    }

    /// Where a client is, and the address of another host: its neighbour on the other side of the switch.
    pub(crate) fn pair(&self) -> (Site, Place) {
        (self.network.host(self.clients[0]).site, self.network.host(0))
    }

    /// Waits until the wires are hardly used, for so long at most: after greetings, connections find out how large packets may be.
    pub(crate) fn settle(&self, patience: Duration) -> Result<(), String> {
        let began = Instant::now();
        let mut before = self.traffic(0)?.bytes;
        while began.elapsed() < patience {
            std::thread::sleep(GLANCE);
            let now = self.traffic(0)?.bytes;
            if ((now - before) as f64) < self.bytes_per_second * GLANCE.as_secs_f64() * QUIET {
                break;
            }
            before = now;
        }
        Ok(())
    }

    /// The processes of all servers.
    pub(crate) fn servers(&self) -> Vec<u32> {
        self.cluster.processes()
    }

    /// What the links of all servers and of the first so many clients have carried and dropped so far.
    pub(crate) fn traffic(&self, clients: usize) -> Result<Traffic, String> {
        self.network.traffic(&self.clients[..clients])
    }
}

/// The tests' tools say what is wrong by a panic; here that is an error like others.
fn caught<T>(work: impl FnOnce() -> T) -> Result<T, Box<dyn Error>> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()))
            .unwrap_or_else(|| "a panic".to_owned())
            .into()
    })
}
