use axum::{Json, extract::State};
use serde::Serialize;
use strum::{IntoStaticStr, VariantNames};
use tidegate_core::wave::Failure;
use tidegate_engine::{
    Ctx, campaigns,
    ports::{Advance, PageRequest, Wave},
};
use utoipa::ToSchema;

use crate::{
    AppState,
    problem::Result,
    rest::{
        enum_field::EnumField,
        extract::{PathParams, parse_id},
        response::{List, Time},
        shared::CountsBody,
    },
};

/// A wave of a campaign.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Wave)]
pub(crate) struct WaveBody {
    index: u32,
    name: String,
    status: WaveStatusField,
    /// Number of its devices.
    total: u64,
    /// Number of its devices that the last decision releases.
    released: u64,
    /// Number of its devices that an update was created for.
    admitted: u64,
    counts: CountsBody,
    /// When the first of its devices was released.
    opened_at: Option<Time>,
    /// When one of the counters last changed.
    moved_at: Option<Time>,
    /// When an operator advanced the campaign past the gate before this wave; null if that did not open it.
    advanced_at: Option<Time>,
    /// The last time an operator advanced the campaign past the gate before this wave.
    advance: Option<AdvanceBody>,
    /// Failures by code, most frequent first.
    failures: Vec<FailureBody>,
}

/// An operator's attempt to open a wave, and what became of it.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Advance)]
pub(crate) struct AdvanceBody {
    /// Name of the operator.
    by: String,
    at: Time,
    /// Whether the wave opened. `null`: the strategy has not decided yet.
    applied: Option<bool>,
    /// The explanation of the decision.
    explain: Vec<String>,
}

/// Status of a wave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantNames)]
#[strum(serialize_all = "snake_case")]
enum WaveStatus {
    /// None of its devices is released.
    Pending,
    /// Some of its devices are released.
    Open,
    /// The updates of all its devices have ended.
    Finished,
}

// utoipa's derive asks the arguments of a generic type for schemas.
type WaveStatusField = EnumField<WaveStatus>;

/// A failure code and the number of devices that failed with it.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = Failure)]
pub(crate) struct FailureBody {
    code: String,
    devices: u64,
}

/// Lists a campaign's waves in the plan's order; empty before it starts.
#[utoipa::path(
    get, path = "/campaigns/{campaign_id}/waves", tag = "campaigns",
    params(("campaign_id" = i64, Path)),
    responses((status = 200, description = "The campaign's waves, in the plan's order.", body = List<WaveBody>)),
)]
pub(crate) async fn list_waves(
    ctx: Ctx,
    State(state): State<AppState>,
    PathParams(campaign): PathParams<String>,
) -> Result<Json<List<WaveBody>>> {
    let campaign = parse_id("campaign", &campaign)?;
    let waves = campaigns::waves(&ctx, state.engine.store(), campaign).await?;
    let waves: Vec<WaveBody> = waves.into_iter().zip(0..).map(WaveBody::from).collect();
    // A campaign has at most 500 waves, so that they fit one page.
    let (total, page) = (
        waves.len() as u64,
        PageRequest {
            limit: 500,
            offset: 0,
        },
    );
    Ok(Json(List::new(waves, total, page)))
}

impl From<(Wave, u32)> for WaveBody {
    fn from((wave, index): (Wave, u32)) -> Self {
        let report = wave.report;
        let is_finished = report.counts.finished() >= report.size;
        Self {
            index,
            status: EnumField(match (report.released, is_finished) {
                (0, false) => WaveStatus::Pending,
                (_, false) => WaveStatus::Open,
                (_, true) => WaveStatus::Finished,
            }),
            name: report.name,
            total: report.size,
            released: report.released,
            admitted: wave.admitted,
            counts: report.counts.into(),
            opened_at: report.opened_at.map(Time::from),
            moved_at: report.last_progress_at.map(Time::from),
            advanced_at: report.advanced_at.map(Time::from),
            advance: wave.advance.map(AdvanceBody::from),
            failures: report.failures.into_iter().map(FailureBody::from).collect(),
        }
    }
}

impl From<Advance> for AdvanceBody {
    fn from(advance: Advance) -> Self {
        Self {
            by: advance.by,
            at: advance.at.into(),
            applied: advance.applied,
            explain: advance.explain,
        }
    }
}

impl From<Failure> for FailureBody {
    fn from(failure: Failure) -> Self {
        Self {
            code: failure.code,
            devices: failure.devices,
        }
    }
}
