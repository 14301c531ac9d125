//! `weftd`: see weftd(8). Exit status 0: done or stopped on request; 1: failed, with one line on standard error; 2: wrong usage.

use clap::Parser;
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use weft_common::transport::{Holder, Identity};
use weft_server::cli::{Cli, Command, InitArgs, RunArgs};
use weft_server::config::Config;
use weft_server::{init, logging};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Some(Command::Init(args)) => make_cluster(args),
        Some(Command::Check { config }) => check(config),
        Some(Command::Certificate(args)) => init::certificate(args)
            .map_err(Into::into)
            .and_then(|()| say(&format!("certificate for '{}' is in {}", args.name, args.out.display()))),
        None => serve(&cli.run),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nobody is left to tell when standard error is closed.
            let _ = writeln!(std::io::stderr(), "weftd: {error}");
            ExitCode::FAILURE
        }
    }
}

fn say(text: &str) -> Result<(), Box<dyn Error>> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

fn make_cluster(args: &InitArgs) -> Result<(), Box<dyn Error>> {
    let made = init::init(args)?;
    say(&format!("cluster {} is ready to start: weftd --config {}", made.cluster, made.config.display()))?;
    say(&format!("clients need ca.pem, client.pem and client.key of {}", made.identity.display()))?;
    say("keep ca.key secret, best on another machine: who has it can join the cluster")
}

fn check(path: &Path) -> Result<(), Box<dyn Error>> {
    let config = Config::load(path)?;
    logging::start("warn", weft_server::cli::LogFormat::Text);
    let identity = Identity::load(&config.identity, Holder::Server)?;
    let roles: Vec<String> = config.roles.iter().map(ToString::to_string).collect();
    say(&format!("{}: {} of cluster {} at {}", path.display(), roles.join(", "), identity.cluster(), config.advertise))
}

fn serve(args: &RunArgs) -> Result<(), Box<dyn Error>> {
    let config = Config::load(&args.config)?;
    logging::start(&config.log, args.log_format);
    Err("serving is not in this build yet".into())
}
