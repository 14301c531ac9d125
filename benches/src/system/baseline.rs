//! The baselines as mounted systems: processes of this program.

use super::System;
use crate::report::Kind;
use crate::work::Row;
use std::error::Error;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use weft_common::transport::{create_cluster_files, random_cluster_id};
use weft_mount_tests::mount::{detach, is_mounted};

/// Longest that a mount may take to come or go.
const PATIENCE: Duration = Duration::from_secs(10);

/// A child that does not outlive the run.
#[derive(Debug)]
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        // An error means that it is gone.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The process that keeps pages for a prototype, and for calls without a filesystem.
#[derive(Debug)]
pub(crate) struct PageServer {
    process: Kept,
    pub(crate) address: SocketAddr,
    pub(crate) identity: PathBuf,
}

impl PageServer {
    /// Starts one that keeps everything in `folder`.
    pub(crate) fn start(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let (identity, pages) = (folder.join("identity"), folder.join("pages"));
        std::fs::create_dir_all(&pages)?;
        create_cluster_files(&identity, random_cluster_id()?)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve-pages").arg("--identity").arg(&identity).arg("--folder").arg(&pages);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("no output")?;
        let process = Kept(child);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let address = line.trim().parse().map_err(|_| "the page server did not say where it listens")?;
        Ok(Self { process, address, identity })
    }

    /// Writes and reads so many bytes by calls of 1 MiB: MB/s of each.
    pub(crate) fn calls(&self, bytes: u64) -> Result<[f64; 2], Box<dyn Error>> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("page-calls").arg("--identity").arg(&self.identity).arg("--server").arg(self.address.to_string());
        let output = command.args(["--bytes", &bytes.to_string()]).stderr(Stdio::inherit()).output()?;
        let took: [f64; 2] = serde_json::from_slice(&output.stdout).map_err(|_| "page calls failed")?;
        Ok(took.map(|seconds| bytes as f64 / 1e6 / seconds))
    }

    pub(crate) fn process(&self) -> u32 {
        self.process.0.id()
    }
}

/// A mounted baseline.
#[derive(Debug)]
pub(crate) struct Baseline {
    name: &'static str,
    path: PathBuf,
    mount: Option<Kept>,
    server: Option<PageServer>,
}

impl Baseline {
    /// A FUSE filesystem that keeps nothing.
    pub(crate) fn null(folder: &Path) -> Result<Self, Box<dyn Error>> {
        Self::mounted("null", folder.join("null.mnt"), None)
    }

    /// FUSE, QUIC and a process that writes files.
    pub(crate) fn prototype(folder: &Path) -> Result<Self, Box<dyn Error>> {
        let server = PageServer::start(&folder.join("prototype"))?;
        Self::mounted("proto", folder.join("prototype.mnt"), Some(server))
    }

    fn mounted(name: &'static str, path: PathBuf, server: Option<PageServer>) -> Result<Self, Box<dyn Error>> {
        std::fs::create_dir(&path)?;
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve-mount", "--kind"]).arg(if server.is_some() { "prototype" } else { "null" });
        command.arg("--at").arg(&path);
        if let Some(server) = &server {
            command.arg("--identity").arg(&server.identity).arg("--server").arg(server.address.to_string());
        }
        let mut child = Kept(command.stdin(Stdio::piped()).spawn()?);
        let began = Instant::now();
        while !is_mounted(&path) {
            if began.elapsed() > PATIENCE || child.0.try_wait()?.is_some() {
                detach(&path);
                return Err(format!("the baseline {name} was not mounted").into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        raise_read_ahead(&path);
        Ok(Self { name, path, mount: Some(child), server })
    }
}

/// As a WeftFS mount does: the kernel's default is an eighth of it.
fn raise_read_ahead(path: &Path) {
    use std::os::linux::fs::MetadataExt;
    let Ok(device) = std::fs::metadata(path).map(|about| about.st_dev()) else { return };
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    // Without the right to do so it is measured as it is.
    let _ = std::fs::write(format!("/sys/class/bdi/{major}:{minor}/read_ahead_kb"), "1024");
}

impl System for Baseline {
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> String {
        if self.server.is_some() { "FUSE, QUIC, files" } else { "FUSE alone" }.to_owned()
    }

    fn kind(&self) -> Kind {
        Kind::Baseline
    }

    fn encrypts(&self) -> bool {
        self.server.is_some()
    }

    fn folder(&self) -> &Path {
        &self.path
    }

    fn processes(&mut self) -> Vec<u32> {
        let mount = self.mount.as_ref().map(|mount| mount.0.id());
        mount.into_iter().chain(self.server.as_ref().map(PageServer::process)).collect()
    }

    /// Its names live in its memory, so it stays; the kernel's caches are dropped, and it has none of its own worth the name.
    fn remount(&mut self) -> Result<(), Box<dyn Error>> {
        Ok(())
    }

    /// Neither puts anything on stable storage. And the prototype is there for bulk: what it does with small pieces nobody wants to reach.
    fn takes(&self, row: &Row) -> bool {
        let is_bulk = ["a.", "b.", "c.", "d.", "g."].iter().any(|letter| row.name.starts_with(letter));
        !row.name.contains("fsync") && (self.server.is_none() || is_bulk)
    }
}

impl Drop for Baseline {
    fn drop(&mut self) {
        detach(&self.path);
        self.mount = None;
    }
}
