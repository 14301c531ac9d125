//! The command line of `weftd`.

use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::net::SocketAddr;
use std::path::PathBuf;
use weft_common::rpc::DEFAULT_PORT;

const EXAMPLES: &str = "\
Examples:
  weftd init --dir /etc/weft                     a new cluster: certificates and a weftd.toml to edit
  weftd check --config /etc/weft/weftd.toml      is it right? says what is wrong, starts nothing
  weftd --config /etc/weft/weftd.toml            runs until SIGTERM or SIGINT

A further server gets the folder /etc/weft/identity (without ca.key) and a weftd.toml whose `managers` names the first one.
A client gets ca.pem, client.pem and client.key; `weftd certificate` issues more.";

/// Runs WeftFS servers: version manager, provider manager, metadata and data providers, any set of them in one process.
#[derive(Debug, Parser)]
#[command(name = "weftd", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to serve.
    #[command(flatten)]
    pub run: RunArgs,
}

/// How to serve.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The configuration, see weftd.toml(5)
    #[arg(long, value_name = "FILE", default_value = "/etc/weft/weftd.toml")]
    pub config: PathBuf,
    /// How log lines look; they go to standard error
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    pub log_format: LogFormat,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// One JSON object a line
    Json,
}

/// What to do instead of serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Make a new cluster: its certificate authority, a server's and a client's certificate, a weftd.toml. Overwrites nothing
    Init(InitArgs),
    /// Check a configuration and the certificates that it names, start nothing
    Check {
        /// The configuration
        #[arg(long, value_name = "FILE", default_value = "/etc/weft/weftd.toml")]
        config: PathBuf,
    },
    /// Issue a further certificate of a cluster, for a server or a client, or one in place of one that ends
    Certificate(CertificateArgs),
}

/// What `weftd init` makes.
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Folder to make them in
    #[arg(long, value_name = "DIR")]
    pub dir: PathBuf,
    /// IP address and port that the first server is to listen on
    #[arg(long, value_name = "ADDR", default_value_t = SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT)))]
    pub listen: SocketAddr,
    /// Host and port at which others reach it [default: --listen; with 0.0.0.0 or `::` this machine's name]
    #[arg(long, value_name = "HOST:PORT")]
    pub advertise: Option<String>,
}

/// Which certificate, and where it goes.
#[derive(Debug, Args)]
pub struct CertificateArgs {
    /// Folder with the cluster's ca.pem and ca.key
    #[arg(long, value_name = "DIR")]
    pub authority: PathBuf,
    /// Folder to put ca.pem, the certificate and its key in; files that exist are not overwritten
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// What its holder may be
    #[arg(long, value_enum, value_name = "KIND", default_value = "client")]
    pub kind: CertificateKind,
    /// Name of its holder, as logs show it
    #[arg(long, value_name = "NAME")]
    pub name: String,
}

/// What the holder of a certificate may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CertificateKind {
    /// A weftd
    Server,
    /// A mount or a tool
    Client,
}

/// The whole command line as clap knows it, for the test that holds the man page to it.
#[must_use]
pub fn command() -> clap::Command {
    Cli::command()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn serving_and_doing_something_else_exclude_each_other() {
        assert!(Cli::try_parse_from(["weftd", "--config", "x"]).is_ok_and(|cli| cli.command.is_none()));
        assert!(Cli::try_parse_from(["weftd", "check", "--config", "x"]).is_ok_and(|cli| cli.command.is_some()));
        assert!(Cli::try_parse_from(["weftd", "init"]).is_err(), "--dir is needed");
        assert!(Cli::try_parse_from(["weftd", "--config", "x", "init", "--dir", "y"]).is_err());
    }
}
