//! The servers of `weft mount --local`, in this process: the only file here that names them.

use super::error::CliError;
use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use weft_common::rpc::{Address, Rpc};
use weft_server::node::{LocalNode, NodeError, start_local};

/// A mount that has just been unmounted needs a moment to write everything down.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

/// All roles over one folder.
#[derive(Debug)]
pub(super) struct LocalServers {
    folder: PathBuf,
    node: LocalNode,
    /// Locked while they run.
    _lock: File,
}

impl LocalServers {
    /// Starts them; makes the folder if need be.
    ///
    /// # Errors
    /// [`CliError::Local`] says what is in the way.
    pub(super) async fn start(folder: &Path) -> Result<Self, CliError> {
        let folder = std::path::absolute(folder).map_err(CliError::io(folder.display().to_string()))?;
        let lock = lock(&folder).await?;
        let node = start_local(&folder).await.map_err(failed(&folder))?;
        Ok(Self { folder, node, _lock: lock })
    }

    /// How to call them: within the process.
    pub(super) fn rpc(&self) -> Arc<dyn Rpc> {
        self.node.rpc()
    }

    /// Where the version manager answers, within the process and on this host's loopback alike.
    pub(super) fn managers(&self) -> Vec<Address> {
        self.node.managers()
    }

    /// The folder with the certificate that tools need.
    pub(super) fn identity(&self) -> &Path {
        self.node.identity()
    }

    /// Returns when they cannot go on, with the reason.
    pub(super) async fn failed(&mut self) -> CliError {
        let error = self.node.failed().await;
        failed(&self.folder)(error)
    }

    /// Writes everything down and ends them.
    ///
    /// # Errors
    /// [`CliError::Local`].
    pub(super) async fn stop(self) -> Result<(), CliError> {
        self.node.stop().await.map_err(failed(&self.folder))
    }
}

/// Makes the folder and takes it for this process.
async fn lock(folder: &Path) -> Result<File, CliError> {
    let io = |error: std::io::Error| CliError::Local { folder: folder.to_owned(), reason: error.to_string() };
    std::fs::create_dir_all(folder).map_err(io)?;
    let file = File::create(folder.join("lock")).map_err(io)?;
    let started = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if started.elapsed() < LOCK_PATIENCE => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(CliError::Local { folder: folder.to_owned(), reason: in_use(folder) });
            }
            Err(error) => return Err(io(error.into())),
        }
    }
}

fn in_use(folder: &Path) -> String {
    let address = std::fs::read_to_string(folder.join("address")).unwrap_or_default();
    let identity = folder.join("identity");
    match address.trim() {
        "" => "another process uses it".into(),
        address => format!(
            "another process uses it; a second mount goes through that one: weft mount weft://{address}/VOLUME MOUNTPOINT --identity {}",
            identity.display()
        ),
    }
}

fn failed(folder: &Path) -> impl FnOnce(NodeError) -> CliError {
    let folder = folder.to_owned();
    |error| CliError::Local { folder, reason: error.to_string() }
}
