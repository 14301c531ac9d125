//! `--daemon`: return once mounted.
//!
//! The command starts itself again, in a session of its own, and waits for one line on a pipe. The child writes it when the
//! mount answers, and only then lets go of the terminal; until then its messages reach the user, and if it ends instead, its
//! exit status becomes the command's. Nothing is forked after threads exist.

use super::error::CliError;
use std::io::{BufRead, BufReader, Write};
use std::process::{Command, ExitCode, Stdio};

/// Set in the child.
const CHILD: &str = "WEFT_DAEMON_CHILD";
const READY: &str = "ready";

/// Whether this process is the child.
#[must_use]
pub(super) fn is_child() -> bool {
    std::env::var_os(CHILD).is_some()
}

/// Starts the child with this process's arguments and waits until it is ready or ends.
///
/// # Errors
/// [`CliError::Io`] if it cannot be started.
pub(super) fn launch() -> Result<ExitCode, CliError> {
    let starting = "starting the background process";
    let program = std::env::current_exe().map_err(CliError::io(starting))?;
    let mut arguments = std::env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        std::os::unix::process::CommandExt::arg0(&mut command, name);
    }
    let command = command.args(arguments).env(CHILD, "1").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(CliError::io(starting))?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output).read_line(&mut line).map_err(CliError::io(starting))?;
    }
    if line.trim_end() == READY {
        return Ok(ExitCode::SUCCESS);
    }
    let status = child.wait().map_err(CliError::io(starting))?;
    Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).filter(|code| *code != 0).unwrap_or(1)))
}

/// In the child, first of all: a session of its own, so that no terminal's Ctrl-C ends it.
pub(super) fn detach() {
    // It fails only for a process group's leader, which has no terminal to lose.
    let _ = rustix::process::setsid();
}

/// In the child, once mounted: tells the parent, and lets go of the terminal and the working directory.
///
/// # Errors
/// [`CliError::Io`].
pub(super) fn ready() -> Result<(), CliError> {
    let letting_go = || CliError::io("leaving the terminal");
    writeln!(std::io::stdout(), "{READY}").map_err(letting_go())?;
    let nowhere = std::fs::OpenOptions::new().read(true).write(true).open("/dev/null").map_err(letting_go())?;
    rustix::stdio::dup2_stdout(&nowhere).map_err(std::io::Error::from).map_err(letting_go())?;
    rustix::stdio::dup2_stderr(&nowhere).map_err(std::io::Error::from).map_err(letting_go())?;
    std::env::set_current_dir("/").map_err(letting_go())
}
