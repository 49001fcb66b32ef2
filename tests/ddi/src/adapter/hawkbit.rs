use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail};
use async_trait::async_trait;
use futures::future::try_join_all;
use reqwest::multipart::Form;
use serde_json::{Value, json};

use super::{
    Adapter, AssignmentOptions, Capability, MaintenanceWindow, Priority, Target, Update,
    UpdateState, UpdateType,
    rest::{Credentials, RestClient, file_part, id_at},
};
use crate::bundle::{Bundle, Module};

/// The year 2200, in milliseconds since 1970.
const FAR_FUTURE: i64 = 7_258_118_400_000;

/// hawkBit, through its Management API. It was written from that API's documentation and has not been run against a
/// server.
#[derive(Debug, Clone)]
pub struct HawkBit {
    target: Target,
    rest: RestClient,
}

impl HawkBit {
    /// A server that accepts this user and password, which also select the tenant.
    pub fn new(target: Target, user: &str, password: &str) -> Result<Self> {
        let credentials = Credentials::Password(user.to_owned(), password.to_owned());
        Ok(Self {
            rest: RestClient::new(format!("{}/rest/v1", target.url), credentials)?,
            target,
        })
    }

    async fn module(&self, module: &Module, run: &str) -> Result<String> {
        let kind = match module.part {
            "bApp" => "application",
            other => other,
        };
        let body = json!([{
            "name": format!("{}-{run}", module.name),
            "version": module.version,
            "type": kind,
        }]);
        let made = id_at(&self.rest.post("softwaremodules", &body).await?, "/0/id")?;
        for file in module.files {
            let form = Form::new().part("file", file_part(file)?);
            self.rest
                .upload(&format!("softwaremodules/{made}/artifacts"), form)
                .await?;
        }
        let metadata = |pairs: &[(&str, &str)], visible: bool| -> Vec<Value> {
            let one = |(key, value): &(&str, &str)| json!({ "key": key, "value": value, "targetVisible": visible });
            pairs.iter().map(one).collect()
        };
        let metadata = [
            metadata(module.visible, true),
            metadata(module.hidden, false),
        ]
        .concat();
        if !metadata.is_empty() {
            let path = format!("softwaremodules/{made}/metadata");
            self.rest.post(&path, &json!(metadata)).await?;
        }
        Ok(made)
    }

    async fn action(&self, device: &str, firmware: &str) -> Result<Update> {
        // Newest first.
        let actions = self
            .rest
            .get(&format!("targets/{device}/actions?sort=id:DESC&limit=50"))
            .await?;
        for action in actions["content"].as_array().into_iter().flatten() {
            let of = action["_links"]["distributionset"]["href"]
                .as_str()
                .unwrap_or_default();
            let of = of.rsplit('/').next().unwrap_or_default();
            if of.is_empty() || of == firmware {
                return Ok(Update {
                    id: id_at(action, "/id")?,
                    device: device.to_owned(),
                    adapter_ref: firmware.to_owned(),
                });
            }
        }
        bail!("{device} has no action: {actions}")
    }
}

#[async_trait(?Send)]
impl Adapter for HawkBit {
    fn target(&self) -> &Target {
        &self.target
    }

    fn unsupported(&self, capability: Capability) -> Option<&'static str> {
        match capability {
            Capability::Attestation => Some("the server does not verify what a device reports"),
            Capability::Prefetch => Some("downloads outside a window are always allowed"),
            _ => None,
        }
    }

    fn differs(&self, _: u8) -> bool {
        false
    }

    async fn prepare(&self) -> Result<()> {
        for (key, value) in [
            ("authentication.targettoken.enabled", json!(true)),
            ("authentication.gatewaytoken.enabled", json!(true)),
            (
                "authentication.gatewaytoken.key",
                json!(self.target.gateway),
            ),
            ("user.confirmation.flow.enabled", json!(true)),
            // It cannot be disabled again, but actions have a weight only when it is enabled.
            ("multi.assignments.enabled", json!(true)),
        ] {
            let body = json!({ "value": value });
            let put = self.rest.put(&format!("system/configs/{key}"), &body).await;
            put.with_context(|| format!("set {key}"))?;
        }
        Ok(())
    }

    async fn create_device(&self, device: &str) -> Result<String> {
        let body = json!([{ "controllerId": device, "name": device }]);
        self.rest.post("targets", &body).await?;
        id_at(
            &self.rest.get(&format!("targets/{device}")).await?,
            "/securityToken",
        )
    }

    async fn create_firmware(&self, bundle: &Bundle, run: &str) -> Result<String> {
        let mut modules = Vec::new();
        for module in bundle.modules {
            modules.push(json!({ "id": self.module(module, run).await?.parse::<i64>()? }));
        }
        let is_app_only = bundle.modules.iter().all(|module| module.part == "bApp");
        let body = json!([{
            "name": format!("{}-{run}", bundle.name),
            "version": bundle.version,
            "type": if is_app_only { "app" } else { "os_app" },
            "modules": modules,
        }]);
        id_at(&self.rest.post("distributionsets", &body).await?, "/0/id")
    }

    async fn assign(
        &self,
        devices: &[String],
        firmware: &str,
        options: AssignmentOptions,
    ) -> Result<Vec<Update>> {
        let assignment = |device: &String| {
            let mut assignment = json!({
                "id": device,
                "confirmationRequired": options.confirmation,
                "weight": match options.priority {
                    Priority::Normal => 500,
                    Priority::Urgent => 900,
                },
            });
            let (kind, forced_at) = match options.update_type {
                UpdateType::Forced => ("forced", None),
                UpdateType::Soft => ("soft", None),
                UpdateType::TimeForcedPast => ("timeforced", Some(1)),
                UpdateType::TimeForcedFuture => ("timeforced", Some(FAR_FUTURE)),
                UpdateType::DownloadOnly => ("downloadonly", None),
            };
            assignment["type"] = json!(kind);
            if let Some(forced_at) = forced_at {
                assignment["forcetime"] = json!(forced_at);
            }
            let window = match options.window {
                MaintenanceWindow::None => None,
                MaintenanceWindow::Open => Some(("0 0 0 * * ?", "23:59:59")),
                // The last minute of a leap day.
                MaintenanceWindow::Closed => Some(("0 59 23 29 2 ?", "00:00:59")),
            };
            if let Some((schedule, duration)) = window {
                assignment["maintenanceWindow"] =
                    json!({ "schedule": schedule, "duration": duration, "timezone": "+00:00" });
            }
            assignment
        };
        let body: Value = devices.iter().map(assignment).collect();
        self.rest
            .post(
                &format!("distributionsets/{firmware}/assignedTargets"),
                &body,
            )
            .await?;
        try_join_all(devices.iter().map(|device| self.action(device, firmware))).await
    }

    async fn cancel(&self, updates: &[Update]) -> Result<()> {
        for Update { id, device, .. } in updates {
            self.rest
                .delete(&format!("targets/{device}/actions/{id}"))
                .await?;
        }
        Ok(())
    }

    async fn force_cancel(&self, update: &Update) -> Result<()> {
        let Update { id, device, .. } = update;
        self.rest
            .delete(&format!("targets/{device}/actions/{id}?force=true"))
            .await?;
        Ok(())
    }

    async fn update_state(&self, update: &Update) -> Result<UpdateState> {
        let Update { id, device, .. } = update;
        let action = self
            .rest
            .get(&format!("targets/{device}/actions/{id}"))
            .await?;
        let text = |name: &str| action[name].as_str().unwrap_or_default().to_owned();
        Ok(match (&*text("status"), &*text("detailStatus")) {
            (_, "wait_for_confirmation") => UpdateState::WaitingConfirmation,
            (_, "canceling") => UpdateState::Cancelling,
            (_, "canceled") => UpdateState::Cancelled,
            (_, "error") => UpdateState::Failed,
            ("finished", _) => UpdateState::Succeeded,
            ("pending", _) => UpdateState::Open,
            _ => bail!("unexpected action state: {action}"),
        })
    }

    async fn attributes(&self, device: &str) -> Result<BTreeMap<String, String>> {
        let visible = self
            .rest
            .get(&format!("targets/{device}/attributes"))
            .await?;
        // The response has no body if there are no attributes.
        Ok(serde_json::from_value::<Option<_>>(visible)?.unwrap_or_default())
    }

    async fn request_attributes(&self, device: &str) -> Result<()> {
        let body = json!({ "requestAttributes": true });
        self.rest.put(&format!("targets/{device}"), &body).await?;
        Ok(())
    }
}
