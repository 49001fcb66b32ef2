use std::{net::IpAddr, sync::Arc};

use subtle::ConstantTimeEq as _;
use tidegate_core::{
    access::Registration,
    id::{DeviceKey, TenantId},
    time::Timestamp,
};

use super::{gateway::find_gateway_scope, groups::groups, poll_view::poll_view};
use crate::{
    Engine, Error, Result,
    ports::{Enrolment, LastSeenRecord, PollView, Tenant},
    tenants::fingerprint,
};

/// Longest token, in bytes.
const MAX_TOKEN: usize = 128;

/// What a device shows at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential<'a> {
    /// Its own token.
    TargetToken(&'a str),
    /// A gateway's token, which speaks for every device of a tenant, or of a group.
    GatewayToken(&'a str),
    /// Something that names this very device and that was checked before: a certificate of an authority of this tenant,
    /// or the word of a proxy that is trusted with checking one.
    Verified,
}

/// Who was let in as a device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Whose device it is.
    pub tenant: TenantId,
    /// As it calls itself; there may be no such device yet.
    pub device_id: String,
    /// Whether it is registered when it is not known.
    pub may_register: bool,
    /// What it is given when it is registered.
    pub enrolment: Enrolment,
    /// From where it asks, where the tenant wants to know.
    pub address: Option<IpAddr>,
}

impl Caller {
    /// That it was here, as this device.
    pub(super) fn last_seen(&self, device: DeviceKey, at: Timestamp) -> LastSeenRecord {
        LastSeenRecord {
            tenant: self.tenant,
            device,
            at,
            address: self.address,
        }
    }
}

/// Finds out whether whoever asks may speak for this device; the first credential that opens the door is the one that
/// counts. None: no. A gateway's own group is all that there is for it: another device is not there.
pub async fn authenticate(
    engine: &Engine,
    tenant: &Tenant,
    device_id: String,
    credentials: &[Credential<'_>],
) -> Result<Option<Caller>> {
    let mut grant = engine
        .settings
        .anonymous_devices
        .then(AuthGrant::may_register);
    for credential in credentials {
        if grant.is_none() {
            grant = check_credential(engine, tenant, &device_id, *credential).await?;
        }
    }
    let is_open = tenant.settings.access.registration == Registration::Open;
    Ok(grant.map(|grant| Caller {
        tenant: tenant.id,
        device_id,
        may_register: grant.may_register && is_open,
        enrolment: grant.enrolment,
        address: None,
    }))
}

/// As what somebody is let in.
struct AuthGrant {
    may_register: bool,
    enrolment: Enrolment,
}

impl AuthGrant {
    /// A device that is there, and that was looked at.
    fn known_device() -> Self {
        Self {
            may_register: false,
            enrolment: Enrolment::default(),
        }
    }

    /// A device that nobody knows, whose first token is believed.
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
    credential: Credential<'_>,
) -> Result<Option<AuthGrant>> {
    let access = &tenant.settings.access;
    match credential {
        Credential::Verified => Ok(Some(AuthGrant::may_register())),
        Credential::TargetToken(token) | Credential::GatewayToken(token)
            if token.is_empty() || token.len() > MAX_TOKEN =>
        {
            Ok(None)
        }
        Credential::TargetToken(_) if !access.target_tokens => Ok(None),
        Credential::GatewayToken(_) if !access.gateway_tokens => Ok(None),
        Credential::TargetToken(token) => {
            check_target_token(engine, tenant, device_id, fingerprint(token)).await
        }
        Credential::GatewayToken(token) => {
            check_gateway_token(engine, tenant.id, device_id, fingerprint(token)).await
        }
    }
}

async fn check_target_token(
    engine: &Engine,
    tenant: &Tenant,
    device_id: &str,
    presented: [u8; 32],
) -> Result<Option<AuthGrant>> {
    let access = &tenant.settings.access;
    let Some(known) = poll_view(engine, tenant.id, device_id).await? else {
        let trusts_first_token =
            access.trust_on_first_use && access.registration == Registration::Open;
        return Ok(trusts_first_token.then(|| AuthGrant::trusted_token(presented)));
    };
    let tenant = tenant.id;
    let is_current = token_matches(known.token_sha256.as_ref(), &presented);
    let old = known.old_token.as_deref();
    let is_old = token_matches(old.map(|old| &old.sha256), &presented);
    if is_current && old.is_some() {
        delete_old_token(engine, tenant, device_id, known.device, presented).await;
    }
    let now = engine.now();
    let is_good = is_current || (is_old && old.is_some_and(|old| now < old.until));
    Ok(is_good.then(AuthGrant::known_device))
}

/// Compares in constant time.
fn token_matches(known: Option<&[u8; 32]>, presented: &[u8; 32]) -> bool {
    known.is_some_and(|known| known.ct_eq(presented).into())
}

/// The new token was used: the old one has done its work. When that cannot be written now, the next poll sees to it.
async fn delete_old_token(
    engine: &Engine,
    tenant: TenantId,
    device_id: &str,
    device: DeviceKey,
    current: [u8; 32],
) {
    let forgotten = engine.store().delete_old_token(tenant, device, current);
    if let Err(error) = forgotten.await {
        let error = &error as &dyn std::error::Error;
        tracing::warn!(error, device_id, "cannot forget a device's old token yet");
    }
    engine.read_model.invalidate(tenant, device_id);
}

async fn check_gateway_token(
    engine: &Engine,
    tenant: TenantId,
    device_id: &str,
    presented: [u8; 32],
) -> Result<Option<AuthGrant>> {
    let Some(scope) = find_gateway_scope(engine, tenant, &presented).await? else {
        return Ok(None);
    };
    if let Some(group) = &scope.group
        && let Some(groups) = groups(engine, tenant, device_id).await?
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

/// Refuses whoever registered a device a moment after somebody else had, with another token or in another group.
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
            message: "the device is known by another token".to_owned(),
        });
    }
    if let Some(group) = group {
        let groups = groups(engine, caller.tenant, &caller.device_id).await?;
        if !groups.is_some_and(|groups| contains_group(&groups, group)) {
            return Err(Error::not_found("device", &caller.device_id));
        }
    }
    Ok(())
}
