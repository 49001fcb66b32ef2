//! A third-party device client: Zephyr's hawkBit client, whose parser and buffers are small.

use anyhow::{Context as _, Result, ensure};
use reqwest::{Method, header::HOST};
use serde_json::json;
use tidegate_ddi_suite::ZephyrFile;
use tidegate_e2e::{
    Database, FirmwareForm, Fixture, HttpResponse, IsolatedTenant, ServerOptions, TestTenant,
    both_databases, wait_until,
};

both_databases!(it_reads_a_deployment, it_reads_a_deployment_over_tls,);

/// An id as Zephyr makes it: the board, and the hardware id in hexadecimal.
const ID: &str = "nrf9160dk_nrf9160_ns-5ca1ab1e0dd5f00dcafe0123456789ab";
const FILE: &str = "sensor-node-nrf9160-1.12.3.signed.bin";
const HOST_NAME: &str = "updates.fleet.example.com:8443";

async fn it_reads_a_deployment(tenant: TestTenant) -> Result<()> {
    reads_a_deployment(&tenant, "http").await
}

async fn it_reads_a_deployment_over_tls(TenantOverTls(tenant): TenantOverTls) -> Result<()> {
    reads_a_deployment(&tenant, "https").await
}

struct TenantOverTls(IsolatedTenant);

impl Fixture for TenantOverTls {
    async fn set_up(database: Database) -> Result<Self> {
        let options = ServerOptions {
            tls: true,
            ..ServerOptions::default()
        };
        IsolatedTenant::with(database, options).await.map(Self)
    }
}

async fn reads_a_deployment(tenant: &TestTenant, scheme: &str) -> Result<()> {
    let device = tenant.device(ID);
    device.identify().await?;
    let bytes = vec![7; 234_567];
    let form = FirmwareForm::new("1.12.3").files(&[(FILE, &bytes)]);
    let module = json!({
        "part": "bApp", "name": "sensor-node-nrf9160", "version": "1.12.3",
        "files": [{ "filename": FILE }],
    });
    let form = form.with(json!({ "modules": [module] }));
    let firmware = form.upload(&tenant.publisher).await?;
    tenant.start_campaign(firmware, json!({})).await?;
    let update = wait_until("an update is offered", async || device.offer().await).await?;

    let path = format!("deploymentBase/{}", update.id);
    let request = device.request(Method::GET, &path).header(HOST, HOST_NAME);
    let response = HttpResponse::fetch(request).await?.expect_status(200)?;
    let link = format!("{scheme}://{HOST_NAME}/");
    ensure!(
        String::from_utf8_lossy(&response.body).contains(&link),
        "the links have another scheme or host: {response}"
    );
    // ESP8266 clients have 1024 bytes, Zephyr 1100.
    let length = response.body.len();
    ensure!(length < 1000, "{length} bytes: {response}");
    let file = ZephyrFile::from_deployment(&response.body)
        .with_context(|| format!("Zephyr cannot read it: {response}"))?;
    ensure!(usize::try_from(file.size)? == bytes.len(), "{file:?}");
    // Zephyr sends the path to the server that it is configured for.
    let url = format!("{}{}", tenant.server.url, file.path);
    let downloaded = device.get(&url).await?.expect_status(200)?;
    ensure!(downloaded.body == bytes, "the file has other bytes");
    device.poll().await?;
    Ok(())
}
