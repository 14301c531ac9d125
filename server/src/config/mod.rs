//! `weftd.toml`: what a `weftd` process is, where it listens, where it keeps things.
//!
//! [`KEYS`] lists every key with its meaning; the man page is held to it by a test, and so is the parser. Paths are relative to
//! the folder of the file. A key that does not exist is an error that names the line and the keys that do.

mod example;

#[cfg(test)]
mod tests;

pub use example::example;

use serde::Deserialize;
use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use tracing_subscriber::EnvFilter;
use weft_common::limits::DELETES_PER_SECOND_DEFAULT;
use weft_common::rpc::{Address, DEFAULT_PORT};

/// Longest zone name, in bytes.
pub const ZONE_BYTES_MAX: usize = 64;

/// Every key of `weftd.toml`: its name, and what it means (one line, as the man page says it).
pub const KEYS: &[(&str, &str)] = &[
    ("roles", "what this process does: any set of \"version-manager\", \"metadata\", \"data\""),
    ("listen", "IP address and UDP port to listen on; default 127.0.0.1:9338"),
    ("advertise", "host and port at which other machines reach this process; default: what listen says"),
    ("managers", "hosts (and ports) of the version manager; default: this process, if it is one"),
    ("identity", "folder with ca.pem, server.pem and server.key; default identity"),
    ("store", "folder under which each role keeps its own; default store"),
    ("manager_store", "folder of the version manager's log and tables; default manager under store"),
    ("metadata_store", "folder of the metadata provider's tree nodes; default metadata under store"),
    ("data_store", "folder of the data provider's page objects; default data under store"),
    ("zone", "what fails together with this machine (rack, room); copies are spread over zones; default \"default\""),
    (
        "deletes_per_second",
        "copies of page objects and nodes that a version manager has deleted per second at most; default 2000",
    ),
    ("log", "what is logged: error, warn, info, debug, trace, or per module as in RUST_LOG, which wins; default info"),
];

/// What a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Orders updates and keeps the names; also the provider manager.
    VersionManager,
    /// Stores tree nodes.
    Metadata,
    /// Stores page objects.
    Data,
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::VersionManager => "version-manager",
            Self::Metadata => "metadata",
            Self::Data => "data",
        })
    }
}

/// A configuration that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{path}: {source}; make one with `weftd init --dir DIR`, or name yours with --config")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not TOML, or has a key that does not exist, or a value of the wrong type.
    #[error("{path} line {line}: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Where, from 1.
        line: usize,
        /// What is wrong; for an unknown key, the keys that exist.
        message: String,
    },
    /// A value that makes no sense.
    #[error("{path}: {key}: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// The key.
        key: &'static str,
        /// What is wrong and what would be right.
        reason: String,
    },
}

/// The file as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    roles: Vec<Role>,
    listen: Option<String>,
    advertise: Option<String>,
    #[serde(default)]
    managers: Vec<String>,
    identity: Option<PathBuf>,
    store: Option<PathBuf>,
    manager_store: Option<PathBuf>,
    metadata_store: Option<PathBuf>,
    data_store: Option<PathBuf>,
    zone: Option<String>,
    deletes_per_second: Option<NonZeroU32>,
    log: Option<String>,
}

/// A checked configuration: defaults filled in, paths complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What the process does; at least one role.
    pub roles: BTreeSet<Role>,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where others reach it.
    pub advertise: Address,
    /// The version managers to join.
    pub managers: Vec<Address>,
    /// Folder of the certificates.
    pub identity: PathBuf,
    /// Folder of the version manager.
    pub manager_store: PathBuf,
    /// Folder of the metadata provider.
    pub metadata_store: PathBuf,
    /// Folder of the data provider.
    pub data_store: PathBuf,
    /// Fails together with others of this zone.
    pub zone: String,
    /// How fast collection deletes copies of page objects and nodes; for the version manager.
    pub deletes_per_second: NonZeroU32,
    /// Whether all clients that get leases are in this process, so that none are left from an earlier one. No key of the file.
    pub alone: bool,
    /// Log filter.
    pub log: String,
}

impl Config {
    /// Reads and checks the file at `path`.
    ///
    /// # Errors
    /// [`ConfigError`] names the file, the line or key, and what would be right.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Self::parse(&text, path)
    }

    /// Checks `text`, the content of the file at `path`.
    ///
    /// # Errors
    /// As for [`Config::load`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let document: Document = toml::from_str(text).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            let line = text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count() + 1;
            ConfigError::Syntax { path: path.to_owned(), line, message: error.message().replace('\n', " ") }
        })?;
        document.check(path.parent().unwrap_or(Path::new(""))).map_err(|(key, reason)| ConfigError::Invalid {
            path: path.to_owned(),
            key,
            reason,
        })
    }

    /// Whether the process has `role`.
    #[must_use]
    pub fn has(&self, role: Role) -> bool {
        self.roles.contains(&role)
    }
}

type Complaint = (&'static str, String);

impl Document {
    fn check(self, folder: &Path) -> Result<Config, Complaint> {
        let roles = check_roles(&self.roles)?;
        let listen = check_listen(self.listen.as_deref())?;
        let advertise = check_advertise(self.advertise.as_deref(), listen)?;
        let is_manager = roles.contains(&Role::VersionManager);
        let managers = check_managers(&self.managers, is_manager, &advertise)?;
        let zone = self.zone.unwrap_or_else(|| "default".into());
        if zone.is_empty() || zone.len() > ZONE_BYTES_MAX || zone.chars().any(char::is_control) {
            return Err(("zone", format!("a zone is a name of 1 to {ZONE_BYTES_MAX} bytes, like \"rack-3\"")));
        }
        let log = self.log.unwrap_or_else(|| "info".into());
        EnvFilter::try_new(&log)
            .map_err(|error| ("log", format!("'{log}' is no log filter ({error}); write for example \"info\"")))?;
        let store = folder.join(self.store.unwrap_or_else(|| "store".into()));
        let place = |path: Option<PathBuf>, name: &str| path.map_or_else(|| store.join(name), |path| folder.join(path));
        let config = Config {
            roles,
            listen,
            advertise,
            managers,
            identity: folder.join(self.identity.unwrap_or_else(|| "identity".into())),
            manager_store: place(self.manager_store, "manager"),
            metadata_store: place(self.metadata_store, "metadata"),
            data_store: place(self.data_store, "data"),
            zone,
            deletes_per_second: self.deletes_per_second.unwrap_or(DELETES_PER_SECOND_DEFAULT),
            alone: false,
            log,
        };
        check_stores(&config)?;
        Ok(config)
    }
}

fn check_roles(roles: &[Role]) -> Result<BTreeSet<Role>, Complaint> {
    if roles.is_empty() {
        return Err(("roles", "empty; name at least one of \"version-manager\", \"metadata\", \"data\"".into()));
    }
    Ok(roles.iter().copied().collect())
}

fn check_listen(listen: Option<&str>) -> Result<SocketAddr, Complaint> {
    let Some(listen) = listen else { return Ok(SocketAddr::from(([127, 0, 0, 1], DEFAULT_PORT))) };
    let wrong = || ("listen", format!("'{listen}' is no IP address with a port; write for example \"0.0.0.0:{DEFAULT_PORT}\""));
    listen.parse().map_err(|_| wrong())
}

fn check_advertise(advertise: Option<&str>, listen: SocketAddr) -> Result<Address, Complaint> {
    let Some(text) = advertise else {
        if listen.ip().is_unspecified() {
            let reason = format!("missing; listen = \"{listen}\" means every address of this machine: say which one others use");
            return Err(("advertise", reason));
        }
        return Ok(Address(listen.to_string()));
    };
    host_and_port(text).ok_or_else(|| ("advertise", format!("'{text}' is no host with a port, like \"server-1:{DEFAULT_PORT}\"")))
}

fn check_managers(managers: &[String], is_manager: bool, own: &Address) -> Result<Vec<Address>, Complaint> {
    if managers.is_empty() {
        let missing = "missing; name the version manager's host, like [\"server-1\"], because this process is none".to_owned();
        return if is_manager { Ok(vec![own.clone()]) } else { Err(("managers", missing)) };
    }
    let parse = |text: &String| {
        host_and_port(text)
            .ok_or_else(|| ("managers", format!("'{text}' is no host, like \"server-1\" or \"server-1:{DEFAULT_PORT}\"")))
    };
    managers.iter().map(parse).collect()
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`; the default port if none is given.
fn host_and_port(text: &str) -> Option<Address> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return (address.port() != 0).then(|| Address(address.to_string()));
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => (host, port.parse().ok()?),
        _ => (text, DEFAULT_PORT),
    };
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let valid = match bare {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')),
    };
    (valid && port != 0).then(|| Address(format!("{host}:{port}")))
}

fn check_stores(config: &Config) -> Result<(), Complaint> {
    let stores = [
        (Role::VersionManager, "manager_store", &config.manager_store),
        (Role::Metadata, "metadata_store", &config.metadata_store),
        (Role::Data, "data_store", &config.data_store),
    ];
    let used: Vec<_> = stores.iter().filter(|(role, ..)| config.has(*role)).collect();
    for (place, (_, key, path)) in used.iter().enumerate() {
        if let Some((_, other, _)) = used[..place].iter().find(|(_, _, earlier)| earlier == path) {
            return Err((key, format!("{} is {other} already; each role needs a folder of its own", path.display())));
        }
    }
    Ok(())
}
