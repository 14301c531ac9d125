//! UDP ports that stay free for a server while it is restarted.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;

/// Below the ports that Linux gives to sockets which ask for any (`net.ipv4.ip_local_port_range`: 32768 and above). One of
/// those may go to a client, anywhere on the machine, in the moment between a server's end and its next start.
const PORTS: Range<u16> = 16384..32768;

/// A UDP port on loopback that no other test takes while this value lives, whether something listens on it or not.
#[derive(Debug)]
pub struct Port {
    // Tests run in several processes: holding the TCP port of the same number is how they tell each other.
    reservation: TcpListener,
}

impl Port {
    /// A port that nobody listens on.
    ///
    /// # Panics
    /// When there is none.
    #[must_use]
    pub fn reserve() -> Self {
        let free = |port: u16| {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let reservation = TcpListener::bind(address).ok()?;
            UdpSocket::bind(address).ok()?;
            Some(Self { reservation })
        };
        // From a random one on: tests that start together would else try the same ones.
        let first = fastrand::u16(PORTS);
        let mut ports = (first..PORTS.end).chain(PORTS.start..first);
        ports.find_map(free).expect("a free port")
    }

    /// Its address, as configurations take it.
    ///
    /// # Panics
    /// Never: a socket that is bound has an address.
    #[must_use]
    pub fn address(&self) -> String {
        self.reservation.local_addr().expect("the address of a bound socket").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_reserved_port_is_given_once_and_can_be_listened_on() {
        let ports: Vec<Port> = (0..50).map(|_| Port::reserve()).collect();
        let addresses: BTreeSet<String> = ports.iter().map(Port::address).collect();
        assert_eq!(addresses.len(), ports.len());
        for address in &addresses {
            assert!(UdpSocket::bind(address).is_ok(), "{address}");
        }
    }
}
