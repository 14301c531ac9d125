//! The `weft` command: mount, and the tools around it.
//!
//! `args` is the command line and its help; a file per command does it. `output` is the only place that prints,
//! `target` finds out what a path or URL is about, `connect` opens it, `names` is the volume as the tools see it. The tools
//! work on the two client traits only. `local` is the one file that names the servers: `weft mount --local` runs them in this process.

mod archive;
mod args;
mod clone;
mod connect;
mod daemon;
mod df;
mod diff;
mod error;
mod fsck;
mod fstab;
mod gc;
mod human;
mod local;
mod log;
mod mount;
mod mounts;
mod names;
mod output;
mod restore;
mod retention;
mod states;
mod status;
mod tag;
mod target;
mod umount;
mod verify;
mod version;
mod volume;
mod watch;

use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use connect::Client;
use error::CliError;
use std::ffi::OsString;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// What is logged unless `RUST_LOG` says otherwise.
const LOG_DEFAULT: &str = "error";

/// The command line as clap knows it: for completions, and for the test that holds the manual to it.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs `weft`, or the mount helper if it was called by that name. Errors are printed; the exit status tells them.
#[must_use]
pub fn run(arguments: Vec<OsString>) -> ExitCode {
    let done = match arguments.split_first() {
        Some((program, rest)) if fstab::is_helper(program) => run_helper(rest),
        _ => run_command(arguments),
    };
    done.unwrap_or_else(|error| {
        output::complain(&error.to_string());
        ExitCode::FAILURE
    })
}

fn run_helper(arguments: &[OsString]) -> Result<ExitCode, CliError> {
    let request = fstab::parse(arguments.iter().cloned()).map_err(CliError::Usage)?;
    if request.fake { Ok(ExitCode::SUCCESS) } else { mount::run(&request.args) }
}

/// Whether the mount helper understands its arguments (without the program's name).
///
/// # Errors
/// A sentence that names what is wrong.
pub fn check_helper(arguments: &[OsString]) -> Result<(), String> {
    fstab::parse(arguments.iter().cloned()).map(drop)
}

fn run_command(arguments: Vec<OsString>) -> Result<ExitCode, CliError> {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return Ok(ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2)));
        }
    };
    match &cli.command {
        Command::Mount(args) => return mount::run(args),
        Command::Umount(args) => umount::run(args)?,
        Command::Volume(command) => tool("weft volume", async |client| volume::run(client, command).await)?,
        Command::Watch(args) => tool("weft watch", async |client| watch::run(client, args).await)?,
        Command::Log(args) => tool("weft log", async |client| log::run(client, args).await)?,
        Command::Diff(args) => tool("weft diff", async |client| diff::run(client, args).await)?,
        Command::Restore(args) => tool("weft restore", async |client| restore::run(client, args).await)?,
        Command::Send(args) => tool("weft send", async |client| archive::send(client, args).await)?,
        Command::Receive(args) => tool("weft receive", async |client| archive::receive(client, args).await)?,
        Command::Clone(args) => tool("weft clone", async |client| clone::run(client, args).await)?,
        Command::Tag(command) => tool("weft tag", async |client| tag::run(client, command).await)?,
        Command::Retention(command) => tool("weft retention", async |client| retention::run(client, command).await)?,
        Command::Gc(args) => tool("weft gc", async |client| gc::run(client, args).await)?,
        Command::Df(args) => tool("weft df", async |client| df::df(client, &args.cluster).await)?,
        Command::Du(args) => tool("weft du", async |client| df::du(client, args).await)?,
        Command::Fsck(args) => tool("weft fsck", async |client| fsck::run(client, &args.cluster).await)?,
        Command::Verify(args) => tool("weft verify", async |client| verify::run(client, args).await)?,
        Command::Status(args) => tool("weft status", async |client| status::run(client, args).await)?,
        Command::Completions { shell } => completions(*shell),
    }
    Ok(if output::is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs a tool to its end, and gives its session back however it went.
fn tool(purpose: &str, work: impl AsyncFnOnce(&Client) -> Result<(), CliError>) -> Result<(), CliError> {
    let builder = tracing_subscriber::fmt().with_writer(std::io::stderr).with_env_filter(filter());
    let _ = builder.try_init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(CliError::io("starting"))?.block_on(async {
        let client = Client::new(purpose);
        let done = work(&client).await;
        client.close().await;
        done
    })
}

fn filter() -> EnvFilter {
    EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(LOG_DEFAULT))
}

fn completions(shell: clap_complete::Shell) {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "weft", &mut script);
    output::print(&String::from_utf8_lossy(&script));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn every_command_has_examples() {
        fn check(command: &clap::Command, path: &str) {
            let name = format!("{path} {}", command.get_name());
            assert!(command.get_about().is_some(), "{name} says not what it does");
            if command.get_subcommands().next().is_none() {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Examples:"), "{name} has no examples");
            }
            command.get_subcommands().for_each(|command| check(command, &name));
        }
        command().get_subcommands().for_each(|command| check(command, "weft"));
    }

    #[test]
    fn lines_are_parsed() {
        for line in [
            "weft mount --local ./d ./m",
            "weft mount --local ./d ./m --volume x --page-size 64K --fan-out 2 --daemon",
            "weft mount weft://a/v ./m --read-only --allow-other --show-versions --timeout 5s --memory 64M --identity /i",
            "weft log ./m -n 3 --json",
            "weft diff . 1 @2026-11-22",
            "weft restore f --to tag --keep-new --dry-run",
            "weft clone a b --at first-run --json",
            "weft tag add . x --at 3",
            "weft verify ./f --at 3 --json",
            "weft unmount ./m",
        ] {
            Cli::try_parse_from(line.split(' ')).unwrap_or_else(|error| panic!("{line}: {error}"));
        }
        for line in [
            "weft",
            "weft clone a",
            "weft mount",
            "weft mount a b c",
            "weft mount --page-size 64K a b",
            "weft diff . 1",
            "weft log . --to",
        ] {
            assert!(Cli::try_parse_from(line.split(' ')).is_err(), "{line}");
        }
    }
}
