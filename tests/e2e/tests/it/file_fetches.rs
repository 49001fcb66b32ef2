//! Downloads in parts, and reports of them that the database does not take.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AnyConnection, AssertSqlSafe, Connection as _};
use tidegate_e2e::{
    ConfigData, Device, Execution, Feedback, Finished, FirmwareForm, HttpResponse, IsolatedTenant,
    RestResponse as _, TestTenant, both_databases, wait_until,
};

const SIZE: usize = 100;

both_databases!(
    a_download_that_is_continued_after_its_last_bytes_were_lost_is_complete,
    a_complete_download_that_could_not_be_recorded_is_recorded_later,
    timeouts_tell_downloading_in_ranges_from_installing,
    a_device_that_needs_one_of_two_files_may_have_installed_it
);

/// A device that is offered this firmware, as a single update.
pub(super) struct Download {
    pub(super) device: Device,
    pub(super) update: String,
    /// The path of the file on each server.
    file: String,
}

impl Download {
    pub(super) async fn begin(tenant: &TestTenant, device: Device, firmware: i64) -> Result<Self> {
        Self::begin_with(tenant, device, json!({ "firmware_id": firmware })).await
    }

    async fn begin_with(tenant: &TestTenant, device: Device, body: Value) -> Result<Self> {
        let path = format!("devices/{}/update", device.id);
        let offered = tenant.operator.post(&path, &body).await?;
        offered.expect_status(201)?;
        let offer = wait_until("the update is offered", async || device.offer().await).await?;
        let file = offer.artifacts().next().context("no file")?;
        let link = file.http_href().context("no link")?;
        let (_, file) = link.split_once(&device.id).context("the device")?;
        Ok(Self {
            update: offer.id.clone(),
            file: file.trim_start_matches('/').to_owned(),
            device,
        })
    }

    /// Fetches a range of the file from the server of `device`.
    pub(super) async fn fetch(&self, device: &Device, range: &str) -> Result<()> {
        let request = device.request(Method::GET, &self.file);
        let response = HttpResponse::fetch(request.header("Range", range)).await?;
        ensure!(matches!(response.status.as_u16(), 200 | 206), "{response}");
        Ok(())
    }

    pub(super) async fn report(&self, device: &Device, execution: Execution) -> Result<()> {
        let report = Feedback::new(execution, Finished::None);
        let answered = device.feedback(&self.update, &report).await?;
        ensure!(answered.status == 200, "{answered}");
        Ok(())
    }

    /// Cancels the update, which the device acknowledges.
    async fn cancel(&self, tenant: &TestTenant) -> Result<()> {
        let path = format!("updates/{}/cancel", self.update);
        let cancelled = tenant.operator.post(&path, &json!({})).await?;
        cancelled.expect_success()?;
        let acknowledged = Feedback::new(Execution::Canceled, Finished::Success);
        let answered = self
            .device
            .cancel_feedback(&self.update, &acknowledged)
            .await?;
        ensure!(answered.status == 200, "{answered}");
        Ok(())
    }

    pub(super) async fn status(&self, tenant: &TestTenant) -> Result<String> {
        let path = format!("updates/{}", self.update);
        let update = tenant.viewer.get(&path).await?.expect_success()?;
        let status = update["status"].as_str().context("a status")?;
        Ok(status.to_owned())
    }

    pub(super) async fn wait_for_status(&self, tenant: &TestTenant, status: &str) -> Result<()> {
        wait_until(&format!("the update is {status}"), async || {
            Ok((self.status(tenant).await? == status).then_some(()))
        })
        .await
    }
}

pub(super) async fn upload(tenant: &TestTenant) -> Result<i64> {
    let form = FirmwareForm::new("2.0.0").files(&[("edge.bin", &[7; SIZE])]);
    form.upload(&tenant.publisher).await
}

/// What is sent may be lost with the connection, although the server has sent the whole file.
async fn a_download_that_is_continued_after_its_last_bytes_were_lost_is_complete(
    tenant: IsolatedTenant,
) -> Result<()> {
    let mut devices = tenant.create_devices("edge", 1).await?;
    let firmware = upload(&tenant).await?;
    let download = Download::begin(&tenant, devices.remove(0), firmware).await?;
    let device = &download.device;
    download.fetch(device, "bytes=0-").await?;
    download.wait_for_status(&tenant, "installing").await?;
    download.fetch(device, "bytes=60-79").await?;
    download.wait_for_status(&tenant, "downloading").await?;
    download.report(device, Execution::Proceeding).await?;
    ensure!(download.status(&tenant).await? == "downloading");
    download.fetch(device, "bytes=80-").await?;
    download.wait_for_status(&tenant, "installing").await
}

async fn a_complete_download_that_could_not_be_recorded_is_recorded_later(
    tenant: IsolatedTenant,
) -> Result<()> {
    let firmware = upload(&tenant).await?;
    let mut downloads = Vec::new();
    for device in tenant.create_devices("edge", 3).await? {
        let download = Download::begin(&tenant, device, firmware).await?;
        download.wait_for_status(&tenant, "downloading").await?;
        download.fetch(&download.device, "bytes=0-9").await?;
        downloads.push(download);
    }
    let [polls, reports, cancels] = &downloads[..] else {
        anyhow::bail!("three downloads");
    };

    sqlx::any::install_default_drivers();
    let mut database = AnyConnection::connect(&tenant.server.database_url()).await?;
    let mut rename = async |from: &str, to: &str| {
        let sql = format!("ALTER TABLE {from} RENAME TO {to}");
        sqlx::query(AssertSqlSafe(sql)).execute(&mut database).await
    };
    rename("updates", "updates_elsewhere").await?;
    for download in &downloads {
        download.fetch(&download.device, "bytes=10-").await?;
        // Reports are written in their order: the server has tried to record the end of the download.
        let refused = download
            .device
            .report_config(&ConfigData::merge([("site", "north")]))
            .await;
        ensure!(refused.is_err(), "the report was taken");
    }
    rename("updates_elsewhere", "updates").await?;
    for download in &downloads {
        ensure!(download.status(&tenant).await? == "downloading");
    }

    polls.device.poll().await?;
    polls.wait_for_status(&tenant, "installing").await?;

    reports
        .report(&reports.device, Execution::Proceeding)
        .await?;
    ensure!(reports.status(&tenant).await? == "installing");

    cancels.cancel(&tenant).await?;
    // It may have installed what it has fetched.
    ensure!(cancels.status(&tenant).await? == "verifying");
    Ok(())
}

/// Devices as `SWUpdate`, which reports `proceeding` before its first request for the file.
async fn timeouts_tell_downloading_in_ranges_from_installing(tenant: IsolatedTenant) -> Result<()> {
    let firmware = upload(&tenant).await?;
    let options = json!({
        "firmware_id": firmware, "timeout_minutes": 600, "download_timeout_minutes": 60, "install_timeout_minutes": 10,
    });
    let mut downloads = Vec::new();
    for device in tenant.create_devices("edge", 3).await? {
        let download = Download::begin_with(&tenant, device, options.clone()).await?;
        download
            .report(&download.device, Execution::Proceeding)
            .await?;
        download.fetch(&download.device, "bytes=0-49").await?;
        downloads.push(download);
    }
    let [fast, slow, stuck] = &downloads[..] else {
        anyhow::bail!("three downloads");
    };
    fast.fetch(&fast.device, "bytes=50-").await?;
    fast.wait_for_status(&tenant, "installing").await?;

    tenant.advance(Duration::from_mins(11));
    fast.wait_for_status(&tenant, "timed_out").await?;
    for download in [slow, stuck] {
        ensure!(download.status(&tenant).await? == "downloading");
    }
    tenant.advance(Duration::from_mins(45));
    slow.fetch(&slow.device, "bytes=50-").await?;
    slow.wait_for_status(&tenant, "installing").await?;
    tenant.advance(Duration::from_mins(5));
    stuck.wait_for_status(&tenant, "timed_out").await?;
    ensure!(slow.status(&tenant).await? == "installing");
    tenant.advance(Duration::from_mins(6));
    slow.wait_for_status(&tenant, "timed_out").await?;

    for (download, message) in [
        (
            fast,
            "the device did not finish the installation within 10 minutes",
        ),
        (
            stuck,
            "the device did not finish the download within 60 minutes",
        ),
        (
            slow,
            "the device did not finish the installation within 10 minutes",
        ),
    ] {
        let path = format!("updates/{}", download.update);
        let update = tenant.viewer.get(&path).await?.expect_success()?;
        ensure!(update["error_message"] == message, "{update}");
    }
    Ok(())
}

async fn a_device_that_needs_one_of_two_files_may_have_installed_it(
    tenant: IsolatedTenant,
) -> Result<()> {
    let files: [(&str, &[u8]); 2] = [("edge.bin", &[7; SIZE]), ("extra.bin", &[8; SIZE])];
    let form = FirmwareForm::new("2.0.0").files(&files);
    let firmware = form.upload(&tenant.publisher).await?;
    let devices = tenant.create_devices("edge", 2).await?;
    let fetches = [("bytes=0-9", "cancelled"), ("bytes=0-", "verifying")];
    for (device, (range, status)) in devices.into_iter().zip(fetches) {
        let download = Download::begin(&tenant, device, firmware).await?;
        download.fetch(&download.device, range).await?;
        download.cancel(&tenant).await?;
        ensure!(download.status(&tenant).await? == status, "{range}");
    }
    Ok(())
}
