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
use http::{StatusCode, header::CONTENT_TYPE};
use multer::{Error, Field, Multipart};
use tidegate_core::plugin::FieldError;
use tidegate_engine::ports::ByteStream;

use super::json::{too_large, unsupported};
use crate::{
    AppState,
    problem::{Problem, Result},
};

/// Most bytes that are gathered in search of the next part: its head, and as much of its content as has arrived by then.
const SEARCH_BYTES: usize = 32 << 20;

/// The parts of a body.
pub(crate) struct Parts {
    multipart: Multipart<'static>,
    /// How much more may be read in search of the next part. Inside a part its reader takes what is read, so nothing
    /// gathers there.
    search: Arc<AtomicUsize>,
}

/// The parts of a request's body. A client that is silent for too long has broken off.
pub(crate) fn parts(request: Request, state: &AppState) -> Result<Parts> {
    let wanted = "multipart/form-data";
    let content_type = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok());
    let boundary = multer::parse_boundary(content_type.unwrap_or_default());
    let boundary = boundary.map_err(|_| unsupported(wanted))?;
    let chunks = request.into_body().into_data_stream();
    let silence = state.settings.upload_silence;
    let chunks = tokio_stream::StreamExt::timeout(chunks, silence).map(|chunk| match chunk {
        Ok(chunk) => chunk.map_err(io::Error::other),
        Err(_) => Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client fell silent",
        )),
    });
    let search = Arc::new(AtomicUsize::new(usize::MAX));
    let left = Arc::clone(&search);
    let chunks = chunks.map(move |chunk: io::Result<Bytes>| {
        let chunk = chunk?;
        let taken = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
            left.checked_sub(chunk.len())
        });
        taken
            .map(|_| chunk)
            .map_err(|_| io::Error::other("no part begins"))
    });
    Ok(Parts {
        multipart: Multipart::new(chunks, boundary),
        search,
    })
}

/// The next part; none at the end.
pub(crate) async fn next(parts: &mut Parts) -> Result<Option<Field<'static>>> {
    parts.search.store(SEARCH_BYTES, Ordering::Relaxed);
    let field = parts.multipart.next_field().await.map_err(problem);
    parts.search.store(usize::MAX, Ordering::Relaxed);
    field
}

/// A part as a stream of bytes.
pub(crate) fn stream(field: Field<'static>) -> ByteStream {
    field.map_err(io::Error::other).boxed()
}

/// A whole part, if it is not larger than this.
pub(crate) async fn whole(mut field: Field<'static>, most: usize) -> Result<Bytes> {
    let mut bytes = BytesMut::new();
    while let Some(chunk) = field.chunk().await.map_err(problem)? {
        if bytes.len() + chunk.len() > most {
            return Err(too_large(most));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.freeze())
}

/// 422 for a part that nobody knows, is missing or comes twice.
pub(crate) fn wrong_part(name: &str, message: &str) -> Problem {
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

fn problem(error: Error) -> Problem {
    match error {
        Error::FieldSizeExceeded { limit, .. } | Error::StreamSizeExceeded { limit } => {
            too_large(usize::try_from(limit).unwrap_or(usize::MAX))
        }
        Error::StreamReadFailed(_)
        | Error::IncompleteStream
        | Error::IncompleteFieldData { .. } => {
            Problem::new(StatusCode::BAD_REQUEST, "broken_body", "the body broke off")
        }
        error => {
            let detail = format!("the body is no multipart/form-data: {error}");
            Problem::new(StatusCode::BAD_REQUEST, "malformed_multipart", detail)
        }
    }
}
