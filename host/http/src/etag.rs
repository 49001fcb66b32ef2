use http::{HeaderMap, header::HeaderName};

/// True if a header such as `If-None-Match` contains this entity tag or `*`. Repeated headers form one list.
///
/// `tag` has no quotes, and unquoted tags in the header match too. `weak` selects whether weak tags match, as they do
/// for `If-None-Match` (RFC 9110 section 13.1.2).
pub(crate) fn header_matches(
    headers: &HeaderMap,
    header: &HeaderName,
    tag: &str,
    weak: bool,
) -> bool {
    let values = headers.get_all(header).iter();
    let mut named = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim);
    named.any(|named| named == "*" || tag_matches(named, tag, weak))
}

/// True if one entity tag of a header is `tag`.
pub(crate) fn tag_matches(named: &str, tag: &str, weak: bool) -> bool {
    let opaque = match named.strip_prefix("W/") {
        Some(opaque) if weak => opaque,
        Some(_) => return false,
        None => named,
    };
    let unquoted = opaque
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    unquoted.unwrap_or(opaque) == tag
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header::IF_NONE_MATCH};

    use super::*;

    #[test]
    fn tags_are_found_in_lists() {
        for (values, weak, expected) in [
            (&[r#""0ab""#][..], true, true),
            (&[r#"W/"0ab""#], true, true),
            (&[r#"W/"0ab""#], false, false),
            (&["0ab"], false, true),
            (&[r#""x" , "0ab""#], false, true),
            (&[r#""x""#, r#""0ab""#], false, true),
            (&["*"], false, true),
            (&[r#""0AB""#], true, false),
            (&[r#""0ab"#], true, false),
            (&[""], true, false),
            (&[], true, false),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(IF_NONE_MATCH, HeaderValue::from_static(value));
            }
            assert_eq!(
                header_matches(&headers, &IF_NONE_MATCH, "0ab", weak),
                expected,
                "{values:?}"
            );
        }
    }
}
