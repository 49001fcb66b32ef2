use std::sync::Arc;

use axum::extract::{FromRequestParts, OriginalUri};
use http::{HeaderMap, header::AUTHORIZATION, request::Parts};
use percent_encoding::percent_decode_str;
use tidegate_core::access::AccessSettings;
use tidegate_engine::{
    Error,
    devices::{self, Caller, Credential},
    ports::Tenant,
};

use super::{links::Links, refusal::Refusal};
use crate::{AppState, client::Client};

/// A device that was let in.
pub(super) struct Door {
    pub(super) caller: Caller,
    pub(super) tenant: Arc<Tenant>,
    /// Where its resources are, as it calls them.
    pub(super) links: Links,
}

impl FromRequestParts<AppState> for Door {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, Refusal> {
        let uri = match parts.extensions.get::<OriginalUri>() {
            Some(OriginalUri(uri)) => uri,
            None => &parts.uri,
        };
        // "", tenant, "controller", "v1", device, ...
        let mut segments = uri.path().split('/').skip(1);
        let (tenant, device) = (segments.next(), segments.nth(2));
        let (Some(tenant_segment), Some(device_segment)) = (tenant, device) else {
            return Err(Refusal::NotFound);
        };
        let tenant_name = decode(tenant_segment)?;
        let device_id = decode(device_segment)?.into_owned();
        let tenant = match devices::tenant(&state.engine, &tenant_name).await {
            // Which tenants there are is nobody's business who has no credentials for one.
            Err(Error::NotFound { .. }) => {
                say(tenant_segment, device_segment, "there is no such tenant");
                return Err(Refusal::Unauthenticated);
            }
            found => found?,
        };
        let unknown = Client::default();
        let client = parts.extensions.get().unwrap_or(&unknown);
        let is_checked = is_checked(state, &tenant, client, &parts.headers, &device_id).await?;
        let checked = is_checked.then_some(Credential::Checked);
        let credentials: Vec<_> = checked.into_iter().chain(token(&parts.headers)).collect();
        let admitted = devices::authenticate(&state.engine, &tenant, device_id, &credentials);
        let Some(mut caller) = admitted.await? else {
            let why = why_refused(&credentials, &tenant.settings.access);
            say(tenant_segment, device_segment, why);
            return Err(Refusal::Unauthenticated);
        };
        let is_tracked = tenant.settings.track_address;
        caller.address = client.address.filter(|_| is_tracked);
        if !state.limits.allow_tenant(tenant.id, &parts.method) {
            return Err(Refusal::Busy);
        }
        let links = Links::of(uri, &parts.headers, client, tenant_segment, device_segment);
        Ok(Self {
            caller,
            tenant,
            links: links.ok_or(Refusal::malformed("the Host header is no host and port"))?,
        })
    }
}

/// Tells operators who look for it what the device itself is not told.
fn say(tenant: &str, device: &str, why: &str) {
    tracing::debug!(?tenant, ?device, why, "a device was not let in");
}

/// Why none of this opens the door.
fn why_refused(credentials: &[Credential<'_>], access: &AccessSettings) -> &'static str {
    match credentials.last() {
        None => "it shows no token, and no certificate that is trusted and names it",
        Some(Credential::TargetToken(_)) if !access.target_tokens => {
            "access.target_tokens is false"
        }
        Some(Credential::GatewayToken(_)) if !access.gateway_tokens => {
            "access.gateway_tokens is false"
        }
        Some(Credential::TargetToken(_)) => "its token is another, or nobody knows the device",
        Some(Credential::GatewayToken(_)) => "no gateway has this token",
        Some(Credential::Checked) => "its certificate opens nothing",
    }
}

fn decode(segment: &str) -> Result<std::borrow::Cow<'_, str>, Refusal> {
    percent_decode_str(segment)
        .decode_utf8()
        .map_err(|_| Refusal::malformed("the path is not UTF-8"))
}

/// Whether a certificate says that this is the device: its own, or one that a trusted proxy has checked.
async fn is_checked(
    state: &AppState,
    tenant: &Tenant,
    client: &Client,
    headers: &HeaderMap,
    device_id: &str,
) -> Result<bool, Refusal> {
    if client.is_proxied {
        let said = state.settings.certificate_headers.read(headers);
        let trusted = &tenant.settings.access.proxy_authorities;
        return Ok(said.is_some_and(|said| said.names(device_id, trusted)));
    }
    let Some(shown) = &client.certificates else {
        return Ok(false);
    };
    let (engine, tenant) = (&state.engine, tenant.id);
    let authorities = devices::authorities(engine, tenant).await?;
    let (certificates, now) = (&state.certificates, engine.now());
    Ok(certificates.name(shown, tenant, &authorities, device_id, now))
}

/// The token that a device shows, or a gateway for it.
fn token(headers: &HeaderMap) -> Option<Credential<'_>> {
    let value = headers.get(AUTHORIZATION)?;
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    if scheme.eq_ignore_ascii_case("TargetToken") {
        Some(Credential::TargetToken(token))
    } else if scheme.eq_ignore_ascii_case("GatewayToken") {
        Some(Credential::GatewayToken(token))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn operators_are_told_why_somebody_is_refused() {
        let open = AccessSettings::default();
        let closed = AccessSettings {
            target_tokens: false,
            gateway_tokens: false,
            ..AccessSettings::default()
        };
        for (credentials, access, part) in [
            (&[][..], &open, "no token"),
            (&[Credential::TargetToken("x")], &open, "token is another"),
            (
                &[Credential::TargetToken("x")],
                &closed,
                "access.target_tokens",
            ),
            (&[Credential::GatewayToken("x")], &open, "no gateway"),
            (
                &[Credential::GatewayToken("x")],
                &closed,
                "access.gateway_tokens",
            ),
        ] {
            let why = why_refused(credentials, access);
            assert!(why.contains(part), "{credentials:?}: {why}");
        }
    }

    #[test]
    fn tokens_are_read() {
        for (value, expected) in [
            ("TargetToken abc", Some(Credential::TargetToken("abc"))),
            ("targettoken  abc ", Some(Credential::TargetToken("abc"))),
            ("GatewayToken x=y", Some(Credential::GatewayToken("x=y"))),
            ("Bearer abc", None),
            ("TargetToken", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
            assert_eq!(token(&headers), expected, "{value}");
        }
        assert_eq!(token(&HeaderMap::new()), None);
    }
}
