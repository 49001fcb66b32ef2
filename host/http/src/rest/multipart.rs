//! Multipart bodies, read as they arrive.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use axum::extract::Request;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt as _, TryStreamExt as _};
use http::{
    StatusCode,
    header::{CONTENT_DISPOSITION, CONTENT_TYPE},
};
use multer::{Error, Field, Multipart};
use tidegate_core::plugin::FieldError;
use tidegate_engine::ports::ByteStream;

use super::{content_disposition::ContentDisposition, json::unsupported_media_type};
use crate::{
    AppState,
    problem::{Problem, Result},
    rest::size_limit::SizeLimit,
};

/// Maximum number of bytes buffered while searching for the next part: its headers, and the content that has arrived
/// with them.
const MAX_PART_SEARCH_BYTES: usize = 32 << 20;

/// Reads the parts of a multipart body in order.
pub(crate) struct MultipartReader {
    multipart: Multipart<'static>,
    /// Bytes that may still be read in search of the next part. It is unlimited inside a part, whose content is not
    /// buffered.
    search_budget: Arc<AtomicUsize>,
}

/// Begins to read a multipart body. Reading fails when the client sends nothing for `upload_idle_timeout`.
pub(crate) fn read_multipart(request: Request, state: &AppState) -> Result<MultipartReader> {
    let media_type = "multipart/form-data";
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let boundary = multer::parse_boundary(content_type.unwrap_or_default());
    let boundary = boundary.map_err(|_| unsupported_media_type(media_type))?;
    let chunks = request.into_body().into_data_stream();
    let idle_timeout = state.settings.upload_idle_timeout;
    let chunks = tokio_stream::StreamExt::timeout(chunks, idle_timeout).map(|chunk| match chunk {
        Ok(chunk) => chunk.map_err(io::Error::other),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client sent no data within the idle timeout",
        )),
    });
    let search_budget = Arc::new(AtomicUsize::new(usize::MAX));
    let left = Arc::clone(&search_budget);
    let chunks = chunks.map(move |chunk: io::Result<Bytes>| {
        let chunk = chunk?;
        let spent = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(chunk.len())
        });
        spent
            .map(|_| chunk)
            .map_err(|_| io::Error::other("no part header found"))
    });
    Ok(MultipartReader {
        multipart: Multipart::new(chunks, boundary),
        search_budget,
    })
}

/// A part, whose content is read next.
pub(crate) struct Part {
    /// The name of the form's field.
    pub(crate) name: Option<String>,
    /// The name of the file.
    pub(crate) filename: Option<String>,
    content: Field<'static>,
}

impl Part {
    fn new(content: Field<'static>) -> Self {
        let disposition = content.headers().get(CONTENT_DISPOSITION);
        let disposition = disposition.map(|value| ContentDisposition::parse(value.as_bytes()));
        let ContentDisposition { name, filename } = disposition.unwrap_or_default();
        Self {
            name,
            filename,
            content,
        }
    }
}

/// The next part; none at the end.
pub(crate) async fn next_part(reader: &mut MultipartReader) -> Result<Option<Part>> {
    reader
        .search_budget
        .store(MAX_PART_SEARCH_BYTES, Ordering::Relaxed);
    let field = reader
        .multipart
        .next_field()
        .await
        .map_err(multipart_problem);
    reader.search_budget.store(usize::MAX, Ordering::Relaxed);
    Ok(field?.map(Part::new))
}

/// The content of a part as a stream of bytes.
pub(crate) fn part_stream(part: Part) -> ByteStream {
    part.content.map_err(io::Error::other).boxed()
}

/// Reads a part of at most `limit` bytes.
pub(crate) async fn read_part(mut part: Part, limit: SizeLimit) -> Result<Bytes> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = part.content.chunk().await.map_err(multipart_problem)? {
        if bytes.len() + chunk.len() > limit.bytes {
            return Err(limit.exceeded());
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// 422 for a part that is unknown, missing, malformed or sent twice.
pub(crate) fn invalid_part(name: &str, message: &str) -> Problem {
    let error = FieldError {
        path: name.to_owned(),
        message: message.to_owned(),
    };
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "wrong_part",
        format!("the part `{name}` {message}"),
    )
    .with_errors(vec![error])
}

fn multipart_problem(error: Error) -> Problem {
    match error {
        Error::FieldSizeExceeded { limit, .. } | Error::StreamSizeExceeded { limit } => {
            SizeLimit::fixed(usize::try_from(limit).unwrap_or(usize::MAX)).exceeded()
        }
        Error::StreamReadFailed(_)
        | Error::IncompleteStream
        | Error::IncompleteFieldData { .. } => Problem::new(
            StatusCode::BAD_REQUEST,
            "broken_body",
            "the body ended unexpectedly",
        ),
        error => {
            let detail = format!("the body is not valid multipart/form-data: {error}");
            Problem::new(StatusCode::BAD_REQUEST, "malformed_multipart", detail)
        }
    }
}
