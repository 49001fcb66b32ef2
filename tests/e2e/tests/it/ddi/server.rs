//! What the suite needs of a server beside the device API: a small adapter for each kind of server.

use anyhow::{Context as _, Result};
use serde_json::json;
use tidegate_core::firmware::hex;
use tidegate_e2e::{Device, FirmwareForm, Lab, until};

use super::names::Names;

/// The only file of the firmware that the suite installs.
pub(super) const FILE: &[u8] = &digits();
/// Its name.
pub(super) const FILE_NAME: &str = "edge-2.0.0.bin";

/// A server under test, with a tenant whose gateway lets in any device.
pub(super) trait Target {
    /// The server's address.
    fn url(&self) -> &str;

    /// The tenant's name, in upper case.
    fn tenant(&self) -> &str;

    /// The gateway's token.
    fn gateway(&self) -> &str;

    /// Offers these devices, which have polled, a firmware of version 2.0.0 with one module `os` whose only file is
    /// [`FILE`]. They are offered it when this returns.
    async fn assign(&self, devices: &[&Device]) -> Result<Assignment>;

    /// Calls all of that back.
    async fn call_back(&self, assignment: &Assignment) -> Result<()>;
}

/// What was offered together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Assignment(i64);

impl Target for Lab {
    fn url(&self) -> &str {
        &self.server.url
    }

    fn tenant(&self) -> &str {
        &self.tenant.name
    }

    fn gateway(&self) -> &str {
        &self.gateway
    }

    async fn assign(&self, devices: &[&Device]) -> Result<Assignment> {
        let known = self.viewer.list("firmware?version=2.0.0").await?;
        let firmware = match known
            .first()
            .and_then(|firmware| firmware["firmware_id"].as_i64())
        {
            Some(id) => id,
            None => {
                FirmwareForm::new("2.0.0")
                    .files(&[(FILE_NAME, FILE)])
                    .upload(&self.publisher)
                    .await?
            }
        };
        let ids: Vec<&str> = devices.iter().map(|device| &*device.id).collect();
        let changes = json!({
            "target_filter": null,
            "target_devices": ids,
            "failure_threshold_percent": 100,
        });
        let campaign = self.start(firmware, changes).await?;
        self.until_counts(campaign, json!({ "in_progress_devices": devices.len() }))
            .await?;
        for device in devices {
            until("the device is offered the firmware", async || {
                Ok(device.poll().await?.deployment().map(drop))
            })
            .await
            .with_context(|| device.id.clone())?;
        }
        Ok(Assignment(campaign))
    }

    async fn call_back(&self, assignment: &Assignment) -> Result<()> {
        self.step(assignment.0, "cancel").await?;
        Ok(())
    }
}

/// The names that stand for the same in every case.
pub(super) fn names(target: &impl Target) -> Names {
    use md5::Digest as _;

    let mut names = Names::default();
    names.set("server", target.url());
    names.set("tenant", target.tenant());
    names.set("lower", target.tenant().to_lowercase());
    names.set("gateway", target.gateway());
    names.set("file", FILE_NAME);
    names.set("md5", hex(&md5::Md5::digest(FILE)));
    names.set("sha1", hex(&sha1::Sha1::digest(FILE)));
    names.set("sha256", hex(&sha2::Sha256::digest(FILE)));
    names
}

const fn digits() -> [u8; 1000] {
    let mut bytes = [0; 1000];
    let mut at = 0;
    while at < bytes.len() {
        bytes[at] = b'0' + (at % 10) as u8;
        at += 1;
    }
    bytes
}
