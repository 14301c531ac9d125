//! TLS settings: version 1.3 only, certificates on both sides, one protocol name, no resumption and no early data.
//!
//! Without tickets every connection proves its certificate anew, so an expired one is refused at the next dial; and nothing
//! can be replayed, because nothing is sent before the handshake is done.

use super::error::TransportError;
use super::identity::Identity;
use crate::wire::PROTOCOL;
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::{self, cipher_suite};
use rustls::pki_types::CertificateDer;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use std::sync::Arc;

/// AES-128 first: the fastest of the three on every machine with AES instructions, and strong enough.
fn provider() -> Arc<CryptoProvider> {
    let mut provider = aws_lc_rs::default_provider();
    provider.cipher_suites = vec![
        cipher_suite::TLS13_AES_128_GCM_SHA256,
        cipher_suite::TLS13_AES_256_GCM_SHA384,
        cipher_suite::TLS13_CHACHA20_POLY1305_SHA256,
    ];
    Arc::new(provider)
}

fn roots(authority: &CertificateDer<'static>) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone()).map_err(|error| error.to_string())?;
    Ok(Arc::new(roots))
}

pub(super) fn client_verifier(authority: &CertificateDer<'static>) -> Result<Arc<dyn ClientCertVerifier>, String> {
    let builder = WebPkiClientVerifier::builder_with_provider(roots(authority)?, provider());
    builder.build().map_err(|error| error.to_string())
}

pub(super) fn certified_key(identity: &Identity) -> Result<CertifiedKey, rustls::Error> {
    CertifiedKey::from_der(vec![identity.certificate.clone()], identity.key.clone_key(), &provider())
}

fn resolver(identity: &Identity) -> Result<Arc<SingleCertAndKey>, TransportError> {
    let key = certified_key(identity).map_err(|error| TransportError::Identity(error.to_string()))?;
    Ok(Arc::new(SingleCertAndKey::from(key)))
}

pub(super) fn server(identity: &Identity) -> Result<QuicServerConfig, TransportError> {
    let builder = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| TransportError::Identity(error.to_string()))?;
    let verifier = client_verifier(&identity.authority).map_err(TransportError::Identity)?;
    let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(resolver(identity)?);
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.max_early_data_size = 0;
    config.send_tls13_tickets = 0;
    QuicServerConfig::try_from(config).map_err(|error| TransportError::Identity(error.to_string()))
}

pub(super) fn client(identity: &Identity) -> Result<QuicClientConfig, TransportError> {
    QuicClientConfig::try_from(client_config(identity)?).map_err(|error| TransportError::Identity(error.to_string()))
}

pub(super) fn client_config(identity: &Identity) -> Result<ClientConfig, TransportError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .map_err(|error| TransportError::Identity(error.to_string()))?;
    let roots = roots(&identity.authority).map_err(TransportError::Identity)?;
    let mut config = builder.with_root_certificates(roots).with_client_cert_resolver(resolver(identity)?);
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    config.enable_early_data = false;
    config.resumption = rustls::client::Resumption::disabled();
    Ok(config)
}
