use std::{net::IpAddr, sync::Arc};

use subtle::ConstantTimeEq as _;
use tidegate_core::{
    access::Registration,
    id::{DeviceKey, TenantId},
    time::Timestamp,
};

use super::{
    DeviceWait, gateway::find_gateway_scope, groups::groups, poll_view::poll_view_or_idle,
};
use crate::{
    Engine, Error, Result, chain, fingerprint,
    ports::{Enrolment, LastSeenRecord, PollView, Tenant},
};

/// Maximum token length, in bytes.
const MAX_TOKEN: usize = 128;

/// A credential that a device presents.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeviceCredential<'a> {
    /// The device's own token.
    TargetToken(&'a str),
    /// A gateway's token, valid for all devices of a tenant or of a group.
    GatewayToken(&'a str),
    /// A credential that was verified before and names this device: a client certificate of an authority of this
    /// tenant, or the header of a trusted proxy that verified one.
    Verified,
}

/// An authenticated caller.
#[derive(Debug, Clone)]
pub struct Caller {
    /// The tenant of the device.
    pub tenant: TenantId,
    /// The claimed device id; the device may not exist yet.
    pub device_id: String,
    /// Whether an unknown device is registered.
    pub may_register: bool,
    /// The group and the token that a new device gets at registration.
    pub enrolment: Enrolment,
    /// The client address, if the tenant tracks addresses.
    pub address: Option<IpAddr>,
    /// How long the request may still wait for the database.
    pub wait: DeviceWait,
}

impl Caller {
    pub(super) fn last_seen(&self, device: DeviceKey, at: Timestamp) -> LastSeenRecord {
        LastSeenRecord {
            tenant: self.tenant,
            device,
            at,
            address: self.address,
        }
    }
}

/// Authenticates a caller for this device; the first valid credential decides. `None`: no credential is valid. For a
/// gateway that is restricted to a group, a device outside the group is not found.
pub async fn authenticate(
    engine: &Engine,
    tenant: &Tenant,
    device_id: String,
    credentials: &[DeviceCredential<'_>],
    wait: DeviceWait,
) -> Result<Option<Caller>> {
    let mut grant = engine
        .settings
        .anonymous_devices
        .then(AuthGrant::may_register);
    for credential in credentials {
        if grant.is_none() {
            grant = check_credential(engine, tenant, &device_id, *credential, &wait).await?;
        }
    }
    let is_open = tenant.settings.access.registration == Registration::Open;
    Ok(grant.map(|grant| Caller {
        tenant: tenant.id,
        device_id,
        may_register: grant.may_register && is_open,
        enrolment: grant.enrolment,
        address: None,
        wait,
    }))
}

/// The result of a valid credential.
struct AuthGrant {
    may_register: bool,
    enrolment: Enrolment,
}

impl AuthGrant {
    /// An existing device that was authenticated.
    fn known_device() -> Self {
        Self {
            may_register: false,
            enrolment: Enrolment::default(),
        }
    }

    /// An unknown device whose first token is trusted.
    fn trusted_token(sha256: [u8; 32]) -> Self {
        Self {
            may_register: true,
            enrolment: Enrolment {
                group: None,
                token_sha256: Some(sha256),
            },
        }
    }

    fn may_register() -> Self {
        Self {
            may_register: true,
            enrolment: Enrolment::default(),
        }
    }
}

async fn check_credential(
    engine: &Engine,
    tenant: &Tenant,
    device_id: &str,
    credential: DeviceCredential<'_>,
    wait: &DeviceWait,
) -> Result<Option<AuthGrant>> {
    let access = &tenant.settings.access;
    match credential {
        DeviceCredential::Verified => Ok(Some(AuthGrant::may_register())),
        DeviceCredential::TargetToken(token) | DeviceCredential::GatewayToken(token)
            if token.is_empty() || token.len() > MAX_TOKEN =>
        {
            Ok(None)
        }
        DeviceCredential::TargetToken(_) if !access.target_tokens => Ok(None),
        DeviceCredential::GatewayToken(_) if !access.gateway_tokens => Ok(None),
        DeviceCredential::TargetToken(token) => {
            check_target_token(engine, tenant, device_id, fingerprint(token), wait).await
        }
        DeviceCredential::GatewayToken(token) => {
            check_gateway_token(engine, tenant.id, device_id, fingerprint(token), wait).await
        }
    }
}

async fn check_target_token(
    engine: &Engine,
    tenant: &Tenant,
    device_id: &str,
    presented: [u8; 32],
    wait: &DeviceWait,
) -> Result<Option<AuthGrant>> {
    let access = &tenant.settings.access;
    let known = match poll_view_or_idle(engine, tenant.id, device_id, wait).await {
        // During an outage the token in memory authenticates a device with an open update too: its request is refused, and
        // counts as one of an authenticated device. Another token may be newer than memory.
        Err(error @ Error::Unavailable { .. }) => {
            let known = engine.caches.read_model.last_known(tenant.id, device_id);
            let is_known =
                known.is_some_and(|known| token_matches(known.token_sha256.as_ref(), &presented));
            return is_known
                .then(|| Some(AuthGrant::known_device()))
                .ok_or(error);
        }
        known => known?,
    };
    let Some(known) = known else {
        let trusts_first_token =
            access.trust_on_first_use && access.registration == Registration::Open;
        return Ok(trusts_first_token.then(|| AuthGrant::trusted_token(presented)));
    };
    let tenant = tenant.id;
    let is_current = token_matches(known.token_sha256.as_ref(), &presented);
    let old = known.old_token.as_deref();
    let is_old = token_matches(old.map(|old| &old.sha256), &presented);
    if is_current && old.is_some() {
        delete_old_token(engine, tenant, device_id, known.device, presented, wait).await;
    }
    let now = engine.now();
    let is_good = is_current || (is_old && old.is_some_and(|old| now < old.until));
    Ok(is_good.then(AuthGrant::known_device))
}

/// Compares in constant time.
fn token_matches(known: Option<&[u8; 32]>, presented: &[u8; 32]) -> bool {
    known.is_some_and(|known| known.ct_eq(presented).into())
}

/// The new token was used, so the previous one is deleted. If that fails, the next poll retries it.
async fn delete_old_token(
    engine: &Engine,
    tenant: TenantId,
    device_id: &str,
    device: DeviceKey,
    current: [u8; 32],
    wait: &DeviceWait,
) {
    let forgotten = engine.store().delete_old_token(tenant, device, current);
    if let Err(error) = wait.bound(forgotten).await {
        tracing::warn!(
            error = %chain(&error),
            %tenant,
            device_id,
            "previous token not deleted, retrying at the next poll"
        );
    }
    engine.caches.read_model.invalidate(tenant, device_id);
}

async fn check_gateway_token(
    engine: &Engine,
    tenant: TenantId,
    device_id: &str,
    presented: [u8; 32],
    wait: &DeviceWait,
) -> Result<Option<AuthGrant>> {
    let (store, caches) = (engine.store(), &engine.caches);
    let Some(scope) =
        find_gateway_scope(store, caches, tenant, &presented, engine.now(), wait).await?
    else {
        return Ok(None);
    };
    if let Some(group) = &scope.group
        && let Some(groups) = groups(store, caches, tenant, device_id, wait).await?
    {
        return if contains_group(&groups, group) {
            Ok(Some(AuthGrant::known_device()))
        } else {
            Err(Error::not_found("device", device_id))
        };
    }
    let enrolment = Enrolment {
        group: scope.group,
        token_sha256: None,
    };
    Ok(Some(AuthGrant {
        may_register: true,
        enrolment,
    }))
}

fn contains_group(groups: &Arc<[String]>, group: &str) -> bool {
    groups.iter().any(|known| known == group)
}

/// Rejects a caller whose device was registered concurrently with another token or in another group.
pub(super) async fn check_enrolment(
    engine: &Engine,
    caller: &Caller,
    registered: &PollView,
) -> Result<()> {
    let Enrolment {
        group,
        token_sha256,
    } = &caller.enrolment;
    if let Some(presented) = token_sha256
        && !token_matches(registered.token_sha256.as_ref(), presented)
    {
        return Err(Error::Forbidden {
            code: "another_token",
            message: "the device is registered with another token".to_owned(),
        });
    }
    if let Some(group) = group {
        let groups = groups(
            engine.store(),
            &engine.caches,
            caller.tenant,
            &caller.device_id,
            &caller.wait,
        )
        .await?;
        if !groups.is_some_and(|groups| contains_group(&groups, group)) {
            return Err(Error::not_found("device", &caller.device_id));
        }
    }
    Ok(())
}
