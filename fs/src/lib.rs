//! The WeftFS client: a FUSE mount of one volume, and the `weft` tools.
//!
//! Read in this order:
//! 1. [`mod@mount`]: how a mount starts and ends, and what can go wrong.
//! 2. `filesystem`: what each operation does, one file per group. Knows neither FUSE's types nor servers, only
//!    [`weft_common::client`]'s two traits, so that tests run it against a volume in memory.
//! 3. `write` and `read`: an update in the making (dirty extents, their upload, their publication), and what a reader sees
//!    meanwhile.
//! 4. `inode` and `handle`: the numbers that the kernel knows files by.
//! 5. `fuse`: the adapter to the kernel, without logic; `errno` the one table of error numbers.
//! 6. [`cli`]: the `weft` command.

pub mod cli;
pub mod errno;
mod filesystem;
mod fuse;
mod handle;
mod inode;
pub mod mount;
mod read;
#[cfg(test)]
mod testing;
mod write;

pub use mount::{MountError, MountHandle, MountOptions, VolumeClient, mount};

/// Locks a mutex that no panic can leave half-changed: what it guards is replaced, never mended in steps.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
