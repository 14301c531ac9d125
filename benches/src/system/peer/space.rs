//! A place for a peer's processes, apart from the rest of the machine.
//!
//! It has a network of its own (so the usual ports and one fixed address do for all, and nobody outside reaches a server without a password), its own
//! process ids (so whatever a server starts behind our back is below one process, is counted, and ends with it), and its own
//! view of mounts (so a folder of the system that a server insists on can be covered). The kernel takes all of it away when the first process
//! ends, and that one ends when we do: it reads from a pipe of ours.
//!
//! The client is in that network and among those processes, but sees the mounts of everybody, or its own could be seen by nobody.

use crate::machine::parents;
use std::collections::BTreeSet;
use std::error::Error;
use std::fs::{self, File};
use std::io::{BufRead, BufReader};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

type Outcome<T> = Result<T, Box<dyn Error>>;

/// Of all servers, in their network: not of 127.0.0.0/8, which MooseFS does not take.
pub(super) const ADDRESS: &str = "10.77.0.1";
/// Longest that a tool may take, in seconds.
const TOOL_SECONDS: &str = "60";
/// Where programs are beside those of PATH: servers are often not on that of a plain user.
const FOLDERS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// Where a program is.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(FOLDERS.map(PathBuf::from));
    folders.map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Runs a command to its end; its error holds what it said.
pub(super) fn succeed(command: &mut Command) -> Outcome<()> {
    let output = command.stdin(Stdio::null()).output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{command:?} ended with {}: {}", output.status, String::from_utf8_lossy(&said).trim()).into())
}

/// See the module.
#[derive(Debug)]
pub(super) struct Space {
    home: PathBuf,
    /// `unshare`, and the pipe that the first process reads.
    holder: Child,
    _pipe: ChildStdin,
    first: u32,
    servers: Vec<Child>,
}

impl Space {
    /// Makes one, whose files are in `home`, with `covers` covered by new folders there.
    pub(super) fn make(home: &Path, covers: &[&str]) -> Outcome<Self> {
        // sshd and glusterd want folders in /run.
        let mut script = format!(
            "set -e; ip link set lo up; ip address add {ADDRESS}/32 dev lo; mount -t tmpfs none /run; mkdir /run/sshd /run/gluster; "
        );
        for (number, cover) in covers.iter().enumerate() {
            fs::create_dir(home.join(format!("cover{number}")))?;
            script += &format!("mount --bind \"$0\"/cover{number} {cover}; ");
        }
        script += "echo ready; exec cat";
        let mut command = Command::new("unshare");
        command.args(["--net", "--mount", "--pid", "--fork", "--kill-child", "--propagation", "private", "--mount-proc"]);
        command.args(["sh", "-c", &script]).arg(home).process_group(0);
        let errors = File::create(home.join("space.log"))?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors);
        let mut holder = command.spawn().map_err(|error| format!("unshare: {error}"))?;
        let (pipe, output) = (holder.stdin.take(), holder.stdout.take());
        let (pipe, output) = pipe.zip(output).ok_or("unshare has no pipes")?;
        let mut space = Self { home: home.to_owned(), holder, _pipe: pipe, first: 0, servers: Vec::new() };
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        let first = parents().into_iter().find(|(_, parent)| *parent == space.holder.id()).map(|(process, _)| process);
        match first {
            Some(first) if line.trim() == "ready" => space.first = first,
            _ => return Err(format!("no namespaces for it: {} (it takes root)", space.log("space").trim()).into()),
        }
        Ok(space)
    }

    /// Where its files are.
    pub(super) fn home(&self) -> &Path {
        &self.home
    }

    /// A path below [`Space::home`], as text for configurations.
    pub(super) fn at(&self, name: &str) -> String {
        self.home.join(name).display().to_string()
    }

    /// Makes a folder there.
    pub(super) fn folder(&self, name: &str) -> Outcome<String> {
        fs::create_dir_all(self.home.join(name))?;
        Ok(self.at(name))
    }

    /// Writes a file there.
    pub(super) fn file(&self, name: &str, content: &str) -> Outcome<String> {
        fs::write(self.home.join(name), content)?;
        Ok(self.at(name))
    }

    /// What `spawn` with that name printed: its end.
    pub(super) fn log(&self, name: &str) -> String {
        let text = fs::read(self.home.join(format!("{name}.log"))).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().rev().take(15).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// A command for a process inside, which sees covered folders.
    pub(super) fn inside(&self, program: &str) -> Command {
        self.command(&["--net", "--pid", "--mount"], program)
    }

    /// A command for a process inside that sees the mounts of everybody.
    pub(super) fn client(&self, program: &str) -> Command {
        self.command(&["--net", "--pid"], program)
    }

    fn command(&self, namespaces: &[&str], program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.first.to_string()]).args(namespaces).arg("--");
        command.arg(find(program).unwrap_or_else(|| program.into()));
        command
    }

    /// Starts a process that stays. It does not hear of Ctrl-C.
    pub(super) fn spawn(&self, mut command: Command, name: &str) -> Outcome<Child> {
        let log = File::options().create(true).append(true).open(self.home.join(format!("{name}.log")))?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).process_group(0);
        Ok(command.spawn().map_err(|error| format!("{command:?}: {error}"))?)
    }

    /// Starts a server inside, in the foreground.
    pub(super) fn serve(&mut self, name: &str, program: &str, arguments: &[&str]) -> Outcome<()> {
        let mut command = self.inside(program);
        command.args(arguments);
        let server = self.spawn(command, name)?;
        self.servers.push(server);
        Ok(())
    }

    /// Runs a tool inside to its end, and not longer than until a signal comes: what is left of it then ends with the space.
    pub(super) fn run(&self, program: &str, arguments: &[&str]) -> Outcome<()> {
        let mut command = self.inside("timeout");
        command.arg(TOOL_SECONDS).arg(find(program).unwrap_or_else(|| program.into())).args(arguments);
        let _ = fs::remove_file(self.home.join("tool.log"));
        let mut tool = self.spawn(command, "tool")?;
        loop {
            if let Some(status) = tool.try_wait()? {
                let said = self.log("tool");
                return if status.success() {
                    Ok(())
                } else {
                    Err(format!("{program} ended with {status}: {}", said.trim()).into())
                };
            }
            if let Err(stopped) = crate::stop::check() {
                let _ = tool.kill();
                let _ = tool.wait();
                return Err(stopped);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Runs a tool inside until it succeeds: a server may not listen yet.
    pub(super) fn retry(&self, program: &str, arguments: &[&str]) -> Outcome<()> {
        let began = Instant::now();
        loop {
            crate::stop::check()?;
            match self.run(program, arguments) {
                Err(_) if began.elapsed() < super::PATIENCE => std::thread::sleep(Duration::from_millis(200)),
                outcome => return outcome,
            }
        }
    }

    pub(super) fn first_process(&self) -> u32 {
        self.first
    }

    /// Every process inside, and those below `client`.
    pub(super) fn processes(&self, client: Option<u32>) -> Vec<u32> {
        let parents: Vec<(u32, u32)> = parents();
        let (mut found, mut next) = (BTreeSet::new(), vec![self.first]);
        next.extend(self.servers.iter().map(Child::id).chain(client));
        while let Some(above) = next.pop() {
            let below = parents.iter().filter(|(_, parent)| *parent == above).map(|(process, _)| *process);
            next.extend(below.filter(|process| found.insert(*process)).collect::<Vec<_>>());
        }
        found.into_iter().collect()
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // The first process with all others; `unshare` has it killed when it is killed itself, and so it is gone when that one was waited for.
        if let Some(first) = rustix::process::Pid::from_raw(self.first as i32).filter(|_| self.first != 0) {
            let _ = rustix::process::kill_process(first, rustix::process::Signal::KILL);
        } else {
            let _ = self.holder.kill();
        }
        let _ = self.holder.wait();
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
