//! A network of their own for the servers and mounts of one test: namespaces joined by a bridge.
//!
//! The servers live in the *hub*, each mount in a namespace with one interface to the hub's bridge. So mounts reach one another only
//! through the servers, as on machines of their own. Only network namespaces are made: files and processes are shared, so the test
//! sees every mountpoint, and a mount sees the names of the threads that call it. In [`wired`] every server has a host of its own too,
//! and what joins them is as fast as one says.

pub mod wired;

use crate::process::run;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

/// Networks made by this process, so that each has names of its own.
static MADE: AtomicU32 = AtomicU32::new(0);

/// A network namespace with a name, as `ip netns` makes it. Removed when dropped; it ends with the last process in it.
#[derive(Debug)]
struct Namespace(String);

impl Namespace {
    fn add(name: String) -> Result<Self, String> {
        ip(&["netns", "add", &name])?;
        let made = Self(name);
        made.ip(&["link", "set", "lo", "up"])?;
        Ok(made)
    }

    /// Runs `ip` with these arguments inside.
    fn ip(&self, arguments: &[&str]) -> Result<(), String> {
        ip(&[&["-n", self.0.as_str()][..], arguments].concat())
    }

    fn file(&self) -> PathBuf {
        PathBuf::from("/run/netns").join(&self.0)
    }

    /// Has it pass packets on between its interfaces.
    fn allow_routing(&self) -> Result<(), String> {
        // The kernel shows each process the settings of its own namespace.
        let mut command = Site(self.file()).command("/bin/sh".into());
        command.args(["-c", "echo 1 > /proc/sys/net/ipv4/ip_forward"]);
        let output = run(command);
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()) }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = ip(&["netns", "del", &self.0]) {
            eprintln!("namespace {} stays behind: {error}", self.0);
        }
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let mut command = Command::new("ip");
    command.args(arguments);
    let output = run(command);
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("ip {}: {}", arguments.join(" "), said.trim())) }
}

/// Whether there can be networks here, made with these programs; if not, why.
///
/// # Errors
/// The user is not root, or a program is missing.
pub fn check_privilege(programs: &[&str]) -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("only root can make network namespaces".to_owned());
    }
    for program in programs {
        Command::new(program).arg("-V").output().map_err(|error| format!("{program}: {error}"))?;
    }
    Ok(())
}

/// A hub and the namespaces around it.
#[derive(Debug)]
pub struct Network {
    // Interfaces go with their namespaces, in whatever order.
    hub: Namespace,
    spokes: Vec<Namespace>,
}

/// A place in a network where a process may run.
#[derive(Clone, Debug)]
pub struct Site(PathBuf);

/// A place where a server may run, and the IP address that it has there.
#[derive(Clone, Debug)]
pub struct Place {
    /// The place.
    pub site: Site,
    /// Its address.
    pub address: String,
}

impl Network {
    /// A hub with `spokes` namespaces around it.
    ///
    /// # Errors
    /// Why there can be none here: the user is not root, `ip` or `nsenter` is missing, or what `ip` said.
    pub fn new(spokes: usize) -> Result<Self, String> {
        check_privilege(&["ip", "nsenter"])?;
        let prefix = format!("weft{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let hub = Namespace::add(format!("{prefix}-hub"))?;
        hub.ip(&["link", "add", "bridge", "type", "bridge"])?;
        hub.ip(&["addr", "add", &format!("{}/24", Self::hub_address()), "dev", "bridge"])?;
        hub.ip(&["link", "set", "bridge", "up"])?;
        let mut network = Self { hub, spokes: Vec::new() };
        for number in 1..=spokes {
            network.add_spoke(format!("{prefix}-{number}"), number)?;
        }
        Ok(network)
    }

    fn add_spoke(&mut self, name: String, number: usize) -> Result<(), String> {
        let spoke = Namespace::add(name)?;
        let port = format!("port{number}");
        self.hub.ip(&["link", "add", &port, "type", "veth", "peer", "name", "uplink", "netns", &spoke.0])?;
        self.hub.ip(&["link", "set", &port, "master", "bridge", "up"])?;
        spoke.ip(&["addr", "add", &format!("10.77.0.{}/24", number + 1), "dev", "uplink"])?;
        spoke.ip(&["link", "set", "uplink", "up"])?;
        self.spokes.push(spoke);
        Ok(())
    }

    /// The address of the hub. The same in every network: they do not see each other.
    #[must_use]
    pub fn hub_address() -> &'static str {
        "10.77.0.1"
    }

    /// Where the servers run.
    #[must_use]
    pub fn hub(&self) -> Site {
        Site(self.hub.file())
    }

    /// Where the mount with this number runs, from 0.
    ///
    /// # Panics
    /// When the network has fewer.
    #[must_use]
    pub fn spoke(&self, number: usize) -> Site {
        Site(self.spokes[number].file())
    }
}

impl Site {
    /// A command that runs `program` there. `nsenter` becomes the program, so the process id and what is sent to it are its own; and,
    /// unlike `ip netns exec`, it leaves the mount namespace as it is, so what is mounted there is seen here.
    #[must_use]
    pub fn command(&self, program: PathBuf) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.0.display())).arg("--").arg(program);
        command
    }

    /// Moves the calling thread there, and the threads that it starts from then on.
    ///
    /// # Errors
    /// What the system says.
    pub fn enter(&self) -> io::Result<()> {
        let namespace = File::open(&self.0)?;
        let kind = rustix::thread::LinkNameSpaceType::Network;
        Ok(rustix::thread::move_into_link_name_space(namespace.as_fd(), Some(kind))?)
    }
}

/// A command that runs `program` at a site, or here if there is none.
#[must_use]
pub fn command_at(site: Option<&Site>, program: PathBuf) -> Command {
    site.map_or_else(|| Command::new(&program), |site| site.command(program.clone()))
}
