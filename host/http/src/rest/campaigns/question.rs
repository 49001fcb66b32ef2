use axum::{extract::State, response::IntoResponse};
use http::header::CONTENT_TYPE;
use serde::Serialize;
use serde_json::Value;
use tidegate_engine::{Ctx, campaigns};
use utoipa::ToSchema;

use crate::{
    AppState,
    problem::Result,
    rest::extract::{PathParams, parse_id},
};

/// A recorded call in the form of a golden, as tests of plugins read it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Question)]
pub(crate) struct QuestionBody {
    /// The version of the plugin contract, such as `1.1`. Left out for 1.0.
    #[serde(skip_serializing_if = "Option::is_none")]
    contract: Option<String>,
    /// `plan`, `assign`, `check`, `evaluate`, `decide` or `wants`.
    call: String,
    /// The input, in the types of the plugin contract.
    input: Value,
    /// The recorded output: `Ok` and the answer. Left out if the call failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    expect: Option<Value>,
}

/// Shows the question of a recorded plugin call as a golden, which tests of the plugin can run. 409 if the entry has none.
#[utoipa::path(
    get, path = "/campaigns/{campaign_id}/journal/{seq}/question", tag = "campaigns",
    params(("campaign_id" = i64, Path), ("seq" = i64, Path)),
    responses((status = 200, description = "The question and its recorded answer.", body = QuestionBody)),
)]
pub(crate) async fn get_question(
    ctx: Ctx,
    State(state): State<AppState>,
    PathParams((campaign, seq)): PathParams<(String, String)>,
) -> Result<impl IntoResponse> {
    let (campaign, seq) = (
        parse_id("campaign", &campaign)?,
        parse_id("journal entry", &seq)?,
    );
    let (store, plugins) = (state.engine.store(), state.engine.plugins());
    let question = campaigns::question(&ctx, store, plugins, campaign, seq).await?;
    // As it is: the order of its fields is that of the contract.
    Ok(([(CONTENT_TYPE, "application/json")], question))
}
