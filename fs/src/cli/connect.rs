//! From a target to an open volume: which certificate to show, which servers to ask.

use super::args::IdentityArgs;
use super::error::CliError;
use super::names::{Volume, show_path};
use super::target::{self, Url};
use std::ffi::OsStr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;
use weft_common::client::{ClientError, ClientOptions, Cluster};
use weft_common::name::FileName;
use weft_common::rpc::Address;
use weft_common::transport::{Holder, Identity, QuicRpc};
use weft_common::wire::{Author, ErrorKind};

/// How long a tool waits for servers: a person sits before it.
const PATIENCE: Duration = Duration::from_secs(10);

/// One run of a tool: connects at most once, and gives its session back at the end.
#[derive(Debug)]
pub(super) struct Client {
    options: ClientOptions,
    cluster: Mutex<Option<Arc<Cluster>>>,
}

impl Client {
    /// Nothing is connected yet. `purpose` is what `weft status` shows: `weft restore`.
    #[must_use]
    pub(super) fn new(purpose: &str) -> Self {
        let options = ClientOptions { timeout: PATIENCE, purpose: purpose.to_owned(), ..ClientOptions::default() };
        Self { options, cluster: Mutex::default() }
    }

    /// Connects to the cluster that `target` belongs to.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) async fn cluster_of(&self, target: &OsStr, args: &IdentityArgs) -> Result<(Arc<Cluster>, Url), CliError> {
        let url = target::resolve(target)?;
        Ok((self.cluster_at(&url, args).await?, url))
    }

    async fn cluster_at(&self, url: &Url, args: &IdentityArgs) -> Result<Arc<Cluster>, CliError> {
        let cluster = connect(url, args, self.options.clone()).await?;
        *crate::lock(&self.cluster) = Some(cluster.clone());
        Ok(cluster)
    }

    /// Opens the volume that `target` lies in; also the path in it.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) async fn open_path(&self, target: &OsStr, args: &IdentityArgs) -> Result<(Volume, Vec<FileName>), CliError> {
        let url = target::resolve(target)?;
        Ok((self.open_url(&url, args).await?, url.path))
    }

    /// As [`Client::open_path`], and the cluster as well.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) async fn open_with_cluster(
        &self,
        target: &OsStr,
        args: &IdentityArgs,
    ) -> Result<(Arc<Cluster>, Volume, Vec<FileName>), CliError> {
        let (cluster, url) = self.cluster_of(target, args).await?;
        let volume = self.open_in(&cluster, &url).await?;
        Ok((cluster, volume, url.path))
    }

    /// Opens the volume of a URL.
    ///
    /// # Errors
    /// [`CliError`].
    pub(super) async fn open_url(&self, url: &Url, args: &IdentityArgs) -> Result<Volume, CliError> {
        let cluster = self.cluster_at(url, args).await?;
        self.open_in(&cluster, url).await
    }

    async fn open_in(&self, cluster: &Arc<Cluster>, url: &Url) -> Result<Volume, CliError> {
        let volume = open_volume(cluster, url).await?;
        let author = Author { uid: rustix::process::getuid().as_raw(), host: self.options.host.clone(), program: "weft".into() };
        Ok(Volume { names: volume.clone(), blobs: volume, author })
    }

    /// Gives the session back.
    pub(super) async fn close(&self) {
        let cluster = crate::lock(&self.cluster).take();
        if let Some(cluster) = cluster
            && let Err(error) = cluster.close().await
        {
            tracing::debug!(%error, "the session was not given back; it lapses by itself");
        }
    }
}

/// Connects to the cluster of `url`.
///
/// # Errors
/// [`CliError`].
pub(super) async fn connect(url: &Url, args: &IdentityArgs, options: ClientOptions) -> Result<Arc<Cluster>, CliError> {
    let identity = identity(args, url)?;
    let rpc = QuicRpc::new(&identity).map_err(|error| CliError::Transport(error.to_string()))?;
    let managers = url.servers.iter().cloned().map(Address).collect();
    Ok(Cluster::connect(Arc::new(rpc), managers, options).await?)
}

/// Opens the volume that `url` names.
///
/// # Errors
/// [`CliError::UnknownVolume`] if there is none of that name.
pub(super) async fn open_volume(cluster: &Arc<Cluster>, url: &Url) -> Result<Arc<weft_common::client::Volume>, CliError> {
    let name = volume_name(url)?;
    cluster.open_volume(name).await.map_err(|error| match error {
        ClientError::Service(service) if service.kind == ErrorKind::NotFound => {
            CliError::UnknownVolume { name: name.to_owned(), cluster: url.servers.join(",") }
        }
        other => other.into(),
    })
}

/// The volume in a URL.
///
/// # Errors
/// [`CliError::NoVolume`].
pub(super) fn volume_name(url: &Url) -> Result<&str, CliError> {
    url.volume.as_deref().ok_or_else(|| CliError::NoVolume(url.to_string()))
}

/// The volume in a URL, which names nothing below it: what is done to a volume is not to be mistaken for something done to one
/// of its directories.
///
/// # Errors
/// [`CliError::NoVolume`], or [`CliError::Usage`] for a path in it.
pub(super) fn whole_volume(url: &Url) -> Result<&str, CliError> {
    let name = volume_name(url)?;
    if url.path.is_empty() {
        return Ok(name);
    }
    Err(CliError::Usage(format!(
        "{} lies in volume {name}, and this concerns a whole volume; name the volume alone if that is meant",
        show_path(&url.path)
    )))
}

/// The certificate to show: what was asked for; else the first folder that has one we may read.
///
/// # Errors
/// [`CliError::NoIdentity`] names the folders that were looked in.
fn identity(args: &IdentityArgs, url: &Url) -> Result<Identity, CliError> {
    let folder = identity_folder(args, url)?;
    Identity::load(&folder, Holder::Client).map_err(|error| CliError::Identity(error.to_string()))
}

/// The folder with the certificate to show.
///
/// # Errors
/// As for [`identity`].
pub(super) fn identity_folder(args: &IdentityArgs, url: &Url) -> Result<PathBuf, CliError> {
    if let Some(folder) = &args.identity {
        return Ok(folder.clone());
    }
    let folders = usual_folders(url);
    let opened = |folder: &PathBuf| std::fs::File::open(folder.join("client.key"));
    if let Some(folder) = folders.iter().find(|folder| opened(folder).is_ok()) {
        return Ok(folder.clone());
    }
    let is_denied = |folder: &PathBuf| opened(folder).is_err_and(|error| error.kind() == std::io::ErrorKind::PermissionDenied);
    Err(CliError::NoIdentity { denied: folders.iter().any(is_denied), folders })
}

fn usual_folders(url: &Url) -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let config = std::env::var_os("XDG_CONFIG_HOME").map(PathBuf::from).or(home.map(|home| home.join(".config")));
    let named = url.identity.clone().into_iter().chain(std::env::var_os("WEFT_IDENTITY").map(PathBuf::from));
    let system = ["/etc/weft", "/etc/weft/identity"].map(PathBuf::from);
    named.chain(config.map(|config| config.join("weft"))).chain(system).collect()
}
