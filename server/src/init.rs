//! `weftd init` and `weftd certificate`: the files that a cluster begins with.

use crate::cli::{CertificateArgs, CertificateKind, InitArgs};
use crate::config::{Config, ConfigError, example};
use std::io::Write;
use std::path::{Path, PathBuf};
use weft_common::id::ClusterId;
use weft_common::transport::{ClusterAuthority, Holder, IdentityError, create_cluster_files, random_cluster_id};

/// What could not be made.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// Something is there already.
    #[error(
        "{path} exists already and nothing is overwritten; name another folder, or remove it if that cluster is to be forgotten"
    )]
    Exists {
        /// The file or folder.
        path: PathBuf,
    },
    /// A file could not be written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The arguments make no valid configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Certificates.
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// A cluster that was made.
#[derive(Debug)]
pub struct NewCluster {
    /// Its id.
    pub cluster: ClusterId,
    /// Its first server's configuration.
    pub config: PathBuf,
    /// Its certificates.
    pub identity: PathBuf,
}

/// Makes `DIR/identity` and `DIR/weftd.toml`.
///
/// # Errors
/// [`InitError`]; when one of the two is there already, before anything was made.
pub fn init(args: &InitArgs) -> Result<NewCluster, InitError> {
    let config = args.dir.join("weftd.toml");
    let identity = args.dir.join("identity");
    for path in [&config, &identity] {
        if path.symlink_metadata().is_ok() {
            return Err(InitError::Exists { path: path.clone() });
        }
    }
    let listen = args.listen.to_string();
    let advertise = match &args.advertise {
        Some(advertise) => advertise.clone(),
        None if args.listen.ip().is_unspecified() => format!("{}:{}", host_name(), args.listen.port()),
        None => listen.clone(),
    };
    let text = example(&listen, &advertise);
    Config::parse(&text, &config)?;
    std::fs::create_dir_all(&args.dir).map_err(|source| InitError::Io { path: args.dir.clone(), source })?;
    let cluster = random_cluster_id()?;
    create_cluster_files(&identity, cluster)?;
    write_new(&config, &text)?;
    Ok(NewCluster { cluster, config, identity })
}

/// Issues a certificate. Returns the folder's files that were made.
///
/// # Errors
/// [`InitError`].
pub fn certificate(args: &CertificateArgs) -> Result<(), InitError> {
    let authority = ClusterAuthority::load(&args.authority)?;
    let holder = match args.kind {
        CertificateKind::Server => Holder::Server,
        CertificateKind::Client => Holder::Client,
    };
    authority.write_identity(&args.out, holder, &args.name)?;
    Ok(())
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "localhost".to_owned() } else { name.to_owned() }
}

fn write_new(path: &Path, text: &str) -> Result<(), InitError> {
    let failed = |source| InitError::Io { path: path.to_owned(), source };
    let mut file = std::fs::File::create_new(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use weft_common::transport::Identity;

    fn args(dir: &Path, listen: &str) -> InitArgs {
        InitArgs { dir: dir.to_owned(), listen: listen.parse().unwrap(), advertise: None }
    }

    #[test]
    fn what_init_makes_is_a_cluster_that_can_start() {
        let folder = tempfile::tempdir().unwrap();
        let made = init(&args(&folder.path().join("new"), "127.0.0.1:9")).unwrap();
        let config = Config::load(&made.config).unwrap();
        assert_eq!(config.advertise.0, "127.0.0.1:9");
        for holder in [Holder::Server, Holder::Client] {
            assert_eq!(Identity::load(&config.identity, holder).unwrap().cluster(), made.cluster);
        }
    }

    #[test]
    fn a_server_for_all_addresses_advertises_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let made = init(&args(folder.path(), "0.0.0.0:9")).unwrap();
        assert_eq!(Config::load(&made.config).unwrap().advertise.0, format!("{}:9", host_name()));
    }

    #[test]
    fn init_overwrites_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let made = init(&args(folder.path(), "127.0.0.1:9")).unwrap();
        let authority = std::fs::read(made.identity.join("ca.pem")).unwrap();
        let again = init(&args(folder.path(), "127.0.0.1:9"));
        assert!(matches!(&again, Err(InitError::Exists { path }) if path.ends_with("weftd.toml")), "{again:?}");
        std::fs::remove_file(&made.config).unwrap();
        let again = init(&args(folder.path(), "127.0.0.1:9"));
        assert!(matches!(&again, Err(InitError::Exists { path }) if path.ends_with("identity")), "{again:?}");
        assert!(!made.config.exists(), "nothing is made when something is in the way");
        assert_eq!(std::fs::read(made.identity.join("ca.pem")).unwrap(), authority);
    }

    #[test]
    fn a_further_certificate_is_of_the_same_cluster() {
        let folder = tempfile::tempdir().unwrap();
        let made = init(&args(folder.path(), "127.0.0.1:9")).unwrap();
        let out = folder.path().join("desk-7");
        let args =
            CertificateArgs { authority: made.identity, out: out.clone(), kind: CertificateKind::Client, name: "desk-7".into() };
        certificate(&args).unwrap();
        let identity = Identity::load(&out, Holder::Client).unwrap();
        assert_eq!((identity.cluster(), identity.name()), (made.cluster, "desk-7"));
        assert!(matches!(certificate(&args), Err(InitError::Identity(IdentityError::Exists { .. }))));
        assert!(!out.join("ca.key").exists());
    }
}
