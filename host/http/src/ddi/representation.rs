use axum::{
    extract::FromRequestParts,
    response::{IntoResponse as _, Response},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ACCEPT, CONTENT_TYPE, ETAG, IF_NONE_MATCH},
    request::Parts,
};
use md5::{Digest as _, Md5};
use serde::Serialize;

use super::error::DdiError;
use crate::{AppState, etag};

/// The negotiated representation of a response.
pub(super) struct Representation {
    format: Format,
    /// The request's `If-None-Match` headers.
    if_none_match: HeaderMap,
}

/// HAL and JSON have the same body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Hal,
    Json,
    Cbor,
}

impl FromRequestParts<AppState> for Representation {
    type Rejection = DdiError;

    async fn from_request_parts(parts: &mut Parts, _: &AppState) -> Result<Self, DdiError> {
        let format = Format::from_accept(&parts.headers).ok_or(DdiError::NotAcceptable)?;
        let mut if_none_match = HeaderMap::new();
        for value in parts.headers.get_all(IF_NONE_MATCH) {
            if_none_match.append(IF_NONE_MATCH, value.clone());
        }
        Ok(Self {
            format,
            if_none_match,
        })
    }
}

impl Representation {
    /// 200 with the body, or 304 if the device already has it.
    pub(super) fn respond(&self, body: &impl Serialize) -> Result<Response, DdiError> {
        let bytes = self.format.write(body).ok_or(DdiError::Internal)?;
        Ok(conditional_response(
            self.format.content_type(),
            bytes,
            &self.if_none_match,
        ))
    }
}

/// 200 with the body and its entity tag, or 304 if the request's `If-None-Match` contains that tag.
pub(super) fn conditional_response(
    content_type: &'static str,
    bytes: Vec<u8>,
    headers: &HeaderMap,
) -> Response {
    let mut quoted = *b"\"000000000000000000000000000000000\"";
    let digits = hex::encode_to_slice(Md5::digest(&bytes), &mut quoted[2..34]);
    debug_assert!(digits.is_ok(), "16 bytes have 32 digits");
    let tag = HeaderValue::from_bytes(&quoted).unwrap_or(HeaderValue::from_static("\"\""));
    let is_current = str::from_utf8(&quoted[1..34])
        .is_ok_and(|tag| etag::header_matches(headers, &IF_NONE_MATCH, tag, true));
    if is_current {
        return (StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response();
    }
    let content_type = HeaderValue::from_static(content_type);
    ([(CONTENT_TYPE, content_type), (ETAG, tag)], bytes).into_response()
}

impl Format {
    /// In order of preference.
    const ALL: [Self; 3] = [Self::Hal, Self::Json, Self::Cbor];

    fn content_type(self) -> &'static str {
        match self {
            Self::Hal => "application/hal+json",
            Self::Json => "application/json",
            Self::Cbor => "application/cbor",
        }
    }

    fn write(self, body: &impl Serialize) -> Option<Vec<u8>> {
        let mut bytes = Vec::with_capacity(512);
        match self {
            Self::Hal | Self::Json => serde_json::to_writer(&mut bytes, body).ok()?,
            Self::Cbor => ciborium::into_writer(body, &mut bytes).ok()?,
        }
        Some(bytes)
    }

    /// The format with the highest quality in the `Accept` headers; of equal ones, the one listed first.
    fn from_accept(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(ACCEPT).iter();
        let ranges = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|list| list.split(','))
            .filter_map(MediaRange::parse);
        let ranges: Vec<_> = ranges.collect();
        if ranges.is_empty() {
            return Some(Self::Hal);
        }
        let mut best = None;
        for format in Self::ALL {
            // The most specific matching range determines the quality.
            let matching = ranges.iter().enumerate();
            let matching = matching.filter(|(_, range)| range.matches(format));
            let Some((index, range)) = matching.max_by_key(|(_, range)| range.specificity()) else {
                continue;
            };
            let rank = (range.quality, range.specificity(), std::cmp::Reverse(index));
            if range.quality > 0 && best.is_none_or(|(highest, _)| rank > highest) {
                best = Some((rank, format));
            }
        }
        best.map(|(_, format)| format)
    }
}

/// A media range of an `Accept` header.
struct MediaRange<'a> {
    kind: &'a str,
    subtype: &'a str,
    /// Quality in thousandths.
    quality: u16,
}

impl<'a> MediaRange<'a> {
    /// None if it is empty or invalid.
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split(';');
        let (kind, subtype) = parts.next()?.trim().split_once('/')?;
        let mut weights = parts.filter_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
        });
        let quality = match weights.next() {
            Some(weight) => {
                let weight: f32 = weight.parse().ok()?;
                (weight.clamp(0.0, 1.0) * 1000.0) as u16
            }
            None => 1000,
        };
        Some(Self {
            kind,
            subtype,
            quality,
        })
    }

    fn matches(&self, format: Format) -> bool {
        let (kind, subtype) = format.content_type().split_once('/').unwrap_or(("", ""));
        match self.specificity() {
            0 => true,
            1 => self.kind.eq_ignore_ascii_case(kind),
            _ => self.kind.eq_ignore_ascii_case(kind) && self.subtype.eq_ignore_ascii_case(subtype),
        }
    }

    fn specificity(&self) -> u8 {
        match (self.kind, self.subtype) {
            ("*", "*") => 0,
            (_, "*") => 1,
            _ => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(values: &[&'static str]) -> Option<Format> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT, HeaderValue::from_static(value));
        }
        Format::from_accept(&headers)
    }

    #[test]
    fn the_format_follows_the_accept_header() {
        for (values, expected) in [
            (&[][..], Some(Format::Hal)),
            (&["*/*"], Some(Format::Hal)),
            (&["application/*"], Some(Format::Hal)),
            (&["application/json"], Some(Format::Json)),
            (&["Application/JSON; charset=utf-8"], Some(Format::Json)),
            (&["application/hal+json"], Some(Format::Hal)),
            (&["application/cbor"], Some(Format::Cbor)),
            (
                &["application/json, application/hal+json"],
                Some(Format::Json),
            ),
            (
                &["application/hal+json, application/json"],
                Some(Format::Hal),
            ),
            (
                &["application/json;q=0.5, application/cbor"],
                Some(Format::Cbor),
            ),
            (&["application/json, */*"], Some(Format::Json)),
            (&["*/*, application/hal+json;q=0"], Some(Format::Json)),
            (&["text/html", "application/cbor;q=0.1"], Some(Format::Cbor)),
            (&["text/html"], None),
            (&["application/xml, text/*"], None),
            (&["application/json;q=0"], None),
            (&["nonsense"], Some(Format::Hal)),
        ] {
            assert_eq!(accept(values), expected, "{values:?}");
        }
    }

    #[test]
    fn a_matching_tag_is_answered_304() {
        let body = || b"{}".to_vec();
        let fresh = conditional_response("application/json", body(), &HeaderMap::new());
        assert_eq!(fresh.status(), StatusCode::OK);
        let tag = fresh.headers()[ETAG].clone();
        assert_eq!(tag, "\"099914b932bd37a50b983c5e7c90ae93b\"");
        let headers = HeaderMap::from_iter([(IF_NONE_MATCH, tag.clone())]);
        let known = conditional_response("application/json", body(), &headers);
        assert_eq!(
            (known.status(), &known.headers()[ETAG]),
            (StatusCode::NOT_MODIFIED, &tag)
        );
        let changed = conditional_response("application/json", b"[]".to_vec(), &headers);
        assert_eq!(changed.status(), StatusCode::OK);
    }

    #[test]
    fn cbor_and_json_hold_the_same() {
        let body = serde_json::json!({"id": "8", "n": [1, -2], "none": null});
        let bytes = Format::Cbor.write(&body).expect("writes");
        let read: serde_json::Value = ciborium::from_reader(&*bytes).expect("reads");
        assert_eq!(read, body);
    }
}
