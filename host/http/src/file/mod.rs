//! File downloads with ranges and preconditions (RFC 9110), in constant memory.

mod conditions;
mod disposition;
mod parts;
mod range;

use std::{fmt::Debug, future::Future, io, ops::Range};

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use bytes::Bytes;
use futures::{Stream, TryStreamExt as _};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{
        ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
        LAST_MODIFIED, X_CONTENT_TYPE_OPTIONS,
    },
};
use tidegate_core::{firmware::Artifact, time::Timestamp};
use tidegate_engine::{chain, ports::ByteStream};

use crate::default_headers::OwnCacheHeaders;

use conditions::PreconditionResult;
use range::RequestedRange;

pub(crate) use disposition::attachment;
pub(crate) use range::RangeRules;

/// Responds to a `GET` or `HEAD` of a file. `open` is called for each range when it is about to be sent.
pub(crate) async fn respond<E, O, F>(
    method: &Method,
    headers: &HeaderMap,
    file: &Artifact,
    modified: Timestamp,
    rules: RangeRules,
    open: O,
) -> Result<Response, E>
where
    E: Debug,
    O: Fn(Range<u64>) -> F + Send + 'static,
    F: Future<Output = Result<ByteStream, E>> + Send + 'static,
{
    let mut response = file_response(method, headers, file, modified, rules, open).await?;
    response.extensions_mut().insert(OwnCacheHeaders);
    Ok(response)
}

async fn file_response<E, O, F>(
    method: &Method,
    headers: &HeaderMap,
    file: &Artifact,
    modified: Timestamp,
    rules: RangeRules,
    open: O,
) -> Result<Response, E>
where
    E: Debug,
    O: Fn(Range<u64>) -> F + Send + 'static,
    F: Future<Output = Result<ByteStream, E>> + Send + 'static,
{
    let tag = hex::encode(file.hashes.sha1);
    let response_headers = file_headers(file, &tag, modified);
    match conditions::check(headers, &tag, modified) {
        PreconditionResult::Passed => {}
        PreconditionResult::NotModified => {
            return Ok((StatusCode::NOT_MODIFIED, response_headers).into_response());
        }
        PreconditionResult::Failed => return Ok(StatusCode::PRECONDITION_FAILED.into_response()),
    }
    if method == Method::HEAD {
        let length = (CONTENT_LENGTH, HeaderValue::from(file.size));
        return Ok((response_headers, [length], Body::empty()).into_response());
    }
    let requested = if conditions::if_range_matches(headers, &tag, modified) {
        range::parse_range(headers, file.size, rules)
    } else {
        RequestedRange::Whole
    };
    let mut response_headers = response_headers;
    match requested {
        RequestedRange::Whole => {
            response_headers.insert(CONTENT_LENGTH, HeaderValue::from(file.size));
            let bytes = open(0..file.size).await?;
            Ok((response_headers, body(bytes)).into_response())
        }
        RequestedRange::Part(part) => {
            response_headers.insert(CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
            let range = format!("bytes {}-{}/{}", part.start, part.end - 1, file.size);
            response_headers
                .extend(HeaderValue::try_from(range).map(|range| (CONTENT_RANGE, range)));
            let bytes = open(part).await?;
            Ok((StatusCode::PARTIAL_CONTENT, response_headers, body(bytes)).into_response())
        }
        RequestedRange::Parts(requested) => {
            let length = parts::length(&requested, file.size);
            response_headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            let content = HeaderValue::from_static(parts::CONTENT_TYPE);
            response_headers.insert(CONTENT_TYPE, content);
            // Opened before the response starts, so that a failure still becomes an error response.
            let first = open(requested[0].clone()).await?;
            let open = move |part| {
                let opened = open(part);
                async move {
                    opened
                        .await
                        .map_err(|error| io::Error::other(format!("{error:?}")))
                }
            };
            let bytes = parts::stream(requested, file.size, first, open);
            Ok((StatusCode::PARTIAL_CONTENT, response_headers, body(bytes)).into_response())
        }
        RequestedRange::Unsatisfiable => {
            let size = (CONTENT_RANGE, format!("bytes */{}", file.size));
            Ok((StatusCode::RANGE_NOT_SATISFIABLE, [size]).into_response())
        }
    }
}

fn body(bytes: impl Stream<Item = io::Result<Bytes>> + Send + 'static) -> Body {
    Body::from_stream(bytes.inspect_err(|error| {
        tracing::error!(error = %chain(error), "download aborted: cannot read the file");
    }))
}

/// The headers of every successful response.
fn file_headers(file: &Artifact, tag: &str, modified: Timestamp) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(10);
    let content = HeaderValue::from_static("application/octet-stream");
    headers.insert(CONTENT_TYPE, content);
    let nosniff = HeaderValue::from_static("nosniff");
    headers.insert(X_CONTENT_TYPE_OPTIONS, nosniff);
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_DISPOSITION, attachment(&file.filename));
    headers.extend(HeaderValue::try_from(format!("\"{tag}\"")).map(|tag| (ETAG, tag)));
    let date = conditions::http_date(modified).and_then(|date| HeaderValue::try_from(date).ok());
    headers.extend(date.map(|date| (LAST_MODIFIED, date)));
    headers
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures::{StreamExt as _, stream};
    use http::header::{IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE};
    use http_body_util::BodyExt as _;
    use tidegate_core::firmware::Hashes;

    use super::*;

    const BYTES: &[u8] = b"0123456789";

    fn open(range: Range<u64>) -> impl Future<Output = Result<ByteStream, Infallible>> + 'static {
        let part = &BYTES[range.start as usize..range.end as usize];
        let bytes: io::Result<Bytes> = Ok(Bytes::from_static(part));
        async { Ok(stream::iter([bytes]).boxed()) }
    }

    async fn get(
        method: Method,
        headers: &[(http::HeaderName, &'static str)],
    ) -> (Response, String) {
        let file = Artifact {
            filename: "edge.bin".to_owned(),
            size: BYTES.len() as u64,
            hashes: Hashes {
                sha1: [0xab; 20],
                md5: [0; 16],
                sha256: [0; 32],
            },
        };
        let headers = headers
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect();
        let modified = Timestamp(784_111_777_123);
        let rules = RangeRules::HawkBit;
        let response = respond(&method, &headers, &file, modified, rules, open).await;
        let (parts, body) = response.expect("infallible").into_parts();
        let body = body.collect().await.expect("reads").to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        (Response::from_parts(parts, Body::empty()), text)
    }

    #[tokio::test]
    async fn ranges_and_conditions() {
        const TAG: &str = "\"abababababababababababababababababababab\"";
        const OLD: &str = "\"0000000000000000000000000000000000000000\"";
        for (headers, status, range, text) in [
            (&[][..], 200, None, "0123456789"),
            (&[(RANGE, "bytes=2-4")], 206, Some("bytes 2-4/10"), "234"),
            (&[(RANGE, "bytes=8-")], 206, Some("bytes 8-9/10"), "89"),
            (&[(RANGE, "bytes=-3")], 206, Some("bytes 7-9/10"), "789"),
            (&[(RANGE, "bytes=10-")], 416, Some("bytes */10"), ""),
            (&[(RANGE, "bytes=0-1,1-4")], 416, Some("bytes */10"), ""),
            (
                &[(RANGE, "bytes=0-1,3-4"), (IF_RANGE, OLD)],
                200,
                None,
                "0123456789",
            ),
            (
                &[(RANGE, "bytes=1-2"), (IF_RANGE, TAG)],
                206,
                Some("bytes 1-2/10"),
                "12",
            ),
            (
                &[(RANGE, "bytes=1-2"), (IF_RANGE, OLD)],
                200,
                None,
                "0123456789",
            ),
            (
                &[(RANGE, "bytes=99-"), (IF_RANGE, OLD)],
                200,
                None,
                "0123456789",
            ),
            (&[(IF_NONE_MATCH, TAG), (RANGE, "bytes=1-2")], 304, None, ""),
            (&[(IF_MATCH, OLD)], 412, None, ""),
        ] {
            let (response, body) = get(Method::GET, headers).await;
            assert_eq!(response.status(), status, "{headers:?}");
            let content_range = response.headers().get(CONTENT_RANGE);
            assert_eq!(content_range.and_then(|range| range.to_str().ok()), range);
            assert_eq!(body, text, "{headers:?}");
        }
    }

    #[tokio::test]
    async fn several_ranges_are_sent_in_order() {
        let (response, body) = get(Method::GET, &[(RANGE, "bytes=-2,0-0,4-5")]).await;
        assert_eq!(response.status(), StatusCode::PARTIAL_CONTENT);
        let part = |range: &str, bytes: &str| {
            format!(
                "\r\n--THIS_STRING_SEPARATES_MULTIPART\r\nContent-Type: application/octet-stream\r\n\
                 Content-Range: bytes {range}/10\r\n\r\n{bytes}"
            )
        };
        let parts = part("0-0", "0") + &part("4-5", "45") + &part("8-9", "89");
        assert_eq!(
            body,
            format!("{parts}\r\n--THIS_STRING_SEPARATES_MULTIPART--\r\n")
        );
        let length = body.len().to_string();
        assert_eq!(response.headers()[CONTENT_LENGTH], length);
        assert_eq!(
            response.headers()[CONTENT_TYPE],
            "multipart/byteranges; boundary=THIS_STRING_SEPARATES_MULTIPART"
        );
        assert!(response.headers().get(CONTENT_RANGE).is_none());
        assert!(response.headers().get(ETAG).is_some());
    }

    #[tokio::test]
    async fn a_part_that_cannot_be_opened_aborts_the_response() {
        let file = Artifact {
            filename: "edge.bin".to_owned(),
            size: 10,
            hashes: Hashes {
                sha1: [0; 20],
                md5: [0; 16],
                sha256: [0; 32],
            },
        };
        let open = |range: Range<u64>| async move {
            match range.start {
                0 => Ok(stream::iter([Ok(Bytes::from_static(b"0"))]).boxed()),
                _ => Err("it is lost"),
            }
        };
        for (ranges, starts) in [("bytes=0-0,2-2", true), ("bytes=1-1,2-2", false)] {
            let headers = HeaderMap::from_iter([(RANGE, HeaderValue::from_static(ranges))]);
            let rules = RangeRules::Rfc9110;
            let response = respond(&Method::GET, &headers, &file, Timestamp(0), rules, open).await;
            assert_eq!(response.is_ok(), starts, "{ranges}");
            if let Ok(response) = response {
                assert!(response.into_body().collect().await.is_err());
            }
        }
    }

    #[tokio::test]
    async fn a_file_has_its_headers() {
        let (response, _) = get(Method::GET, &[]).await;
        for (name, expected) in [
            (CONTENT_TYPE, "application/octet-stream"),
            (CONTENT_LENGTH, "10"),
            (CONTENT_DISPOSITION, "attachment;filename=edge.bin"),
            (ETAG, "\"abababababababababababababababababababab\""),
            (LAST_MODIFIED, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (ACCEPT_RANGES, "bytes"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            assert_eq!(response.headers()[&name], expected, "{name}");
        }
        let (head, body) = get(Method::HEAD, &[(RANGE, "bytes=2-4")]).await;
        assert_eq!((head.status(), body.as_str()), (StatusCode::OK, ""));
        assert_eq!(head.headers(), response.headers());
    }
}
