use tidegate_core::{id::GatewayId, plugin::FieldError};

use super::{check_count, validate_name};
use crate::{
    Admin, Authorized, Caches, Error, Result, fingerprint,
    ports::{Entropy, Gateway, NewGateway, Store, StoreError},
    rules::Rules,
    secret::generate_secret,
};

/// A new gateway and its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedGateway {
    /// The gateway.
    pub gateway: Gateway,
    /// Its token. Returned once: only its hash is stored.
    pub token: String,
}

/// Creates a gateway. It authenticates as every device of the tenant, or only as the devices of a group.
pub async fn create_gateway(
    ctx: &Authorized<Admin>,
    store: &dyn Store,
    caches: &Caches,
    entropy: &dyn Entropy,
    name: &str,
    group: Option<&str>,
) -> Result<CreatedGateway> {
    Rules::from_iter(validate_gateway(name, group)).accept("invalid_gateway")?;
    check_count("too_many_gateways", store.gateways(ctx.tenant).await?.len())?;
    let token = generate_secret(entropy, "tgw_");
    let (sha256, created_at) = (fingerprint(&token), ctx.now);
    let new = NewGateway {
        name: name.to_owned(),
        sha256,
        group: group.map(str::to_owned),
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
        name: name.to_owned(),
        sha256,
        group: group.map(Into::into),
        created_at,
        last_used: None,
    };
    Ok(CreatedGateway { gateway, token })
}

/// The invalid fields of a gateway to be created.
pub fn validate_gateway(name: &str, group: Option<&str>) -> Vec<FieldError> {
    let mut rules = Rules::from_iter(validate_name(name));
    let fits = group.is_none_or(|group| (1..=100).contains(&group.chars().count()));
    rules.require(fits, "group", "must have 1 to 100 characters");
    rules.into_errors()
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
pub async fn flush_gateways_used(store: &dyn Store, caches: &Caches) -> Result<()> {
    let used = caches.auth.take_uses();
    if let Err(error) = store.record_gateway_use(used.clone()).await {
        for used in used {
            caches.auth.record_use(used);
        }
        return Err(error.into());
    }
    Ok(())
}
