use http::{
    HeaderMap, HeaderName,
    header::{CONTENT_ENCODING, TRANSFER_ENCODING},
};

/// True if the body is compressed or otherwise encoded, by the client (`Content-Encoding`) or for this connection
/// (`Transfer-Encoding`). No operation decodes bodies: a few bytes of a compressed body can be gigabytes, and parsing it
/// without decoding would report misleading errors.
pub(crate) fn is_encoded(headers: &HeaderMap) -> bool {
    // The connection itself has removed `chunked`.
    has_other(headers, CONTENT_ENCODING, b"identity")
        || has_other(headers, TRANSFER_ENCODING, b"chunked")
}

/// Whether the list in a header has another element than this one.
fn has_other(headers: &HeaderMap, header: HeaderName, allowed: &[u8]) -> bool {
    let values = headers.get_all(header).into_iter();
    let elements = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    let mut elements = elements.map(<[u8]>::trim_ascii);
    elements.any(|element| !element.is_empty() && !element.eq_ignore_ascii_case(allowed))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn a_body_is_encoded_by_any_coding_but_identity_and_chunked() {
        for (header, values, expected) in [
            (CONTENT_ENCODING, &[][..], false),
            (CONTENT_ENCODING, &[""], false),
            (CONTENT_ENCODING, &["Identity"], false),
            (CONTENT_ENCODING, &["identity, identity"], false),
            (CONTENT_ENCODING, &["identity", " ,identity,"], false),
            (CONTENT_ENCODING, &["gzip"], true),
            (CONTENT_ENCODING, &["identity, gzip"], true),
            (CONTENT_ENCODING, &["identity", "br"], true),
            (CONTENT_ENCODING, &["chunked"], true),
            (CONTENT_ENCODING, &["identity;q=1"], true),
            (TRANSFER_ENCODING, &["chunked"], false),
            (TRANSFER_ENCODING, &["Chunked"], false),
            (TRANSFER_ENCODING, &["gzip, chunked"], true),
            (TRANSFER_ENCODING, &["gzip", "chunked"], true),
            (TRANSFER_ENCODING, &["identity, chunked"], true),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(&header, HeaderValue::from_static(value));
            }
            assert_eq!(is_encoded(&headers), expected, "{header}: {values:?}");
        }
    }
}
