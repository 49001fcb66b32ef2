//! The program as a process: killed, and asked to stop, amid a storm of feedback.

use std::{
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, future::join_all, stream};
use reqwest::{Body, Method, multipart};
use serde_json::{Value, json};
use tidegate_e2e::{
    Device, Events, FirmwareForm, Ground, Lab, Offer, Program, Rest, both_databases, close,
    files_below, until,
};
use tokio::time::timeout;

const DEVICES: usize = 24;
/// Acknowledged feedbacks before the end comes.
const ENOUGH: usize = 300;

both_databases!(
    nothing_acknowledged_is_lost_by_a_kill,
    nothing_accepted_is_lost_by_a_stop,
    an_upload_under_way_is_finished,
    a_stop_does_not_wait_for_watchers,
);

async fn nothing_acknowledged_is_lost_by_a_kill(ground: Ground) -> Result<()> {
    storm_and(&ground, Program::kill).await
}

async fn nothing_accepted_is_lost_by_a_stop(ground: Ground) -> Result<()> {
    storm_and(&ground, |program| {
        let status = program.terminate()?;
        ensure!(status.success(), "it ended with {status}");
        Ok(())
    })
    .await?;
    // When devices were last seen is gathered in memory; a stop writes it.
    let program = Program::start(&ground)?;
    for device in Site::new(&program.url).await?.rest.list("devices").await? {
        ensure!(device["last_seen"].is_string(), "{device}");
    }
    Ok(())
}

async fn storm_and(
    ground: &Ground,
    end: impl FnOnce(Program) -> Result<()> + Send + 'static,
) -> Result<()> {
    let program = Program::start(ground)?;
    let site = Site::new(&program.url).await?;
    let fleet = site.fleet().await?;
    let firmware = FirmwareForm::new("2.0.0").upload(&site.rest).await?;
    let made = site
        .rest
        .post("campaigns", &Lab::draft(firmware))
        .await?
        .is(201)?
        .json()?;
    let path = format!("campaigns/{}", made["campaign_id"]);
    site.rest
        .post(&format!("{path}/start"), &json!({}))
        .await?
        .is(200)?;
    let mut offers = Vec::new();
    for device in &fleet {
        offers.push(
            until("the device is offered the firmware", async || {
                device.offer().await
            })
            .await?,
        );
    }

    let (acknowledged, over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let storms = fleet
        .iter()
        .zip(&offers)
        .enumerate()
        .map(|(n, (device, offer))| {
            // A third of them is done in the middle of it.
            let last = if n % 3 == 0 { 3 + n / 3 } else { usize::MAX };
            storm(device, offer, last, &acknowledged, &over)
        });
    let stop = async {
        until("enough is acknowledged", async || {
            Ok((acknowledged.load(Ordering::SeqCst) >= ENOUGH).then_some(()))
        })
        .await?;
        let ended = tokio::task::spawn_blocking(move || end(program)).await?;
        over.store(true, Ordering::SeqCst);
        ended
    };
    let (said, stopped) = tokio::join!(join_all(storms), stop);
    stopped?;

    let program = Program::start(ground)?;
    let site = site.moved_to(&program.url);
    let mut fleet: Vec<Device> = fleet.iter().map(|device| site.device(&device.id)).collect();
    for (device, said) in fleet.iter().zip(&said) {
        ensure!(said.messages > 0, "{} said nothing", device.id);
        let log = site
            .rest
            .get(&format!("devices/{}/log?limit=500", device.id))
            .await?
            .is(200)?
            .json()?;
        let kept: Vec<&Value> = log["items"].as_array().into_iter().flatten().collect();
        for n in 0..said.messages {
            let message = json!([format!("line {n}")]);
            let count = kept
                .iter()
                .filter(|line| line["messages"] == message)
                .count();
            ensure!(
                count == 1,
                "line {n} of {} is kept {count} times: {log}",
                device.id
            );
        }
        let status = &log["update"]["status"];
        ensure!(
            !said.is_done || status == "completed",
            "{}: {log}",
            device.id
        );
    }
    let campaign = site.rest.get(&path).await?.is(200)?.json()?;
    let done = said.iter().filter(|said| said.is_done).count() as u64;
    ensure!(done > 0, "nobody was done");
    // Whoever was not told may have been heard all the same.
    ensure!(
        campaign["completed_devices"].as_u64() >= Some(done),
        "{done} were done: {campaign}"
    );

    until("the campaign comes to its end", async || {
        for device in &mut fleet {
            device.install().await?;
        }
        let campaign = site.rest.get(&path).await?.is(200)?.json()?;
        Ok((campaign["status"] == "completed").then_some(()))
    })
    .await?;
    let status = program.terminate()?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

/// What a device was told is kept.
struct Said {
    messages: usize,
    is_done: bool,
}

/// Says one thing after the other until the server is gone; closes after `last` of them.
async fn storm(
    device: &Device,
    offer: &Offer,
    last: usize,
    acknowledged: &AtomicUsize,
    over: &AtomicBool,
) -> Said {
    let mut said = Said {
        messages: 0,
        is_done: false,
    };
    while !over.load(Ordering::SeqCst) {
        let body = if said.messages == last {
            close("success")
        } else {
            let line = format!("line {}", said.messages);
            json!({ "status": { "execution": "proceeding", "result": { "finished": "none" }, "details": [line] } })
        };
        match device.feedback(&offer.id, &body).await {
            Ok(answer) if answer.status == 200 => {
                acknowledged.fetch_add(1, Ordering::SeqCst);
                if said.messages == last {
                    said.is_done = true;
                    return said;
                }
                said.messages += 1;
            }
            // The server is gone, or going.
            _ => tokio::time::sleep(Duration::from_millis(5)).await,
        }
    }
    said
}

/// An upload that is under way when the program is asked to stop comes to its end.
async fn an_upload_under_way_is_finished(ground: Ground) -> Result<()> {
    let program = Program::start(&ground)?;
    let site = Site::new(&program.url).await?;
    let form = FirmwareForm::new("2.0.0");
    let (send, body) = futures::channel::mpsc::unbounded::<std::io::Result<Vec<u8>>>();
    let part = multipart::Part::stream(Body::wrap_stream(body)).file_name("slow.bin");
    let metadata = multipart::Part::text(form.metadata.to_string());
    let form = multipart::Form::new()
        .part("metadata", metadata)
        .part("file", part);
    let request = site.rest.request(Method::POST, "firmware").multipart(form);
    let upload = tokio::spawn(async move { request.send().await });
    send.unbounded_send(Ok(vec![b'a'; 100_000]))?;
    // The file is begun: the server has the request.
    let incoming = ground.folder().join("artifacts/incoming");
    until("the server has begun to store it", async || {
        Ok((!files_below(&incoming).is_empty()).then_some(()))
    })
    .await?;
    let stop = tokio::task::spawn_blocking(move || program.terminate());
    until("it listens no more", async || {
        Ok(site.rest.get("/health").await.is_err().then_some(()))
    })
    .await?;
    send.unbounded_send(Ok(vec![b'b'; 100_000]))?;
    drop(send);
    let answer = upload.await??;
    ensure!(
        answer.status() == 201,
        "the upload was answered {}",
        answer.status()
    );
    ensure!(stop.await??.success(), "it did not end well");

    let program = Program::start(&ground)?;
    let firmware = site.moved_to(&program.url).rest.list("firmware").await?;
    ensure!(
        firmware.len() == 1 && firmware[0]["file_size"] == 200_000,
        "{firmware:?}"
    );
    Ok(())
}

/// Whoever watches a campaign does not keep the program from ending.
async fn a_stop_does_not_wait_for_watchers(ground: Ground) -> Result<()> {
    let program = Program::start(&ground)?;
    let site = Site::new(&program.url).await?;
    let firmware = FirmwareForm::new("2.0.0").upload(&site.rest).await?;
    let made = site
        .rest
        .post("campaigns", &Lab::draft(firmware))
        .await?
        .is(201)?
        .json()?;
    let path = format!("campaigns/{}/events", made["campaign_id"]);
    let mut events = Events::follow(&site.rest, &path).await?;
    ensure!(events.next().await?.is_some(), "there was nothing to see");
    let stop = tokio::task::spawn_blocking(move || program.terminate());
    while events.next().await?.is_some() {}
    ensure!(
        timeout(Duration::from_secs(10), stop).await???.success(),
        "it did not end well"
    );
    Ok(())
}

/// A server in development mode, from outside.
struct Site {
    http: reqwest::Client,
    url: String,
    token: String,
    rest: Rest,
}

impl Site {
    async fn new(url: &str) -> Result<Self> {
        let http = reqwest::Client::new();
        let rest = Rest::anonymous(http.clone(), url);
        let wish = json!({ "user_id": "maker", "email": "maker@example.com", "role": "admin", "expires_in": 3600 });
        let made = rest.post("auth/dev-token", &wish).await?.is(200)?.json()?;
        let token = made["token"].as_str().context("a token")?.to_owned();
        Ok(Self {
            http,
            url: url.to_owned(),
            rest: rest.with_token(&token),
            token,
        })
    }

    /// The same at another address: tokens outlive the program.
    fn moved_to(&self, url: &str) -> Self {
        let rest = Rest::anonymous(self.http.clone(), url).with_token(&self.token);
        Self {
            http: self.http.clone(),
            url: url.to_owned(),
            token: self.token.clone(),
            rest,
        }
    }

    fn device(&self, id: &str) -> Device {
        Device::new(self.http.clone(), &self.url, "DEFAULT", id)
    }

    async fn fleet(&self) -> Result<Vec<Device>> {
        stream::iter((0..DEVICES).map(|n| self.device(&format!("edge-{n}"))))
            .map(|device| async move { device.introduce().await.map(|()| device) })
            .buffered(8)
            .try_collect()
            .await
    }
}
