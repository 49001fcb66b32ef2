use std::collections::{BTreeMap, HashMap};

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use reqwest::multipart::{Form, Part};
use serde_json::{Value, json};

use super::{
    Adapter, AssignmentOptions, Capability, MaintenanceWindow, Priority, Target, Update,
    UpdateState, UpdateType,
    rest::{Credentials, RestClient, file_part, id_at},
};
use crate::{bundle::Bundle, wait_until};

/// Tidegate, through its REST API.
#[derive(Debug, Clone)]
pub struct Tidegate {
    target: Target,
    rest: RestClient,
}

impl Tidegate {
    /// A server whose REST API accepts this key of an administrator of the tenant.
    pub fn new(target: Target, key: &str) -> Result<Self> {
        let base = format!("{}/api/v1", target.url);
        Ok(Self {
            rest: RestClient::new(base, Credentials::Key(key.to_owned()))?,
            target,
        })
    }

    /// All updates of a campaign, by device.
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
                updates.insert(id_at(item, "/device_id")?, id_at(item, "/update_id")?);
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

    fn unsupported(&self, _: Capability) -> Option<&'static str> {
        None
    }

    fn differs(&self, _: u8) -> bool {
        true
    }

    async fn create_device(&self, device: &str) -> Result<String> {
        let made = self
            .rest
            .post("devices", &json!({ "device_id": device }))
            .await?;
        id_at(&made, "/token")
    }

    async fn create_firmware(&self, bundle: &Bundle, run: &str) -> Result<String> {
        let modules = bundle.modules.iter().map(|module| {
            let files = module
                .files
                .iter()
                .map(|file| json!({ "filename": file.name }));
            let visible = module
                .visible
                .iter()
                .map(|(key, value)| json!({ "key": key, "value": value }));
            json!({
                "part": module.part,
                "name": format!("{}-{run}", module.name),
                "version": module.version,
                "metadata": visible.collect::<Value>(),
                "files": files.collect::<Value>(),
            })
        });
        // Metadata that devices do not see belongs to the firmware here, not to a module.
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
            form = form.part("file", file_part(file)?);
        }
        id_at(&self.rest.upload("firmware", form).await?, "/firmware_id")
    }

    async fn assign(
        &self,
        devices: &[String],
        firmware: &str,
        options: AssignmentOptions,
    ) -> Result<Vec<Update>> {
        let (update_type, forced_at) = match options.update_type {
            UpdateType::Forced => ("forced", None),
            UpdateType::Soft => ("soft", None),
            UpdateType::TimeForcedPast => ("time_forced", Some("1971-01-01T00:00:00Z")),
            UpdateType::TimeForcedFuture => ("time_forced", Some("2190-01-01T00:00:00Z")),
            UpdateType::DownloadOnly => ("download_only", None),
        };
        let mut body = json!({
            "name": format!("{firmware} for {} devices", devices.len()),
            "firmware_id": firmware.parse::<i64>()?,
            "target_devices": devices,
            "strategy": { "plugin": "immediate", "config": {} },
            // An assignment in hawkBit asks no policies.
            "allow_incompatible": true,
            "failure_threshold_percent": 100,
            "priority": match options.priority {
                Priority::Normal => "normal",
                Priority::Urgent => "emergency",
            },
            "update_type": update_type,
            "requires_confirmation": options.confirmation,
            "success_criteria": if options.attested { "attested" } else { "reported" },
        });
        if let Some(forced_at) = forced_at {
            body["forced_at"] = json!(forced_at);
        }
        let window = match options.window {
            MaintenanceWindow::None => None,
            MaintenanceWindow::Open => Some(("0 0 * * *", "24:00:00")),
            // One minute a year.
            MaintenanceWindow::Closed => Some(("59 23 24 12 *", "00:01:00")),
        };
        if let Some((schedule, duration)) = window {
            body["maintenance_window"] = json!({
                "schedule": schedule,
                "duration": duration,
                "timezone": "UTC",
                "prefetch": options.prefetch,
            });
        }
        let campaign = id_at(&self.rest.post("campaigns", &body).await?, "/campaign_id")?;
        self.rest
            .post(&format!("campaigns/{campaign}/start"), &json!({}))
            .await?;
        let all = wait_until("the campaign has created its updates", async || {
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
                adapter_ref: campaign.clone(),
            })
        };
        devices.iter().map(update).collect()
    }

    async fn cancel(&self, updates: &[Update]) -> Result<()> {
        let update = updates.first().context("no update")?;
        self.rest
            .post(
                &format!("campaigns/{}/cancel", update.adapter_ref),
                &json!({}),
            )
            .await?;
        Ok(())
    }

    async fn force_cancel(&self, update: &Update) -> Result<()> {
        let path = format!("updates/{}/cancel", update.id);
        self.rest.post(&path, &json!({ "force": true })).await?;
        Ok(())
    }

    async fn update_state(&self, update: &Update) -> Result<UpdateState> {
        let id = Some(update.id.parse()?);
        let path = format!("devices/{}/updates?limit=500", update.device);
        let body = self.rest.get(&path).await?;
        let items = body["items"].as_array().into_iter().flatten();
        let mut items = items.filter(|item| item["update_id"].as_i64() == id);
        let item = items
            .next()
            .with_context(|| format!("update not found: {body}"))?;
        Ok(match item["status"].as_str().unwrap_or_default() {
            "waiting_confirmation" => UpdateState::WaitingConfirmation,
            "offered" | "downloading" | "installing" | "verifying" => UpdateState::Open,
            "cancelling" => UpdateState::Cancelling,
            "completed" => UpdateState::Succeeded,
            "failed" => UpdateState::Failed,
            "cancelled" => UpdateState::Cancelled,
            other => bail!("unexpected update status `{other}`"),
        })
    }

    async fn attributes(&self, device: &str) -> Result<BTreeMap<String, String>> {
        let mut shown = self.rest.get(&format!("devices/{device}")).await?;
        Ok(serde_json::from_value(shown["attributes"].take())?)
    }

    async fn request_attributes(&self, device: &str) -> Result<()> {
        let path = format!("devices/{device}");
        let asked = json!({ "request_attributes": true });
        self.rest.patch(&path, &asked).await?;
        Ok(())
    }
}
