//! Certificates whose keys, signatures and encodings have the same length in every run.
//!
//! rcgen derives a certificate's serial number from its key, and the length of an ECDSA signature follows from chance; so the keys are
//! Ed25519 and fixed. They protect nothing but simulations.

use crate::id::ClusterId;
use crate::transport::identity::{Holder, Identity, IdentityError};
use crate::transport::{ClusterAuthority, authority};
use rcgen::{KeyPair, PKCS_ED25519};
use rustls::pki_types::PrivatePkcs8KeyDer;
use std::time::{Duration, SystemTime};

/// PKCS #8 of an Ed25519 key (RFC 8410), up to the key itself.
const PKCS8_BEGINNING: [u8; 16] =
    [0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04, 0x20];
const CLUSTER: ClusterId = ClusterId(0x51);

fn key(number: u8) -> Result<KeyPair, IdentityError> {
    let der = [PKCS8_BEGINNING.as_slice(), &[number; 32]].concat();
    let der = PrivatePkcs8KeyDer::from(der);
    KeyPair::from_pkcs8_der_and_sign_algo(&der, &PKCS_ED25519).map_err(authority::signing)
}

/// The cluster's authority.
pub(super) fn cluster() -> Result<ClusterAuthority, IdentityError> {
    ClusterAuthority::with_key(CLUSTER, key(1)?)
}

/// A certificate of that authority, with the key of that number.
pub(super) fn issue(authority: &ClusterAuthority, holder: Holder, name: &str, number: u8) -> Result<Identity, IdentityError> {
    let key = key(number)?;
    let expires = SystemTime::now() + Duration::from_secs(24 * 3600);
    let certificate = authority.sign_key(&key, holder, name, expires)?;
    authority.identity(holder, certificate.into(), &key)
}
