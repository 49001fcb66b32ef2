//! Files over HTTP: whole or a part, with conditions (RFC 9110), in constant memory.

mod conditions;
mod disposition;
mod range;

use std::{future::Future, ops::Range};

use axum::{
    body::Body,
    response::{IntoResponse as _, Response},
};
use futures::TryStreamExt as _;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{
        ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
        LAST_MODIFIED, X_CONTENT_TYPE_OPTIONS,
    },
};
use tidegate_core::{firmware::Artifact, time::Timestamp};
use tidegate_engine::ports::ByteStream;

use conditions::Outcome;
use range::Wanted;

pub(crate) use disposition::attachment;

/// Answers a `GET` or `HEAD` of a file. `open` is called for the part that is sent, if any is.
pub(crate) async fn answer<E, F>(
    method: &Method,
    headers: &HeaderMap,
    file: &Artifact,
    modified: Timestamp,
    open: impl FnOnce(Range<u64>) -> F,
) -> Result<Response, E>
where
    F: Future<Output = Result<ByteStream, E>>,
{
    let tag = hex::encode(file.hashes.sha1);
    let described = describe(file, &tag, modified);
    match conditions::check(headers, &tag, modified) {
        Outcome::Go => {}
        Outcome::NotModified => return Ok((StatusCode::NOT_MODIFIED, described).into_response()),
        Outcome::Failed => return Ok(StatusCode::PRECONDITION_FAILED.into_response()),
    }
    if method == Method::HEAD {
        let length = (CONTENT_LENGTH, HeaderValue::from(file.size));
        return Ok((described, [length], Body::empty()).into_response());
    }
    let wanted = if conditions::is_range_for(headers, &tag, modified) {
        range::wanted(headers, file.size)
    } else {
        Wanted::Whole
    };
    let (status, part) = match wanted {
        Wanted::Whole => (StatusCode::OK, 0..file.size),
        Wanted::Part(part) => (StatusCode::PARTIAL_CONTENT, part),
        Wanted::Unsatisfiable => {
            let size = (CONTENT_RANGE, format!("bytes */{}", file.size));
            return Ok((StatusCode::RANGE_NOT_SATISFIABLE, [size]).into_response());
        }
    };
    let mut described = described;
    described.insert(CONTENT_LENGTH, HeaderValue::from(part.end - part.start));
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {}-{}/{}", part.start, part.end - 1, file.size);
        described.extend(HeaderValue::try_from(range).map(|range| (CONTENT_RANGE, range)));
    }
    let bytes = open(part).await?.inspect_err(|error| {
        let error = error as &dyn std::error::Error;
        tracing::error!(error, "broke off a download: cannot read the file");
    });
    let body = Body::from_stream(bytes);
    Ok((status, described, body).into_response())
}

/// The headers that every answer about the file has.
fn describe(file: &Artifact, tag: &str, modified: Timestamp) -> HeaderMap {
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
    use std::{convert::Infallible, io};

    use bytes::Bytes;
    use futures::{StreamExt as _, stream};
    use http::header::{IF_MATCH, IF_NONE_MATCH, IF_RANGE, RANGE};
    use http_body_util::BodyExt as _;
    use tidegate_core::firmware::Hashes;

    use super::*;

    const BYTES: &[u8] = b"0123456789";

    fn open(range: Range<u64>) -> impl Future<Output = Result<ByteStream, Infallible>> {
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
        let answer = answer(&method, &headers, &file, Timestamp(784_111_777_123), open).await;
        let (parts, body) = answer.expect("infallible").into_parts();
        let body = body.collect().await.expect("reads").to_bytes();
        let text = String::from_utf8_lossy(&body).into_owned();
        (Response::from_parts(parts, Body::empty()), text)
    }

    #[tokio::test]
    async fn whole_parts_and_conditions() {
        const TAG: &str = "\"abababababababababababababababababababab\"";
        const OLD: &str = "\"0000000000000000000000000000000000000000\"";
        for (headers, status, range, text) in [
            (&[][..], 200, None, "0123456789"),
            (&[(RANGE, "bytes=2-4")], 206, Some("bytes 2-4/10"), "234"),
            (&[(RANGE, "bytes=8-")], 206, Some("bytes 8-9/10"), "89"),
            (&[(RANGE, "bytes=-3")], 206, Some("bytes 7-9/10"), "789"),
            (&[(RANGE, "bytes=10-")], 416, Some("bytes */10"), ""),
            (&[(RANGE, "bytes=0-1,3-4")], 200, None, "0123456789"),
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
    async fn a_file_is_described() {
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
