//! API keys. They are created and revoked on the command line of the server's machine.

mod body;
mod read;

use utoipa_axum::{router::OpenApiRouter, routes};

use crate::AppState;

/// Routes with a time limit.
pub(super) fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(read::list_keys))
        .routes(routes!(read::get_key))
}
