//! A third-party device client: the crate `hawkbit`.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::{Stream, TryStreamExt as _};
use hawkbit::ddi::{
    Client, ClientAuthorization, Execution, Finished, MaintenanceWindow, Mode, Type,
};
use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_e2e::{
    Database, FirmwareForm, Fixture, HttpResponse, IsolatedTenant, LinkNames, ServerOptions,
    TestTenant, both_databases, wait_until,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

both_databases!(
    it_installs_and_accepts_a_cancellation,
    it_installs_and_accepts_a_cancellation_over_tls,
    it_downloads_from_links_of_any_name,
    it_downloads_from_links_of_any_name_over_tls,
    it_confirms_before_installing,
    a_broken_download_resumes,
    it_streams_in_its_maintenance_window,
);

async fn it_installs_and_accepts_a_cancellation(tenant: TestTenant) -> Result<()> {
    installs_and_accepts_a_cancellation(&tenant).await
}

async fn it_installs_and_accepts_a_cancellation_over_tls(
    TenantOverTls(tenant): TenantOverTls,
) -> Result<()> {
    installs_and_accepts_a_cancellation(&tenant).await
}

async fn it_downloads_from_links_of_any_name(tenant: TestTenant) -> Result<()> {
    downloads_from_links_of_any_name(&tenant, "download-http", "http://").await
}

async fn it_downloads_from_links_of_any_name_over_tls(
    TenantOverTls(tenant): TenantOverTls,
) -> Result<()> {
    downloads_from_links_of_any_name(&tenant, "download", "https://").await
}

/// A tenant whose server uses TLS and sends the links `download` and `md5sum`.
struct TenantOverTls(IsolatedTenant);

impl Fixture for TenantOverTls {
    async fn set_up(database: Database) -> Result<Self> {
        let options = ServerOptions {
            tls: true,
            ddi_links: LinkNames::Https,
            ..ServerOptions::default()
        };
        IsolatedTenant::with(database, options).await.map(Self)
    }
}

/// The tenant's setting decides the names of links, otherwise the server's. The links have the scheme of the server.
async fn downloads_from_links_of_any_name(
    tenant: &TestTenant,
    default_name: &str,
    scheme: &str,
) -> Result<()> {
    let client = target_client(tenant, "third-0").await?;
    let request = client.poll().await?.config_data_request();
    let data = json!({ "hw_model": "edge", "sw_version": "1.0.0" });
    request
        .context("no attributes are requested")?
        .upload(Execution::Closed, Finished::Success, None, data, vec![])
        .await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    tenant.start_campaign(firmware, json!({})).await?;
    let device = tenant.device("third-0");
    for (links, names) in [
        (json!(null), &[default_name][..]),
        (json!("http"), &["download-http"]),
        (json!("https"), &["download"]),
        (json!("both"), &["download", "download-http"]),
    ] {
        let setting = json!({ "ddi": { "links": links } });
        let request = tenant.admin.request(Method::PATCH, "settings");
        HttpResponse::fetch(request.json(&setting))
            .await?
            .expect_status(200)?;
        let update = wait_until("an update is offered", async || {
            Ok(client.poll().await?.update())
        });
        let update = update.await?.fetch().await?;
        let folder = tempfile::tempdir()?;
        let files = update.download(folder.path()).await?;
        ensure!(files.len() == 1, "{files:?}");
        files[0].check_sha256().await?;

        let path = format!("deploymentBase/{}", update.action_id());
        let body = device.get(&path).await?.expect_status(200)?.json()?;
        let sent = &body["deployment"]["chunks"][0]["artifacts"][0]["_links"];
        let sent = sent.as_object().context("no links")?;
        let is_download = |name: &&String| name.starts_with("download");
        let found: Vec<_> = sent.keys().filter(is_download).collect();
        ensure!(found == names, "{links}: {body}");
        let has_scheme = |link: &Value| {
            link["href"]
                .as_str()
                .is_some_and(|href| href.starts_with(scheme))
        };
        ensure!(sent.values().all(has_scheme), "{links}: {body}");
    }
    Ok(())
}

/// A device with a token of its own, over TLS if its server uses it.
async fn target_client(tenant: &TestTenant, id: &str) -> Result<Client> {
    let created = tenant
        .operator
        .post("devices", &json!({ "device_id": id }))
        .await?
        .expect_status(201)?
        .json()?;
    let token = created["token"].as_str().context("no token")?.to_owned();
    let certificate = tenant.server.certificate.as_deref();
    Ok(Client::new(
        &tenant.server.url,
        &tenant.record.name,
        id,
        ClientAuthorization::TargetToken(token),
        certificate.and_then(Path::to_str),
        None,
        None,
    )?)
}

async fn installs_and_accepts_a_cancellation(tenant: &TestTenant) -> Result<()> {
    let client = target_client(tenant, "third-0").await?;
    let reply = client.poll().await?;
    ensure!(
        reply.polling_sleep()?.as_secs() == 300,
        "{:?}",
        reply.polling_sleep()
    );
    ensure!(reply.update().is_none() && reply.cancel_action().is_none());
    let request = reply
        .config_data_request()
        .context("no attributes are requested")?;
    let data = json!({ "hw_model": "edge", "sw_version": "1.0.0" });
    request
        .upload(
            Execution::Closed,
            Finished::Success,
            Some(Mode::Merge),
            data,
            vec![],
        )
        .await?;
    ensure!(
        client.poll().await?.config_data_request().is_none(),
        "attributes are requested again"
    );

    let firmware = tenant.upload_firmware("2.0.0").await?;
    let id = tenant.start_campaign(firmware, json!({})).await?;
    let update = wait_until("an update is offered", async || {
        Ok(client.poll().await?.update())
    })
    .await?;
    let update = update.fetch().await?;
    ensure!(update.download_type() == Type::Forced && update.update_type() == Type::Forced);
    let chunks: Vec<_> = update
        .chunks()
        .map(|chunk| (chunk.part().to_owned(), chunk.version().to_owned()))
        .collect();
    ensure!(
        chunks == [("os".to_owned(), "2.0.0".to_owned())],
        "{chunks:?}"
    );
    let folder = tempfile::tempdir()?;
    let files = update.download(folder.path()).await?;
    ensure!(files.len() == 1, "{files:?}");
    for file in &files {
        file.check_md5().await?;
        file.check_sha1().await?;
        file.check_sha256().await?;
    }
    let progress = json!({ "cnt": 1, "of": 2 });
    update
        .send_feedback_with_progress(
            Execution::Proceeding,
            Finished::None,
            progress,
            vec!["half way"],
        )
        .await?;
    // The end of the download is recorded after the device has the last byte.
    wait_until("the update is installing", async || {
        let update = tenant.updates(id).await?.swap_remove(0);
        Ok((update["status"] == "installing").then_some(update))
    })
    .await
    .and_then(|update| {
        ensure!(update["progress_percentage"] == 50.0, "{update}");
        Ok(())
    })?;
    update
        .send_feedback(Execution::Closed, Finished::Success, vec!["done"])
        .await?;
    let campaign = tenant.wait_for_status(id, "completed").await?;
    ensure!(campaign["completed_devices"] == 1, "{campaign}");
    ensure!(
        client.poll().await?.update().is_none(),
        "the update is offered again"
    );

    let firmware = tenant.upload_firmware("3.0.0").await?;
    let id = tenant.start_campaign(firmware, json!({})).await?;
    let update = wait_until("another update is offered", async || {
        Ok(client.poll().await?.update())
    })
    .await?;
    let update = update.fetch().await?;
    tenant.send_command(id, "cancel").await?;
    let cancel = wait_until("the update is being cancelled", async || {
        Ok(client.poll().await?.cancel_action())
    })
    .await?;
    ensure!(
        cancel.id().await? == update.action_id(),
        "another update is being cancelled"
    );
    cancel
        .send_feedback(Execution::Closed, Finished::Success, vec!["stopped"])
        .await?;
    tenant
        .wait_for_counts(id, json!({ "cancelled_devices": 1 }))
        .await?;
    let reply = client.poll().await?;
    ensure!(
        reply.update().is_none() && reply.cancel_action().is_none(),
        "there is another update or cancellation"
    );
    let late = update
        .send_feedback(Execution::Closed, Finished::Success, vec![])
        .await;
    ensure!(late.is_err(), "feedback on a cancelled update was accepted");
    Ok(())
}

/// The device's user declines, is asked again, and confirms.
async fn it_confirms_before_installing(tenant: TestTenant) -> Result<()> {
    let client = identified_client(&tenant, &tenant.server.url).await?;
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let id = tenant
        .start_campaign(firmware, json!({ "requires_confirmation": true }))
        .await?;
    let file_requests = async || {
        wait_until("a confirmation is requested", async || {
            Ok(client.poll().await?.confirmation_base())
        })
        .await
    };
    let request = file_requests().await?;
    let update = request.update_info().await?.action_id().to_owned();
    ensure!(request.metadata().await?.is_empty(), "there is metadata");
    ensure!(
        client.poll().await?.update().is_none(),
        "the update is offered before it is confirmed"
    );
    request.decline().await?;
    let request = file_requests().await?;
    ensure!(
        request.update_info().await?.action_id() == update,
        "another update is to be confirmed"
    );
    request.confirm().await?;
    let reply = client.poll().await?;
    ensure!(
        reply.confirmation_base().is_none(),
        "a confirmation is requested again"
    );
    let offered = reply.update().context("no update is offered")?;
    let offered = offered.fetch().await?;
    ensure!(
        offered.action_id() == update,
        "the offered update is another one"
    );
    offered
        .send_feedback(Execution::Closed, Finished::Success, vec![])
        .await?;
    tenant.wait_for_status(id, "completed").await?;
    Ok(())
}

/// The connection breaks during a download; only the rest is downloaded again.
async fn a_broken_download_resumes(tenant: TestTenant) -> Result<()> {
    let proxy = Proxy::start(&tenant.server.url).await?;
    let client = identified_client(&tenant, &proxy.url).await?;
    let bytes: Vec<u8> = (0..=250_u8).cycle().take(3 * CUT_AFTER as usize).collect();
    let form = FirmwareForm::new("2.0.0").files(&[("edge.bin", &bytes)]);
    let firmware = form.upload(&tenant.publisher).await?;
    let id = tenant.start_campaign(firmware, json!({})).await?;
    let update = wait_until("an update is offered", async || {
        Ok(client.poll().await?.update())
    });
    let update = update.await?.fetch().await?;
    let folder = tempfile::tempdir()?;
    ensure!(
        update.download(folder.path()).await.is_err(),
        "the connection did not break"
    );
    // The client writes the last bytes on another thread.
    let chunk = update.chunks().next().context("the update has no chunk")?;
    let part = folder.path().join(chunk.name()).join("edge.bin.part");
    wait_until("the first part is written to the file", async || {
        Ok((std::fs::metadata(&part)?.len() == CUT_AFTER).then_some(()))
    })
    .await?;
    let files = update.download(folder.path()).await?;
    ensure!(files.len() == 1, "{files:?}");
    files[0].check_sha256().await?;
    ensure!(
        std::fs::read(files[0].file())? == bytes,
        "the file has other bytes"
    );
    let file_requests = proxy.file_requests();
    let ranged = |head: &String| head.to_ascii_lowercase().contains("\r\nrange: bytes=");
    let ranged: Vec<bool> = file_requests.iter().map(ranged).collect();
    ensure!(ranged == [false, true], "{file_requests:#?}");
    update
        .send_feedback(Execution::Closed, Finished::Success, vec![])
        .await?;
    tenant.wait_for_status(id, "completed").await?;
    Ok(())
}

/// In an open window files can be streamed with every kind of checksum; before it opens they can only be
/// downloaded.
async fn it_streams_in_its_maintenance_window(tenant: TestTenant) -> Result<()> {
    let client = identified_client(&tenant, &tenant.server.url).await?;
    let bytes: Vec<u8> = (0..=250_u8).cycle().take(300_000).collect();
    let offer = async |version: &str, schedule: &str, duration: &str| {
        let form = FirmwareForm::new(version).files(&[("edge.bin", &bytes)]);
        let firmware = form.upload(&tenant.publisher).await?;
        let window = json!({
            "schedule": schedule, "duration": duration, "timezone": "UTC", "prefetch": true,
        });
        let id = tenant
            .start_campaign(firmware, json!({ "maintenance_window": window }))
            .await?;
        let update = wait_until("an update is offered", async || {
            Ok(client.poll().await?.update())
        });
        anyhow::Ok((id, update.await?.fetch().await?))
    };

    let (id, update) = offer("2.0.0", "0 0 * * *", "24:00:00").await?;
    ensure!(update.maintenance_window() == Some(MaintenanceWindow::Available));
    ensure!(update.update_type() == Type::Forced);
    let chunk = update.chunks().next().context("the update has no chunk")?;
    let file = chunk.artifacts().next().context("the chunk has no file")?;
    ensure!(read_all(file.download_stream().await?).await? == bytes);
    ensure!(read_all(file.download_stream_with_md5_check().await?).await? == bytes);
    ensure!(read_all(file.download_stream_with_sha1_check().await?).await? == bytes);
    ensure!(read_all(file.download_stream_with_sha256_check().await?).await? == bytes);
    update
        .send_feedback(Execution::Closed, Finished::Success, vec!["streamed"])
        .await?;
    tenant.wait_for_status(id, "completed").await?;

    // One minute a year.
    let (id, update) = offer("3.0.0", "59 23 24 12 *", "00:01:00").await?;
    ensure!(update.maintenance_window() == Some(MaintenanceWindow::Unavailable));
    ensure!(update.download_type() == Type::Forced && update.update_type() == Type::Skip);
    let chunk = update.chunks().next().context("the update has no chunk")?;
    let file = chunk.artifacts().next().context("the chunk has no file")?;
    ensure!(read_all(file.download_stream_with_sha256_check().await?).await? == bytes);
    update
        .send_feedback(Execution::Closed, Finished::Success, vec!["skipped"])
        .await?;
    tenant
        .wait_for_counts(
            id,
            json!({ "in_progress_devices": 1, "completed_devices": 0 }),
        )
        .await?;
    ensure!(
        client.poll().await?.update().is_some(),
        "the skipped update counts as done"
    );
    Ok(())
}

async fn read_all<E>(stream: impl Stream<Item = Result<Bytes, E>>) -> Result<Vec<u8>>
where
    E: std::error::Error + Send + Sync + 'static,
{
    let parts: Vec<Bytes> = stream.try_collect().await?;
    Ok(parts.concat())
}

/// A device of model `edge` that uses the gateway token at this URL, with a new connection for each request.
async fn identified_client(tenant: &TestTenant, url: &str) -> Result<Client> {
    let authorization = ClientAuthorization::GatewayToken(tenant.gateway.clone());
    let builder = reqwest::Client::builder().pool_max_idle_per_host(0);
    let client = Client::new_from_client_builder(
        url,
        &tenant.record.name,
        "third-0",
        authorization,
        builder,
    )?;
    let request = client.poll().await?.config_data_request();
    let data = json!({ "hw_model": "edge", "sw_version": "1.0.0" });
    request
        .context("no attributes are requested")?
        .upload(Execution::Closed, Finished::Success, None, data, vec![])
        .await?;
    Ok(client)
}

/// Number of bytes of the first file after which the proxy closes the connection.
const CUT_AFTER: u64 = 100_000;

/// A proxy in front of the server that breaks the first download.
struct Proxy {
    url: String,
    /// The heads of all requests for files.
    file_requests: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    async fn start(server: &str) -> Result<Self> {
        let server = server.strip_prefix("http://").context("plain HTTP")?;
        let server = server.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let file_requests = Arc::<Mutex<Vec<String>>>::default();
        let log = Arc::clone(&file_requests);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let (server, log) = (server.clone(), Arc::clone(&log));
                // The client sees errors of the proxy.
                tokio::spawn(async move { forward(client, &server, &log).await });
            }
        });
        Ok(Self { url, file_requests })
    }

    fn file_requests(&self) -> Vec<String> {
        self.file_requests.lock().clone()
    }
}

async fn forward(
    mut client: TcpStream,
    server: &str,
    file_requests: &Mutex<Vec<String>>,
) -> Result<()> {
    let head = head(&mut client).await?;
    let mut server = TcpStream::connect(server).await?;
    server.write_all(&head).await?;
    let text = String::from_utf8_lossy(&head).into_owned();
    let is_first_file = text.contains("/artifacts/") && {
        let mut file_requests = file_requests.lock();
        file_requests.push(text);
        file_requests.len() == 1
    };
    if is_first_file {
        client.write_all(&self::head(&mut server).await?).await?;
        tokio::io::copy(&mut server.take(CUT_AFTER), &mut client).await?;
    } else {
        tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    }
    Ok(())
}

/// Reads the head of a message byte by byte, so that no byte of its body is consumed.
async fn head(stream: &mut TcpStream) -> Result<Vec<u8>> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    Ok(head)
}
