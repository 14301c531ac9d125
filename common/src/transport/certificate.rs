//! What a certificate of a WeftFS cluster says: which cluster, who, and whether as a server.
//!
//! Role and cluster are in one DNS name of the certificate (`server.<cluster>.weft.internal` or `client.…`), not in host
//! names: a server may move to another address without a new certificate, and rustls itself checks the name when a client
//! dials. The subject's common name is for people: it names the peer in logs.

use super::identity::Holder;
use crate::id::ClusterId;
use std::time::{Duration, SystemTime};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// The end of every name that WeftFS certificates carry; `.internal` is reserved for private use.
const SUFFIX: &str = "weft.internal";

/// What a certificate says. Only the certificate's form was checked here; who signed it is rustls's business.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// The cluster it is for.
    pub cluster: ClusterId,
    /// What its holder may act as; `None` for the authority itself.
    pub holder: Option<Holder>,
    /// Its holder's name.
    pub name: String,
    /// When it ends.
    pub expires: SystemTime,
}

/// The DNS name that proves to be `holder` in `cluster`.
pub(super) fn proof_name(holder: Holder, cluster: ClusterId) -> String {
    format!("{}.{cluster}.{SUFFIX}", holder.word())
}

/// The authority's common name.
pub(super) fn authority_name(cluster: ClusterId) -> String {
    format!("WeftFS cluster {cluster}")
}

impl CertificateFacts {
    /// Reads a DER certificate.
    ///
    /// # Errors
    /// A sentence that says why it is no certificate of a WeftFS cluster.
    pub fn read(der: &[u8]) -> Result<Self, String> {
        let (rest, certificate) = X509Certificate::from_der(der).map_err(|error| format!("not a certificate: {error}"))?;
        if !rest.is_empty() {
            return Err(format!("{} bytes follow the certificate", rest.len()));
        }
        let name = certificate.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default();
        let seconds = u64::try_from(certificate.validity().not_after.timestamp()).unwrap_or(0);
        let expires = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let (holder, cluster) = if certificate.is_ca() {
            (None, name.strip_prefix("WeftFS cluster ").and_then(|cluster| cluster.parse().ok()))
        } else {
            let names = certificate.subject_alternative_name().map_err(|error| format!("unreadable names: {error}"))?;
            let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
            match names.iter().find_map(read_proof_name) {
                Some((holder, cluster)) => (Some(holder), Some(cluster)),
                None => (None, None),
            }
        };
        let cluster = cluster.ok_or_else(|| format!("'{name}' is not a certificate of a WeftFS cluster"))?;
        Ok(Self { cluster, holder, name: name.to_owned(), expires })
    }
}

fn read_proof_name(name: &GeneralName<'_>) -> Option<(Holder, ClusterId)> {
    let GeneralName::DNSName(name) = name else { return None };
    let (holder, rest) = name.split_once('.')?;
    let (cluster, suffix) = rest.split_once('.')?;
    let holder = [Holder::Server, Holder::Client].into_iter().find(|candidate| candidate.word() == holder)?;
    if suffix == SUFFIX { Some((holder, cluster.parse().ok()?)) } else { None }
}
