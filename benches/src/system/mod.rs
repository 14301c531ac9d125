//! Filesystems that the work is done on.

mod baseline;
mod disk;
mod peer;
mod weft;

pub(crate) use baseline::{Baseline, PageServer};
pub(crate) use disk::Disk;
pub(crate) use peer::{Peer, RECIPES, Recipe};
pub(crate) use weft::Weft;

use crate::report::Kind;
use crate::work::{Keep, Row};
use std::error::Error;
use std::fmt::Debug;
use std::path::Path;

/// A filesystem that is mounted.
pub(crate) trait System: Debug {
    /// What it is called in tables.
    fn name(&self) -> &str;

    /// Which version of it this is, in words of its own; empty if it has none.
    fn version(&self) -> String;

    /// What it is to a comparison.
    fn kind(&self) -> Kind;

    /// Whether what goes over its network is encrypted.
    fn encrypts(&self) -> bool {
        false
    }

    /// Where work may be done.
    fn folder(&self) -> &Path;

    /// Every process of it, for the account of processor time and memory.
    fn processes(&mut self) -> Vec<u32>;

    /// Forgets everything that it has cached: mounts anew. The kernel's caches are dropped behind it.
    fn remount(&mut self) -> Result<(), Box<dyn Error>>;

    /// Whether a row makes sense on it.
    fn takes(&self, _row: &Row) -> bool {
        true
    }

    /// A process in whose network workers have to be, if its tools need to reach its servers.
    fn network(&self) -> Option<u32> {
        None
    }

    /// How it keeps old states of files.
    fn keep(&self) -> Keep {
        Keep::Copy
    }
}
