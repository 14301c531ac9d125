//! Packets on their way: lost, doubled, late, damaged, too large, stuck behind others, cut off.
//!
//! Hosts are known by their IP addresses; each ordered pair of them has a [`Path`] of its own, so that trouble may be one-way. A packet
//! that is sent gets its fate at once; those that arrive wait in `flying` until their moment, when [`Network::run`] puts them
//! into the inbox of whoever has the address then.

use super::world::World;
use crate::limits::SOCKET_BUFFER_BYTES;
use crate::transport::socket::UDP_PAYLOAD_BYTES_MAX;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;
use tokio::sync::Notify;

/// The way from one host to another. Chances are in millionths of packets.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    pub(super) loss: u64,
    pub(super) duplication: u64,
    pub(super) lateness: u64,
    pub(super) damage: u64,
    /// Chance that a host's socket takes no packet for a moment.
    pub(super) stall: u64,
    pub(super) delay: Duration,
    pub(super) bytes_per_ms: u64,
    /// What waits before a packet is dropped.
    pub(super) queue_bytes: u64,
    /// Larger packets vanish without a word.
    pub(super) packet_bytes_max: usize,
    pub(super) is_cut: bool,
    /// Nothing arrives before this: everything held back arrives at once, as at a process that was stopped for a while.
    pub(super) held_until: Duration,
    /// When everything sent so far has left.
    free_at: Duration,
    /// Packets that did not arrive.
    lost: u64,
}

impl Path {
    /// A path on which nothing goes wrong.
    pub(super) fn calm(delay: Duration) -> Self {
        Self {
            loss: 0,
            duplication: 0,
            lateness: 0,
            damage: 0,
            stall: 0,
            delay,
            bytes_per_ms: 100_000,
            queue_bytes: 4 << 20,
            packet_bytes_max: UDP_PAYLOAD_BYTES_MAX,
            is_cut: false,
            held_until: Duration::ZERO,
            free_at: Duration::ZERO,
            lost: 0,
        }
    }
}

#[derive(Debug)]
struct Packet {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Vec<u8>,
}

/// Packets that arrived at a socket and were not read yet.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub(super) packets: VecDeque<(SocketAddr, Vec<u8>)>,
    pub(super) waker: Option<Waker>,
    bytes: usize,
}

impl Inbox {
    pub(super) fn take(&mut self) -> Option<(SocketAddr, Vec<u8>)> {
        let packet = self.packets.pop_front()?;
        self.bytes -= packet.1.len();
        Some(packet)
    }
}

pub(super) type SharedInbox = Arc<Mutex<Inbox>>;

/// See the module.
#[derive(Debug)]
pub(super) struct Network {
    pub(super) world: Arc<World>,
    state: Mutex<State>,
    /// Something is to arrive sooner than [`Network::run`] expects.
    sooner: Notify,
}

#[derive(Debug, Default)]
struct State {
    paths: BTreeMap<(IpAddr, IpAddr), Path>,
    sockets: BTreeMap<SocketAddr, SharedInbox>,
    flying: BTreeMap<(Duration, u64), Packet>,
    packets_sent: u64,
    ports_given: u16,
}

impl Network {
    pub(super) fn new(world: &Arc<World>) -> Arc<Self> {
        Arc::new(Self { world: world.clone(), state: Mutex::default(), sooner: Notify::new() })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the way from one host to another is this.
    pub(super) fn set_path(&self, from: IpAddr, to: IpAddr, path: Path) {
        self.state().paths.insert((from, to), path);
    }

    /// Changes the way from one host to another.
    pub(super) fn change_path(&self, from: IpAddr, to: IpAddr, change: impl FnOnce(&mut Path)) {
        if let Some(path) = self.state().paths.get_mut(&(from, to)) {
            change(path);
        }
    }

    /// Packets that got lost between two hosts, both ways.
    pub(super) fn lost_between(&self, one: IpAddr, other: IpAddr) -> u64 {
        let state = self.state();
        [(one, other), (other, one)].iter().filter_map(|way| state.paths.get(way)).map(|path| path.lost).sum()
    }

    /// Chance that a socket of this host stalls.
    pub(super) fn stall(&self, host: IpAddr, to: IpAddr) -> u64 {
        self.state().paths.get(&(host, to)).map_or(0, |path| path.stall)
    }

    pub(super) fn open(&self, address: SocketAddr) -> io::Result<(SocketAddr, SharedInbox)> {
        let mut state = self.state();
        let mut address = address;
        if address.port() == 0 {
            state.ports_given += 1;
            address.set_port(40_000 + state.ports_given);
        }
        let inbox = SharedInbox::default();
        match state.sockets.entry(address) {
            std::collections::btree_map::Entry::Occupied(_) => return Err(io::ErrorKind::AddrInUse.into()),
            std::collections::btree_map::Entry::Vacant(place) => place.insert(inbox.clone()),
        };
        Ok((address, inbox))
    }

    /// Closes a socket, unless somebody else has its address by now.
    pub(super) fn close(&self, address: SocketAddr, inbox: &SharedInbox) {
        let mut state = self.state();
        if state.sockets.get(&address).is_some_and(|current| Arc::ptr_eq(current, inbox)) {
            state.sockets.remove(&address);
        }
    }

    /// The process that has sockets on this host is gone: from now on they send and receive nothing.
    pub(super) fn kill(&self, host: IpAddr) {
        self.state().sockets.retain(|address, _| address.ip() != host);
    }

    pub(super) fn open_sockets(&self) -> usize {
        self.state().sockets.len()
    }

    /// Sends a packet from a socket, if its process still lives.
    pub(super) fn send(&self, from: SocketAddr, inbox: &SharedInbox, to: SocketAddr, bytes: &[u8]) {
        let now = self.world.elapsed();
        let mut state = self.state();
        if !state.sockets.get(&from).is_some_and(|current| Arc::ptr_eq(current, inbox)) {
            return;
        }
        let Some(path) = state.paths.get_mut(&(from.ip(), to.ip())) else { return };
        let arrival = path.fate(&self.world, now, bytes.len());
        self.world.packet(from, to, bytes.len(), arrival);
        match arrival {
            Err(why) => {
                path.lost += 1;
                self.world.count(why);
            }
            Ok(arrival) => {
                let (duplication, damage) = (path.duplication, path.damage);
                let mut bytes = bytes.to_vec();
                if self.world.chance(damage) {
                    damage_packet(&self.world, &mut bytes);
                }
                if self.world.chance(duplication) {
                    self.world.count("packet doubled");
                    let later = arrival + Duration::from_micros(self.world.between(0, 300_000));
                    state.fly(later, Packet { from, to, bytes: bytes.clone() });
                }
                state.fly(arrival, Packet { from, to, bytes });
                if state.flying.first_key_value().is_some_and(|((first, _), _)| *first >= arrival) {
                    self.sooner.notify_one();
                }
            }
        }
    }

    /// Delivers packets when their moment comes; for ever.
    pub(super) async fn run(self: Arc<Self>) {
        loop {
            match self.deliver() {
                // Only the earlier of both is of interest, not which it was.
                Some(next) => {
                    let _ = tokio::time::timeout_at(self.world.moment(next), self.sooner.notified()).await;
                }
                None => self.sooner.notified().await,
            }
        }
    }

    /// Delivers what is due; when the next is.
    fn deliver(&self) -> Option<Duration> {
        let now = self.world.elapsed();
        let mut state = self.state();
        loop {
            let next = state.flying.first_entry()?;
            if next.key().0 > now {
                return Some(next.key().0);
            }
            let Packet { from, to, bytes } = next.remove();
            let Some(inbox) = state.sockets.get(&to) else {
                self.world.count("packet to nobody");
                continue;
            };
            let mut inbox = inbox.lock().unwrap_or_else(PoisonError::into_inner);
            if inbox.bytes + bytes.len() > SOCKET_BUFFER_BYTES {
                self.world.count("receive buffer full");
                continue;
            }
            inbox.bytes += bytes.len();
            inbox.packets.push_back((from, bytes));
            if let Some(waker) = inbox.waker.take() {
                waker.wake();
            }
        }
    }
}

impl State {
    fn fly(&mut self, arrival: Duration, packet: Packet) {
        self.packets_sent += 1;
        self.flying.insert((arrival, self.packets_sent), packet);
    }
}

impl Path {
    /// Takes everything of `other` over but what it went through: whether it is cut or held, how large its packets may be, what is on it.
    pub(super) fn become_like(&mut self, other: &Self) {
        let Self { is_cut, held_until, packet_bytes_max, free_at, lost, .. } = *self;
        *self = Self { is_cut, held_until, packet_bytes_max, free_at, lost, ..*other };
    }

    /// When a packet that is sent now arrives, or why it does not.
    fn fate(&mut self, world: &World, now: Duration, bytes: usize) -> Result<Duration, &'static str> {
        if self.is_cut {
            return Err("packet cut off");
        }
        if bytes > self.packet_bytes_max {
            return Err("packet too large");
        }
        if world.chance(self.loss) {
            return Err("packet lost");
        }
        let start = now.max(self.free_at);
        if (start - now).as_micros() as u64 * self.bytes_per_ms / 1000 > self.queue_bytes {
            return Err("packet dropped by a full queue");
        }
        self.free_at = start + Duration::from_micros(bytes as u64 * 1000 / self.bytes_per_ms);
        let late = if world.chance(self.lateness) {
            world.count("packet late");
            Duration::from_micros(world.between(1, 150_000))
        } else {
            Duration::ZERO
        };
        Ok((self.free_at + self.delay + late).max(self.held_until))
    }
}

/// A packet's first bit: its header is a long one (RFC 9000, section 17.2).
const LONG_HEADER: u8 = 0x80;
/// Where a long header says how long its first connection id is.
const CONNECTION_ID_LENGTH_AT: usize = 5;

/// Changes a few bits, half of the times in the header. Spared are those after which random bytes (connection ids, ciphertext) would be read as
/// lengths: a short header does not become a long one, and a long one keeps the length of its first connection id. Otherwise now and then a
/// server would answer with the versions that it speaks, and that packet's length, or that there is one, would differ from run to run.
fn damage_packet(world: &World, bytes: &mut [u8]) {
    world.count("packet damaged");
    let end = if world.chance(500_000) { bytes.len().min(32) } else { bytes.len() } as u64;
    if end == 0 {
        return;
    }
    for _ in 0..world.between(1, 3) {
        let (place, flip) = (world.between(0, end - 1) as usize, 1 << world.between(0, 7));
        let is_long = bytes[0] & LONG_HEADER != 0;
        let is_spared = if is_long { place == CONNECTION_ID_LENGTH_AT } else { place == 0 && flip == LONG_HEADER };
        if !is_spared {
            bytes[place] ^= flip;
        }
    }
}
