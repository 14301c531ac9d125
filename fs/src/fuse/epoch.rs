//! Having the kernel drop every name that it knows of a mount, at once and without waiting for any lock.
//!
//! Since Linux 6.16 each name that the kernel remembers carries the connection's *epoch* from before it asked for it, and is looked up again once
//! the epoch has risen (`FUSE_NOTIFY_INC_EPOCH`). So an answer that was under way when the epoch rose is stale as well. The
//! older notification that drops a single name (`FUSE_NOTIFY_INVAL_ENTRY`) waits for the lock of its directory, which a `create` holds that
//! may itself be waiting for the servers, which may wait for the name to be dropped.
//!
//! The FUSE library knows neither the notification nor a way to send one of one's own, so this finds the connection among the process's descriptors:
//! `/proc/self/fdinfo` says which connection each `/dev/fuse` belongs to, and that number is the mount's device.

use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};
use std::io;
use std::os::fd::OwnedFd;
use std::os::linux::fs::MetadataExt;
use std::path::Path;

/// `FUSE_NOTIFY_INC_EPOCH` of the kernel's `fuse.h`.
const INC_EPOCH: i32 = 8;
/// Bytes of `struct fuse_out_header`, which is all there is to it.
const HEADER_BYTES: u32 = 16;

/// The way to raise the epoch of one mount.
#[derive(Debug)]
pub(super) struct Epoch(OwnedFd);

impl Epoch {
    /// Of the mount at `mountpoint`, which is answered already. Fails where the kernel cannot do it.
    pub(super) fn find(mountpoint: &Path) -> io::Result<Self> {
        let device = std::fs::metadata(mountpoint)?.st_dev();
        let connection = format!("fuse_connection:\t{device}");
        let is_ours = |number: &i32| {
            let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}"));
            info.is_ok_and(|info| info.lines().any(|line| line == connection))
        };
        let numbers = std::fs::read_dir("/proc/self/fd")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        let number = numbers.filter(is_ours).min().ok_or(io::ErrorKind::NotFound)?;
        let own = pidfd_open(getpid(), PidfdFlags::empty())?;
        let epoch = Self(pidfd_getfd(own, number, PidfdGetfdFlags::empty())?);
        // An older kernel says so.
        epoch.raise()?;
        Ok(epoch)
    }

    /// Every name that the kernel knew, or asks for just now, is looked up again before it is used.
    pub(super) fn raise(&self) -> io::Result<()> {
        let mut header = [0; HEADER_BYTES as usize];
        header[..4].copy_from_slice(&HEADER_BYTES.to_ne_bytes());
        header[4..8].copy_from_slice(&INC_EPOCH.to_ne_bytes());
        // The last eight bytes name the request that is answered: none.
        rustix::io::write(&self.0, &header)?;
        Ok(())
    }
}
