use async_trait::async_trait;
use tidegate_core::{id::TenantId, settings::TenantSettings, time::Timestamp};

use super::StoreError;

/// Tenants and who may act for them.
#[async_trait]
pub trait Tenants: Send + Sync {
    /// Makes a tenant; its name is upper case.
    async fn create_tenant(&self, name: &str, now: Timestamp) -> Result<Tenant, StoreError>;

    /// The tenant of this upper-case name.
    async fn tenant(&self, name: &str) -> Result<Option<Tenant>, StoreError>;

    /// All tenants, ordered by id.
    async fn tenants(&self) -> Result<Vec<Tenant>, StoreError>;

    /// The tenant of this id.
    async fn tenant_by_id(&self, id: TenantId) -> Result<Option<Tenant>, StoreError>;

    /// Changes a tenant's settings, and lets every host know, if they are still at this revision, which moves on. False:
    /// they are not, and nothing was changed.
    async fn change_settings(
        &self,
        tenant: TenantId,
        revision: i64,
        settings: &TenantSettings,
    ) -> Result<bool, StoreError>;

    /// Stores an API key by its sha256.
    async fn create_key(&self, key: ApiKeyRecord) -> Result<(), StoreError>;

    /// The key of this sha256, expired or not.
    async fn key(&self, sha256: [u8; 32]) -> Result<Option<ApiKey>, StoreError>;

    /// The keys of a tenant, expired or not, in the order in which they were made.
    async fn keys(&self, tenant: TenantId) -> Result<Vec<ApiKeyRecord>, StoreError>;

    /// Deletes a tenant's key. False: the tenant has no key of this sha256.
    async fn delete_key(&self, tenant: TenantId, sha256: [u8; 32]) -> Result<bool, StoreError>;

    /// Whether anybody has a key at all.
    async fn has_keys(&self) -> Result<bool, StoreError>;
}

/// Who owns devices, firmware and campaigns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tenant {
    /// Its row.
    pub id: TenantId,
    /// Upper case.
    pub name: String,
    /// What it set for itself.
    pub settings: TenantSettings,
    /// Counts the changes of its settings.
    pub settings_revision: i64,
}

/// A key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKeyRecord {
    /// For whom.
    pub tenant: TenantId,
    /// Who acts with it.
    pub user: String,
    /// What they may do.
    pub role: Role,
    /// Of the key.
    pub sha256: [u8; 32],
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A key that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// For whom.
    pub tenant: Tenant,
    /// Who acts with it.
    pub user: String,
    /// What they may do.
    pub role: Role,
    /// When it stops working.
    pub expires_at: Option<Timestamp>,
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Reads.
    Viewer,
    /// Uploads firmware and plugins.
    Publisher,
    /// Approves what others made.
    Approver,
    /// Makes, starts, pauses, cancels, rolls back.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    const ALL: [Self; 5] = [
        Self::Viewer,
        Self::Publisher,
        Self::Approver,
        Self::Operator,
        Self::Admin,
    ];

    /// Its name in SQL, REST and tokens.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Publisher => "publisher",
            Self::Approver => "approver",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// The role of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.as_str() == text)
    }
}
