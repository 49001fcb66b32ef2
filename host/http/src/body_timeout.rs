//! Bodies that a client sends slowly. Only the time without any byte is limited: the size of a body is limited too, so one
//! whose bytes go on arriving ends.

use std::{error::Error, iter::successors};

use axum::body::{Body, HttpBody as _};
use tower_http::timeout::{TimeoutBody, TimeoutError};

use crate::AppState;

/// A body that fails when the client sends nothing of it for the time limit of requests.
pub(crate) fn with_idle_timeout(body: Body, state: &AppState) -> Body {
    if body.is_end_stream() {
        return body;
    }
    Body::new(TimeoutBody::new(state.settings.request_timeout, body))
}

/// Whether a body failed because its client sent nothing.
pub(crate) fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    let mut causes = successors(Some(error), |&error| error.source());
    causes.any(<dyn Error>::is::<TimeoutError>)
}
