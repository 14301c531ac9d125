//! Mounting a volume: what is checked before, what is asked of the kernel, and how it ends.
//!
//! A mount ends by [`MountHandle::unmount`], by `umount` or `fusermount3 -u` from outside, or with the process. Whichever it is,
//! what programs have written and not closed is published first, as far as servers can be reached in time.

mod checks;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use weft_common::client::{BlobStore, Held, Holder, LeaseListener, Locks, Namespace};
use weft_common::id::{InodeNumber, VolumeId, VolumeVersion};
use weft_common::limits::{CLIENT_MEMORY_DEFAULT, MOUNT_TIMEOUT_DEFAULT};

use crate::filesystem::{Filesystem, Settings, follow_changes};
use crate::fuse::{Session, SessionConfig};

/// A volume as the mount uses it.
pub trait VolumeClient: BlobStore + Namespace + Locks {}

impl<Volume: BlobStore + Namespace + Locks> VolumeClient for Volume {}

/// How a volume is mounted.
#[derive(Clone, Debug)]
pub struct MountOptions {
    /// An existing directory.
    pub mountpoint: PathBuf,
    /// What `mount` and `df` show as the source: the volume's URL.
    pub source: String,
    /// Other users may enter, too. Their permissions are checked, as always.
    pub allow_other: bool,
    /// Nothing can be changed through this mount.
    pub read_only: bool,
    /// The root lists `.versions`.
    pub show_versions: bool,
    /// Locks are kept by this host's kernel, and other mounts of the volume do not hear of them.
    pub local_locks: bool,
    /// How long the end of the mount waits for servers. Calls have the time-out that the volume was opened with.
    pub timeout: Duration,
    /// Bytes for buffers and caches of client library and mount together; the mount takes a quarter, for dirty data.
    pub memory: u64,
    /// How long the kernel may believe that a name means what it meant. Zero if others change the volume: then an `open` always
    /// finds what was published before it. Otherwise changes of others are followed and dropped from the kernel's cache.
    pub entry_lifetime: Duration,
    /// The same for attributes of files that are not open here. A few milliseconds spare the second question of each `stat`.
    pub attribute_lifetime: Duration,
    /// What `system.weft.mount` of the root says: how tools reach the volume, URL and identity.
    pub control: String,
    /// This host's name, as it stands in versions' records.
    pub host: String,
}

impl MountOptions {
    /// A mount of a cluster's volume, which others change as well.
    #[must_use]
    pub fn new(mountpoint: impl Into<PathBuf>, source: impl Into<String>) -> Self {
        let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        Self {
            mountpoint: mountpoint.into(),
            source: source.into(),
            allow_other: false,
            read_only: false,
            show_versions: false,
            local_locks: false,
            timeout: MOUNT_TIMEOUT_DEFAULT,
            memory: CLIENT_MEMORY_DEFAULT,
            entry_lifetime: Duration::ZERO,
            attribute_lifetime: Duration::from_millis(10),
            control: String::new(),
            host: host.trim().to_owned(),
        }
    }

    /// The same for a volume that is changed through this mount only, apart from tools: names may be believed for a while, and the
    /// kernel knows everybody who might want a lock.
    #[must_use]
    pub fn local(mut self) -> Self {
        self.entry_lifetime = Duration::from_secs(1);
        self.attribute_lifetime = Duration::from_secs(1);
        self.local_locks = true;
        self
    }
}

/// Why a volume cannot be mounted or unmounted.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// There is nothing at the mountpoint.
    #[error("mountpoint {} does not exist; make it with `mkdir -p`", .0.display())]
    Missing(PathBuf),
    /// It is something else.
    #[error("mountpoint {} is not a directory; name an empty directory", .0.display())]
    NotDirectory(PathBuf),
    /// A WeftFS volume is there already.
    #[error("{source} is mounted at {} already; unmount it first with `weft umount {}`", .mountpoint.display(), .mountpoint.display())]
    Mounted {
        /// The mountpoint.
        mountpoint: PathBuf,
        /// What is mounted there.
        source: MountedSource,
    },
    /// A mount whose process is gone.
    #[error("a mount at {} has lost its process; remove it with `weft umount {}`, then mount again", .0.display(), .0.display())]
    Dead(PathBuf),
    /// The mountpoint cannot be looked at.
    #[error("mountpoint {} cannot be used: {error}", .path.display())]
    Unusable {
        /// The mountpoint.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// The kernel has no FUSE.
    #[error("/dev/fuse does not exist; load the kernel module with `modprobe fuse`, or give the container the device")]
    NoDevice,
    /// Only root may open it.
    #[error(
        "you may not use /dev/fuse; root can allow it with `chmod 666 /dev/fuse` (the default of Debian's udev), or mount as root"
    )]
    DeviceForbidden,
    /// Users other than root need a helper to mount.
    #[error("fusermount3 is not installed; install the package fuse3 (`apt install fuse3`), or mount as root")]
    NoHelper,
    /// Root has not allowed it.
    #[error("--allow-other needs the line `user_allow_other` in /etc/fuse.conf (root must add it), or mount as root")]
    AllowOther,
    /// The kernel or the helper refused.
    #[error("{} cannot be mounted: {error}", .mountpoint.display())]
    Refused {
        /// The mountpoint.
        mountpoint: PathBuf,
        /// What they said.
        error: io::Error,
    },
    /// Programs work in it; it is detached and goes when they do.
    #[error("{} is in use; it was detached and will be gone when no program uses it any more", .0.display())]
    Detached(PathBuf),
    /// It stays mounted.
    #[error("{} cannot be unmounted: {error}; try `fusermount3 -u {}`", .mountpoint.display(), .mountpoint.display())]
    Stuck {
        /// The mountpoint.
        mountpoint: PathBuf,
        /// What the kernel or the helper said.
        error: io::Error,
    },
}

/// The source of a mount that is in the way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountedSource(pub String);

impl std::fmt::Display for MountedSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for MountedSource {}

/// A mounted volume. Dropping it unmounts, without waiting for anything.
#[derive(Debug)]
pub struct MountHandle {
    filesystem: Arc<Filesystem>,
    session: Arc<Session>,
    watch: Option<AbortHandle>,
    mountpoint: PathBuf,
    timeout: Duration,
}

/// Mounts `volume`. Requests are answered by threads of their own and by tasks of `runtime`, which must outlive the mount.
/// Returns once the mount can be used. Blocks for some milliseconds.
///
/// # Errors
/// [`MountError`]; each says what to do about it.
pub fn mount(volume: Arc<dyn VolumeClient>, options: &MountOptions, runtime: &Handle) -> Result<MountHandle, MountError> {
    check(options)?;
    let mountpoint = std::path::absolute(&options.mountpoint).unwrap_or_else(|_| options.mountpoint.clone());
    let settings = Settings {
        entry_lifetime: options.entry_lifetime,
        attribute_lifetime: options.attribute_lifetime,
        show_versions: options.show_versions,
        local_locks: options.local_locks,
        write_memory: options.memory / 4,
        read_ahead_max: (options.memory / 32).clamp(1 << 20, 32 << 20),
        control: options.control.clone(),
        host: options.host.clone(),
    };
    let filesystem = Arc::new(Filesystem::new(Arc::clone(&volume), settings, runtime));
    let mounted = Arc::new(Mounted(Arc::downgrade(&filesystem)));
    volume.report_holds(mounted.clone());
    volume.report_leases(mounted);
    let config = SessionConfig {
        source: checks::source_option(&options.source),
        allow_other: options.allow_other,
        read_only: options.read_only,
        own_queues: checks::may_open_device(),
    };
    let refused = |error| MountError::Refused { mountpoint: mountpoint.clone(), error };
    let session = Session::start(&filesystem, runtime, &mountpoint, &config).map_err(refused)?;
    checks::raise_read_ahead(&mountpoint);
    let watch = filesystem.needs_watch().then(|| runtime.spawn(follow_changes(Arc::downgrade(&filesystem))).abort_handle());
    Ok(MountHandle { filesystem, session: Arc::new(session), watch, mountpoint, timeout: options.timeout })
}

impl LeaseListener for Mounted {
    fn forget(&self, _volume: VolumeId, inodes: &[InodeNumber]) {
        if let Some(filesystem) = self.0.upgrade() {
            filesystem.forget_leased(inodes);
        }
    }
}

/// What a mount holds and believes, for as long as it is there: the volume outlives it.
#[derive(Debug)]
struct Mounted(Weak<Filesystem>);

impl Holder for Mounted {
    fn held(&self) -> Vec<Held> {
        self.0.upgrade().map_or_else(Vec::new, |filesystem| filesystem.held())
    }

    fn let_go(&self, versions: &[(VolumeId, VolumeVersion)]) {
        if let Some(filesystem) = self.0.upgrade() {
            filesystem.let_go(versions);
        }
    }
}

/// Whether a volume could be mounted so: the mountpoint, and the means. Worth asking before anything is started; [`mount`]
/// asks again.
///
/// # Errors
/// [`MountError`]; each says what to do about it.
pub fn check(options: &MountOptions) -> Result<(), MountError> {
    checks::mountpoint(&options.mountpoint)?;
    checks::means(options.allow_other)
}

impl MountHandle {
    /// Where it is mounted.
    #[must_use]
    pub fn mountpoint(&self) -> &Path {
        &self.mountpoint
    }

    /// Waits until the mount has ended, by whoever's hand, and what was written is published.
    pub async fn wait(&self) {
        self.session.ended().await;
        self.finish().await;
    }

    /// Publishes what is not published yet and unmounts. A mount in use is detached: it cannot be entered any more and goes
    /// when the last program lets go of it, or when this process ends.
    ///
    /// # Errors
    /// [`MountError::Detached`] or [`MountError::Stuck`].
    pub async fn unmount(&self) -> Result<(), MountError> {
        self.finish().await;
        let session = Arc::clone(&self.session);
        let unmounted = tokio::task::spawn_blocking(move || session.unmount()).await;
        match unmounted.map_err(io::Error::other).and_then(|unmounted| unmounted) {
            Ok(()) => {
                // Releases that were still on their way.
                let _ = tokio::time::timeout(self.timeout, self.session.ended()).await;
                self.finish().await;
                Ok(())
            }
            Err(_) if self.session.has_ended() => Ok(()),
            Err(_) => self.detach().await,
        }
    }

    async fn detach(&self) -> Result<(), MountError> {
        let mountpoint = self.mountpoint.clone();
        let detached = tokio::task::spawn_blocking(move || checks::detach(&mountpoint)).await;
        let detached = detached.map_err(io::Error::other).and_then(|detached| detached);
        self.finish().await;
        match detached {
            Ok(()) => Err(MountError::Detached(self.mountpoint.clone())),
            Err(error) => Err(MountError::Stuck { mountpoint: self.mountpoint.clone(), error }),
        }
    }

    async fn finish(&self) {
        if tokio::time::timeout(self.timeout, self.filesystem.publish_everything()).await.is_err() {
            let waited = self.timeout;
            tracing::error!(?waited, "servers did not answer in time; what was written and not closed may be lost");
        }
    }
}

impl Drop for MountHandle {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
        if !self.session.has_ended() && self.session.unmount().is_err() {
            let _ = checks::detach(&self.mountpoint);
        }
    }
}
