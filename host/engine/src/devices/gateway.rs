use std::{sync::Arc, time::Duration};

use subtle::ConstantTimeEq as _;
use tidegate_core::id::TenantId;

use super::doors::{KnownGateway, Remembered};
use crate::{Engine, Result, ports::GatewayUse};

/// How long a tenant's gateways are remembered.
const REMEMBERED: Duration = Duration::from_secs(10);
/// How old they may be when a token is not among them: a new one works this soon.
const NEW: Duration = Duration::from_secs(1);

/// Whom a gateway speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Scope {
    /// The devices of this group; none: every device of the tenant.
    pub(super) group: Option<Arc<str>>,
}

/// The gateway whose token has this sha256.
pub(super) async fn gateway(
    engine: &Engine,
    tenant: TenantId,
    shown: &[u8; 32],
) -> Result<Option<Scope>> {
    let now = engine.now();
    let mut known = engine.doors.gateways.get(&tenant);
    if known
        .as_ref()
        .is_none_or(|known| !known.is_fresh(now, REMEMBERED))
    {
        known = None;
    }
    if let Some(known) = &known {
        if let Some(found) = among(&known.said, shown) {
            return Ok(Some(used(engine, tenant, found)));
        }
        if known.is_fresh(now, NEW) {
            return Ok(None);
        }
    }
    let gateways = engine.store().gateways(tenant).await?.into_iter();
    let said: Arc<[_]> = gateways.map(KnownGateway::new).collect();
    let found = among(&said, shown).map(|found| used(engine, tenant, found));
    engine
        .doors
        .gateways
        .insert(tenant, Remembered { said, at: now });
    Ok(found)
}

/// Looks at all of them, so that the time says nothing.
fn among<'a>(known: &'a [KnownGateway], shown: &[u8; 32]) -> Option<&'a KnownGateway> {
    known.iter().fold(None, |found, known| {
        let is_it: bool = known.gateway.sha256.ct_eq(shown).into();
        if is_it { Some(known) } else { found }
    })
}

fn used(engine: &Engine, tenant: TenantId, known: &KnownGateway) -> Scope {
    let at = engine.now();
    if known.is_to_be_noted(at) {
        let gateway = known.gateway.id;
        engine.doors.note_used(GatewayUse {
            tenant,
            gateway,
            at,
        });
    }
    Scope {
        group: known.gateway.group.clone(),
    }
}
