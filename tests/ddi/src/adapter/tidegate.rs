use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::{
    Adapter, Kind, Need, State, Target, Terms, Update, Urgency, Window,
    rest::{Credentials, Rest, id, part},
};
use crate::{bundle::Bundle, until};

/// Tidegate, by its REST API.
#[derive(Debug, Clone)]
pub struct Tidegate {
    target: Target,
    rest: Rest,
}

impl Tidegate {
    /// A server whose REST API takes this key, which an administrator of the tenant has.
    pub fn new(target: Target, key: &str) -> Result<Self> {
        let base = format!("{}/api/v1", target.url);
        Ok(Self {
            rest: Rest::new(base, Credentials::Key(key.to_owned()))?,
            target,
        })
    }

    /// Every update of a campaign, by device.
    async fn updates(&self, campaign: &str) -> Result<HashMap<String, String>> {
        let mut updates = HashMap::new();
        loop {
            let path = format!(
                "campaigns/{campaign}/updates?limit=500&offset={}",
                updates.len()
            );
            let page = self.rest.get(&path).await?;
            let items = page["items"]
                .as_array()
                .with_context(|| format!("no items: {page}"))?;
            for item in items {
                updates.insert(id(item, "/device_id")?, id(item, "/update_id")?);
            }
            if items.is_empty() || page["total"].as_u64() <= Some(updates.len() as u64) {
                return Ok(updates);
            }
        }
    }
}

#[async_trait(?Send)]
impl Adapter for Tidegate {
    fn target(&self) -> &Target {
        &self.target
    }

    fn lacks(&self, _: Need) -> Option<&'static str> {
        None
    }

    fn differs(&self, _: u8) -> bool {
        true
    }

    async fn register(&self, device: &str) -> Result<String> {
        let made = self
            .rest
            .post("devices", &json!({ "device_id": device }))
            .await?;
        id(&made, "/token")
    }

    async fn firmware(&self, bundle: &Bundle, run: &str) -> Result<String> {
        let modules = bundle.modules.iter().map(|module| {
            let files = module
                .files
                .iter()
                .map(|file| json!({ "filename": file.name }));
            let shown = module
                .shown
                .iter()
                .map(|(key, value)| json!({ "key": key, "value": value }));
            json!({
                "part": module.part,
                "name": format!("{}-{run}", module.name),
                "version": module.version,
                "metadata": shown.collect::<Value>(),
                "files": files.collect::<Value>(),
            })
        });
        // What devices do not see is a firmware's here, not a module's.
        let hidden = bundle.modules.iter().flat_map(|module| module.hidden);
        let hidden = hidden.map(|&(key, value)| (key.to_owned(), Value::from(value)));
        let metadata = json!({
            "name": format!("{}-{run}", bundle.name),
            "version": bundle.version,
            "metadata": hidden.collect::<serde_json::Map<_, _>>(),
            "modules": modules.collect::<Value>(),
        });
        let metadata = Part::text(metadata.to_string()).mime_str("application/json")?;
        let mut form = Form::new().part("metadata", metadata);
        for file in bundle.modules.iter().flat_map(|module| module.files) {
            form = form.part("file", part(file)?);
        }
        id(&self.rest.upload("firmware", form).await?, "/firmware_id")
    }

    async fn assign(
        &self,
        devices: &[String],
        firmware: &str,
        terms: Terms,
    ) -> Result<Vec<Update>> {
        let (update_type, forced_at) = match terms.kind {
            Kind::Forced => ("forced", None),
            Kind::Soft => ("soft", None),
            Kind::TimeForcedPast => ("time_forced", Some("1971-01-01T00:00:00Z")),
            Kind::TimeForcedFuture => ("time_forced", Some("2190-01-01T00:00:00Z")),
            Kind::DownloadOnly => ("download_only", None),
        };
        let mut body = json!({
            "name": format!("{firmware} for {} devices", devices.len()),
            "firmware_id": firmware.parse::<i64>()?,
            "target_devices": devices,
            "strategy": { "plugin": "immediate", "config": {} },
            "failure_threshold_percent": 100,
            "priority": match terms.urgency {
                Urgency::Normal => "normal",
                Urgency::Urgent => "emergency",
            },
            "update_type": update_type,
            "requires_confirmation": terms.confirmation,
            "success_criteria": if terms.proof { "attested" } else { "reported" },
        });
        if let Some(forced_at) = forced_at {
            body["forced_at"] = json!(forced_at);
        }
        let window = match terms.window {
            Window::None => None,
            Window::Open => Some(("0 0 * * *", "24:00:00")),
            // A minute in a year.
            Window::Closed => Some(("59 23 24 12 *", "00:01:00")),
        };
        if let Some((schedule, duration)) = window {
            body["maintenance_window"] = json!({
                "schedule": schedule,
                "duration": duration,
                "timezone": "UTC",
                "prefetch": terms.prefetch,
            });
        }
        let campaign = id(&self.rest.post("campaigns", &body).await?, "/campaign_id")?;
        self.rest
            .post(&format!("campaigns/{campaign}/start"), &json!({}))
            .await?;
        let all = until("the campaign has made its updates", async || {
            let made = self.updates(&campaign).await?;
            Ok((made.len() == devices.len()).then_some(made))
        });
        let all = all.await?;
        let update = |device: &String| {
            let id = all
                .get(device)
                .with_context(|| format!("no update for {device}"))?;
            Ok(Update {
                id: id.clone(),
                device: device.clone(),
                origin: campaign.clone(),
            })
        };
        devices.iter().map(update).collect()
    }

    async fn cancel(&self, updates: &[Update]) -> Result<()> {
        let update = updates.first().context("no update")?;
        self.rest
            .post(&format!("campaigns/{}/cancel", update.origin), &json!({}))
            .await?;
        Ok(())
    }

    async fn quit(&self, update: &Update) -> Result<()> {
        let path = format!("updates/{}/cancel", update.id);
        self.rest.post(&path, &json!({ "force": true })).await?;
        Ok(())
    }

    async fn state(&self, update: &Update) -> Result<State> {
        let wanted = Some(update.id.parse()?);
        let path = format!("devices/{}/updates?limit=500", update.device);
        let body = self.rest.get(&path).await?;
        let items = body["items"].as_array().into_iter().flatten();
        let mut items = items.filter(|item| item["update_id"].as_i64() == wanted);
        let item = items
            .next()
            .with_context(|| format!("no such update: {body}"))?;
        Ok(match item["status"].as_str().unwrap_or_default() {
            "waiting_confirmation" => State::Waiting,
            "offered" | "downloading" | "installing" | "verifying" => State::Open,
            "cancelling" => State::Cancelling,
            "completed" => State::Succeeded,
            "failed" => State::Failed,
            "cancelled" => State::Cancelled,
            other => bail!("the update is `{other}`"),
        })
    }

    async fn attributes(&self, device: &str) -> Result<BTreeMap<String, String>> {
        let mut shown = self.rest.get(&format!("devices/{device}")).await?;
        Ok(serde_json::from_value(shown["attributes"].take())?)
    }

    async fn ask_attributes(&self, device: &str) -> Result<()> {
        let path = format!("devices/{device}");
        let asked = json!({ "request_attributes": true });
        self.rest.patch(&path, &asked).await?;
        Ok(())
    }
}
