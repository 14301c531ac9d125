//! `weft mount`: opens the volume, mounts it, and stays until it is unmounted or told to end.
//!
//! The end is the same whether it comes by Ctrl-C, SIGTERM, `weft umount` or `fusermount3 -u`: what was written is published,
//! the session is given back, and with `--local` the servers write everything down and stop.

use super::args::{MountArgs, MountFlags};
use super::connect;
use super::daemon;
use super::error::CliError;
use super::local::LocalServers;
use super::output;
use super::target::{SCHEME, Url};
use super::volume;
use crate::mount::{MountError, MountHandle, MountOptions};
use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tracing_subscriber::EnvFilter;
use weft_common::client::{ClientError, ClientOptions, Cluster, Namespace, Volume};
use weft_common::limits::{CLIENT_MEMORY_DEFAULT, MOUNT_TIMEOUT_DEFAULT};
use weft_common::wire::ErrorKind;

/// Name of the volume of `--local` unless another is given.
const LOCAL_VOLUME: &str = "main";

/// A volume that is ready to be mounted.
#[derive(Debug)]
struct Served {
    cluster: Arc<Cluster>,
    volume: Arc<Volume>,
    url: Url,
    servers: Option<LocalServers>,
}

/// Runs `weft mount`; returns when the mount has ended, with `--daemon` when it has begun.
///
/// # Errors
/// [`CliError`].
pub(super) fn run(args: &MountArgs) -> Result<ExitCode, CliError> {
    let (url, mountpoint) = places(args)?;
    if args.how.cache_dir.is_some() {
        return Err(CliError::Usage("--cache-dir is not available yet; read data is cached in memory (--memory)".into()));
    }
    if args.local.is_some() {
        volume::settings((args.how.page_size, args.how.fan_out, None), None)?;
        make_mountpoint(&mountpoint)?;
    }
    let mountpoint = std::path::absolute(&mountpoint).map_err(CliError::io(mountpoint.display().to_string()))?;
    let options = mount_options(&args.how, &mountpoint);
    crate::mount::check(&options)?;
    if args.how.daemon && !daemon::is_child() {
        return daemon::launch();
    }
    if args.how.daemon {
        daemon::detach();
    }
    // When a connection fails, the error says it all; servers of our own may have more to say.
    if args.local.is_some() || args.how.log.is_some() {
        start_logging(args.how.log.as_deref())?;
    }
    let runtime = weft_common::rpc::runtime("weft-mount").map_err(CliError::io("starting"))?;
    let done = mount_and_serve(&runtime, args, url, options);
    runtime.shutdown_background();
    done.map(|()| ExitCode::SUCCESS)
}

/// The volume's URL, unless it is local, and the mountpoint.
fn places(args: &MountArgs) -> Result<(Option<Url>, PathBuf), CliError> {
    match (&args.local, args.places.as_slice()) {
        (Some(_), [mountpoint]) => Ok((None, mountpoint.into())),
        (Some(_), _) => {
            Err(CliError::Usage("with --local only the mountpoint is named; the volume is kept in the folder".into()))
        }
        (None, [url, mountpoint]) => Ok((Some(volume_url(url)?), mountpoint.into())),
        (None, _) => {
            Err(CliError::Usage(format!("name the volume and the mountpoint: weft mount {SCHEME}HOST/VOLUME MOUNTPOINT")))
        }
    }
}

fn volume_url(text: &OsString) -> Result<Url, CliError> {
    let url: Url = text.to_string_lossy().parse()?;
    connect::volume_name(&url)?;
    if !url.path.is_empty() {
        return Err(CliError::Usage(format!("{url}: only a whole volume can be mounted; leave out what follows its name")));
    }
    Ok(url)
}

fn make_mountpoint(path: &Path) -> Result<(), CliError> {
    // What is there and cannot be used is refused later, with the reason.
    if path.symlink_metadata().err().is_none_or(|error| error.kind() != std::io::ErrorKind::NotFound) {
        return Ok(());
    }
    std::fs::create_dir_all(path).map_err(CliError::io(format!("making the mountpoint {}", path.display())))
}

fn mount_options(how: &MountFlags, mountpoint: &Path) -> MountOptions {
    MountOptions {
        allow_other: how.allow_other,
        read_only: how.read_only,
        show_versions: how.show_versions,
        local_locks: how.local_locks,
        timeout: how.timeout.unwrap_or(MOUNT_TIMEOUT_DEFAULT),
        memory: how.memory.unwrap_or(CLIENT_MEMORY_DEFAULT),
        ..MountOptions::new(mountpoint, "")
    }
}

/// Starts logging, once.
fn start_logging(file: Option<&Path>) -> Result<(), CliError> {
    let filter = |default| EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(default));
    let builder = tracing_subscriber::fmt().with_ansi(false);
    // Fails only when logging was started before.
    let _ = match file {
        Some(path) => {
            let file = File::options().create(true).append(true).open(path).map_err(CliError::io(path.display().to_string()))?;
            builder.with_env_filter(filter("info,fuser=error")).with_writer(Mutex::new(file)).try_init()
        }
        None => builder.with_env_filter(filter("warn,fuser=error")).with_writer(std::io::stderr).try_init(),
    };
    Ok(())
}

fn mount_and_serve(runtime: &Runtime, args: &MountArgs, url: Option<Url>, mut options: MountOptions) -> Result<(), CliError> {
    let mut served = runtime.block_on(open(args, url, &options))?;
    start_logging(args.how.log.as_deref())?;
    options.source = Url { identity: None, process: None, ..served.url.clone() }.to_string();
    options.control = served.url.to_string();
    if served.servers.is_some() {
        options = options.local();
    }
    let mounted = crate::mount::mount(served.volume.clone(), &options, runtime.handle()).map_err(CliError::from);
    let done = mounted.and_then(|handle| serve(runtime, &args.how, &handle, served.servers.as_mut()));
    let closed = runtime.block_on(close(served));
    done.and(closed)
}

/// Opens the volume: of a cluster, or of servers that are started here.
async fn open(args: &MountArgs, url: Option<Url>, options: &MountOptions) -> Result<Served, CliError> {
    let client = ClientOptions {
        timeout: options.timeout,
        memory: options.memory,
        purpose: format!("mount {}", options.mountpoint.display()),
        leases: true,
        ..ClientOptions::default()
    };
    match (&args.local, url) {
        (Some(folder), _) => open_local(folder, args, client).await,
        (None, Some(url)) => open_remote(url, args, client).await,
        (None, None) => Err(CliError::Usage("name a volume".into())),
    }
}

async fn open_remote(url: Url, args: &MountArgs, client: ClientOptions) -> Result<Served, CliError> {
    let identity = connect::identity_folder(&args.how.identity, &url)?;
    let identity = std::path::absolute(&identity).unwrap_or(identity);
    let cluster = connect::connect(&url, &args.how.identity, client).await?;
    let volume = connect::open_volume(&cluster, &url).await?;
    volume::warn_of_few_providers(&cluster.map(), volume.info().settings.copies);
    let url = Url { identity: Some(identity), process: Some(std::process::id()), ..url };
    Ok(Served { cluster, volume, url, servers: None })
}

async fn open_local(folder: &Path, args: &MountArgs, client: ClientOptions) -> Result<Served, CliError> {
    let servers = LocalServers::start(folder).await?;
    match open_in(&servers, args, client).await {
        Ok((cluster, volume)) => {
            let url = Url {
                servers: servers.managers().into_iter().map(|manager| manager.0).collect(),
                volume: Some(volume.info().name),
                path: Vec::new(),
                identity: Some(servers.identity().to_owned()),
                process: Some(std::process::id()),
            };
            Ok(Served { cluster, volume, url, servers: Some(servers) })
        }
        Err(error) => {
            servers.stop().await?;
            Err(error)
        }
    }
}

async fn open_in(
    servers: &LocalServers,
    args: &MountArgs,
    client: ClientOptions,
) -> Result<(Arc<Cluster>, Arc<Volume>), CliError> {
    let managers = servers.managers();
    let client = ClientOptions { local: managers.clone(), ..client };
    let cluster = Cluster::connect(servers.rpc(), managers, client).await?;
    let name = args.how.volume.as_deref().unwrap_or(LOCAL_VOLUME);
    match cluster.open_volume(name).await {
        Ok(volume) => {
            check_settings(&args.how, &volume)?;
            Ok((cluster, volume))
        }
        Err(ClientError::Service(error)) if error.kind == ErrorKind::NotFound => {
            let settings = volume::settings((args.how.page_size, args.how.fan_out, None), None)?;
            let owner = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
            cluster.create_volume(name, settings, owner).await?;
            let volume = cluster.open_volume(name).await?;
            Ok((cluster, volume))
        }
        Err(error) => Err(error.into()),
    }
}

/// A volume that exists keeps its settings: saying others is a mistake.
fn check_settings(how: &MountFlags, volume: &Volume) -> Result<(), CliError> {
    let settings = volume.info().settings.geometry;
    let other = how.page_size.is_some_and(|size| size != settings.page_size())
        || how.fan_out.is_some_and(|fan| fan != settings.fan_out());
    if !other {
        return Ok(());
    }
    let (name, page_size, fan_out) = (volume.info().name, settings.page_size(), settings.fan_out());
    Err(CliError::Usage(format!(
        "volume {name} exists, with page size {page_size} and fan-out {fan_out}; leave out --page-size and --fan-out, or name another --volume"
    )))
}

/// Waits until the mount ends by itself, or ends it on a signal or when the servers in this process cannot go on.
fn serve(runtime: &Runtime, how: &MountFlags, handle: &MountHandle, servers: Option<&mut LocalServers>) -> Result<(), CliError> {
    runtime.block_on(async {
        let mut signals = Signals::new()?;
        if how.daemon {
            daemon::ready()?;
        } else {
            output::note(&format!("mounted on {}; Ctrl-C unmounts", handle.mountpoint().display()));
        }
        let broken = tokio::select! {
            () = handle.wait() => return Ok(()),
            () = signals.next() => None,
            error = failure_of(servers) => Some(error),
        };
        match (handle.unmount().await, broken) {
            (_, Some(error)) => Err(error),
            (Ok(()), None) => Ok(()),
            (Err(detached @ MountError::Detached(_)), None) => {
                output::complain(&format!("{detached}; another Ctrl-C ends it now"));
                tokio::select! {
                    () = handle.wait() => {}
                    () = signals.next() => {}
                }
                Ok(())
            }
            (Err(error), None) => Err(error.into()),
        }
    })
}

/// Returns when the servers in this process cannot go on; never, if there are none.
async fn failure_of(servers: Option<&mut LocalServers>) -> CliError {
    match servers {
        Some(servers) => servers.failed().await,
        None => std::future::pending().await,
    }
}

async fn close(served: Served) -> Result<(), CliError> {
    let Served { cluster, volume, servers, .. } = served;
    drop(volume);
    if let Err(error) = cluster.close().await {
        tracing::warn!(%error, "the session was not given back; it lapses by itself");
    }
    drop(cluster);
    match servers {
        Some(servers) => servers.stop().await,
        None => Ok(()),
    }
}

/// What asks us to end.
#[derive(Debug)]
struct Signals([Signal; 3]);

impl Signals {
    fn new() -> Result<Self, CliError> {
        let listen = |kind| signal(kind).map_err(CliError::io("listening for signals"));
        Ok(Self([listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?, listen(SignalKind::hangup())?]))
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(local: Option<&str>, places: &[&str]) -> MountArgs {
        MountArgs { local: local.map(Into::into), places: places.iter().map(Into::into).collect(), how: MountFlags::default() }
    }

    #[test]
    fn places_are_told_apart() {
        assert_eq!(super::places(&args(Some("d"), &["m"])).unwrap(), (None, "m".into()));
        let (url, mountpoint) = super::places(&args(None, &["weft://a/v", "m"])).unwrap();
        assert_eq!((url.unwrap().volume.as_deref(), mountpoint), (Some("v"), "m".into()));
        for (local, places, problem) in [
            (Some("d"), &["weft://a/v", "m"][..], "only the mountpoint"),
            (None, &["m"], "name the volume"),
            (None, &["weft://a", "m"], "names no volume"),
            (None, &["weft://a/v/sub", "m"], "whole volume"),
            (None, &["a:/v", "m"], "no WeftFS URL"),
        ] {
            let message = super::places(&args(local, places)).unwrap_err().to_string();
            assert!(message.contains(problem), "{message}");
        }
    }
}
