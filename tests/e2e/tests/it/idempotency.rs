//! Requests that are sent again with the same `Idempotency-Key`.

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_e2e::{
    Alone, Answer, Database, FirmwareForm, Ground, Lab, Program, Rest, both_databases, run,
};

const KEY: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";

both_databases!(
    a_device_is_made_once,
    of_many_at_once_one_is_made,
    a_key_is_its_senders_own,
    an_upload_is_made_once,
    an_answer_outlives_the_program,
    a_kill_in_the_middle_leaves_the_key_taken,
);

async fn send(rest: &Rest, path: &str, body: &Value) -> Result<Answer> {
    let request = rest.request(Method::POST, path).json(body);
    Answer::of(request.header("Idempotency-Key", KEY)).await
}

fn is_replayed(answer: &Answer) -> bool {
    answer.header("idempotent-replayed") == "true"
}

async fn a_device_is_made_once(lab: Lab) -> Result<()> {
    let device = json!({ "device_id": "edge-1" });
    let first = send(&lab.operator, "devices", &device).await?.is(201)?;
    let again = send(&lab.operator, "devices", &device).await?.is(201)?;
    ensure!(!is_replayed(&first) && is_replayed(&again), "{again}");
    ensure!(again.json()? == first.json()?, "{first} {again}");
    ensure!(again.header("location") == first.header("location"));
    let devices = lab.viewer.list("devices").await?;
    ensure!(devices.len() == 1, "{devices:?}");

    // The device gets in with the token of either answer.
    let token = again.json()?["token"]
        .as_str()
        .context("a token")?
        .to_owned();
    let poll = format!("/{}/controller/v1/edge-1", lab.tenant.name);
    let anonymous = Rest::anonymous(lab.server.http.clone(), &lab.server.url);
    let request = anonymous.request(Method::GET, &poll);
    let request = request.header("Authorization", format!("TargetToken {token}"));
    Answer::of(request).await?.is(200)?;

    let other = json!({ "device_id": "edge-2" });
    let refused = send(&lab.operator, "devices", &other).await?;
    refused.problem(422, "idempotency_key_reused")?;
    let devices = lab.viewer.list("devices").await?;
    ensure!(devices.len() == 1, "{devices:?}");
    Ok(())
}

async fn of_many_at_once_one_is_made(lab: Lab) -> Result<()> {
    let firmware = lab.firmware("2.0.0").await?;
    let draft = Lab::draft(firmware);
    let (made, refused) = flood(&[&lab.operator], &draft).await?;
    ensure!(made.len() + refused == 16, "{refused} were refused");
    let again = send(&lab.operator, "campaigns", &draft).await?.is(201)?;
    ensure!(made.iter().all(|one| *one == made[0]), "{made:?}");
    ensure!(again.json()? == made[0], "{again}");
    let campaigns = lab.viewer.list("campaigns").await?;
    ensure!(campaigns.len() == 1, "{campaigns:?}");
    Ok(())
}

/// Sends the same sixteen times at once; answers what was made, and how many were told to come again.
async fn flood(senders: &[&Rest], draft: &Value) -> Result<(Vec<Value>, usize)> {
    let sent = (0..16).map(|n| send(senders[n % senders.len()], "campaigns", draft));
    let (mut made, mut refused) = (Vec::new(), 0);
    for answer in try_join_all(sent).await? {
        if answer.status == 409 {
            ensure!(answer.header("retry-after") == "1", "{answer}");
            answer.problem(409, "request_in_progress")?;
            refused += 1;
        } else {
            made.push(answer.is(201)?.json()?);
        }
    }
    ensure!(!made.is_empty(), "nobody made it");
    Ok((made, refused))
}

#[test]
fn two_hosts_make_one() -> Result<()> {
    run(Database::Postgres, "two_hosts_make_one", |lab| {
        two_hosts(lab)
    })
}

async fn two_hosts(lab: Alone) -> Result<()> {
    let other = lab.server.beside().await?;
    let theirs = lab.operator.clone().at(&other.url);
    let draft = Lab::draft(lab.firmware("2.0.0").await?);
    let (made, _) = flood(&[&lab.operator, &theirs], &draft).await?;
    for rest in [&lab.operator, &theirs] {
        let again = send(rest, "campaigns", &draft).await?.is(201)?;
        ensure!(
            is_replayed(&again) && again.json()? == made[0],
            "{again} {made:?}"
        );
    }
    let campaigns = lab.viewer.list("campaigns").await?;
    ensure!(campaigns.len() == 1, "{campaigns:?}");
    other.stop().await
}

async fn a_key_is_its_senders_own(ours: Lab) -> Result<()> {
    let theirs = Lab::new(ours.server.clone()).await?;
    let device = json!({ "device_id": "edge-1" });
    let mine = send(&ours.operator, "devices", &device).await?.is(201)?;
    let other = send(&theirs.operator, "devices", &device).await?.is(201)?;
    ensure!(!is_replayed(&other), "{other}");
    ensure!(mine.json()?["token"] != other.json()?["token"]);
    // The same tenant's administrator is somebody else, and makes the device a second time.
    let admin = send(&ours.admin, "devices", &device).await?;
    admin.problem(409, "device_exists")?;
    let unknown = Rest::anonymous(ours.server.http.clone(), &ours.server.url);
    let unknown = send(&unknown, "devices", &device).await?;
    unknown.problem(401, "unauthenticated")?;
    Ok(())
}

async fn an_upload_is_made_once(lab: Lab) -> Result<()> {
    let large = vec![7; 3 << 20];
    let form = FirmwareForm::new("2.0.0").files(&[("edge.bin", &large)]);
    let upload = async |form: &FirmwareForm| {
        let request = lab.publisher.request(Method::POST, "firmware");
        let request = request.header("Idempotency-Key", KEY);
        Answer::of(request.multipart(form.form()?)).await
    };
    let first = upload(&form).await?.is(201)?;
    for _ in 0..3 {
        let again = upload(&form).await?.is(201)?;
        ensure!(
            is_replayed(&again) && again.json()? == first.json()?,
            "{again}"
        );
    }
    let firmware = lab.viewer.list("firmware").await?;
    ensure!(firmware.len() == 1, "{firmware:?}");
    Ok(())
}

/// Somebody at a program in development mode.
async fn maker(url: &str) -> Result<Rest> {
    let rest = Rest::anonymous(reqwest::Client::new(), url);
    let wish = json!({ "user_id": "maker", "role": "admin" });
    let made = rest.post("auth/dev-token", &wish).await?.is(200)?.json()?;
    Ok(rest.with_token(made["token"].as_str().context("a token")?))
}

async fn an_answer_outlives_the_program(ground: Ground) -> Result<()> {
    let program = Program::start(&ground)?;
    let rest = maker(&program.url).await?;
    let gateway = json!({ "name": "hall 3" });
    let first = send(&rest, "gateways", &gateway).await?.is(201)?;
    tokio::task::spawn_blocking(move || program.kill()).await??;

    let program = Program::start(&ground)?;
    let rest = rest.at(&program.url);
    let again = send(&rest, "gateways", &gateway).await?.is(201)?;
    ensure!(
        is_replayed(&again) && again.json()? == first.json()?,
        "{again}"
    );
    Ok(())
}

/// Nobody knows how far a request came whose program was killed.
async fn a_kill_in_the_middle_leaves_the_key_taken(ground: Ground) -> Result<()> {
    let program = Program::start(&ground)?;
    let rest = maker(&program.url).await?;
    let form = FirmwareForm::new("2.0.0");
    let (send, body) = futures::channel::mpsc::unbounded::<std::io::Result<Vec<u8>>>();
    let slow = reqwest::multipart::Part::stream(reqwest::Body::wrap_stream(body));
    let slow = reqwest::multipart::Form::new().part("file", slow.file_name("slow.bin"));
    let request = rest.request(Method::POST, "firmware");
    let request = request.header("Idempotency-Key", KEY).multipart(slow);
    let under_way = tokio::spawn(request.send());
    send.unbounded_send(Ok(vec![b'a'; 100_000]))?;
    let incoming = ground.folder().join("artifacts/incoming");
    tidegate_e2e::until("the server has begun to store it", async || {
        Ok((!tidegate_e2e::files_below(&incoming).is_empty()).then_some(()))
    })
    .await?;
    tokio::task::spawn_blocking(move || program.kill()).await??;
    ensure!(
        under_way.await?.is_err(),
        "it was answered by who was killed"
    );

    let program = Program::start(&ground)?;
    let rest = rest.at(&program.url);
    let again = rest.request(Method::POST, "firmware");
    let again = again.header("Idempotency-Key", KEY);
    // Another host might be at it still, for as long as a lease is.
    let again = Answer::of(again.multipart(form.form()?)).await?;
    again.problem(409, "request_in_progress")?;
    ensure!(rest.list("firmware").await?.is_empty(), "it was made");
    form.upload(&rest).await?;
    Ok(())
}
