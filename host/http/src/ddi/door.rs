use std::sync::Arc;

use axum::extract::{FromRequestParts, OriginalUri};
use http::{HeaderMap, header::AUTHORIZATION, request::Parts};
use percent_encoding::percent_decode_str;
use tidegate_engine::{
    devices::{self, Caller, Credential},
    ports::Tenant,
};

use super::{links::Links, refusal::Refusal};
use crate::AppState;

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
        let tenant = devices::tenant(&state.engine, &tenant_name).await?;
        let credential = credential(&parts.headers);
        let admitted = devices::authenticate(&state.engine, tenant.id, device_id, credential);
        let Some(caller) = admitted.await? else {
            return Err(Refusal::Unauthenticated);
        };
        let links = Links::of(uri, &parts.headers, tenant_segment, device_segment);
        Ok(Self {
            caller,
            tenant,
            links: links.ok_or(Refusal::malformed("the Host header is no host and port"))?,
        })
    }
}

fn decode(segment: &str) -> Result<std::borrow::Cow<'_, str>, Refusal> {
    percent_decode_str(segment)
        .decode_utf8()
        .map_err(|_| Refusal::malformed("the path is not UTF-8"))
}

fn credential(headers: &HeaderMap) -> Credential<'_> {
    let value = headers.get(AUTHORIZATION);
    let Some((scheme, token)) = value
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.split_once(' '))
    else {
        return Credential::None;
    };
    let token = token.trim();
    if scheme.eq_ignore_ascii_case("TargetToken") {
        Credential::TargetToken(token)
    } else if scheme.eq_ignore_ascii_case("GatewayToken") {
        Credential::GatewayToken(token)
    } else {
        Credential::None
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn tokens_are_read() {
        for (value, expected) in [
            ("TargetToken abc", Credential::TargetToken("abc")),
            ("targettoken  abc ", Credential::TargetToken("abc")),
            ("GatewayToken x=y", Credential::GatewayToken("x=y")),
            ("Bearer abc", Credential::None),
            ("TargetToken", Credential::None),
            ("", Credential::None),
        ] {
            let headers = HeaderMap::from_iter([(AUTHORIZATION, HeaderValue::from_static(value))]);
            assert_eq!(credential(&headers), expected, "{value}");
        }
        assert_eq!(credential(&HeaderMap::new()), Credential::None);
    }
}
