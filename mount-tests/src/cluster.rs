//! A cluster of separate `weftd` processes on this machine, with mounts.

use crate::binaries::path_of;
use crate::mount::{EVERYTHING, Mount, QUIET};
use crate::network::{Network, Place, Site, command_at};
use crate::port::Port;
use crate::process::{Process, refuse, succeed};
use crate::wait::until;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Where servers in a network listen, from here on.
const FIRST_PORT: usize = 9400;
/// Mounts that are begun together where there are many: each looks at the table of mounts until it stands there.
const MOUNTS_AT_ONCE: usize = 8;

/// Whether the sizes of the issue are asked for (`WEFT_LONG_TESTS`) and not the small ones of every run.
#[must_use]
pub fn long_tests() -> bool {
    std::env::var_os("WEFT_LONG_TESTS").is_some()
}

/// What a volume is made with.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Page size in KiB.
    pub page_kib: u32,
    /// Fan-out of the segment tree.
    pub fan_out: u32,
    /// Copies of pages and nodes.
    pub copies: u8,
}

impl Shape {
    /// What tests run with: page size 64 KiB and 1 MiB, fan-out 2 and 32, 1 and 2 copies. Every pair of two of them in each run,
    /// all eight combinations in a long one.
    #[must_use]
    pub fn tested() -> Vec<Self> {
        let mut shapes = Vec::new();
        for (page_kib, pages) in [(64, 0), (1024, 1)] {
            for (fan_out, wide) in [(2, 0), (32, 1)] {
                for copies in [1, 2] {
                    if long_tests() || (pages + wide + copies) % 2 == 1 {
                        shapes.push(Self { page_kib, fan_out, copies });
                    }
                }
            }
        }
        shapes
    }
}

/// One `weftd`: its configuration, and the process while it runs.
#[derive(Debug)]
struct Server {
    config: PathBuf,
    log: PathBuf,
    /// Where it runs, if not here.
    site: Option<Site>,
    process: Option<Process>,
    /// How often it was started.
    starts: usize,
}

impl Server {
    fn start(&mut self) {
        let mut command = command_at(self.site.as_ref(), path_of("weftd"));
        command.arg("--config").arg(&self.config);
        self.process = Some(Process::start(command, &self.log));
        self.starts += 1;
    }

    /// Whether it answers requests: it has said so once for each start.
    fn serves(&mut self) -> bool {
        let Some(process) = &mut self.process else { return false };
        let ended = process.ended();
        assert!(ended.is_none(), "{} ended with {ended:?}", self.config.display());
        process.output().matches("weftd serves").count() == self.starts
    }
}

/// A running cluster. Everything ends, and every folder goes, when it is dropped.
#[derive(Debug)]
pub struct Cluster {
    servers: Vec<Server>,
    manager: String,
    ports: Vec<Port>,
    /// Where the tools run, and servers that have no place of their own, if not here.
    site: Option<Site>,
    /// Nobody logs single operations.
    is_quiet: bool,
    mounts: u32,
    // Last, so that the processes are gone before their folders.
    folder: TempDir,
}

impl Cluster {
    /// Starts a version and provider manager, `metadata` metadata providers and `data` data providers, a process each, and
    /// waits until all have joined.
    ///
    /// # Panics
    /// When they do not come up.
    #[must_use]
    pub fn start(metadata: usize, data: usize) -> Self {
        let port = Port::reserve();
        Self::start_at(&std::env::temp_dir(), (None, false), port.address(), vec![port], metadata, data)
    }

    /// As [`Cluster::start`], with the logs of servers and mounts in use: for many operations.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    #[must_use]
    pub fn start_quiet(metadata: usize, data: usize) -> Self {
        Self::start_quiet_in(&std::env::temp_dir(), metadata, data)
    }

    /// As [`Cluster::start_quiet`], with everything that is stored in a new folder of `parent`.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    #[must_use]
    pub fn start_quiet_in(parent: &Path, metadata: usize, data: usize) -> Self {
        let port = Port::reserve();
        Self::start_at(parent, (None, true), port.address(), vec![port], metadata, data)
    }

    /// As [`Cluster::start`], in the hub of a network.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    #[must_use]
    pub fn start_in(network: &Network, metadata: usize, data: usize) -> Self {
        let manager = format!("{}:{FIRST_PORT}", Network::hub_address());
        Self::start_at(&std::env::temp_dir(), (Some(network.hub()), true), manager, Vec::new(), metadata, data)
    }

    /// As [`Cluster::start_quiet_in`], every server at a place of its own; the tools run at the manager's. Places may be the same.
    ///
    /// # Panics
    /// As [`Cluster::start`].
    #[must_use]
    pub fn start_spread(parent: &Path, manager: &Place, metadata: &[Place], data: &[Place]) -> Self {
        let address = format!("{}:{FIRST_PORT}", manager.address);
        let mut cluster = Self::prepare(parent, (Some(manager.site.clone()), true), address, Vec::new());
        for (role, places) in [("metadata", metadata), ("data", data)] {
            for (number, place) in places.iter().enumerate() {
                let listen = format!("{}:{}", place.address, FIRST_PORT + cluster.servers.len());
                cluster.add_server(&format!("{role}{}", number + 1), role, listen, Some(place.site.clone()));
            }
        }
        cluster.start_servers();
        cluster.wait_until_complete();
        cluster
    }

    fn start_at(
        parent: &Path,
        site: (Option<Site>, bool),
        manager: String,
        ports: Vec<Port>,
        metadata: usize,
        data: usize,
    ) -> Self {
        let mut cluster = Self::prepare(parent, site, manager, ports);
        for (role, count) in [("metadata", metadata), ("data", data)] {
            for number in 1..=count {
                let (listen, site) = (cluster.reserve_port(), cluster.site.clone());
                cluster.add_server(&format!("{role}{number}"), role, listen, site);
            }
        }
        cluster.start_servers();
        cluster.wait_until_complete();
        cluster
    }

    /// A cluster of a manager alone, which does not run yet.
    fn prepare(parent: &Path, (site, is_quiet): (Option<Site>, bool), manager: String, ports: Vec<Port>) -> Self {
        let folder = tempfile::tempdir_in(parent).expect("a folder");
        let mut init = Command::new(path_of("weftd"));
        init.args(["init", "--listen", &manager, "--dir"]).arg(folder.path().join("cluster"));
        succeed(init);
        let mut cluster = Self { servers: Vec::new(), manager, ports, site, is_quiet, mounts: 0, folder };
        let (listen, site) = (cluster.manager.clone(), cluster.site.clone());
        cluster.add_server("manager", "version-manager", listen, site);
        cluster
    }

    fn start_servers(&mut self) {
        self.servers.iter_mut().for_each(Server::start);
    }

    fn add_server(&mut self, name: &str, role: &str, listen: String, site: Option<Site>) {
        // What a test in a network does is many operations, and a log of each would be most of the work.
        let log = if self.is_quiet { "info" } else { "info,weft_server=debug,weft_common=debug" };
        let text = format!(
            "roles = [\"{role}\"]\nlisten = \"{listen}\"\nmanagers = [\"{}\"]\nidentity = \"cluster/identity\"\nstore = \"{name}\"\nlog = \"{log}\"\n",
            self.manager
        );
        let config = self.folder.path().join(format!("{name}.toml"));
        std::fs::write(&config, text).expect("a configuration file");
        let log = self.folder.path().join(format!("{name}.log"));
        self.servers.push(Server { config, log, site, process: None, starts: 0 });
    }

    fn reserve_port(&mut self) -> String {
        if self.site.is_some() {
            // Nobody else is there.
            return format!("{}:{}", Network::hub_address(), FIRST_PORT + self.servers.len());
        }
        let port = Port::reserve();
        let address = port.address();
        self.ports.push(port);
        address
    }

    /// Waits until every server answers and every provider is alive in the cluster map. Both, for a manager that has just been
    /// started takes every provider for alive until its lease is over.
    fn wait_until_complete(&mut self) {
        let providers = self.servers.len() - 1;
        until(&format!("{providers} providers are alive"), || {
            if !self.servers.iter_mut().all(Server::serves) {
                return None;
            }
            let mut status = self.weft(&["status", "--json"]);
            status.arg(format!("weft://{}", self.manager));
            let output = crate::process::run(status);
            let status: serde_json::Value = serde_json::from_slice(&output.stdout).ok()?;
            let alive = status["providers"].as_array()?.iter().filter(|provider| provider["state"] == "alive").count();
            (alive == providers).then_some(())
        });
    }

    /// The folder of everything.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Host and port of the version manager.
    #[must_use]
    pub fn manager(&self) -> &str {
        &self.manager
    }

    /// Where the certificates are.
    #[must_use]
    pub fn identity(&self) -> PathBuf {
        self.folder.path().join("cluster/identity")
    }

    /// A `weft` command with this cluster's certificates.
    #[must_use]
    pub fn weft(&self, arguments: &[&str]) -> Command {
        let mut command = command_at(self.site.as_ref(), path_of("weft"));
        command.args(arguments).env("WEFT_IDENTITY", self.identity());
        command
    }

    /// The URL of a volume.
    #[must_use]
    pub fn url(&self, volume: &str) -> String {
        format!("weft://{}/{volume}", self.manager)
    }

    /// Makes a volume.
    ///
    /// # Panics
    /// When that fails.
    pub fn create_volume(&self, volume: &str, shape: Shape) {
        let Shape { page_kib, fan_out, copies } = shape;
        let mut command = self.weft(&["volume", "create", &self.url(volume)]);
        command.args([
            "--page-size",
            &format!("{page_kib}KiB"),
            "--fan-out",
            &fan_out.to_string(),
            "--copies",
            &copies.to_string(),
        ]);
        succeed(command);
    }

    /// Makes a volume as people do who choose nothing but how many copies it has.
    ///
    /// # Panics
    /// When that fails.
    pub fn create_default_volume(&self, volume: &str, copies: u8) {
        let mut command = self.weft(&["volume", "create", &self.url(volume)]);
        command.args(["--copies", &copies.to_string()]);
        succeed(command);
    }

    /// The processes of all servers that run.
    #[must_use]
    pub fn processes(&self) -> Vec<u32> {
        self.servers.iter().filter_map(|server| server.process.as_ref()).map(Process::id).collect()
    }

    /// Mounts a volume at a new place.
    ///
    /// # Panics
    /// When the mount does not come.
    #[must_use]
    pub fn mount(&mut self, volume: &str) -> Mount {
        self.mount_with(volume, &[])
    }

    /// Mounts a volume at a new place, with further options.
    ///
    /// # Panics
    /// When the mount does not come.
    #[must_use]
    pub fn mount_with(&mut self, volume: &str, options: &[&str]) -> Mount {
        self.mount_at(None, volume, options)
    }

    /// As [`Cluster::mount_with`], by a process at a place of the network.
    ///
    /// # Panics
    /// When the mount does not come.
    #[must_use]
    pub fn mount_at(&mut self, site: Option<&Site>, volume: &str, options: &[&str]) -> Mount {
        self.mounts += 1;
        self.mount_numbered(self.mounts, site, volume, options)
    }

    /// Mounts a volume once at each of these places, a few at a time.
    ///
    /// # Panics
    /// When one does not come.
    #[must_use]
    pub fn mount_each(&mut self, sites: &[Site], volume: &str, options: &[&str]) -> Vec<Mount> {
        let first = self.mounts + 1;
        self.mounts += sites.len() as u32;
        let (cluster, numbered) = (&*self, (first..).zip(sites).collect::<Vec<_>>());
        let group = |group: &[(u32, &Site)]| -> Vec<Mount> {
            std::thread::scope(|scope| {
                let mount = |(number, site): (u32, &Site)| cluster.mount_numbered(number, Some(site), volume, options);
                let begun: Vec<_> = group.iter().map(|one| scope.spawn(move || mount(*one))).collect();
                begun.into_iter().map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
            })
        };
        numbered.chunks(MOUNTS_AT_ONCE).flat_map(group).collect()
    }

    fn mount_numbered(&self, number: u32, site: Option<&Site>, volume: &str, options: &[&str]) -> Mount {
        let path = self.folder.path().join(format!("mnt{number}"));
        let log = path.with_extension("log");
        let identity = self.identity();
        let url = self.url(volume);
        let arguments = [&["--identity", identity.to_str().expect("a path in UTF-8")][..], options, &[&url]].concat();
        let filter = if self.is_quiet { QUIET } else { EVERYTHING };
        Mount::start_logging(site, filter, &arguments, &path, &log)
    }

    /// Asks every server to end, waits for it, and starts all again.
    ///
    /// # Panics
    /// When a server does not end or does not come back.
    pub fn restart(&mut self) {
        for server in &mut self.servers {
            if let Some(mut process) = server.process.take() {
                let status = process.terminate();
                assert!(status.success(), "{} ended with {status}", server.config.display());
            }
        }
        self.start_servers();
        self.wait_until_complete();
    }

    /// Kills every server at once and starts all again.
    ///
    /// # Panics
    /// When a server does not come back.
    pub fn crash(&mut self) {
        for process in self.servers.iter_mut().filter_map(|server| server.process.as_mut()) {
            process.kill();
        }
        self.start_servers();
        self.wait_until_complete();
    }

    /// Starts again what was killed.
    ///
    /// # Panics
    /// When a server does not come back.
    pub fn restart_killed(&mut self) {
        for server in &mut self.servers {
            if server.process.as_mut().is_none_or(|process| process.ended().is_some()) {
                server.start();
            }
        }
        self.wait_until_complete();
    }

    /// The process of the server with that name: `manager`, `metadata1`, `data2`…
    ///
    /// # Panics
    /// When there is none, or it does not run.
    pub fn server(&mut self, name: &str) -> &mut Process {
        let server = self.servers.iter_mut().find(|server| server.config.file_stem().is_some_and(|stem| stem == name));
        server.and_then(|server| server.process.as_mut()).unwrap_or_else(|| panic!("no server {name} runs"))
    }

    /// Runs a `weft` command on a volume or path that has to be refused, and gives its message.
    ///
    /// # Panics
    /// When it succeeds.
    #[must_use]
    pub fn refused(&self, arguments: &[&str]) -> String {
        refuse(self.weft(arguments))
    }
}
