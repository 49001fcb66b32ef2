//! Credentials of devices, as operators manage them: gateways, certificate authorities and device tokens.
//! [`crate::devices`] authenticates with them.

mod authorities;
mod device_token;
mod gateways;

pub use authorities::{create_authority, delete_authority};
pub use device_token::{
    DEFAULT_OLD_TOKEN_LIFETIME, NewToken, replace_token, revoke_token, validate_token,
};
pub use gateways::{
    CreatedGateway, GatewayRequest, create_gateway, delete_gateway, flush_gateway_uses,
};

use tidegate_core::plugin::FieldError;

use crate::{
    Ctx, Error, Result,
    ports::{Authority, Gateway, Store},
};

/// Maximum number of gateways, and of authorities, per tenant. Each presented token is compared with all of them.
const MAX_PER_TENANT: usize = 1000;

/// A tenant's gateways, ordered by name.
pub async fn gateways(ctx: &Ctx, store: &dyn Store) -> Result<Vec<Gateway>> {
    Ok(store.gateways(ctx.tenant).await?)
}

/// A tenant's authorities, ordered by name.
pub async fn authorities(ctx: &Ctx, store: &dyn Store) -> Result<Vec<Authority>> {
    Ok(store.authorities(ctx.tenant).await?)
}

/// The error if a name of a gateway or an authority is invalid.
pub fn validate_name(name: &str) -> Option<FieldError> {
    let is_plain = !name.chars().any(char::is_control);
    let fits = is_plain && (1..=200).contains(&name.chars().count());
    (!fits).then(|| FieldError {
        path: "name".to_owned(),
        message: "must have 1 to 200 characters, none of them a control character".to_owned(),
    })
}

fn check_count(code: &'static str, count: usize) -> Result<()> {
    if count < MAX_PER_TENANT {
        return Ok(());
    }
    let message = format!("the limit of {MAX_PER_TENANT} is reached; delete one first");
    Err(Error::conflict(code, message))
}
