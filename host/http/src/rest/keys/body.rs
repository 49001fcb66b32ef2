use serde::Serialize;
use tidegate_engine::{ports::ApiKeyRecord, tenants};
use utoipa::ToSchema;

use crate::rest::{
    enum_field::{EnumField, RoleField},
    response::Time,
};

/// An API key. The key itself is not stored.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ApiKey)]
pub(super) struct KeyBody {
    /// The first 12 hexadecimal digits of the key's sha256.
    key_id: String,
    /// The user who acts with the key.
    user: String,
    role: RoleField,
    created_at: Time,
    /// Null: it does not expire.
    expires_at: Option<Time>,
    /// Accurate to a few seconds; null: it was never used.
    last_used: Option<Time>,
}

impl From<ApiKeyRecord> for KeyBody {
    fn from(key: ApiKeyRecord) -> Self {
        Self {
            key_id: tenants::key_id(&key.sha256),
            user: key.user,
            role: EnumField(key.role),
            created_at: key.created_at.into(),
            expires_at: key.expires_at.map(Time::from),
            last_used: key.last_used.map(Time::from),
        }
    }
}
