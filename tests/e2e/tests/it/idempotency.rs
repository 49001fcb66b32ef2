//! Repeated requests with the same `Idempotency-Key`.

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_e2e::{
    Database, FirmwareForm, HttpResponse, IsolatedTenant, RestClient, RestResponse as _,
    ServerProcess, ServerStorage, TestTenant, both_databases, run,
};

const KEY: &str = "8e03978e-40d5-43e8-bc93-6894a57f9324";

both_databases!(
    a_device_is_created_once,
    concurrent_requests_create_one_campaign,
    keys_are_scoped_to_the_caller,
    an_upload_is_stored_once,
    a_response_survives_a_restart,
    a_killed_request_keeps_its_key_reserved,
);

async fn send(rest: &RestClient, path: &str, body: &Value) -> Result<HttpResponse> {
    let request = rest.request(Method::POST, path).json(body);
    Ok(HttpResponse::fetch(request.header("Idempotency-Key", KEY)).await?)
}

fn is_replayed(response: &HttpResponse) -> bool {
    response.header("idempotent-replayed") == "true"
}

async fn a_device_is_created_once(tenant: TestTenant) -> Result<()> {
    let device = json!({ "device_id": "edge-1" });
    let first = send(&tenant.operator, "devices", &device)
        .await?
        .expect_status(201)?;
    let repeated = send(&tenant.operator, "devices", &device)
        .await?
        .expect_status(201)?;
    ensure!(!is_replayed(&first) && is_replayed(&repeated), "{repeated}");
    ensure!(repeated.json()? == first.json()?, "{first} {repeated}");
    ensure!(repeated.header("location") == first.header("location"));
    let devices = tenant.viewer.list("devices").await?;
    ensure!(devices.len() == 1, "{devices:?}");

    // The token of either response authenticates the device.
    let token = repeated.json()?["token"]
        .as_str()
        .context("no token")?
        .to_owned();
    let poll = format!("/{}/controller/v1/edge-1", tenant.record.name);
    let anonymous = RestClient::anonymous(tenant.server.http.clone(), &tenant.server.url);
    let request = anonymous.request(Method::GET, &poll);
    let request = request.header("Authorization", format!("TargetToken {token}"));
    HttpResponse::fetch(request).await?.expect_status(200)?;

    let other = json!({ "device_id": "edge-2" });
    let refused = send(&tenant.operator, "devices", &other).await?;
    refused.expect_problem(422, "idempotency_key_reused")?;
    let devices = tenant.viewer.list("devices").await?;
    ensure!(devices.len() == 1, "{devices:?}");
    Ok(())
}

async fn concurrent_requests_create_one_campaign(tenant: TestTenant) -> Result<()> {
    let firmware = tenant.upload_firmware("2.0.0").await?;
    let draft = TestTenant::campaign_body(firmware);
    let (created, refused) = send_concurrently(&[&tenant.operator], &draft).await?;
    ensure!(
        created.len() + refused == 16,
        "{refused} requests were rejected"
    );
    let repeated = send(&tenant.operator, "campaigns", &draft)
        .await?
        .expect_status(201)?;
    ensure!(created.iter().all(|one| *one == created[0]), "{created:?}");
    ensure!(repeated.json()? == created[0], "{repeated}");
    let campaigns = tenant.viewer.list("campaigns").await?;
    ensure!(campaigns.len() == 1, "{campaigns:?}");
    Ok(())
}

/// Sends the same request sixteen times concurrently. Returns the created campaigns, and the number of requests to
/// retry.
async fn send_concurrently(senders: &[&RestClient], draft: &Value) -> Result<(Vec<Value>, usize)> {
    let sent = (0..16).map(|n| send(senders[n % senders.len()], "campaigns", draft));
    let (mut created, mut refused) = (Vec::new(), 0);
    for response in try_join_all(sent).await? {
        if response.status == 409 {
            ensure!(response.header("retry-after") == "1", "{response}");
            response.expect_problem(409, "request_in_progress")?;
            refused += 1;
        } else {
            created.push(response.expect_status(201)?.json()?);
        }
    }
    ensure!(!created.is_empty(), "no request succeeded");
    Ok((created, refused))
}

#[test]
fn two_servers_create_one_campaign() -> Result<()> {
    run(Database::Postgres, "two_hosts_make_one", |tenant| {
        on_two_servers(tenant)
    })
}

async fn on_two_servers(tenant: IsolatedTenant) -> Result<()> {
    let other = tenant.server.start_replica().await?;
    let theirs = tenant.operator.clone().at(&other.url);
    let draft = TestTenant::campaign_body(tenant.upload_firmware("2.0.0").await?);
    let (created, _) = send_concurrently(&[&tenant.operator, &theirs], &draft).await?;
    for rest in [&tenant.operator, &theirs] {
        let repeated = send(rest, "campaigns", &draft).await?.expect_status(201)?;
        ensure!(
            is_replayed(&repeated) && repeated.json()? == created[0],
            "{repeated} {created:?}"
        );
    }
    let campaigns = tenant.viewer.list("campaigns").await?;
    ensure!(campaigns.len() == 1, "{campaigns:?}");
    other.stop().await
}

async fn keys_are_scoped_to_the_caller(ours: TestTenant) -> Result<()> {
    let theirs = TestTenant::new(ours.server.clone()).await?;
    let device = json!({ "device_id": "edge-1" });
    let first_response = send(&ours.operator, "devices", &device)
        .await?
        .expect_status(201)?;
    let other = send(&theirs.operator, "devices", &device)
        .await?
        .expect_status(201)?;
    ensure!(!is_replayed(&other), "{other}");
    ensure!(first_response.json()?["token"] != other.json()?["token"]);
    // An administrator of the same tenant is another caller, for whom the device exists already.
    let admin = send(&ours.admin, "devices", &device).await?;
    admin.expect_problem(409, "device_exists")?;
    let unknown = RestClient::anonymous(ours.server.http.clone(), &ours.server.url);
    let unknown = send(&unknown, "devices", &device).await?;
    unknown.expect_problem(401, "unauthenticated")?;
    Ok(())
}

async fn an_upload_is_stored_once(tenant: TestTenant) -> Result<()> {
    let large = vec![7; 3 << 20];
    let form = FirmwareForm::new("2.0.0").files(&[("edge.bin", &large)]);
    let upload = async |form: &FirmwareForm| {
        let request = tenant.publisher.request(Method::POST, "firmware");
        let request = request.header("Idempotency-Key", KEY);
        anyhow::Ok(HttpResponse::fetch(request.multipart(form.form()?)).await?)
    };
    let first = upload(&form).await?.expect_status(201)?;
    for _ in 0..3 {
        let repeated = upload(&form).await?.expect_status(201)?;
        ensure!(
            is_replayed(&repeated) && repeated.json()? == first.json()?,
            "{repeated}"
        );
    }
    let firmware = tenant.viewer.list("firmware").await?;
    ensure!(firmware.len() == 1, "{firmware:?}");
    Ok(())
}

/// A client with a token of a server process in development mode.
async fn dev_client(url: &str) -> Result<RestClient> {
    let rest = RestClient::anonymous(reqwest::Client::new(), url);
    let body = json!({ "user_id": "creator", "role": "admin" });
    let created = rest
        .post("auth/dev-token", &body)
        .await?
        .expect_status(200)?
        .json()?;
    Ok(rest.with_token(created["token"].as_str().context("no token")?))
}

async fn a_response_survives_a_restart(storage: ServerStorage) -> Result<()> {
    let process = ServerProcess::start(&storage)?;
    let rest = dev_client(&process.url).await?;
    let gateway = json!({ "name": "hall 3" });
    let first = send(&rest, "gateways", &gateway)
        .await?
        .expect_status(201)?;
    tokio::task::spawn_blocking(move || process.kill()).await??;

    let process = ServerProcess::start(&storage)?;
    let rest = rest.at(&process.url);
    let repeated = send(&rest, "gateways", &gateway)
        .await?
        .expect_status(201)?;
    ensure!(
        is_replayed(&repeated) && repeated.json()? == first.json()?,
        "{repeated}"
    );
    Ok(())
}

/// After a kill it is unknown how far the request got.
async fn a_killed_request_keeps_its_key_reserved(storage: ServerStorage) -> Result<()> {
    let process = ServerProcess::start(&storage)?;
    let rest = dev_client(&process.url).await?;
    let form = FirmwareForm::new("2.0.0");
    let (send, body) = futures::channel::mpsc::unbounded::<std::io::Result<Vec<u8>>>();
    let slow = reqwest::multipart::Part::stream(reqwest::Body::wrap_stream(body));
    let slow = reqwest::multipart::Form::new().part("file", slow.file_name("slow.bin"));
    let request = rest.request(Method::POST, "firmware");
    let request = request.header("Idempotency-Key", KEY).multipart(slow);
    let pending = tokio::spawn(request.send());
    send.unbounded_send(Ok(vec![b'a'; 100_000]))?;
    let incoming = storage.dir().join("artifacts/incoming");
    tidegate_e2e::wait_until("the server has started to store the file", async || {
        Ok((!tidegate_e2e::files_below(&incoming).is_empty()).then_some(()))
    })
    .await?;
    tokio::task::spawn_blocking(move || process.kill()).await??;
    ensure!(pending.await?.is_err(), "the killed server answered");

    let process = ServerProcess::start(&storage)?;
    let rest = rest.at(&process.url);
    let repeated = rest.request(Method::POST, "firmware");
    let repeated = repeated.header("Idempotency-Key", KEY);
    // Until its lease expires, another server might still be processing the request.
    let repeated = HttpResponse::fetch(repeated.multipart(form.form()?)).await?;
    repeated.expect_problem(409, "request_in_progress")?;
    ensure!(
        rest.list("firmware").await?.is_empty(),
        "firmware was created"
    );
    form.upload(&rest).await?;
    Ok(())
}
