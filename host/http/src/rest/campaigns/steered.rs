use std::sync::Arc;

use axum::{Json, extract::FromRequestParts};
use http::request::Parts;
use tidegate_core::{campaign::Campaign, id::CampaignId};
use tidegate_engine::{Engine, tenants::Actor};

use super::shape::{CampaignBody, whole};
use crate::{
    AppState,
    problem::{Problem, Result},
    rest::{
        access::Operator,
        segments::{Segments, id},
    },
};

/// A campaign that an operator steers: the one segment of its path that varies, and who asks.
pub(crate) struct Steered {
    pub(super) engine: Arc<Engine>,
    pub(super) actor: Actor,
    pub(super) campaign: CampaignId,
}

impl FromRequestParts<AppState> for Steered {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> Result<Self> {
        let Operator(actor) = Operator::from_request_parts(parts, state).await?;
        let Segments(campaign) = Segments::<String>::from_request_parts(parts, state).await?;
        Ok(Self {
            engine: Arc::clone(&state.engine),
            actor,
            campaign: id("campaign", &campaign)?,
        })
    }
}

impl Steered {
    /// The answer: the campaign as it has become.
    pub(super) async fn shown(&self, campaign: Campaign) -> Result<Json<CampaignBody>> {
        let body = whole(&self.engine, &self.actor, campaign).await?;
        Ok(Json(body))
    }
}
