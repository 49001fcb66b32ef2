use axum::response::{IntoResponse as _, Response};
use tidegate_engine::Error;
use tracing::Instrument as _;

use crate::problem::Problem;

/// Responds in a task of its own, which ends what it has begun even if its caller stops waiting. `work` names it in the
/// log.
pub(crate) async fn respond_in_own_task(
    work: &'static str,
    responding: impl Future<Output = Response> + Send + 'static,
) -> Response {
    let task = tokio::spawn(responding.in_current_span());
    task.await.unwrap_or_else(|stopped| {
        if stopped.is_panic() {
            // The process's panic hook has reported it.
            return Problem::internal().into_response();
        }
        Problem::from(Error::internal(work, stopped)).into_response()
    })
}
