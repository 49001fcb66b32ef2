//! What operators say of devices, and what follows from it.

mod drift;
mod feeds;
mod latest;
mod modes;

use anyhow::Result;
use reqwest::Method;
use serde_json::Value;
use tidegate_e2e::{Answer, Lab};

/// Changes a device; answers it.
async fn set(lab: &Lab, id: &str, change: Value) -> Result<Value> {
    let request = lab
        .operator
        .request(Method::PATCH, &format!("devices/{id}"));
    Answer::of(request.json(&change)).await?.is(200)?.json()
}

/// What is said of a device in a campaign: its standing and the reasons, one text.
async fn why(lab: &Lab, id: &str, campaign: i64) -> Result<(String, String)> {
    let explained = lab
        .viewer
        .get(&format!("devices/{id}/explain"))
        .await?
        .ok()?;
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
