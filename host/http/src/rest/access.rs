//! Authentication and roles. The first argument of a handler is an extractor for the role that it requires, so that the
//! rest of the request is read only after the caller is authenticated.

use axum::extract::FromRequestParts;
use http::{HeaderMap, header::AUTHORIZATION, request::Parts};
use tidegate_engine::{
    ports::Role,
    tenants::{self, Actor},
};

use crate::{
    AppState,
    problem::{Problem, Result},
};

macro_rules! role {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        pub(crate) struct $name(pub(crate) Actor);

        impl FromRequestParts<AppState> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
                let actor = match parts.extensions.remove() {
                    Some(AuthenticatedActor(actor)) => actor,
                    None => authenticate_and_limit(parts, state).await?,
                };
                actor.require(Role::$name)?;
                Ok(Self(actor))
            }
        }
    };
}

role!(
    /// Any authenticated caller: may read.
    Viewer
);
role!(
    /// May upload firmware and plugins.
    Publisher
);
role!(
    /// May approve campaigns.
    Approver
);
role!(
    /// May create and control devices, campaigns and updates.
    Operator
);
role!(
    /// May do everything.
    Admin
);

/// The caller of a request that a middleware has already authenticated.
#[derive(Clone)]
struct AuthenticatedActor(Actor);

/// Authenticates a request in a middleware. The handler's extractor reuses the result.
pub(super) async fn pre_authenticate(parts: &mut Parts, state: &AppState) -> Result<Actor> {
    let actor = authenticate_and_limit(parts, state).await?;
    parts.extensions.insert(AuthenticatedActor(actor.clone()));
    Ok(actor)
}

async fn authenticate_and_limit(parts: &Parts, state: &AppState) -> Result<Actor> {
    let actor = authenticate(&parts.headers, state).await?;
    if !state.limits.allow_tenant(actor.tenant, &parts.method) {
        return Err(Problem::rate_limited());
    }
    Ok(actor)
}

async fn authenticate(headers: &HeaderMap, state: &AppState) -> Result<Actor> {
    let actor = match (headers.get("x-api-key"), headers.get(AUTHORIZATION)) {
        (Some(key), _) => match key.to_str() {
            Ok(key) => tenants::authenticate(&state.engine, key).await?,
            Err(_) => None,
        },
        (None, Some(authorization)) => match authorization.to_str().ok().and_then(bearer_token) {
            Some(token) => actor_from_token(token, state).await?,
            None => None,
        },
        (None, None) => None,
    };
    actor.ok_or_else(Problem::unauthenticated)
}

/// The token of `Bearer <token>`. The scheme is case-insensitive.
fn bearer_token(authorization: &str) -> Option<&str> {
    let (scheme, token) = authorization.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

async fn actor_from_token(token: &str, state: &AppState) -> Result<Option<Actor>> {
    let Some(identity) = state.tokens.verify(token, state.engine.now()) else {
        return Ok(None);
    };
    let tenant = tenants::by_name(&state.engine, &identity.tenant).await?;
    Ok(tenant.map(|tenant| Actor {
        tenant: tenant.id,
        user: identity.user,
        role: identity.role,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_bearer_scheme_is_read() {
        assert_eq!(bearer_token("Bearer abc"), Some("abc"));
        assert_eq!(bearer_token("bearer  abc "), Some("abc"));
        assert_eq!(bearer_token("Basic abc"), None);
        assert_eq!(bearer_token("Bearer"), None);
    }
}
