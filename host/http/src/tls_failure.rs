use std::io;

use rustls::Error;
use strum::{IntoStaticStr, VariantArray};

/// Why a TLS handshake failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum TlsFailure {
    /// The client refused the server's certificate, or another of its answers.
    Alert,
    /// The client presented a certificate that cannot be used, or a proof that does not fit it.
    InvalidCertificate,
    /// The client presented no certificate, and needs one.
    NoCertificate,
    /// Client and server have no version or cipher in common.
    Incompatible,
    /// What the client sent is not TLS, or breaks its rules.
    Protocol,
    /// The client closed the connection.
    Disconnected,
    /// The server closed the connection: the client took too long, or others needed the room.
    TimedOut,
    Other,
}

impl TlsFailure {
    /// The failure of a handshake; none if it succeeded. The result is none if the server closed the connection.
    pub(crate) fn of<T>(result: Option<&io::Result<T>>) -> Option<Self> {
        let error = match result {
            None => return Some(Self::TimedOut),
            Some(Ok(_)) => return None,
            Some(Err(error)) => error,
        };
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
        Some(cause.map_or(Self::Disconnected, Self::of_error))
    }

    fn of_error(error: &Error) -> Self {
        match error {
            Error::AlertReceived(_) => Self::Alert,
            Error::InvalidCertificate(_) | Error::General(_) => Self::InvalidCertificate,
            Error::NoCertificatesPresented => Self::NoCertificate,
            Error::PeerIncompatible(_) | Error::NoApplicationProtocol => Self::Incompatible,
            Error::InvalidMessage(_)
            | Error::InappropriateMessage { .. }
            | Error::InappropriateHandshakeMessage { .. }
            | Error::PeerMisbehaved(_)
            | Error::DecryptError
            | Error::PeerSentOversizedRecord => Self::Protocol,
            _ => Self::Other,
        }
    }
}
