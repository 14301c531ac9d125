//! Other filesystems, started for the run: servers in a [`Space`] of their own, the client's mount where everybody sees it.
//!
//! A [`Recipe`] says how one of them is set up; everything else is the same for all and stands here. Everything that a peer writes
//! (configuration, keys, stores, logs) is in the run's folder, and nothing of it is left: neither a process, nor a mount, nor an
//! address or port, nor anything in the system's folders.

mod ceph;
mod gluster;
mod juice;
mod moose;
mod space;
mod sshfs;

use super::System;
use crate::report::Kind;
use crate::stop;
use crate::work::Keep;
use space::Space;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};
use weft_mount_tests::mount::{detach, is_mounted};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Longest that a peer may take to start, to be mounted, to take its first file, or to be unmounted.
const PATIENCE: Duration = Duration::from_secs(90);
/// Longest that clients are started again.
const GIVES_UP: Duration = Duration::from_secs(30);

/// How to set up a peer.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// As in `--peers`.
    pub(crate) key: &'static str,
    /// As in tables.
    pub(crate) name: &'static str,
    /// Programs that have to be there.
    programs: &'static [&'static str],
    /// Where they come from, for people.
    pub(crate) packages: &'static str,
    /// The program that says the version, and how it is asked.
    version: &'static [&'static str],
    encrypts: bool,
    /// Folders of the system that its servers insist on writing to: each is covered, for them alone, by one of the run's.
    covers: &'static [&'static str],
    /// Starts the servers.
    start: fn(&mut Space) -> Outcome<()>,
    /// The command that mounts, in the foreground.
    client: fn(&Space, &Path) -> Command,
    /// What is to be set once it is mounted.
    adjust: fn(&Space, &Path) -> Outcome<()>,
    /// A folder of its home in which the client keeps what it read.
    cache: Option<&'static str>,
    keep: Keep,
}

/// Every peer that can be set up.
pub(crate) const RECIPES: [Recipe; 7] =
    [juice::JUICE, gluster::DISTRIBUTED, gluster::REPLICATED, moose::GOAL_1, moose::GOAL_2, ceph::CEPH, sshfs::SSHFS];

impl Recipe {
    /// Programs that are not installed.
    pub(crate) fn missing(&self) -> Vec<&'static str> {
        let common = ["unshare", "nsenter", "ip"];
        self.programs.iter().chain(&common).copied().filter(|program| space::find(program).is_none()).collect()
    }

    fn version(&self) -> String {
        let [program, arguments @ ..] = self.version else { return String::new() };
        let output = space::find(program).and_then(|path| Command::new(path).args(arguments).output().ok());
        let said = output.map(|output| [output.stdout, output.stderr].concat()).unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
        // Some name their libraries first.
        let lines = || said.lines().filter(|line| line.chars().any(|sign| sign.is_ascii_digit()));
        lines()
            .find(|line| line.to_lowercase().contains(program))
            .or_else(|| lines().next())
            .unwrap_or_default()
            .trim()
            .to_owned()
    }
}

fn nothing_to_adjust(_: &Space, _: &Path) -> Outcome<()> {
    Ok(())
}

/// A peer that runs and is mounted.
#[derive(Debug)]
pub(crate) struct Peer {
    recipe: &'static Recipe,
    path: PathBuf,
    client: Option<Child>,
    space: Space,
}

impl Peer {
    /// Starts and mounts one; everything of it is in `folder`.
    pub(crate) fn start(recipe: &'static Recipe, folder: &Path) -> Outcome<Self> {
        let named = |error: Box<dyn Error>| format!("{}: {error}", recipe.name);
        let home = folder.join(recipe.key);
        fs::create_dir(&home)?;
        let mut space = Space::make(&home, recipe.covers).map_err(named)?;
        (recipe.start)(&mut space).map_err(named)?;
        let mut peer = Self { recipe, path: folder.join(format!("{}.mnt", recipe.key)), client: None, space };
        fs::create_dir(&peer.path)?;
        peer.mount().map_err(named)?;
        (recipe.adjust)(&peer.space, &peer.path).map_err(named)?;
        peer.wait_for_a_file().map_err(named)?;
        Ok(peer)
    }

    /// A client that gives up is started again for a while: its server may not listen yet.
    fn mount(&mut self) -> Outcome<()> {
        let began = Instant::now();
        loop {
            let mut client = self.space.spawn((self.recipe.client)(&self.space, &self.path), "client")?;
            let ended = loop {
                if is_mounted(&self.path) {
                    self.client = Some(client);
                    return Ok(());
                }
                let (ended, stopped) = (client.try_wait()?, stop::check());
                if stopped.is_err() || (ended.is_none() && began.elapsed() > PATIENCE) {
                    let _ = client.kill();
                    let _ = client.wait();
                }
                stopped?;
                if ended.is_some() || began.elapsed() > PATIENCE {
                    break ended;
                }
                std::thread::sleep(Duration::from_millis(20));
            };
            if began.elapsed() > GIVES_UP {
                return Err(format!("it was not mounted ({ended:?}); its client said:\n{}", self.space.log("client")).into());
            }
            std::thread::sleep(Duration::from_millis(200));
        }
    }

    /// Servers may still be looking for one another when the mount is there already.
    fn wait_for_a_file(&self) -> Outcome<()> {
        let (path, began) = (self.path.join("first"), Instant::now());
        loop {
            stop::check()?;
            match fs::write(&path, "of many").and_then(|()| fs::remove_file(&path)) {
                Ok(()) => return Ok(()),
                Err(error) if began.elapsed() > PATIENCE => {
                    let said = self.space.log("client");
                    return Err(format!("it takes no file ({error}); its client said:\n{said}").into());
                }
                Err(_) => std::thread::sleep(Duration::from_millis(250)),
            }
        }
    }

    /// Unmounts, and waits until the client has written what it had and ended.
    fn unmount(&mut self) -> Outcome<()> {
        let Some(mut client) = self.client.take() else { return Ok(()) };
        let began = Instant::now();
        let mut outcome = Err("not tried".into());
        // Somebody may look into it for a moment.
        while outcome.is_err() && began.elapsed() < Duration::from_secs(10) {
            outcome = space::succeed(Command::new("umount").arg(&self.path));
            if outcome.is_err() {
                std::thread::sleep(Duration::from_millis(100));
            }
        }
        while outcome.is_ok() && client.try_wait()?.is_none() {
            if began.elapsed() > PATIENCE {
                outcome = Err(format!("the client of {} does not end", self.recipe.name).into());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        if outcome.is_err() {
            self.client = Some(client);
        }
        outcome
    }
}

impl System for Peer {
    fn name(&self) -> &str {
        self.recipe.name
    }

    fn version(&self) -> String {
        self.recipe.version()
    }

    fn kind(&self) -> Kind {
        Kind::Peer
    }

    fn encrypts(&self) -> bool {
        self.recipe.encrypts
    }

    fn folder(&self) -> &Path {
        &self.path
    }

    fn processes(&mut self) -> Vec<u32> {
        self.space.processes(self.client.as_ref().map(Child::id))
    }

    /// The client alone: what servers remember is no matter of what clients have cached, and none of them can be told to forget it.
    fn remount(&mut self) -> Outcome<()> {
        self.unmount()?;
        if let Some(cache) = self.recipe.cache.map(|name| self.space.home().join(name)).filter(|cache| cache.exists()) {
            fs::remove_dir_all(cache)?;
        }
        self.mount()
    }

    fn network(&self) -> Option<u32> {
        Some(self.space.first_process())
    }

    fn keep(&self) -> Keep {
        self.recipe.keep
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // What it holds is thrown away anyhow: the mount first, so that nobody waits for servers that are gone.
        detach(&self.path);
        if let Some(client) = &mut self.client {
            let _ = client.kill();
            let _ = client.wait();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recipes_have_names_of_their_own() {
        for (place, recipe) in RECIPES.iter().enumerate() {
            assert!(!recipe.programs.is_empty() && !recipe.packages.is_empty(), "{recipe:?}");
            assert!(RECIPES[..place].iter().all(|other| other.key != recipe.key && other.name != recipe.name), "{recipe:?}");
        }
    }

    #[test]
    fn targets_name_peers_that_exist() {
        for name in crate::report::peers_of_targets() {
            assert!(RECIPES.iter().any(|recipe| recipe.name == name), "no peer {name}");
        }
    }
}
