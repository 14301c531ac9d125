//! `weftd`: see weftd(8). Exit status 0: done or stopped on request; 1: failed, with one line on standard error; 2: wrong usage.

use clap::Parser;
use std::error::Error;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};
use weft_common::limits::SHUTDOWN_GRACE;
use weft_common::transport::{Holder, Identity};
use weft_server::cli::{Cli, Command, InitArgs, RunArgs};
use weft_server::config::Config;
use weft_server::node::Node;
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
    let runtime = weft_common::rpc::runtime("weftd")?;
    let ended = runtime.block_on(run(&config));
    // Blocking jobs on a sick disk must not keep the process from ending.
    runtime.shutdown_timeout(SHUTDOWN_GRACE);
    ended
}

async fn run(config: &Config) -> Result<(), Box<dyn Error>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut node = Node::start(config).await?;
    let failure = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        error = node.failed() => Some(error),
    };
    let Some(error) = failure else {
        tracing::info!("stopping; a second signal ends at once");
        return tokio::select! {
            stopped = node.stop() => stopped.map_err(Into::into),
            _ = terminate.recv() => Err("ended by a second signal before everything was stopped".into()),
            _ = interrupt.recv() => Err("ended by a second signal before everything was stopped".into()),
        };
    };
    tracing::error!(%error, "weftd cannot go on");
    // What failed is in the message already; stopping it may fail for the same reason.
    let _ = node.stop().await;
    Err(error.into())
}
