//! The cluster's own certificate authority: whoever has a certificate signed by it belongs to the cluster.

use super::certificate::{CertificateFacts, authority_name, proof_name};
use super::identity::{Holder, Identity, IdentityError, read, read_certificate};
use crate::id::ClusterId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::fmt;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;
use std::time::{Duration, SystemTime};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// The authority outlives every certificate that it signs.
const AUTHORITY_VALIDITY: Duration = Duration::from_secs(10 * 365 * DAY.as_secs());
const CERTIFICATE_VALIDITY: Duration = Duration::from_secs(2 * 365 * DAY.as_secs());
/// Certificates begin a little in the past, for clocks that are behind.
const CLOCK_SLACK: Duration = DAY;

/// Signs the certificates of one cluster. Holds the cluster's most secret key: `Debug` does not print it.
pub struct ClusterAuthority {
    cluster: ClusterId,
    certificate: CertificateDer<'static>,
    certificate_pem: String,
    key_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl fmt::Debug for ClusterAuthority {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClusterAuthority").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// An id that no other cluster has.
///
/// # Errors
/// [`IdentityError::Signing`] when the system gives no random numbers.
pub fn random_cluster_id() -> Result<ClusterId, IdentityError> {
    let mut bytes = [0u8; 16];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| IdentityError::Signing("the system gives no random numbers".into()))?;
    Ok(ClusterId(u128::from_le_bytes(bytes)))
}

/// Makes a new cluster's whole identity folder: authority, a server's and a client's certificate.
///
/// # Errors
/// [`IdentityError::Exists`] when any of the files is there already.
pub fn create_cluster_files(folder: &Path, cluster: ClusterId) -> Result<ClusterAuthority, IdentityError> {
    let authority = ClusterAuthority::create(cluster)?;
    authority.save(folder)?;
    authority.write_identity(folder, Holder::Server, "server")?;
    authority.write_identity(folder, Holder::Client, "client")?;
    Ok(authority)
}

impl ClusterAuthority {
    /// A new authority with a key of its own, valid for ten years.
    ///
    /// # Errors
    /// [`IdentityError::Signing`].
    pub fn create(cluster: ClusterId) -> Result<Self, IdentityError> {
        Self::with_key(cluster, KeyPair::generate().map_err(signing)?)
    }

    /// A new authority with this key.
    pub(super) fn with_key(cluster: ClusterId, key: KeyPair) -> Result<Self, IdentityError> {
        let parameters = authority_parameters(cluster);
        let certificate = parameters.self_signed(&key).map_err(signing)?;
        Ok(Self {
            cluster,
            certificate_pem: certificate.pem(),
            certificate: certificate.into(),
            key_pem: key.serialize_pem(),
            issuer: Issuer::new(parameters, key),
        })
    }

    /// Reads `ca.pem` and `ca.key` of `folder`.
    ///
    /// # Errors
    /// [`IdentityError`] names the file and the remedy.
    pub fn load(folder: &Path) -> Result<Self, IdentityError> {
        let path = folder.join("ca.pem");
        let key_path = folder.join("ca.key");
        let certificate = read_certificate(&path)?;
        let malformed = |path: &Path, reason: String| IdentityError::Malformed { path: path.to_owned(), reason };
        let facts = CertificateFacts::read(&certificate).map_err(|reason| malformed(&path, reason))?;
        let text = |path: &Path| String::from_utf8(read(path)?).map_err(|_| malformed(path, "not a text file".into()));
        let key_pem = text(&key_path)?;
        let key = KeyPair::from_pem(&key_pem).map_err(|error| malformed(&key_path, format!("no private key: {error}")))?;
        let certificate_pem = text(&path)?;
        let issuer = Issuer::new(authority_parameters(facts.cluster), key);
        Ok(Self { cluster: facts.cluster, certificate, certificate_pem, key_pem, issuer })
    }

    /// Writes `ca.pem` and `ca.key` (readable by the owner only), making the folder if needed.
    ///
    /// # Errors
    /// [`IdentityError::Exists`] rather than overwriting.
    pub fn save(&self, folder: &Path) -> Result<(), IdentityError> {
        make_folder(folder)?;
        write_new(&folder.join("ca.key"), 0o600, &self.key_pem)?;
        write_new(&folder.join("ca.pem"), 0o644, &self.certificate_pem)
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// A new certificate and key for a `holder` called `name`, valid for two years, in memory.
    ///
    /// # Errors
    /// [`IdentityError::Signing`].
    pub fn issue(&self, holder: Holder, name: &str) -> Result<Identity, IdentityError> {
        let (certificate, key) = self.sign(holder, name, SystemTime::now() + CERTIFICATE_VALIDITY)?;
        self.identity(holder, certificate.into(), &key)
    }

    /// A new certificate and key in `folder`, the key readable by its owner only, beside the authority's certificate.
    ///
    /// # Errors
    /// [`IdentityError::Exists`] rather than overwriting.
    pub fn write_identity(&self, folder: &Path, holder: Holder, name: &str) -> Result<(), IdentityError> {
        let (certificate, key) = self.sign(holder, name, SystemTime::now() + CERTIFICATE_VALIDITY)?;
        make_folder(folder)?;
        let authority = folder.join("ca.pem");
        match std::fs::read(&authority) {
            Ok(known) if known == self.certificate_pem.as_bytes() => {}
            _ => write_new(&authority, 0o644, &self.certificate_pem)?,
        }
        write_new(&holder.key_file(folder), 0o600, &key.serialize_pem())?;
        write_new(&holder.certificate_file(folder), 0o644, &certificate.pem())
    }

    pub(super) fn sign(
        &self,
        holder: Holder,
        name: &str,
        expires: SystemTime,
    ) -> Result<(rcgen::Certificate, KeyPair), IdentityError> {
        let key = KeyPair::generate().map_err(signing)?;
        Ok((self.sign_key(&key, holder, name, expires)?, key))
    }

    /// A certificate for the holder of `key`.
    pub(super) fn sign_key(
        &self,
        key: &KeyPair,
        holder: Holder,
        name: &str,
        expires: SystemTime,
    ) -> Result<rcgen::Certificate, IdentityError> {
        let mut parameters = CertificateParams::new(vec![proof_name(holder, self.cluster)]).map_err(signing)?;
        parameters.distinguished_name = common_name(name);
        parameters.not_before = (SystemTime::now() - CLOCK_SLACK).into();
        parameters.not_after = expires.into();
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.use_authority_key_identifier_extension = true;
        parameters.extended_key_usages = match holder {
            Holder::Server => vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth],
            Holder::Client => vec![ExtendedKeyUsagePurpose::ClientAuth],
        };
        parameters.signed_by(key, &self.issuer).map_err(signing)
    }

    pub(super) fn identity(
        &self,
        holder: Holder,
        certificate: CertificateDer<'static>,
        key: &KeyPair,
    ) -> Result<Identity, IdentityError> {
        let facts = CertificateFacts::read(&certificate).map_err(IdentityError::Signing)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        Ok(Identity { facts, holder, certificate, key, authority: self.certificate.clone() })
    }
}

fn authority_parameters(cluster: ClusterId) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name = common_name(&authority_name(cluster));
    parameters.not_before = (SystemTime::now() - CLOCK_SLACK).into();
    parameters.not_after = (SystemTime::now() + AUTHORITY_VALIDITY).into();
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

pub(super) fn signing(error: rcgen::Error) -> IdentityError {
    IdentityError::Signing(error.to_string())
}

fn make_folder(folder: &Path) -> Result<(), IdentityError> {
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
    made.map_err(|source| IdentityError::Io { path: folder.to_owned(), source })
}

fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), IdentityError> {
    let failed = |source: std::io::Error| match source.kind() {
        std::io::ErrorKind::AlreadyExists => IdentityError::Exists { path: path.to_owned() },
        _ => IdentityError::Io { path: path.to_owned(), source },
    };
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}
