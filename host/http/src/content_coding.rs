use http::{HeaderMap, header::CONTENT_ENCODING};

/// True if the body is compressed or otherwise encoded. No operation decodes bodies: a few bytes of a compressed body can
/// be gigabytes, and a server that read it as it is would report nonsense.
pub(crate) fn is_encoded(headers: &HeaderMap) -> bool {
    headers
        .get_all(CONTENT_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"identity"))
}
