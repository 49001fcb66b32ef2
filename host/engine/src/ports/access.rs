use std::sync::Arc;

use async_trait::async_trait;
use tidegate_core::{
    id::{AuthorityId, DeviceKey, GatewayId, TenantId},
    time::Timestamp,
};

use crate::Ctx;

use super::StoreError;

/// Credentials on behalf of devices: gateways, device tokens and device authorities.
#[async_trait]
pub trait Access: Send + Sync {
    /// Creates a gateway. A second one of the same name is a conflict.
    async fn create_gateway(&self, ctx: &Ctx, gateway: NewGateway)
    -> Result<GatewayId, StoreError>;

    /// The tenant's gateways, ordered by name.
    async fn gateways(&self, tenant: TenantId) -> Result<Vec<Gateway>, StoreError>;

    /// Deletes a gateway. False: it does not exist.
    async fn delete_gateway(&self, ctx: &Ctx, id: GatewayId) -> Result<bool, StoreError>;

    /// Stores when gateways were last used, many at a time.
    async fn record_gateway_use(&self, used: Vec<GatewayUse>) -> Result<(), StoreError>;

    /// Replaces a device's token; `None` removes it. The current token stays valid until `old_until`. If the device has
    /// not used the current token yet, the one before it stays valid instead. Without `old_until` no old token stays
    /// valid. False: the device does not exist.
    async fn replace_token(
        &self,
        ctx: &Ctx,
        device_id: &str,
        sha256: Option<[u8; 32]>,
        old_until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Deletes a device's old token if `current` is still the token that replaced it.
    async fn delete_old_token(
        &self,
        tenant: TenantId,
        device: DeviceKey,
        current: [u8; 32],
    ) -> Result<(), StoreError>;

    /// The groups of a device, ordered by name. `None`: the device does not exist.
    async fn device_groups(
        &self,
        tenant: TenantId,
        device_id: &str,
    ) -> Result<Option<Vec<String>>, StoreError>;

    /// Trusts a device authority. A second one of the same name or certificate is a conflict.
    async fn create_authority(
        &self,
        ctx: &Ctx,
        authority: NewAuthority,
    ) -> Result<AuthorityId, StoreError>;

    /// The tenant's device authorities, ordered by name.
    async fn authorities(&self, tenant: TenantId) -> Result<Vec<Authority>, StoreError>;

    /// Deletes an authority. False: it does not exist.
    async fn delete_authority(&self, ctx: &Ctx, id: AuthorityId) -> Result<bool, StoreError>;
}

/// What a device is given when it is registered at its first poll.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Enrolment {
    /// The group that the device joins.
    pub group: Option<Arc<str>>,
    /// sha256 of the device's token.
    pub token_sha256: Option<[u8; 32]>,
}

/// A replaced token that is still valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OldToken {
    /// sha256 of the token.
    pub sha256: [u8; 32],
    /// When the token becomes invalid, unless the new one is used before.
    pub until: Timestamp,
}

/// A gateway to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewGateway {
    /// Display name, unique within the tenant.
    pub name: String,
    /// sha256 of the gateway's token.
    pub sha256: [u8; 32],
    /// The group whose devices the gateway may authenticate as; `None`: all devices of the tenant.
    pub group: Option<String>,
    /// Creation time.
    pub created_at: Timestamp,
}

/// A gateway: authenticates with its own token on behalf of devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gateway {
    /// Row id.
    pub id: GatewayId,
    /// Display name, unique within the tenant.
    pub name: String,
    /// sha256 of the gateway's token.
    pub sha256: [u8; 32],
    /// The group whose devices the gateway may authenticate as; `None`: all devices of the tenant.
    pub group: Option<Arc<str>>,
    /// Creation time.
    pub created_at: Timestamp,
    /// When the gateway last authenticated, approximately.
    pub last_used: Option<Timestamp>,
}

/// The last use of a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GatewayUse {
    /// The tenant that owns the gateway.
    pub tenant: TenantId,
    /// The gateway.
    pub gateway: GatewayId,
    /// Time of use.
    pub at: Timestamp,
}

/// A device authority to be trusted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewAuthority {
    /// Display name, unique within the tenant.
    pub name: String,
    /// X.509 certificate, DER.
    pub certificate: Vec<u8>,
    /// sha256 of the certificate.
    pub sha256: [u8; 32],
    /// Subject of the certificate, for display.
    pub subject: String,
    /// When the certificate expires.
    pub expires_at: Timestamp,
    /// Creation time.
    pub created_at: Timestamp,
}

/// A device authority: a certificate authority whose device certificates the tenant trusts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Authority {
    /// Row id.
    pub id: AuthorityId,
    /// Display name, unique within the tenant.
    pub name: String,
    /// X.509 certificate, DER.
    pub certificate: Vec<u8>,
    /// sha256 of the certificate.
    pub sha256: [u8; 32],
    /// Subject of the certificate, for display.
    pub subject: String,
    /// When the certificate expires.
    pub expires_at: Timestamp,
    /// Creation time.
    pub created_at: Timestamp,
}
