//! Hosts that are joined as machines in a rack are: each has one interface, of a speed that one chooses, to a switch in the middle.
//!
//! Both directions of each link are shaped by a token bucket where packets enter it: at the host for what it sends, at the switch for what it is
//! sent. So a host that many send to has a queue at the switch that overflows, as a real one has.
//!
//! The switch is a namespace that *routes*. With a bridge, each host would need an entry for each other host that it talks to in the kernel's table of
//! neighbours, which is one for all namespaces and takes `neighbours_max`; through a router it needs one, and the router one for each host.

use super::{Namespace, Place, Site, check_privilege};
use crate::process::run;
use std::io::Write;
use std::process::{Command, Stdio};

/// What the switch answers to.
const SWITCH: &str = "10.78.255.254";
/// A host's interface.
const UPLINK: &str = "uplink";
/// Most hosts of a network: what the numbers of [`address`] reach.
const HOSTS_MAX: usize = 250 * 250;
/// Commands in a row that one `ip` or `tc` is given.
const BATCH: usize = 400;

/// What the link of a host is like, in each direction.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    /// Bits of Ethernet frames (with headers, without preamble, checksum and gap) in a second.
    pub bits_per_second: u64,
    /// Largest IP packet in bytes.
    pub mtu: u32,
    /// Bytes that may leave at once after a pause. Less than 64 KiB would have the kernel cut apart what it handles in one piece.
    pub burst_bytes: u32,
    /// Bytes that wait at a host before it is told to wait with more.
    pub host_queue_bytes: u32,
    /// Bytes that wait at the switch for a host before packets are dropped.
    pub switch_queue_bytes: u32,
}

/// A switch and the hosts around it. All of it goes when it is dropped.
#[derive(Debug)]
pub struct Wired {
    // Links go with either end.
    switch: Namespace,
    hosts: Vec<Namespace>,
}

/// What the links had to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that the switch sent to hosts.
    pub bytes: u64,
    /// In so many packets.
    pub packets: u64,
    /// Packets that found a queue full, at the switch or at a host.
    pub dropped: u64,
}

impl Wired {
    /// `hosts` hosts on links of that kind. The namespaces' names are `prefix`, a hyphen, and what they are.
    ///
    /// # Errors
    /// Why there can be none here: the user is not root, `ip`, `tc` or `nsenter` is missing, there are too many hosts, or what a program said.
    pub fn new(prefix: &str, hosts: usize, wire: &Wire) -> Result<Self, String> {
        check_privilege(&["ip", "tc", "nsenter"])?;
        // A neighbour at each end of a link; a few are in use by others.
        let room = neighbours_max().saturating_sub(32) / 2;
        if hosts > room.min(HOSTS_MAX) {
            return Err(format!(
                "the kernel's table of neighbours has room for {room} hosts, not for {hosts}: raise \
                 net.ipv4.neigh.default.gc_thresh3 with sysctl, or take fewer"
            ));
        }
        let switch = Namespace::add(format!("{prefix}-switch"))?;
        switch.allow_routing()?;
        let mut network = Self { switch, hosts: Vec::new() };
        for number in 0..hosts {
            network.hosts.push(Namespace::add(format!("{prefix}-host{number}"))?);
        }
        network.plug(wire)?;
        Ok(network)
    }

    /// Joins every host to the switch.
    fn plug(&self, wire: &Wire) -> Result<(), String> {
        let Wire { mtu, bits_per_second, burst_bytes, host_queue_bytes, switch_queue_bytes } = wire;
        let (mut links, mut shapes) = (Vec::new(), Vec::new());
        for (number, host) in self.hosts.iter().enumerate() {
            let (name, address) = (&host.0, address(number));
            links.push(format!("link add port{number} mtu {mtu} type veth peer name {UPLINK} mtu {mtu} netns {name}"));
            links.push(format!("addr add {SWITCH}/32 peer {address}/32 dev port{number}"));
            links.push(format!("link set port{number} up"));
            shapes.push(format!(
                "qdisc add dev port{number} root tbf rate {bits_per_second}bit burst {burst_bytes} limit {switch_queue_bytes}"
            ));
        }
        batch("ip", &self.switch, &links)?;
        batch("tc", &self.switch, &shapes)?;
        for (number, host) in self.hosts.iter().enumerate() {
            let address = address(number);
            batch(
                "ip",
                host,
                &[
                    format!("addr add {address}/32 dev {UPLINK}"),
                    format!("link set {UPLINK} up"),
                    format!("route add {SWITCH} dev {UPLINK}"),
                    format!("route add default via {SWITCH} src {address}"),
                ],
            )?;
            let shape =
                format!("qdisc add dev {UPLINK} root tbf rate {bits_per_second}bit burst {burst_bytes} limit {host_queue_bytes}");
            batch("tc", host, &[shape])?;
        }
        Ok(())
    }

    /// How many hosts there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.hosts.len()
    }

    /// Whether there is no host.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.hosts.is_empty()
    }

    /// The host with this number, from 0.
    ///
    /// # Panics
    /// When there are fewer.
    #[must_use]
    pub fn host(&self, number: usize) -> Place {
        Place { site: Site(self.hosts[number].file()), address: address(number) }
    }

    /// What the links had to do since they were made: the switch to all hosts, and these hosts to the switch.
    ///
    /// # Errors
    /// What `tc` said.
    ///
    /// # Panics
    /// When there is no such host.
    pub fn traffic(&self, hosts: &[usize]) -> Result<Traffic, String> {
        let mut traffic = counted(&self.switch, "port")?;
        for host in hosts {
            traffic.dropped += counted(&self.hosts[*host], UPLINK)?.dropped;
        }
        Ok(traffic)
    }
}

/// The address of the host with this number, from 0.
#[must_use]
pub fn address(number: usize) -> String {
    format!("10.78.{}.{}", number / 250, number % 250 + 1)
}

/// Entries that the kernel's table of neighbours takes, in all namespaces together.
fn neighbours_max() -> usize {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/neigh/default/gc_thresh3").unwrap_or_default();
    text.trim().parse().unwrap_or(1024)
}

/// Has one program do many things: starting it anew for each would take most of the time.
fn batch(program: &str, place: &Namespace, lines: &[String]) -> Result<(), String> {
    for lines in lines.chunks(BATCH) {
        let mut command = Command::new(program);
        command.args(["-n", &place.0, "-batch", "-"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let failed = |error: std::io::Error| format!("{program}: {error}");
        let mut child = command.spawn().map_err(failed)?;
        let mut text = lines.join("\n");
        text.push('\n');
        // Dropped behind it, so that the program sees its end. What it says meanwhile fits the pipe.
        let written = child.stdin.take().map_or(Ok(()), |mut input| input.write_all(text.as_bytes()));
        let output = child.wait_with_output().map_err(failed)?;
        if !output.status.success() {
            return Err(format!("{program} in {}: {}", place.0, String::from_utf8_lossy(&output.stderr).trim()));
        }
        written.map_err(failed)?;
    }
    Ok(())
}

/// What the shapers of interfaces whose name begins so have counted.
fn counted(place: &Namespace, interface: &str) -> Result<Traffic, String> {
    let mut command = Command::new("tc");
    command.args(["-n", &place.0, "-s", "-j", "qdisc", "show"]);
    let output = run(command);
    let shapers: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout)
        .map_err(|error| format!("tc in {}: {error} {}", place.0, String::from_utf8_lossy(&output.stderr).trim()))?;
    let ours = shapers.iter().filter(|shaper| shaper["dev"].as_str().is_some_and(|name| name.starts_with(interface)));
    Ok(ours.fold(Traffic::default(), |sum, shaper| Traffic {
        bytes: sum.bytes + shaper["bytes"].as_u64().unwrap_or(0),
        packets: sum.packets + shaper["packets"].as_u64().unwrap_or(0),
        dropped: sum.dropped + shaper["drops"].as_u64().unwrap_or(0),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_host_has_an_address_of_its_own() {
        let addresses: BTreeSet<String> = (0..1000).map(address).collect();
        assert_eq!(addresses.len(), 1000);
        assert!(addresses.iter().all(|address| address.parse::<std::net::Ipv4Addr>().is_ok()));
        assert!(!addresses.contains(SWITCH));
    }
}
