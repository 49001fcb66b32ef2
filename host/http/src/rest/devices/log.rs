use axum::{
    Json,
    extract::State,
    response::{IntoResponse as _, Response},
};
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use tidegate_core::{Named as _, id::UpdateId};
use tidegate_engine::{Ctx, ports::FeedbackRow, registry, tenants::ActorCredential, updates};
use utoipa::{IntoParams, ToSchema};

use crate::{
    AppState,
    problem::Result,
    rest::{
        extract::PathParams,
        query::{Query, QueryParams, page},
        response::Time,
        shared::{LogLineBody, UpdateBody, accepts_event_stream, follow_logs},
    },
};

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct LogQuery {
    /// One of the device's updates; the newest when left out.
    update_id: Option<i32>,
    /// 1 to 500, 50 when left out.
    limit: Option<u32>,
}

impl Query for LogQuery {
    /// The update, and the maximum number of lines.
    type Params = (Option<UpdateId>, u32);

    fn check(self) -> Result<Self::Params> {
        let limit = page(self.limit, None)?.limit;
        Ok((self.update_id.map(UpdateId), limit))
    }
}

/// Feedback and log of a device for one update.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeviceUpdateLog {
    /// Null when the device has had no update.
    update: Option<UpdateBody>,
    /// Newest first.
    items: Vec<LoggedFeedbackBody>,
    count: u64,
    /// The newest lines of the log, oldest first.
    lines: Vec<LogLineBody>,
    /// Number of older lines that were dropped.
    dropped_lines: u64,
}

/// One feedback message of the device.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Feedback)]
pub(crate) struct LoggedFeedbackBody {
    /// When the server received it.
    at: Time,
    /// The time that the device gave.
    device_time: Option<Time>,
    /// DDI's value; `confirmed` and `denied` are answers to a confirmation request.
    execution: &'static str,
    finished: &'static str,
    progress: Option<ProgressBody>,
    code: Option<i32>,
    messages: Vec<String>,
    /// Whether messages were truncated.
    is_cut: bool,
    /// Whether it was feedback on a cancellation.
    on_cancel: bool,
}

/// Progress: `count` of `of`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Progress)]
pub(crate) struct ProgressBody {
    count: u32,
    of: u32,
}

/// Shows the feedback and the log of one of a device's updates. With `Accept: text/event-stream` it streams the log:
/// `update` events carry an update when it is first shown, `line` events a line, and `end` events an update that has
/// ended, after which the stream continues with the next one. The id of each event is the update's id and the number of
/// its last line; with `Last-Event-ID` the stream continues after that line.
#[utoipa::path(
    get, path = "/devices/{device_id}/log", tag = "devices",
    params(("device_id" = String, Path), LogQuery, ("Last-Event-ID" = Option<String>, Header)),
    responses((
        status = 200, description = "Feedback and log, or a stream of events, which stays open.",
        content((DeviceUpdateLog = "application/json"), (String = "text/event-stream")),
    )),
)]
pub(crate) async fn show_update_log(
    ctx: Ctx,
    credential: ActorCredential,
    State(state): State<AppState>,
    PathParams(device): PathParams<String>,
    QueryParams((update, limit)): QueryParams<LogQuery>,
    headers: HeaderMap,
) -> Result<Response> {
    if accepts_event_stream(&headers) {
        let device = registry::get_stored(&ctx, state.engine.store(), &device).await?;
        return follow_logs(&state, (ctx, credential), device.key, update, &headers);
    }
    let log = registry::feedback_log(&ctx, state.engine.store(), &device, update, limit).await?;
    let items: Vec<_> = log
        .lines
        .into_iter()
        .map(LoggedFeedbackBody::from)
        .collect();
    let count = items.len() as u64;
    let (lines, dropped_lines) = match &log.update {
        None => (Vec::new(), 0),
        Some(row) => {
            let log = updates::log(&ctx, state.engine.store(), row.update.id, None, limit).await?;
            let lines = log.lines.into_iter().map(LogLineBody::from);
            (lines.collect(), log.dropped)
        }
    };
    let body = DeviceUpdateLog {
        update: log.update.map(UpdateBody::from),
        items,
        count,
        lines,
        dropped_lines,
    };
    Ok(Json(body).into_response())
}

impl From<FeedbackRow> for LoggedFeedbackBody {
    fn from(row: FeedbackRow) -> Self {
        let feedback = row.feedback;
        Self {
            at: row.at.into(),
            device_time: feedback.device_time.map(Time::from),
            execution: feedback.execution.as_str(),
            finished: feedback.finished.as_str(),
            progress: feedback
                .progress
                .map(|(count, of)| ProgressBody { count, of }),
            code: feedback.code,
            messages: feedback.messages,
            is_cut: feedback.cut,
            on_cancel: row.on_cancel,
        }
    }
}
