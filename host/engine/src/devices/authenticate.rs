use std::{sync::Arc, time::Duration};

use subtle::{Choice, ConstantTimeEq as _};
use tidegate_core::id::TenantId;

use super::{doors::Remembered, view::view};
use crate::{Engine, Result, tenants::fingerprint};

/// How long a tenant's gateway tokens are remembered.
const GATEWAYS: Duration = Duration::from_secs(10);
/// How old they may be when a token is not among them: a new one works this soon.
const NEW_GATEWAY: Duration = Duration::from_secs(1);
/// Longest token, in bytes.
const MAX_TOKEN: usize = 128;

/// What a device shows at the door.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credential<'a> {
    /// Nothing that is known here.
    None,
    /// Its own token.
    TargetToken(&'a str),
    /// A gateway's token, which speaks for every device of a tenant.
    GatewayToken(&'a str),
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
}

/// Finds out whether whoever asks may speak for this device. None: no.
pub async fn authenticate(
    engine: &Engine,
    tenant: TenantId,
    device_id: String,
    credential: Credential<'_>,
) -> Result<Option<Caller>> {
    let is_gateway = match credential {
        _ if engine.settings.anonymous_devices => true,
        Credential::GatewayToken(token) => is_gateway(engine, tenant, token).await?,
        _ => false,
    };
    let may_speak = is_gateway
        || match credential {
            Credential::TargetToken(token) => is_device(engine, tenant, &device_id, token).await?,
            _ => false,
        };
    Ok(may_speak.then_some(Caller {
        tenant,
        device_id,
        may_register: is_gateway,
    }))
}

async fn is_device(
    engine: &Engine,
    tenant: TenantId,
    device_id: &str,
    token: &str,
) -> Result<bool> {
    if token.len() > MAX_TOKEN {
        return Ok(false);
    }
    let view = view(engine, tenant, device_id).await?;
    let Some(known) = view.and_then(|view| view.token_sha256) else {
        return Ok(false);
    };
    Ok(known.ct_eq(&fingerprint(token)).into())
}

async fn is_gateway(engine: &Engine, tenant: TenantId, token: &str) -> Result<bool> {
    if token.len() > MAX_TOKEN {
        return Ok(false);
    }
    let shown = fingerprint(token);
    let now = engine.now();
    if let Some(known) = engine.doors.gateways.get(&tenant)
        && known.is_fresh(now, GATEWAYS)
    {
        if is_one_of(&known.said, &shown) {
            return Ok(true);
        }
        if known.is_fresh(now, NEW_GATEWAY) {
            return Ok(false);
        }
    }
    let said: Arc<[[u8; 32]]> = engine.store().gateway_tokens(tenant).await?.into();
    let is_gateway = is_one_of(&said, &shown);
    let remembered = Remembered { said, at: now };
    engine.doors.gateways.insert(tenant, remembered);
    Ok(is_gateway)
}

/// Looks at all of them, so that the time says nothing.
fn is_one_of(known: &[[u8; 32]], shown: &[u8; 32]) -> bool {
    let found = known
        .iter()
        .fold(Choice::from(0), |found, known| found | known.ct_eq(shown));
    found.into()
}
