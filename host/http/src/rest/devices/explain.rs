use axum::{Json, extract::State};
use serde::{Deserialize, Serialize};
use tidegate_core::{Named as _, id::CampaignId};
use tidegate_engine::{
    Ctx,
    campaigns::{self, Explanation},
    latest,
    ports::PageRequest,
    registry, updates,
};
use utoipa::{IntoParams, ToSchema};

use crate::{
    AppState,
    problem::Result,
    rest::{
        enum_field::{DeviceModeField, EnumField},
        extract::PathParams,
        query::{Query, QueryParams, page},
        response::List,
        shared::UpdateBody,
    },
};

/// Which campaigns are explained.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct ExplainQuery {
    /// Only this campaign, even if it has not started.
    campaign_id: Option<i64>,
    /// 1 to 500, 50 when left out.
    limit: Option<u32>,
    offset: Option<u64>,
}

impl Query for ExplainQuery {
    type Params = (Option<CampaignId>, PageRequest);

    fn check(self) -> Result<Self::Params> {
        Ok((
            self.campaign_id.map(CampaignId),
            page(self.limit, self.offset)?,
        ))
    }
}

/// Why a device was, or was not, offered the firmware of campaigns that have started.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Explanations {
    device: DeviceReasons,
    /// First the campaigns that have an open update for the device, then the others; the newest first.
    #[serde(flatten)]
    campaigns: List<ExplanationBody>,
}

/// Reasons that do not depend on a campaign.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DeviceReasons {
    mode: DeviceModeField,
    pinned: bool,
    feed: Option<String>,
    /// Whether it reports a version other than the one its last completed update installed.
    drifted: bool,
    /// The reasons, as sentences.
    reasons: Vec<String>,
}

/// Why a device was, or was not, offered the firmware of one campaign.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Explanation)]
pub(crate) struct ExplanationBody {
    campaign_id: i64,
    campaign_name: String,
    campaign_status: &'static str,
    firmware_id: i64,
    /// `not_started`, `not_selected`, `excluded`, `in_no_wave`, `waiting`, `passed_over` or `admitted`.
    standing: &'static str,
    /// In chronological order.
    reasons: Vec<String>,
    /// The device's updates in this campaign, newest first.
    updates: Vec<UpdateBody>,
}

/// Explains why a device was, or was not, offered the firmware of each campaign that has started.
#[utoipa::path(
    get, path = "/devices/{device_id}/explain", tag = "devices",
    params(("device_id" = String, Path), ExplainQuery),
    responses((
        status = 200, description = "The device's own reasons, and a page of campaigns with theirs.",
        body = Explanations,
    )),
)]
pub(crate) async fn explain_device(
    ctx: Ctx,
    State(state): State<AppState>,
    PathParams(device_id): PathParams<String>,
    QueryParams((campaign, page)): QueryParams<ExplainQuery>,
) -> Result<Json<Explanations>> {
    let engine = &state.engine;
    let device = registry::get(&ctx, engine.store(), engine.caches(), &device_id).await?;
    let mut reasons = registry::reasons(&device);
    reasons.extend(latest::explain(&ctx, engine.store(), engine.plugins(), &device).await?);
    reasons.extend(updates::explain_open_updates(&ctx, engine.store(), &device).await?);
    let found = campaigns::explain(&ctx, engine.store(), &device_id, campaign, page).await?;
    let items = found.items.into_iter().map(ExplanationBody::from).collect();
    Ok(Json(Explanations {
        device: DeviceReasons {
            mode: EnumField(device.mode),
            pinned: device.pinned,
            feed: device.feed.clone(),
            drifted: device.drift.is_some(),
            reasons,
        },
        campaigns: List::new(items, found.total, page),
    }))
}

impl From<Explanation> for ExplanationBody {
    fn from(explanation: Explanation) -> Self {
        let campaign = explanation.campaign;
        Self {
            campaign_id: campaign.id.0,
            campaign_name: campaign.spec.name,
            campaign_status: campaign.status.as_str(),
            firmware_id: campaign.spec.firmware.0,
            standing: explanation.status.as_str(),
            reasons: explanation.reasons,
            updates: explanation
                .updates
                .into_iter()
                .map(UpdateBody::from)
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use strum::VariantNames as _;
    use tidegate_engine::campaigns::MembershipStatus;

    #[test]
    fn every_standing_has_its_documented_word() {
        let words = "not_started not_selected excluded in_no_wave waiting passed_over admitted";
        assert_eq!(MembershipStatus::VARIANTS.join(" "), words);
    }
}
