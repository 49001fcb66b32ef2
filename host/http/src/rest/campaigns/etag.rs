//! Entity tags of campaigns, for conditional changes.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderValue, StatusCode,
    header::{ETAG, IF_MATCH},
};
use serde::Serialize;
use tidegate_core::{campaign::Campaign, id::CampaignId};
use tidegate_engine::{Ctx, Engine, Error, campaigns};

use super::body::{CampaignBody, detail, with_waves};
use crate::{
    etag::header_matches,
    problem::{Problem, Result},
};

/// A campaign with its entity tag: its generation, which every command and every decision increments. Reports of devices
/// do not, so that a condition speaks of the campaign and not of its progress.
pub(crate) struct TaggedCampaign<B = CampaignBody> {
    generation: i64,
    body: B,
}

impl TaggedCampaign {
    /// A campaign as a command has stored it.
    pub(super) async fn stored(ctx: &Ctx, engine: &Engine, campaign: Campaign) -> Result<Self> {
        Ok(Self {
            generation: campaign.generation,
            body: detail(ctx, engine, campaign).await?,
        })
    }

    pub(super) async fn read(ctx: &Ctx, engine: &Engine, id: CampaignId) -> Result<Self> {
        let detail = campaigns::detail(ctx, engine.store(), id).await?;
        Ok(Self {
            generation: detail.campaign.generation,
            body: with_waves(detail)?,
        })
    }

    /// With a body that has more than the campaign.
    pub(super) fn with<B>(self, extend: impl FnOnce(CampaignBody) -> B) -> TaggedCampaign<B> {
        TaggedCampaign {
            generation: self.generation,
            body: extend(self.body),
        }
    }
}

impl<B: Serialize> IntoResponse for TaggedCampaign<B> {
    fn into_response(self) -> Response {
        let mut response = Json(self.body).into_response();
        if let Ok(tag) = HeaderValue::try_from(format!("\"{}\"", self.generation)) {
            response.headers_mut().insert(ETAG, tag);
        }
        response
    }
}

/// The generation that a request with `If-Match` requires; none: it requires none. 412 if the campaign is at another one.
pub(super) fn required_generation(headers: &HeaderMap, campaign: &Campaign) -> Result<Option<i64>> {
    let mut conditions = headers.get_all(IF_MATCH).iter();
    if conditions.all(|condition| condition == "*") {
        return Ok(None);
    }
    let generation = campaign.generation;
    if header_matches(headers, &IF_MATCH, &generation.to_string(), false) {
        return Ok(Some(generation));
    }
    Err(precondition_failed())
}

/// The problem for an error of a change. It is 412 if the campaign has left the required generation meanwhile.
pub(super) fn change_problem(error: Error, required: Option<i64>) -> Problem {
    match error {
        Error::Conflict { code, .. }
            if code == campaigns::CHANGED_MEANWHILE && required.is_some() =>
        {
            precondition_failed()
        }
        error => error.into(),
    }
}

fn precondition_failed() -> Problem {
    let detail = "the campaign has changed since it was read; read it, and send its ETag";
    Problem::new(
        StatusCode::PRECONDITION_FAILED,
        "precondition_failed",
        detail,
    )
}
