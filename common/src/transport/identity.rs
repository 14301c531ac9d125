//! What a process shows to prove who it is: a certificate, its key, and the authority that both sides trust.
//!
//! An identity folder holds `ca.pem` and, for its holder, `server.pem` + `server.key` or `client.pem` + `client.key`.
//! `ca.key` is needed only to sign further certificates and is best kept elsewhere.

use super::certificate::CertificateFacts;
use super::tls;
use crate::id::ClusterId;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
use rustls::{CertificateError, Error as TlsError};
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// A certificate with less time left than this is warned about.
const EXPIRY_WARNING: Duration = Duration::from_secs(30 * 24 * 3600);

/// What a certificate allows its holder to act as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holder {
    /// A `weftd`: answers, and calls other servers with a server's rights.
    Server,
    /// A mount or a tool: calls only.
    Client,
}

impl Holder {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Server => "server",
            Self::Client => "client",
        }
    }

    pub(super) fn certificate_file(self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.pem", self.word()))
    }

    pub(super) fn key_file(self, folder: &Path) -> PathBuf {
        folder.join(format!("{}.key", self.word()))
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.word())
    }
}

/// An identity that cannot be used, or not be made.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The file is not there.
    #[error(
        "{path} is missing; copy it from the identity folder that `weftd init` made for this cluster, or name another folder"
    )]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be read or written.
    #[error("{path}: {source}; check the file's owner and permissions")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is there already.
    #[error("{path} exists already; it is not overwritten, because every peer that trusts it would be locked out")]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file is not what its name says.
    #[error("{path}: {reason}; copy it again from the identity folder that `weftd init` made")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The certificate's time is over, or has not come.
    #[error("{path} is valid no more (or not yet: check this machine's clock); issue a new one with `weftd certificate`")]
    Expired {
        /// The file.
        path: PathBuf,
    },
    /// Somebody else signed the certificate.
    #[error("{path} was not signed by {authority}; the two are of different clusters: copy both from the same `weftd init`")]
    WrongAuthority {
        /// The certificate.
        path: PathBuf,
        /// The authority's certificate.
        authority: PathBuf,
    },
    /// Certificate and key are no pair.
    #[error("{key} is not the key of {path}; copy both from the same `weftd init`")]
    KeyMismatch {
        /// The certificate.
        path: PathBuf,
        /// The key.
        key: PathBuf,
    },
    /// The certificate is for somebody else.
    #[error("{path} is not a {wanted} certificate; a {wanted} needs {wanted}.pem and {wanted}.key")]
    WrongHolder {
        /// The certificate.
        path: PathBuf,
        /// What is needed.
        wanted: Holder,
    },
    /// A certificate could not be made.
    #[error("a certificate could not be made: {0}")]
    Signing(String),
}

/// What a process shows. Holds a private key: `Debug` does not print it.
pub struct Identity {
    pub(super) facts: CertificateFacts,
    pub(super) holder: Holder,
    pub(super) certificate: CertificateDer<'static>,
    pub(super) key: PrivateKeyDer<'static>,
    pub(super) authority: CertificateDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self {
            facts: self.facts.clone(),
            holder: self.holder,
            certificate: self.certificate.clone(),
            key: self.key.clone_key(),
            authority: self.authority.clone(),
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Identity").field("facts", &self.facts).finish_non_exhaustive()
    }
}

impl Identity {
    /// Reads and checks the identity of `holder` in `folder`: signed by `ca.pem`, in its time, key and certificate a pair.
    /// Logs a warning when it ends within 30 days or when others may read the key.
    ///
    /// # Errors
    /// [`IdentityError`] names the file and the remedy.
    pub fn load(folder: &Path, holder: Holder) -> Result<Self, IdentityError> {
        let path = holder.certificate_file(folder);
        let key_path = holder.key_file(folder);
        let authority_path = folder.join("ca.pem");
        let authority = read_certificate(&authority_path)?;
        let certificate = read_certificate(&path)?;
        let key = PrivateKeyDer::from_pem_slice(&read(&key_path)?)
            .map_err(|error| IdentityError::Malformed { path: key_path.clone(), reason: format!("no private key: {error}") })?;
        let facts =
            CertificateFacts::read(&certificate).map_err(|reason| IdentityError::Malformed { path: path.clone(), reason })?;
        if facts.holder != Some(holder) {
            return Err(IdentityError::WrongHolder { path, wanted: holder });
        }
        let identity = Self { facts, holder, certificate, key, authority };
        identity.check().map_err(|error| explain(error, path.clone(), key_path.clone(), authority_path))?;
        identity.warn(&path, &key_path);
        Ok(identity)
    }

    /// The cluster it belongs to.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.facts.cluster
    }

    /// The name in the certificate.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.facts.name
    }

    /// Whether servers and clients would accept it now.
    fn check(&self) -> Result<(), TlsError> {
        let verifier = tls::client_verifier(&self.authority).map_err(TlsError::General)?;
        verifier.verify_client_cert(&self.certificate, &[], UnixTime::now())?;
        tls::certified_key(self).map(|_| ())
    }

    fn warn(&self, path: &Path, key_path: &Path) {
        let left = self.facts.expires.duration_since(SystemTime::now()).unwrap_or_default();
        if left < EXPIRY_WARNING {
            let days = left.as_secs() / (24 * 3600);
            tracing::warn!(file = %path.display(), days, "certificate ends soon; issue a new one with `weftd certificate`");
        }
        use std::os::unix::fs::PermissionsExt;
        if std::fs::metadata(key_path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 != 0) {
            tracing::warn!(file = %key_path.display(), "other users may read this private key; run `chmod 600` on it");
        }
    }
}

fn explain(error: TlsError, path: PathBuf, key: PathBuf, authority: PathBuf) -> IdentityError {
    match error {
        TlsError::InconsistentKeys(_) => IdentityError::KeyMismatch { path, key },
        TlsError::InvalidCertificate(reason) => match reason {
            CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. } => IdentityError::Expired { path },
            CertificateError::UnknownIssuer | CertificateError::BadSignature => IdentityError::WrongAuthority { path, authority },
            other => IdentityError::Malformed { path, reason: other.to_string() },
        },
        other => IdentityError::Malformed { path, reason: other.to_string() },
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    std::fs::read(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => IdentityError::Missing { path: path.to_owned() },
        _ => IdentityError::Io { path: path.to_owned(), source },
    })
}

pub(super) fn read_certificate(path: &Path) -> Result<CertificateDer<'static>, IdentityError> {
    CertificateDer::from_pem_slice(&read(path)?)
        .map_err(|error| IdentityError::Malformed { path: path.to_owned(), reason: format!("no certificate: {error}") })
}
