use std::sync::Arc;

use async_trait::async_trait;
use tidegate_core::{
    id::{AuthorityId, DeviceKey, GatewayId, TenantId},
    time::Timestamp,
};

use super::StoreError;

/// Who may speak for devices.
#[async_trait]
pub trait Access: Send + Sync {
    /// Makes a gateway. A second one of the same name is a conflict.
    async fn create_gateway(
        &self,
        tenant: TenantId,
        gateway: NewGateway,
    ) -> Result<GatewayId, StoreError>;

    /// A tenant's gateways, ordered by name.
    async fn gateways(&self, tenant: TenantId) -> Result<Vec<Gateway>, StoreError>;

    /// Forgets a gateway; answers whether there was one.
    async fn delete_gateway(&self, tenant: TenantId, id: GatewayId) -> Result<bool, StoreError>;

    /// Notes when gateways were last used, many at once.
    async fn record_gateway_use(&self, used: Vec<GatewayUse>) -> Result<(), StoreError>;

    /// Gives a device another token, or none. The one that it has stays good until `old_until`; when it has not used
    /// that yet, the one before it stays instead. Without a time nothing stays. Answers whether there is such a device.
    async fn replace_token(
        &self,
        tenant: TenantId,
        device_id: &str,
        sha256: Option<[u8; 32]>,
        old_until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Forgets a device's old token, if `current` is still the one that came after it.
    async fn delete_old_token(
        &self,
        tenant: TenantId,
        device: DeviceKey,
        current: [u8; 32],
    ) -> Result<(), StoreError>;

    /// The groups of a device, ordered by name; none: there is no such device.
    async fn device_groups(
        &self,
        tenant: TenantId,
        device_id: &str,
    ) -> Result<Option<Vec<String>>, StoreError>;

    /// Makes an authority. A second one of the same name or certificate is a conflict.
    async fn create_authority(
        &self,
        tenant: TenantId,
        authority: NewAuthority,
    ) -> Result<AuthorityId, StoreError>;

    /// A tenant's authorities, ordered by name.
    async fn authorities(&self, tenant: TenantId) -> Result<Vec<Authority>, StoreError>;

    /// Forgets an authority; answers whether there was one.
    async fn delete_authority(&self, tenant: TenantId, id: AuthorityId)
    -> Result<bool, StoreError>;
}

/// What a device is given when it is made because it polled.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Enrolment {
    /// Its group.
    pub group: Option<Arc<str>>,
    /// sha256 of its token.
    pub token_sha256: Option<[u8; 32]>,
}

/// A token that was replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldToken {
    /// Of the token.
    pub sha256: [u8; 32],
    /// When it stops working, if the new one is not used before.
    pub until: Timestamp,
}

/// A gateway to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGateway {
    /// For people, once in each tenant.
    pub name: String,
    /// Of its token.
    pub sha256: [u8; 32],
    /// The group that it speaks for; none: for every device of the tenant.
    pub group: Option<String>,
    /// When.
    pub created_at: Timestamp,
}

/// A gateway.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Its row.
    pub id: GatewayId,
    /// For people.
    pub name: String,
    /// Of its token.
    pub sha256: [u8; 32],
    /// The group that it speaks for; none: for every device of the tenant.
    pub group: Option<Arc<str>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last let in, about.
    pub last_used: Option<Timestamp>,
}

/// A gateway that was used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayUse {
    /// Whose it is.
    pub tenant: TenantId,
    /// Which.
    pub gateway: GatewayId,
    /// When.
    pub at: Timestamp,
}

/// An authority to be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAuthority {
    /// For people, once in each tenant.
    pub name: String,
    /// X.509, DER.
    pub certificate: Vec<u8>,
    /// Of the certificate.
    pub sha256: [u8; 32],
    /// Whom the certificate names, for people.
    pub subject: String,
    /// When the certificate ends.
    pub expires_at: Timestamp,
    /// When.
    pub created_at: Timestamp,
}

/// An authority whose certificates devices show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Its row.
    pub id: AuthorityId,
    /// For people.
    pub name: String,
    /// X.509, DER.
    pub certificate: Vec<u8>,
    /// Of the certificate.
    pub sha256: [u8; 32],
    /// Whom the certificate names, for people.
    pub subject: String,
    /// When the certificate ends.
    pub expires_at: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
}
