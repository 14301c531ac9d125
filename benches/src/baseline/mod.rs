//! What WeftFS cannot be faster than: its parts by themselves, with the same settings, and nothing of it in between.
//!
//! - *null*: a FUSE filesystem that answers from memory and throws away what is written. What FUSE costs.
//! - *prototype*: the same in front of a process that keeps pages in files, reached by QUIC. Pages are checksummed, and that is all:
//!   there are no versions, no metadata, no second copy, nothing is synced. What FUSE, QUIC and the disk cost together.
//! - *page calls*: those of the prototype alone.

mod content;
mod filesystem;
mod namespace;
mod pages;
mod pool;
mod quic;
mod remote;

pub(crate) use pages::{ServeArguments, serve_pages};
pub(crate) use quic::{IN_FLIGHT, QuicArguments, run_quic};

use clap::ValueEnum;
use content::Null;
use filesystem::Skeleton;
use fuser::{Config, MountOption};
use remote::Remote;
use std::error::Error;
use std::path::PathBuf;
use weft_mount_tests::mount::detach;

/// Threads that take requests, as many as a WeftFS mount has.
const EVENT_LOOPS: usize = 2;

/// Ends this process when nobody holds the other end of its standard input any more, after a last deed.
fn end_with_parent(last: impl FnOnce() + Send + 'static) {
    std::thread::spawn(move || {
        // However it ends, nobody is there.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        last();
        std::process::exit(0);
    });
}

/// A filesystem to be mounted by a process of its own.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct MountArguments {
    #[arg(long, value_enum)]
    kind: Kind,
    #[arg(long)]
    at: PathBuf,
    /// The folder with the identity, and the pages' address, of a prototype.
    #[arg(long)]
    identity: Option<PathBuf>,
    #[arg(long)]
    server: Option<std::net::SocketAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    Null,
    Prototype,
}

/// Mounts and serves until it is unmounted, or its parent is gone.
pub(crate) fn serve_mount(arguments: &MountArguments) -> Result<(), Box<dyn Error>> {
    let at = arguments.at.clone();
    end_with_parent(move || detach(&at));
    let mut config = Config::default();
    config.mount_options = vec![MountOption::FSName("weft-baseline".to_owned()), MountOption::DefaultPermissions];
    config.n_threads = Some(EVENT_LOOPS);
    config.clone_fd = true;
    match arguments.kind {
        Kind::Null => fuser::mount(Skeleton::new(Null::new()), &arguments.at, &config)?,
        Kind::Prototype => {
            let (identity, server) = arguments.identity.as_deref().zip(arguments.server).ok_or("a prototype needs its server")?;
            fuser::mount(Skeleton::new(Remote::connect(identity, server)?), &arguments.at, &config)?;
        }
    }
    Ok(())
}
