//! `weft mount --local DIR`: a whole cluster in one process, everything under one folder.
//!
//! ```text
//! DIR/identity/   the cluster's certificates, made at the first start
//! DIR/store/      manager, metadata, data
//! DIR/address     where the process can be reached while it runs: tools and further mounts use it
//! ```

use super::{Node, NodeError, files};
use crate::config::{Config, Role};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use weft_common::id::ClusterId;
use weft_common::limits::DELETES_PER_SECOND_DEFAULT;
use weft_common::rpc::{Address, Rpc};
use weft_common::transport::{Holder, Identity, Listener, create_cluster_files, random_cluster_id};

/// A cluster in this process.
#[derive(Debug)]
pub struct LocalNode {
    node: Node,
    identity: PathBuf,
    address_file: PathBuf,
}

/// Starts all roles, with everything under `folder`, which is made if need be; also listens on 127.0.0.1, at a port that
/// the system chooses. Returns once page objects and nodes can be stored. Needs a multi-threaded tokio runtime around it.
///
/// # Errors
/// [`NodeError`] names what is in the way; [`NodeError::Manager`] when another process has the folder open.
pub async fn start_local(folder: &Path) -> Result<LocalNode, NodeError> {
    let identity_folder = folder.join("identity");
    make_identity(folder, &identity_folder)?;
    let identity = Identity::load(&identity_folder, Holder::Server)?;
    let listener = Listener::bind(&identity, SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = listener.local_address()?;
    let config = local_config(folder, identity_folder.clone(), address);
    let mut node = Node::start_on(&config, &identity, listener).await?;
    let address_file = folder.join("address");
    let ready = match node.joined().await {
        Ok(()) => files::replace(&address_file, &format!("{address}\n")),
        Err(error) => Err(error),
    };
    if let Err(error) = ready {
        if let Err(error) = node.stop().await {
            tracing::warn!(%error, "stopping after a failed start");
        }
        return Err(error);
    }
    Ok(LocalNode { node, identity: identity_folder, address_file })
}

fn make_identity(folder: &Path, identity: &Path) -> Result<(), NodeError> {
    std::fs::create_dir_all(folder).map_err(|source| NodeError::Io { action: "make", path: folder.to_owned(), source })?;
    if identity.exists() {
        return Ok(());
    }
    // Made aside and moved into place: a crash leaves all of it or nothing.
    let draft = folder.join(format!("identity.{}.tmp", std::process::id()));
    let made = random_cluster_id().and_then(|cluster| create_cluster_files(&draft, cluster));
    let moved = made.map_err(NodeError::from).and_then(|_| {
        std::fs::rename(&draft, identity).map_err(|source| NodeError::Io { action: "make", path: identity.to_owned(), source })
    });
    if moved.is_err() {
        // The error that matters is the first one.
        let _ = std::fs::remove_dir_all(&draft);
    }
    // Another process may have been faster; then its identity is as good.
    if identity.exists() { Ok(()) } else { moved }
}

fn local_config(folder: &Path, identity: PathBuf, address: SocketAddr) -> Config {
    let (store, advertise) = (folder.join("store"), Address(address.to_string()));
    Config {
        roles: [Role::VersionManager, Role::Metadata, Role::Data].into(),
        listen: address,
        managers: vec![advertise.clone()],
        advertise,
        identity,
        manager_store: store.join("manager"),
        metadata_store: store.join("metadata"),
        data_store: store.join("data"),
        zone: "local".into(),
        deletes_per_second: DELETES_PER_SECOND_DEFAULT,
        alone: true,
        log: "info".into(),
    }
}

impl LocalNode {
    /// How to call the roles: directly.
    #[must_use]
    pub fn rpc(&self) -> Arc<dyn Rpc> {
        self.node.rpc()
    }

    /// The version manager's address, for [`LocalNode::rpc`] and (while this process runs) for QUIC alike.
    #[must_use]
    pub fn managers(&self) -> Vec<Address> {
        self.node.managers().to_vec()
    }

    /// The folder of the certificates that tools show to reach this process.
    #[must_use]
    pub fn identity(&self) -> &Path {
        &self.identity
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.node.cluster()
    }

    /// Returns when the servers cannot go on, with the reason.
    pub async fn failed(&mut self) -> NodeError {
        self.node.failed().await
    }

    /// Stops all roles, everything on disk.
    ///
    /// # Errors
    /// As for [`Node::stop`].
    pub async fn stop(self) -> Result<(), NodeError> {
        // A file that stays behind misleads nobody for long: nothing answers there.
        let _ = std::fs::remove_file(&self.address_file);
        self.node.stop().await
    }
}
