//! WeftFS in the shapes in which it is used: a local volume, and a cluster of separate processes.

use super::System;
use crate::report::Kind;
use crate::work::Keep;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;
use weft_mount_tests::binaries::path_of;
use weft_mount_tests::cluster::Cluster;
use weft_mount_tests::mount::Mount;

/// Providers of a measured cluster, of each kind.
const PROVIDERS: usize = 3;

#[derive(Debug)]
enum Servers {
    Local(PathBuf),
    Cluster { cluster: Box<Cluster>, volume: String },
}

/// A mounted volume.
#[derive(Debug)]
pub(crate) struct Weft {
    name: String,
    // Before the servers, so that it is unmounted while they still answer.
    mount: Option<Mount>,
    servers: Servers,
    options: Vec<String>,
    path: PathBuf,
}

impl Weft {
    /// `weft mount --local`, its store and its mountpoint in `folder`.
    pub(crate) fn local(folder: &Path, options: &[String]) -> Result<Self, Box<dyn Error>> {
        let servers = Servers::Local(folder.join("weft-local"));
        Self::mounted("weft L".to_owned(), servers, folder.join("weft-local.mnt"), options)
    }

    /// A cluster with so many copies of everything, its stores in `folder`.
    pub(crate) fn cluster(folder: &Path, copies: u8, options: &[String]) -> Result<Self, Box<dyn Error>> {
        let volume = "bench".to_owned();
        let cluster = Cluster::start_quiet_in(folder, PROVIDERS, PROVIDERS);
        cluster.create_default_volume(&volume, copies);
        let name = if copies == 1 { "weft C".to_owned() } else { format!("weft C{copies}") };
        let servers = Servers::Cluster { cluster: Box::new(cluster), volume };
        Self::mounted(name, servers, PathBuf::new(), options)
    }

    fn mounted(name: String, servers: Servers, path: PathBuf, options: &[String]) -> Result<Self, Box<dyn Error>> {
        let mut system = Self { name, mount: None, servers, options: options.to_vec(), path };
        system.remount()?;
        Ok(system)
    }
}

impl System for Weft {
    fn name(&self) -> &str {
        &self.name
    }

    fn version(&self) -> String {
        let output = Command::new(path_of("weft")).arg("--version").output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
    }

    fn kind(&self) -> Kind {
        Kind::Weft
    }

    fn encrypts(&self) -> bool {
        matches!(self.servers, Servers::Cluster { .. })
    }

    fn folder(&self) -> &Path {
        &self.path
    }

    fn processes(&mut self) -> Vec<u32> {
        let mount = self.mount.as_mut().map(|mount| mount.process().id());
        let servers = match &mut self.servers {
            Servers::Local(_) => Vec::new(),
            Servers::Cluster { cluster, .. } => cluster.processes(),
        };
        mount.into_iter().chain(servers).collect()
    }

    fn remount(&mut self) -> Result<(), Box<dyn Error>> {
        if let Some(mount) = self.mount.take() {
            mount.unmount();
        }
        if let (Servers::Cluster { cluster, .. }, false) = (&mut self.servers, self.path.as_os_str().is_empty()) {
            // What they remember would be a cache as well.
            cluster.restart();
        }
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        let mount = match &mut self.servers {
            Servers::Local(store) => Mount::local_quiet(store, &self.path, &options),
            Servers::Cluster { cluster, volume } => cluster.mount_with(volume, &options),
        };
        self.path = mount.path().to_owned();
        self.mount = Some(mount);
        Ok(())
    }

    fn keep(&self) -> Keep {
        Keep::Always
    }
}
