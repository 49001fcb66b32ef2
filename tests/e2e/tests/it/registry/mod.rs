//! Device settings by operators, and their effects.

mod drift;
mod feeds;
mod latest;
mod modes;

use anyhow::Result;
use reqwest::Method;
use serde_json::Value;
use tidegate_e2e::{HttpResponse, RestResponse as _, TestTenant};

/// Changes a device. Returns the device.
async fn update_device(tenant: &TestTenant, id: &str, change: Value) -> Result<Value> {
    let request = tenant
        .operator
        .request(Method::PATCH, &format!("devices/{id}"));
    Ok(HttpResponse::fetch(request.json(&change))
        .await?
        .expect_status(200)?
        .json()?)
}

/// The membership of a device in a campaign, and its reasons as one text.
async fn explain_membership(
    tenant: &TestTenant,
    id: &str,
    campaign: i64,
) -> Result<(String, String)> {
    let explained = tenant
        .viewer
        .get(&format!("devices/{id}/explain"))
        .await?
        .expect_success()?;
    let items = explained["items"].as_array().into_iter().flatten();
    let one = items
        .into_iter()
        .find(|item| item["campaign_id"] == campaign);
    let one = one.cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let reasons = one["reasons"].as_array().into_iter().flatten();
    let reasons: Vec<_> = reasons.map(text).collect();
    Ok((text(&one["standing"]), reasons.join("; ")))
}
