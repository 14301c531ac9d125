//! Who cleans up. An experiment makes hundreds of processes, mounts and namespaces, and may be ended at any moment by anything. So it runs in a
//! child, and this process does nothing but wait for it, or for a signal, and take away what is there afterwards:
//!
//! - *Processes.* It is the reaper of everything below it: who loses its parent becomes its child. It kills until nobody is left.
//! - *Mounts* below the run's folder, then the *folder*, and *namespaces* by their names. Links and their queues go with the namespaces.
//!
//! All names hold this process's id, so two runs do not meet. If this process itself is killed, the next run finds what carries the id of a
//! process that is gone, names it, and [`clean`] takes it away.

use rustix::process::{Pid, Signal, WaitOptions, kill_process, set_child_subreaper, set_parent_process_death_signal, waitpid};
use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus};
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use weft_mount_tests::mount::{detach, is_mounted};

/// What names of namespaces and folders begin with; the id of the process that waits follows.
const MARK: &str = "weft-paper-";
const NAMESPACES: &str = "/run/netns";
/// The child is looked for this often, should its end not be heard.
const GLANCE: Duration = Duration::from_secs(1);

type Outcome<T> = Result<T, Box<dyn Error>>;

/// The folder and the prefix of a run's names.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    pub(crate) folder: PathBuf,
    pub(crate) prefix: String,
}

impl Names {
    /// Those of the run that the process `keeper` waits for.
    pub(crate) fn of(keeper: u32, dir: &Path) -> Self {
        let prefix = format!("{MARK}{keeper}");
        Self { folder: dir.join(&prefix), prefix }
    }
}

/// Runs `arguments` of this program in a child, and leaves nothing behind whatever happens to it.
pub(crate) fn run_and_clean(arguments: &[OsString], names: &Names) -> Outcome<()> {
    set_child_subreaper(Some(rustix::process::getpid()))?;
    fs::create_dir(&names.folder).map_err(|error| format!("{}: {error}", names.folder.display()))?;
    let child = Command::new(std::env::current_exe()?).args(arguments).spawn();
    let ended = child.map_err(Into::into).and_then(wait);
    let cleaned = end_everybody_below().and_then(|()| take_away(names));
    match (ended?, cleaned) {
        (_, Err(why)) => Err(why),
        (Ended::Itself(status), Ok(())) if status.success() => Ok(()),
        (Ended::Itself(status), Ok(())) => Err(format!("the experiment ended with {status}; nothing of it is left").into()),
        (Ended::On(signal), Ok(())) => Err(format!("ended on {signal}; nothing of the experiment is left").into()),
    }
}

/// Has the kernel end this process when its keeper is gone.
pub(crate) fn end_with_keeper() -> io::Result<()> {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

enum Ended {
    Itself(ExitStatus),
    On(&'static str),
}

/// Waits for the child, or for a signal that asks us to end.
fn wait(mut child: Child) -> Outcome<Ended> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut ends = signal(SignalKind::child())?;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(Ended::Itself(status));
            }
            let signal = tokio::select! {
                _ = interrupt.recv() => "SIGINT",
                _ = terminate.recv() => "SIGTERM",
                _ = hangup.recv() => "SIGHUP",
                _ = ends.recv() => continue,
                () = tokio::time::sleep(GLANCE) => continue,
            };
            return Ok(Ended::On(signal));
        }
    })
}

/// Kills all descendants. One that waits for a mount ends only with the mount's process, so all are killed before any is waited for.
fn end_everybody_below() -> Outcome<()> {
    loop {
        let below = descendants(std::process::id());
        for process in below.iter().filter_map(|id| Pid::from_raw(*id as i32)) {
            // It may be gone already.
            let _ = kill_process(process, Signal::KILL);
        }
        while waitpid(None, WaitOptions::NOHANG).is_ok_and(|ended| ended.is_some()) {}
        if below.is_empty() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Ids of all processes below one.
fn descendants(ancestor: u32) -> BTreeSet<u32> {
    let mut children: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let text = fs::read_to_string(process.path().join("stat")).unwrap_or_default();
        // The name stands in brackets and may hold anything; state and parent follow.
        let parent = text.rsplit_once(')').and_then(|(_, fields)| fields.split_whitespace().nth(1)?.parse().ok());
        children.entry(parent.unwrap_or(0)).or_default().push(id);
    }
    let (mut below, mut next) = (BTreeSet::new(), vec![ancestor]);
    while let Some(parent) = next.pop() {
        let new = children.get(&parent).into_iter().flatten().filter(|child| below.insert(**child));
        next.extend(new.collect::<Vec<_>>());
    }
    below
}

/// Mounts, namespaces and the folder of a run whose processes are gone.
fn take_away(names: &Names) -> Outcome<()> {
    for mount in mounts_below(&names.folder) {
        detach(&mount);
        if is_mounted(&mount) {
            return Err(format!("{} cannot be unmounted; `umount -l {0}` may help", mount.display()).into());
        }
    }
    for namespace in namespaces_of(&names.prefix) {
        let output = Command::new("ip").args(["netns", "del", &namespace]).output()?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(format!("the network namespace {namespace} cannot be removed: {}", said.trim()).into());
        }
    }
    match fs::remove_dir_all(&names.folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(format!("{}: {error}", names.folder.display()).into()),
        _ => Ok(()),
    }
}

fn mounts() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    table.lines().filter_map(|line| line.split(' ').nth(1).map(PathBuf::from)).collect()
}

fn mounts_below(folder: &Path) -> Vec<PathBuf> {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    mounts().into_iter().filter(|mount| mount.starts_with(&folder)).collect()
}

fn namespaces() -> Vec<String> {
    let entries = fs::read_dir(NAMESPACES).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// Namespaces of a run: its prefix, and something behind a hyphen.
fn namespaces_of(prefix: &str) -> Vec<String> {
    let is_of = |name: &String| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('-'));
    namespaces().into_iter().filter(is_of).collect()
}

/// The process whose id a name holds.
fn keeper_in(name: &str) -> Option<u32> {
    let rest = name.strip_prefix(MARK)?;
    rest.split('-').next()?.parse().ok()
}

/// Whether a process waits for a run of that name: another one may have its id by now.
fn is_kept(keeper: u32) -> bool {
    let ours = fs::read_to_string(format!("/proc/{}/comm", std::process::id())).unwrap_or_default();
    fs::read_to_string(format!("/proc/{keeper}/comm")).is_ok_and(|name| name == ours)
}

/// What killed runs have left: the process that each was kept by, and where its folder is. Seen are namespaces, mounts anywhere, and `dir`.
fn left_behind(dir: &Path) -> BTreeMap<u32, Names> {
    let in_dir = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let folders = mounts().into_iter().flat_map(|mount| mount.ancestors().map(Path::to_owned).collect::<Vec<_>>()).chain(in_dir);
    let of_folder = |folder: PathBuf| Some((keeper_in(folder.file_name()?.to_str()?)?, folder.parent()?.to_owned()));
    let of_namespace = |name: String| Some((keeper_in(&name)?, dir.to_owned()));
    // Folders last: they say where the folder is.
    let seen = namespaces().into_iter().filter_map(of_namespace).chain(folders.filter_map(of_folder));
    seen.filter(|(keeper, _)| !is_kept(*keeper)).map(|(keeper, dir)| (keeper, Names::of(keeper, &dir))).collect()
}

/// That nothing of a killed run is in the way.
pub(crate) fn check_nothing_left(dir: &Path) -> Result<(), String> {
    let found: Vec<String> = left_behind(dir)
        .values()
        .map(|names| {
            let (namespaces, mounts) = (namespaces_of(&names.prefix).len(), mounts_below(&names.folder).len());
            format!("{namespaces} network namespaces {}-*, {mounts} mounts below {}", names.prefix, names.folder.display())
        })
        .collect();
    if found.is_empty() {
        return Ok(());
    }
    Err(format!(
        "a run that was killed has left {}; `weft-benches paper --clean --dir {}` takes it away",
        found.join(", and "),
        dir.display()
    ))
}

/// Takes away what killed runs have left.
pub(crate) fn clean(dir: &Path) -> Outcome<usize> {
    let found = left_behind(dir);
    for names in found.values() {
        for namespace in namespaces_of(&names.prefix) {
            kill_all_in(&namespace)?;
        }
        take_away(names)?;
    }
    Ok(found.len())
}

/// Kills the processes in a namespace, which are a dead run's.
fn kill_all_in(namespace: &str) -> Outcome<()> {
    loop {
        let output = Command::new("ip").args(["netns", "pids", namespace]).output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let processes: Vec<Pid> = text.lines().filter_map(|line| Pid::from_raw(line.trim().parse().ok()?)).collect();
        if processes.is_empty() {
            return Ok(());
        }
        for process in processes {
            let _ = kill_process(process, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_whose_it_is() {
        assert_eq!(keeper_in("weft-paper-123-host4"), Some(123));
        assert_eq!(keeper_in("weft-paper-123"), Some(123));
        assert_eq!((keeper_in("weft123-0-hub"), keeper_in("weft-paper-x")), (None, None));
    }

    #[test]
    fn descendants_are_found() {
        let mut child = Command::new("sh").args(["-c", "sleep 30 & wait"]).spawn().expect("sh");
        let began = std::time::Instant::now();
        while descendants(child.id()).is_empty() {
            assert!(began.elapsed() < Duration::from_secs(10), "the shell's child is not seen");
        }
        for process in descendants(child.id()).into_iter().chain([child.id()]) {
            kill_process(Pid::from_raw(process as i32).expect("an id"), Signal::KILL).expect("it is ours");
        }
        child.wait().expect("it has ended");
    }

    #[test]
    fn a_folder_of_a_process_that_is_gone_is_found_and_named_and_taken_away() {
        let dir = tempfile::tempdir().expect("a folder");
        assert!(check_nothing_left(dir.path()).is_ok());
        let mut gone = Command::new("true").spawn().expect("a process");
        gone.wait().expect("it has ended");
        let names = Names::of(gone.id(), dir.path());
        fs::create_dir(&names.folder).expect("its folder");
        fs::create_dir(Names::of(std::process::id(), dir.path()).folder).expect("that of one that lives");
        let said = check_nothing_left(dir.path()).expect_err("something is left");
        assert!(said.contains(&names.prefix) && said.contains("--clean"), "{said}");
        assert!(clean(dir.path()).is_ok_and(|count| count == 1) && !names.folder.exists());
        assert!(check_nothing_left(dir.path()).is_ok());
    }
}
