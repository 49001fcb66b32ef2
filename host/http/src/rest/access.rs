//! Who asks, and what they may do. A handler's first argument names the role that it needs, so that nothing of a
//! request is read before it is known who sent it.

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
    /// Whoever may read: everybody who is somebody.
    Viewer
);
role!(
    /// Whoever may upload firmware and plugins.
    Publisher
);
role!(
    /// Whoever may approve.
    Approver
);
role!(
    /// Whoever may make and steer.
    Operator
);
role!(
    /// Whoever may do everything.
    Admin
);

/// Somebody who was let in before their request came to its handler.
#[derive(Clone)]
struct AuthenticatedActor(Actor);

/// Who sends a request, for whoever has to know before its handler does; they are not asked again.
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

/// The token of `Bearer <token>`; the scheme's case does not count.
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
