use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use tidegate_core::id::UpdateId;
use tidegate_engine::{Ctx, tenants::ActorCredential, updates};
use utoipa::{IntoParams, ToSchema};

use crate::{
    AppState,
    problem::Result,
    rest::{
        extract::{PathParams, parse_id},
        query::{Query, QueryParams, page},
        shared::{LogLineBody, UpdateBody, accepts_event_stream, follow_logs},
    },
};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LinesQuery {
    /// Only lines after this number; the newest when left out.
    after: Option<u64>,
    /// 1 to 500, 50 when left out.
    limit: Option<u32>,
}

impl Query for LinesQuery {
    /// The number of the line before the first one, and the maximum number of lines.
    type Params = (Option<u64>, u32);

    fn check(self) -> Result<Self::Params> {
        Ok((self.after, page(self.limit, None)?.limit))
    }
}

/// The log of an update.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UpdateLog)]
pub(crate) struct UpdateLogBody {
    update: UpdateBody,
    /// Oldest first.
    lines: Vec<LogLineBody>,
    /// Number of older lines that were dropped.
    dropped: u64,
}

/// Shows the log of an update. With `Accept: text/event-stream` it streams the log: `line` events, and an `end` event
/// with the update. The id of each event is the update's id and the number of its last line; with `Last-Event-ID` the
/// stream continues after that line.
#[utoipa::path(
    get, path = "/updates/{update_id}/log", tag = "updates",
    params(("update_id" = i32, Path), LinesQuery, ("Last-Event-ID" = Option<String>, Header)),
    responses((
        status = 200, description = "The log, or a stream of events, which ends with the update.",
        content((UpdateLogBody = "application/json"), (String = "text/event-stream")),
    )),
)]
pub(crate) async fn show_log(
    ctx: Ctx,
    credential: ActorCredential,
    State(state): State<AppState>,
    PathParams(update): PathParams<String>,
    QueryParams((after, limit)): QueryParams<LinesQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    let update: UpdateId = parse_id("update", &update)?;
    if accepts_event_stream(&headers) {
        let row = updates::get(&ctx, state.engine.store(), update).await?;
        return follow_logs(
            &state,
            (ctx, credential),
            row.update.device,
            Some(update),
            &headers,
        );
    }
    let log = updates::log(&ctx, state.engine.store(), update, after, limit).await?;
    Ok(Json(UpdateLogBody::from(log)).into_response())
}

impl From<updates::UpdateLog> for UpdateLogBody {
    fn from(log: updates::UpdateLog) -> Self {
        Self {
            update: log.update.into(),
            lines: log.lines.into_iter().map(LogLineBody::from).collect(),
            dropped: log.dropped,
        }
    }
}
