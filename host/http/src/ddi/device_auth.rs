use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::{HeaderMap, header::AUTHORIZATION, request::Parts};
use tidegate_core::{access::AccessSettings, device::check_device_id, settings::DdiLinks};
use tidegate_engine::{
    Engine, Error,
    devices::{self, Caller, DeviceCredential, DeviceWait},
    ports::Tenant,
};

use super::{
    error::DdiError,
    links::Links,
    path::{DevicePath, decode_segment},
};
use crate::{
    AppState, caller::record_caller, client::Client, metrics::LoginKind,
    refused_logins::RefusedLogin, running_request,
};

/// Refuses a client that exceeds its rate limit, before anything else of the request is read.
pub(super) struct WithinRateLimit;

impl FromRequestParts<AppState> for WithinRateLimit {
    type Rejection = DdiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, DdiError> {
        let client = parts.extensions.get::<Client>();
        if client.is_some_and(|client| client.uses_reserve) {
            return Err(DdiError::NoConnection);
        }
        let address = client.and_then(|client| client.address);
        if state.limits.allow_client(address, &parts.method) {
            Ok(Self)
        } else {
            Err(DdiError::TooManyRequests)
        }
    }
}

/// Extracts the device that sent the request, authenticated.
pub(super) struct DeviceAuth {
    pub(super) caller: Caller,
    pub(super) tenant: Arc<Tenant>,
    /// Links to its resources, based on the request's own URL.
    pub(super) links: Links,
    /// The names of its links to files.
    pub(super) link_names: DdiLinks,
}

impl FromRequestParts<AppState> for DeviceAuth {
    type Rejection = DdiError;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self, DdiError> {
        WithinRateLimit::from_request_parts(parts, state).await?;
        let default_client = Client::default();
        let client = parts.extensions.get().unwrap_or(&default_client);
        let path = DevicePath::parse(parts.uri.path()).ok_or(DdiError::NotFound)?;
        let (tenant_segment, device_segment) = (path.tenant, path.device);
        let path_device = (tenant_segment, device_segment);
        let tenant_name = decode_segment(tenant_segment)?;
        let device_id = decode_segment(device_segment)?.into_owned();
        // An unregistered device with such an id gets the same answer for any tenant and credentials, so that it reveals
        // nothing. Only an earlier version registered such ids.
        let invalid_id = check_device_id(&device_id)
            .map_err(|error| DdiError::ConstraintViolation(error.to_string()))
            .err();
        let engine = &state.engine;
        let wait = DeviceWait::new(engine.settings().device_wait);
        let Some(tenant) = find_tenant(engine, &tenant_name, &wait).await? else {
            // The same response as for wrong credentials: the existence of a tenant is not revealed.
            let kind = kind_of(parse_token(&parts.headers).as_ref());
            let refused = refuse(state, client, kind, "unknown tenant", path_device);
            return Err(invalid_id.unwrap_or(refused));
        };
        running_request::note_tenant(tenant.id);
        let has_certificate =
            has_valid_certificate(state, &tenant, client, &parts.headers, &device_id, &wait)
                .await
                .map_err(DdiError::before_authentication)?;
        let certificate = has_certificate.then_some(DeviceCredential::Verified);
        let credentials: Vec<_> = certificate
            .into_iter()
            .chain(parse_token(&parts.headers))
            .collect();
        let authenticated =
            devices::authenticate(&state.engine, &tenant, device_id, &credentials, wait);
        let authenticated = authenticated
            .await
            .map_err(DdiError::before_authentication)?;
        let Some(mut caller) = authenticated else {
            let reason = refusal_reason(&credentials, &tenant.settings.access);
            let kind = match kind_of(credentials.last()) {
                LoginKind::None if presents_certificate(state, client, &parts.headers) => {
                    LoginKind::Certificate
                }
                kind => kind,
            };
            let refused = refuse(state, client, kind, reason, path_device);
            return Err(invalid_id.unwrap_or(refused));
        };
        if let Some(invalid_id) = invalid_id
            && !devices::is_registered(&caller, engine).await?
        {
            return Err(invalid_id);
        }
        if state.settings.names_devices_in_logs() {
            record_caller(&parts.extensions, tenant.id, &caller.device_id);
        }
        let is_tracked = tenant.settings.track_address;
        caller.address = client.address.filter(|_| is_tracked);
        if !state.limits.allow_tenant(tenant.id, &parts.method) {
            return Err(DdiError::TooManyRequests);
        }
        let links = Links::from_request(
            state.settings.public_url.as_ref(),
            &parts.uri,
            &parts.headers,
            client,
            [tenant_segment, device_segment],
        );
        let link_names = tenant.settings.ddi.links;
        Ok(Self {
            caller,
            link_names: link_names.unwrap_or(state.engine.settings().ddi_links),
            tenant,
            links: links.ok_or_else(|| {
                DdiError::malformed("the Host header is not a valid host and port")
            })?,
        })
    }
}

/// `None`: the tenant does not exist.
async fn find_tenant(
    engine: &Engine,
    name: &str,
    wait: &DeviceWait,
) -> Result<Option<Arc<Tenant>>, DdiError> {
    let found = devices::tenant(engine.store(), engine.caches(), name, engine.now(), wait);
    match found.await {
        Ok(tenant) => Ok(Some(tenant)),
        Err(Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(DdiError::before_authentication(error)),
    }
}

/// Records the refusal for operators; the device only gets the status. It is not slowed: devices poll with the same
/// credential again and again, and all devices behind a gateway share its address.
fn refuse(
    state: &AppState,
    client: &Client,
    kind: LoginKind,
    reason: &'static str,
    device: (&str, &str),
) -> DdiError {
    let login = RefusedLogin {
        device: Some(device),
        ..RefusedLogin::new(kind, reason)
    };
    let (refused_logins, metrics) = (&state.refused_logins, &state.metrics);
    refused_logins.record(metrics, client.address, &login);
    DdiError::Unauthenticated
}

fn kind_of(credential: Option<&DeviceCredential<'_>>) -> LoginKind {
    match credential {
        Some(DeviceCredential::TargetToken(_)) => LoginKind::TargetToken,
        Some(DeviceCredential::GatewayToken(_)) => LoginKind::GatewayToken,
        Some(DeviceCredential::Verified) => LoginKind::Certificate,
        None => LoginKind::None,
    }
}

/// True if the client presents a certificate, valid or not, or a trusted proxy reports one.
fn presents_certificate(state: &AppState, client: &Client, headers: &HeaderMap) -> bool {
    if client.is_proxied {
        return state.settings.certificate_headers.parse(headers).is_some();
    }
    client.certificates.is_some()
}

/// Why none of the credentials was accepted.
fn refusal_reason(credentials: &[DeviceCredential<'_>], access: &AccessSettings) -> &'static str {
    match credentials.last() {
        None => "no token, and no trusted certificate of the device",
        Some(DeviceCredential::TargetToken(_)) if !access.target_tokens => {
            "access.target_tokens is false"
        }
        Some(DeviceCredential::GatewayToken(_)) if !access.gateway_tokens => {
            "access.gateway_tokens is false"
        }
        Some(DeviceCredential::TargetToken(_)) => "wrong token or unknown device",
        Some(DeviceCredential::GatewayToken(_)) => "unknown gateway token",
        Some(DeviceCredential::Verified) => "certificate not accepted",
    }
}

/// True if a certificate identifies the device: one of this connection, or one that a trusted proxy has verified.
async fn has_valid_certificate(
    state: &AppState,
    tenant: &Tenant,
    client: &Client,
    headers: &HeaderMap,
    device_id: &str,
    wait: &DeviceWait,
) -> Result<bool, DdiError> {
    if client.is_proxied {
        let named = state.settings.certificate_headers.parse(headers);
        let trusted = &tenant.settings.access.proxy_authorities;
        return Ok(named.is_some_and(|named| named.identifies(device_id, trusted)));
    }
    let Some(presented) = &client.certificates else {
        return Ok(false);
    };
    let (engine, tenant) = (&state.engine, tenant.id);
    let authorities =
        devices::authorities(engine.store(), engine.caches(), tenant, engine.now(), wait).await?;
    let (verifier, now) = (&state.certificate_verifier, engine.now());
    Ok(verifier.identifies(presented, tenant, &authorities, device_id, now))
}

/// The token of the device, or of its gateway.
fn parse_token(headers: &HeaderMap) -> Option<DeviceCredential<'_>> {
    let value = headers.get(AUTHORIZATION)?;
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    if scheme.eq_ignore_ascii_case("TargetToken") {
        Some(DeviceCredential::TargetToken(token))
    } else if scheme.eq_ignore_ascii_case("GatewayToken") {
        Some(DeviceCredential::GatewayToken(token))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_refusal_reason_names_the_cause() {
        let open = AccessSettings::default();
        let closed = AccessSettings {
            target_tokens: false,
            gateway_tokens: false,
            ..AccessSettings::default()
        };
        for (credentials, access, part) in [
            (&[][..], &open, "no token"),
            (&[DeviceCredential::TargetToken("x")], &open, "wrong token"),
            (
                &[DeviceCredential::TargetToken("x")],
                &closed,
                "access.target_tokens",
            ),
            (
                &[DeviceCredential::GatewayToken("x")],
                &open,
                "gateway token",
            ),
            (
                &[DeviceCredential::GatewayToken("x")],
                &closed,
                "access.gateway_tokens",
            ),
        ] {
            let reason = refusal_reason(credentials, access);
            assert!(reason.contains(part), "{credentials:?}: {reason}");
        }
    }

    #[test]
    fn tokens_are_parsed() {
        for (value, expected) in [
            (
                "TargetToken abc",
                Some(DeviceCredential::TargetToken("abc")),
            ),
            (
                "targettoken  abc ",
                Some(DeviceCredential::TargetToken("abc")),
            ),
            (
                "GatewayToken x=y",
                Some(DeviceCredential::GatewayToken("x=y")),
            ),
            ("Bearer abc", None),
            ("TargetToken", None),
            ("", None),
        ] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
            assert_eq!(parse_token(&headers), expected, "{value}");
        }
        assert_eq!(parse_token(&HeaderMap::new()), None);
    }
}
