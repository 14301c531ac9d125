//! What QUIC and TLS say, in the words of [`RpcError`].

use crate::limits::CONNECT_TIMEOUT;
use crate::rpc::{Address, RpcError};
use quinn::{ConnectionError, VarInt};
use std::net::SocketAddr;

/// Application error codes of streams and connections; part of the protocol.
pub(super) mod code {
    use quinn::VarInt;
    /// The side that closes is done: a client that ends, a server that stops.
    pub(in super::super) const DONE: VarInt = VarInt::from_u32(0);
    /// What came is no message.
    pub(in super::super) const MALFORMED: VarInt = VarInt::from_u32(1);
    /// The asker does not wait any longer.
    pub(in super::super) const CANCELLED: VarInt = VarInt::from_u32(2);
    /// The server failed before it had an answer.
    pub(in super::super) const FAILED: VarInt = VarInt::from_u32(3);
    /// The certificate is of the right cluster but says nothing that the server understands.
    pub(in super::super) const UNTRUSTED: VarInt = VarInt::from_u32(4);
}

/// An endpoint that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The socket.
    #[error("cannot listen on {address}: {source}; is another weftd running there?")]
    Bind {
        /// Where.
        address: SocketAddr,
        /// What the system said.
        source: std::io::Error,
    },
    /// The certificate or its key.
    #[error("the identity cannot be used: {0}")]
    Identity(String),
    /// A setting that QUIC refuses.
    #[error("QUIC setting refused: {0}")]
    Setting(String),
}

/// TLS alerts travel as QUIC error codes from here to 255 above.
const CRYPTO_ERRORS: u64 = 0x100;
const CONNECTION_REFUSED: u64 = 0x2;

/// Why a connection to `address` ended or never began.
pub(super) fn lost(address: &Address, error: &ConnectionError) -> RpcError {
    let unreachable = |reason: String| RpcError::Unreachable { address: address.clone(), reason };
    match error {
        ConnectionError::TransportError(error) => match alert(error.code.into()) {
            Some(_) => untrusted(address, format!("its certificate is refused here ({})", error.reason)),
            None => unreachable(error.to_string()),
        },
        ConnectionError::ConnectionClosed(close) => match alert(close.error_code.into()) {
            Some(alert) => untrusted(address, alert_text(alert)),
            None if u64::from(close.error_code) == CONNECTION_REFUSED => unreachable("it takes no more connections".into()),
            None => unreachable(close.to_string()),
        },
        ConnectionError::ApplicationClosed(close) => {
            let reason = String::from_utf8_lossy(&close.reason).into_owned();
            match close.error_code {
                code::UNTRUSTED => untrusted(address, reason),
                code::MALFORMED => RpcError::Malformed { address: address.clone(), reason },
                _ => unreachable(format!("it closed the connection: {reason}")),
            }
        }
        ConnectionError::VersionMismatch => {
            RpcError::Malformed { address: address.clone(), reason: "it speaks another version of QUIC".into() }
        }
        ConnectionError::Reset => unreachable("it was restarted".into()),
        ConnectionError::TimedOut => unreachable("it went silent".into()),
        ConnectionError::LocallyClosed => unreachable("the connection was closed here".into()),
        ConnectionError::CidsExhausted => unreachable("out of connection ids".into()),
    }
}

/// A server that did not answer the first packets.
pub(super) fn silent(address: &Address) -> RpcError {
    RpcError::Unreachable { address: address.clone(), reason: format!("no answer within {CONNECT_TIMEOUT:?}") }
}

/// What a reset of a stream by the server means.
pub(super) fn reset(address: &Address, code: VarInt) -> RpcError {
    match code {
        code::MALFORMED => RpcError::Malformed { address: address.clone(), reason: "it could not read the request".to_owned() },
        other => RpcError::Unreachable {
            address: address.clone(),
            reason: format!("it gave the request up (code {other}); its log says why"),
        },
    }
}

fn untrusted(address: &Address, reason: String) -> RpcError {
    RpcError::Untrusted { address: address.clone(), reason }
}

fn alert(code: u64) -> Option<u8> {
    code.checked_sub(CRYPTO_ERRORS).and_then(|alert| u8::try_from(alert).ok())
}

/// TLS alerts (RFC 8446, section 6) that a wrong set-up leads to.
fn alert_text(alert: u8) -> String {
    match alert {
        42 | 46 => "it refuses the certificate".into(),
        43 => "it does not support the certificate".into(),
        45 => "it says the certificate has expired; check the clocks of both machines".into(),
        48 | 51 => "it does not know the authority that signed the certificate: that is another cluster's".into(),
        116 => "it asks for a certificate".into(),
        120 => format!(
            "it does not speak {}; run the same version of WeftFS on both",
            String::from_utf8_lossy(crate::wire::PROTOCOL)
        ),
        other => format!("TLS alert {other}"),
    }
}
