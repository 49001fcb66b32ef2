//! The server process under load: killed, and terminated.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, future::join_all, stream};
use reqwest::{Body, Method, multipart};
use serde_json::{Value, json};
use tidegate_e2e::{
    Device, Events, Execution, Feedback, Finished, FirmwareForm, Offer, RestClient, ServerProcess,
    ServerStorage, TestTenant, both_databases, close, files_below, wait_until,
};
use tokio::time::timeout;

const DEVICES: usize = 24;
/// Number of acknowledged feedbacks before the process ends.
const MIN_ACKNOWLEDGED: usize = 300;

both_databases!(
    acknowledged_feedback_survives_a_kill,
    accepted_data_survives_a_shutdown,
    shutdown_completes_running_uploads,
    shutdown_does_not_wait_for_event_streams,
);

async fn acknowledged_feedback_survives_a_kill(storage: ServerStorage) -> Result<()> {
    kill_under_load(&storage, ServerProcess::kill).await
}

async fn accepted_data_survives_a_shutdown(storage: ServerStorage) -> Result<()> {
    kill_under_load(&storage, |process| {
        let status = process.terminate()?;
        ensure!(status.success(), "the server ended with {status}");
        Ok(())
    })
    .await?;
    // Last-seen times are buffered in memory; shutdown flushes them.
    let process = ServerProcess::start(&storage)?;
    for device in DevServer::new(&process.url)
        .await?
        .rest
        .list("devices")
        .await?
    {
        ensure!(device["last_seen"].is_string(), "{device}");
    }
    Ok(())
}

async fn kill_under_load(
    storage: &ServerStorage,
    end: impl FnOnce(ServerProcess) -> Result<()> + Send + 'static,
) -> Result<()> {
    let process = ServerProcess::start(storage)?;
    let server = DevServer::new(&process.url).await?;
    let devices = server.devices().await?;
    let firmware = FirmwareForm::new("2.0.0").upload(&server.rest).await?;
    let created = server
        .rest
        .post("campaigns", &TestTenant::campaign_body(firmware))
        .await?
        .expect_status(201)?
        .json()?;
    let path = format!("campaigns/{}", created["campaign_id"]);
    server
        .rest
        .post(&format!("{path}/start"), &json!({}))
        .await?
        .expect_status(200)?;
    let mut offers = Vec::new();
    for device in &devices {
        offers.push(wait_until("the update is offered", async || device.offer().await).await?);
    }

    let (acknowledged, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let senders = devices
        .iter()
        .zip(&offers)
        .enumerate()
        .map(|(n, (device, offer))| {
            // A third of the devices close their update under load.
            let last = if n % 3 == 0 { 3 + n / 3 } else { usize::MAX };
            send_feedback_until_stopped(device, offer, last, &acknowledged, &over)
        });
    let stop = async {
        wait_until("enough feedback is acknowledged", async || {
            Ok((acknowledged.load(Ordering::SeqCst) >= MIN_ACKNOWLEDGED).then_some(()))
        })
        .await?;
        let ended = tokio::task::spawn_blocking(move || end(process)).await?;
        over.store(true, Ordering::SeqCst);
        ended
    };
    let (acknowledged_feedback, stopped) = tokio::join!(join_all(senders), stop);
    stopped?;

    let process = ServerProcess::start(storage)?;
    let server = server.at_url(&process.url);
    let mut devices: Vec<Device> = devices
        .iter()
        .map(|device| server.device(&device.id))
        .collect();
    for (device, acknowledged_feedback) in devices.iter().zip(&acknowledged_feedback) {
        ensure!(
            acknowledged_feedback.messages > 0,
            "{} sent no feedback",
            device.id
        );
        let log = server
            .rest
            .get(&format!("devices/{}/log?limit=500", device.id))
            .await?
            .expect_status(200)?
            .json()?;
        let log_lines: Vec<&Value> = log["items"].as_array().into_iter().flatten().collect();
        for n in 0..acknowledged_feedback.messages {
            let message = json!([format!("line {n}")]);
            let count = log_lines
                .iter()
                .filter(|line| line["messages"] == message)
                .count();
            ensure!(
                count == 1,
                "line {n} of {} is stored {count} times: {log}",
                device.id
            );
        }
        let status = &log["update"]["status"];
        ensure!(
            !acknowledged_feedback.is_done || status == "completed",
            "{}: {log}",
            device.id
        );
    }
    let campaign = server.rest.get(&path).await?.expect_status(200)?.json()?;
    let done = acknowledged_feedback
        .iter()
        .filter(|acknowledged_feedback| acknowledged_feedback.is_done)
        .count() as u64;
    ensure!(done > 0, "no device closed its update");
    // An unacknowledged feedback may have been stored as well.
    ensure!(
        campaign["completed_devices"].as_u64() >= Some(done),
        "{done} devices closed their updates: {campaign}"
    );

    wait_until("the campaign completes", async || {
        for device in &mut devices {
            device.install().await?;
        }
        let campaign = server.rest.get(&path).await?.expect_status(200)?.json()?;
        Ok((campaign["status"] == "completed").then_some(()))
    })
    .await?;
    let status = process.terminate()?;
    ensure!(status.success(), "the server ended with {status}");
    Ok(())
}

/// What the server acknowledged of one device's feedback.
struct AcknowledgedFeedback {
    messages: usize,
    is_done: bool,
}

/// Sends one feedback after the other until the server is gone; the feedback after `last` of them closes the
/// update.
async fn send_feedback_until_stopped(
    device: &Device,
    offer: &Offer,
    last: usize,
    acknowledged: &AtomicUsize,
    over: &AtomicBool,
) -> AcknowledgedFeedback {
    let mut acknowledged_feedback = AcknowledgedFeedback {
        messages: 0,
        is_done: false,
    };
    while !over.load(Ordering::SeqCst) {
        let body = if acknowledged_feedback.messages == last {
            close(Finished::Success)
        } else {
            let line = format!("line {}", acknowledged_feedback.messages);
            Feedback {
                messages: vec![line],
                ..Feedback::new(Execution::Proceeding, Finished::None)
            }
        };
        match device.feedback(&offer.id, &body).await {
            Ok(response) if response.status == 200 => {
                acknowledged.fetch_add(1, Ordering::SeqCst);
                if acknowledged_feedback.messages == last {
                    acknowledged_feedback.is_done = true;
                    return acknowledged_feedback;
                }
                acknowledged_feedback.messages += 1;
            }
            // The server is down or shutting down.
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
    acknowledged_feedback
}

/// An upload that is running when the process is terminated is completed.
async fn shutdown_completes_running_uploads(storage: ServerStorage) -> Result<()> {
    let process = ServerProcess::start(&storage)?;
    let server = DevServer::new(&process.url).await?;
    let form = FirmwareForm::new("2.0.0");
    let (send, body) = futures::channel::mpsc::unbounded::<std::io::Result<Vec<u8>>>();
    let part = multipart::Part::stream(Body::wrap_stream(body)).file_name("slow.bin");
    let metadata = multipart::Part::text(form.metadata.to_string());
    let form = multipart::Form::new()
        .part("metadata", metadata)
        .part("file", part);
    let request = server
        .rest
        .request(Method::POST, "firmware")
        .multipart(form);
    let upload = tokio::spawn(async move { request.send().await });
    send.unbounded_send(Ok(vec![b'a'; 100_000]))?;
    // The server receives the upload once it has created the file.
    let incoming = storage.dir().join("artifacts/incoming");
    wait_until("the server has started to store the file", async || {
        Ok((!files_below(&incoming).is_empty()).then_some(()))
    })
    .await?;
    let stop = tokio::task::spawn_blocking(move || process.terminate());
    wait_until("the server has stopped listening", async || {
        Ok(server.rest.get("/health").await.is_err().then_some(()))
    })
    .await?;
    send.unbounded_send(Ok(vec![b'b'; 100_000]))?;
    drop(send);
    let response = upload.await??;
    ensure!(
        response.status() == 201,
        "the upload was answered with {}",
        response.status()
    );
    ensure!(
        stop.await??.success(),
        "the server did not exit successfully"
    );

    let process = ServerProcess::start(&storage)?;
    let firmware = server.at_url(&process.url).rest.list("firmware").await?;
    ensure!(
        firmware.len() == 1 && firmware[0]["file_size"] == 200_000,
        "{firmware:?}"
    );
    Ok(())
}

/// Open event streams do not delay the shutdown.
async fn shutdown_does_not_wait_for_event_streams(storage: ServerStorage) -> Result<()> {
    let process = ServerProcess::start(&storage)?;
    let server = DevServer::new(&process.url).await?;
    let firmware = FirmwareForm::new("2.0.0").upload(&server.rest).await?;
    let created = server
        .rest
        .post("campaigns", &TestTenant::campaign_body(firmware))
        .await?
        .expect_status(201)?
        .json()?;
    let path = format!("campaigns/{}/events", created["campaign_id"]);
    let mut events = Events::follow(&server.rest, &path).await?;
    ensure!(
        events.next().await?.is_some(),
        "the stream has no first event"
    );
    let stop = tokio::task::spawn_blocking(move || process.terminate());
    while events.next().await?.is_some() {}
    ensure!(
        timeout(Duration::from_secs(10), stop).await???.success(),
        "the server did not exit successfully"
    );
    Ok(())
}

/// Clients of a server process in development mode.
pub(crate) struct DevServer {
    http: reqwest::Client,
    url: String,
    token: String,
    pub(crate) rest: RestClient,
}

impl DevServer {
    pub(crate) async fn new(url: &str) -> Result<Self> {
        let http = reqwest::Client::new();
        let rest = RestClient::anonymous(http.clone(), url);
        let body = json!({ "user_id": "creator", "email": "creator@example.com", "role": "admin", "expires_in": 3600 });
        let created = rest
            .post("auth/dev-token", &body)
            .await?
            .expect_status(200)?
            .json()?;
        let token = created["token"].as_str().context("no token")?.to_owned();
        Ok(Self {
            http,
            url: url.to_owned(),
            rest: rest.with_token(&token),
            token,
        })
    }

    /// The same for another URL: tokens survive a restart of the process.
    pub(crate) fn at_url(&self, url: &str) -> Self {
        let rest = RestClient::anonymous(self.http.clone(), url).with_token(&self.token);
        Self {
            http: self.http.clone(),
            url: url.to_owned(),
            token: self.token.clone(),
            rest,
        }
    }

    pub(crate) fn device(&self, id: &str) -> Device {
        Device::new(self.http.clone(), &self.url, "DEFAULT", id)
    }

    async fn devices(&self) -> Result<Vec<Device>> {
        stream::iter((0..DEVICES).map(|n| self.device(&format!("edge-{n}"))))
            .map(|device| async move { device.identify().await.map(|()| device) })
            .buffered(8)
            .try_collect()
            .await
    }
}
