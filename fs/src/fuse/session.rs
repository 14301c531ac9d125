//! A mounted session: the threads that take the kernel's requests, and the way to tell it what to drop from its caches.

use fuser::{Config, INodeNo, MountOption, Notifier, SessionACL, SessionUnmounter};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use tokio::runtime::Handle;
use tokio::sync::watch;
use weft_common::name::FileName;

use super::Adapter;
use crate::filesystem::{Filesystem, KernelCache};
use crate::inode::NodeId;
use crate::lock;

/// Threads that take requests. One wakes on the wrong core and doubles latency; more than two gained nothing.
const EVENT_LOOPS: usize = 2;

/// What the kernel is told at the mount.
#[derive(Clone, Debug)]
pub(crate) struct SessionConfig {
    /// The source that `mount` shows.
    pub(crate) source: String,
    /// Other users may enter.
    pub(crate) allow_other: bool,
    /// Nothing may be changed.
    pub(crate) read_only: bool,
    /// Whether this process may open `/dev/fuse` itself, and so give each thread a queue of its own.
    pub(crate) own_queues: bool,
}

/// A mounted session.
#[derive(Debug)]
pub(crate) struct Session {
    unmounter: Mutex<SessionUnmounter>,
    ended: watch::Receiver<bool>,
}

impl Session {
    /// Mounts `filesystem` at `mountpoint` and starts to answer.
    pub(crate) fn start(
        filesystem: &Arc<Filesystem>,
        runtime: &Handle,
        mountpoint: &Path,
        config: &SessionConfig,
    ) -> io::Result<Self> {
        let adapter = Adapter::new(Arc::clone(filesystem), runtime.clone());
        let mut session = fuser::Session::new(adapter, mountpoint, &fuser_config(config))?;
        filesystem.kernel().connect(Arc::new(Caches(session.notifier())));
        let unmounter = Mutex::new(session.unmount_callable());
        let (sender, ended) = watch::channel(false);
        std::thread::Builder::new().name("weft-mount".to_owned()).spawn(move || {
            if let Err(error) = session.run() {
                tracing::error!(%error, "the mount ended with an error");
            }
            sender.send_replace(true);
        })?;
        Ok(Self { unmounter, ended })
    }

    /// Unmounts; EBUSY while files are open. Blocks.
    pub(crate) fn unmount(&self) -> io::Result<()> {
        lock(&self.unmounter).unmount()
    }

    /// Whether the kernel has let go of the mount.
    pub(crate) fn has_ended(&self) -> bool {
        *self.ended.borrow()
    }

    /// Waits until the kernel has let go of the mount, whoever unmounted it.
    pub(crate) async fn ended(&self) {
        // A sender that is gone means that the thread is, too.
        let _ = self.ended.clone().wait_for(|ended| *ended).await;
    }
}

fn fuser_config(config: &SessionConfig) -> Config {
    let mut fuser = Config::default();
    fuser.mount_options = vec![
        MountOption::FSName(config.source.clone()),
        // fuser passes a subtype on to fusermount3 only; as an option of its own the kernel takes it from both.
        MountOption::CUSTOM("subtype=weft".to_owned()),
        MountOption::DefaultPermissions,
        MountOption::NoSuid,
        MountOption::NoDev,
        if config.read_only { MountOption::RO } else { MountOption::RW },
    ];
    fuser.acl = if config.allow_other { SessionACL::All } else { SessionACL::Owner };
    fuser.n_threads = Some(EVENT_LOOPS);
    fuser.clone_fd = config.own_queues;
    fuser
}

/// The kernel's caches. Calls fail once the mount is gone, when nothing is cached. Those that drop pages or names block while requests hold
/// what they want.
#[derive(Debug)]
struct Caches(Notifier);

impl KernelCache for Caches {
    fn drop_inode(&self, node: NodeId) {
        if let Err(error) = self.0.inval_inode(INodeNo(node.0), 0, 0) {
            tracing::debug!(?node, %error, "the kernel did not drop an inode's pages");
        }
    }

    fn drop_entry(&self, parent: NodeId, name: &FileName) {
        if let Err(error) = self.0.inval_entry(INodeNo(parent.0), OsStr::from_bytes(name.as_bytes())) {
            tracing::debug!(?parent, %name, %error, "the kernel did not drop a name");
        }
    }

    fn drop_attributes(&self, node: NodeId) {
        // A negative offset leaves the pages alone. What the kernel does not know is no error worth a word.
        let _ = self.0.inval_inode(INodeNo(node.0), -1, 0);
    }
}
