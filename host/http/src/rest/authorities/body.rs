use serde::Serialize;
use tidegate_engine::ports::Authority;
use utoipa::ToSchema;

use crate::rest::response::Time;

/// An authority whose certificates devices show.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = DeviceAuthority)]
pub(super) struct AuthorityBody {
    authority_id: i64,
    name: String,
    /// Whom its certificate names.
    subject: String,
    /// Of its certificate, in hexadecimal digits.
    sha256: String,
    /// When its certificate ends; from then on it opens nothing.
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
