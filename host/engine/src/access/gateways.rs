use tidegate_core::{id::GatewayId, plugin::FieldError};

use super::{check_count, validate_name};
use crate::{
    Admin, Authorized, Caches, Error, Result, fingerprint,
    ports::{Entropy, Gateway, GatewayUse, NewGateway, Store, StoreError},
    rules::Rules,
    secret::{check_token, chosen_or_new},
};

/// A new gateway and its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedGateway {
    /// The gateway.
    pub gateway: Gateway,
    /// Its token. Returned once: only its hash is stored.
    pub token: String,
}

/// A gateway to be created, as requested.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GatewayRequest {
    /// Display name, unique within the tenant.
    pub name: String,
    /// The group whose devices it may authenticate as; `None`: all devices of the tenant.
    pub group: Option<String>,
    /// Its token; `None`: a new one.
    pub token: Option<String>,
}

impl GatewayRequest {
    /// The invalid fields.
    pub fn validate(&self) -> Vec<FieldError> {
        let mut rules = Rules::from_iter(validate_name(&self.name));
        let fits = |group: &String| (1..=100).contains(&group.chars().count());
        let message = "must have 1 to 100 characters";
        rules.require(self.group.as_ref().is_none_or(fits), "group", message);
        if let Some(token) = &self.token {
            check_token(&mut rules, token);
        }
        rules.into_errors()
    }
}

/// Creates a gateway. It authenticates as every device of the tenant, or only as the devices of a group.
pub async fn create_gateway(
    ctx: &Authorized<Admin>,
    store: &dyn Store,
    caches: &Caches,
    entropy: &dyn Entropy,
    request: GatewayRequest,
) -> Result<CreatedGateway> {
    Rules::from_iter(request.validate()).accept("invalid_gateway")?;
    let others = store.gateways(ctx.tenant).await?;
    check_count("too_many_gateways", others.len())?;
    let GatewayRequest { name, group, token } = request;
    let token = chosen_or_new(ctx, entropy, token, "tgw_")?;
    let (sha256, created_at) = (fingerprint(&token), ctx.now);
    if others.iter().any(|other| other.sha256 == sha256) {
        let message = "another gateway has this token; choose another one";
        return Err(Error::conflict("gateway_exists", message));
    }
    let new = NewGateway {
        name: name.clone(),
        sha256,
        group: group.clone(),
        created_at,
    };
    let id = match store.create_gateway(ctx, new).await {
        Err(StoreError::Conflict(message)) => {
            return Err(Error::conflict("gateway_exists", message));
        }
        result => result?,
    };
    caches.auth.invalidate_gateways(ctx.tenant);
    let gateway = Gateway {
        id,
        name,
        sha256,
        group: group.map(Into::into),
        created_at,
        last_used: None,
    };
    Ok(CreatedGateway { gateway, token })
}

/// Deletes a gateway. Its token is rejected from now on, on other servers after at most ten seconds.
pub async fn delete_gateway(
    ctx: &Authorized<Admin>,
    store: &dyn Store,
    caches: &Caches,
    id: GatewayId,
) -> Result<()> {
    let deleted = store.delete_gateway(ctx, id).await?;
    caches.auth.invalidate_gateways(ctx.tenant);
    if deleted {
        return Ok(());
    }
    Err(Error::not_found("gateway", id))
}

/// Writes the buffered last-use times of gateways once. Times that cannot be written stay buffered.
pub async fn flush_gateway_uses(store: &dyn Store, caches: &Caches) -> Result<()> {
    let buffer = &caches.auth.gateway_uses;
    let uses = buffer.take();
    let records = uses.iter().map(|&(tenant, gateway, at)| GatewayUse {
        tenant,
        gateway,
        at,
    });
    let written = store.record_gateway_use(records.collect()).await;
    Ok(buffer.restore_unwritten(uses, written)?)
}
