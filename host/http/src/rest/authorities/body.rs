use serde::Serialize;
use tidegate_engine::ports::Authority;
use utoipa::ToSchema;

use crate::rest::response::Time;

/// A certificate authority that devices are authenticated with.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeviceAuthority)]
pub(super) struct AuthorityBody {
    authority_id: i64,
    name: String,
    /// The subject of its certificate.
    subject: String,
    /// SHA-256 of its certificate, in hexadecimal digits.
    sha256: String,
    /// When its certificate expires. It authenticates no device from then on.
    expires_at: Time,
    created_at: Time,
}

impl From<Authority> for AuthorityBody {
    fn from(authority: Authority) -> Self {
        Self {
            authority_id: authority.id.0,
            name: authority.name,
            subject: authority.subject,
            sha256: hex::encode(authority.sha256),
            expires_at: authority.expires_at.into(),
            created_at: authority.created_at.into(),
        }
    }
}
