//! A server starts whatever is in its folders of components, and stops whatever hangs.

use std::{
    fs::{self, File},
    os::unix::fs::symlink,
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use reqwest::{
    Method,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tidegate_e2e::{
    Device, FirmwareForm, HttpResponse, RestClient, RestResponse as _, ServerOutput, ServerProcess,
    ServerStorage, both_databases, components, files_below, wait_until,
};
use tidegate_hostile::{
    Hooks, HostilePlugin, doubling_schema, slow_config, slow_schema, strategy_with,
};
use tokio::task::JoinSet;

both_databases!(
    a_server_in_a_built_checkout_finds_its_components,
    a_component_in_the_folder_never_stops_the_start,
    shutdown_does_not_wait_for_a_file_that_hangs,
    shutdown_ends_within_its_grace_time_during_slow_config_checks,
    the_absence_of_the_only_server_extends_deadlines,
);

/// The program is in the folder of a build profile, as `target/release/tidegate` is.
async fn a_server_in_a_built_checkout_finds_its_components(storage: ServerStorage) -> Result<()> {
    let process = ServerProcess::start_without_components(&storage)?;
    let rest = RestClient::anonymous(reqwest::Client::new(), &process.url);
    let rest = authenticated(&rest).await?;
    let plugins = rest.list("plugins").await?;
    // The plugins that only tests use are not in the list.
    let list = components()?.join("SHA256SUMS");
    let built = std::fs::read_to_string(list)?.lines().count();
    ensure!(plugins.len() == built, "{built} are built: {plugins:?}");
    let found = plugins
        .iter()
        .any(|plugin| plugin["name"] == "tidegate/canary");
    ensure!(found, "{plugins:?}");
    // The program was built with their digests.
    for plugin in plugins {
        let name = plugin["name"].as_str().context("no name")?;
        let plugin = rest
            .get(&format!("plugins/{name}"))
            .await?
            .expect_success()?;
        ensure!(plugin["revisions"][0]["origin"] == "built_in", "{plugin}");
    }
    Ok(())
}

/// Not the time that it takes to inspect it either, nor does it take that time at each start.
async fn a_component_in_the_folder_never_stops_the_start(storage: ServerStorage) -> Result<()> {
    // What it remembers of components is of this test only.
    fs::remove_file(storage.dir().join("compiled"))?;
    let built_ins = storage.dir().join("components");
    let folder = storage.dir().join("plugins");
    fs::create_dir(&built_ins)?;
    fs::create_dir(&folder)?;
    let component = |name: &str, mut schema: Value, example: Value| -> Result<()> {
        schema["examples"] = json!([example]);
        let hooks = schema.to_string();
        let component = strategy_with(&Hooks::default().schema(hooks))?;
        Ok(fs::write(folder.join(name), component)?)
    };
    component(
        "exponential.wasm",
        doubling_schema("default"),
        json!({ "default": 1 }),
    )?;
    let text = slow_config()["text"].as_str().context("a text")?[..40_000].to_owned();
    component("slow.wasm", slow_schema(), json!({ "text": text }))?;
    make_pipe(&folder.join("pipe.wasm"))?;
    fs::create_dir(folder.join("folder.wasm"))?;
    symlink("/no/such/file", folder.join("lost.wasm"))?;
    fs::write(folder.join("noise.wasm"), "no component")?;
    fs::copy(
        components()?.join("canary.wasm"),
        built_ins.join("canary.wasm"),
    )?;
    // A custom section at the end makes it another component.
    let hardware = fs::read(components()?.join("hardware.wasm"))?;
    let other = [&hardware[..], b"\x00\x06\x05other"].concat();
    fs::write(folder.join("hardware.wasm"), &other)?;
    fs::write(built_ins.join("version-path.wasm"), &other)?;
    make_pipe(&built_ins.join("latest.wasm"))?;
    let vendors = HostilePlugin::Honest.component()?;
    fs::write(folder.join("vendor.wasm"), &vendors)?;
    fs::write(built_ins.join("misplaced.wasm"), &vendors)?;
    let settings = [
        ("TIDEGATE_COMPONENTS", built_ins.into_os_string()),
        ("TIDEGATE_PLUGINS", folder.into_os_string()),
    ];
    let reported = [
        ("exponential.wasm", "more than 64 levels deep"),
        ("slow.wasm", "takes too long to check"),
        ("pipe.wasm", "not a regular file"),
        ("folder.wasm", "not a regular file"),
        ("lost.wasm", "No such file"),
        ("noise.wasm", "not a WebAssembly component"),
        ("hardware.wasm", "is reserved for a built-in plugin"),
        ("version-path.wasm", "is reserved for a built-in plugin"),
        ("latest.wasm", "not a regular file"),
    ];

    let log = storage.dir().join("log");
    let output = ServerOutput::File(File::create(&log)?);
    let mut process = ServerProcess::start_unread(&storage, &output, &settings)?;
    let rest = RestClient::anonymous(reqwest::Client::new(), &process.url);
    wait_until("the server is ready", async || {
        let ended = process.status()?;
        ensure!(ended.is_none(), "the server ended with {ended:?}");
        let ready = rest.get("/readyz").await;
        Ok(ready
            .is_ok_and(|response| response.status == 200)
            .then_some(()))
    })
    .await?;
    let rest = authenticated(&rest).await?;
    let names = async || -> Result<Vec<String>> {
        let plugins = rest.list("plugins").await?;
        let names = plugins.iter().filter_map(|plugin| plugin["name"].as_str());
        Ok(names.map(str::to_owned).collect())
    };
    ensure!(names().await?.contains(&"tidegate/canary".to_owned()));
    wait_for_components(&log).await?;
    ensure!(
        names().await? == ["acme/hostile", "tidegate/canary"],
        "{:?}",
        names().await?
    );
    let status = process.terminate()?;
    ensure!(status.success(), "the server ended with {status}");
    let written = fs::read_to_string(&log)?;
    for (name, reason) in reported {
        ensure!(
            is_reported(&written, name, reason),
            "{name} is not reported"
        );
    }
    let misplaced = written
        .lines()
        .find(|line| line.contains("misplaced.wasm"))
        .context("misplaced.wasm is not reported")?;
    ensure!(misplaced.contains("WARN") && misplaced.contains("`--plugins`"));
    let listening = written.find("listening").context("it does not listen")?;
    let rejected = written.find("slow.wasm");
    ensure!(rejected > Some(listening), "the start waited for others");

    // The next start knows what was rejected.
    let rejections = files_below(storage.dir()).into_iter();
    let rejections: Vec<_> = rejections
        .filter(|file| file.extension().is_some_and(|it| it == "rejected"))
        .collect();
    ensure!(rejections.len() == 2, "{rejections:?}");
    for file in rejections {
        fs::write(file, "as at the first start")?;
    }
    let log = storage.dir().join("second-log");
    let output = ServerOutput::File(File::create(&log)?);
    let process = ServerProcess::start_unread(&storage, &output, &settings)?;
    wait_for_components(&log).await?;
    let status = process.terminate()?;
    ensure!(status.success(), "the server ended with {status}");
    let written = fs::read_to_string(&log)?;
    for (name, reason) in reported {
        let reason = match name {
            "exponential.wasm" | "slow.wasm" => "as at the first start",
            _ => reason,
        };
        ensure!(
            is_reported(&written, name, reason),
            "{name} is not reported"
        );
    }
    Ok(())
}

/// Waits until all components of the folder of plugins were installed or rejected.
async fn wait_for_components(log: &Path) -> Result<()> {
    wait_until("the components are installed", async || {
        let written = fs::read_to_string(log)?;
        Ok(written.contains(" components installed").then_some(()))
    })
    .await
}

fn is_reported(log: &str, name: &str, reason: &str) -> bool {
    let is_reported =
        |line: &str| line.contains("ERROR") && line.contains(name) && line.contains(reason);
    log.lines().any(is_reported)
}

/// A thread that reads a file cannot be interrupted.
async fn shutdown_does_not_wait_for_a_file_that_hangs(storage: ServerStorage) -> Result<()> {
    let settings = [
        ("TIDEGATE_DEV", "true".into()),
        ("TIDEGATE_SHUTDOWN_GRACE", "3s".into()),
    ];
    let process = ServerProcess::start_with(&storage, &settings)?;
    let http = reqwest::Client::new();
    let rest = authenticated(&RestClient::anonymous(http.clone(), &process.url)).await?;
    let device = Device::new(http, &process.url, "DEFAULT", "edge-0");
    device.identify().await?;
    let bytes = b"a file that hangs";
    let form = FirmwareForm::new("2.0.0").files(&[("edge.bin", bytes)]);
    let firmware = form.upload(&rest).await?;
    rest.post("devices/edge-0/update", &json!({ "firmware_id": firmware }))
        .await?
        .expect_status(201)?;
    let offer = wait_until("the update is offered", async || device.offer().await).await?;
    let file = offer.artifacts().next().context("no file")?;
    let link = file.href().context("no link")?.to_owned();

    // A pipe hangs as a disk does: opening it waits for a writer.
    let digits = hex::encode(Sha256::digest(bytes));
    let folder = storage.dir().join("artifacts/sha256").join(&digits[..2]);
    let stored = folder.join(&digits);
    fs::remove_file(&stored)?;
    make_pipe(&stored)?;
    let download = tokio::spawn(async move { device.get(&link).await });
    let process_id = process.id();
    wait_until("a thread opens the file", async || {
        Ok(waits_for_pipe(process_id)?.then_some(()))
    })
    .await?;

    let poller = Device::new(reqwest::Client::new(), &process.url, "DEFAULT", "edge-0");
    let before = rest.get("devices/edge-0").await?.expect_success()?["last_seen"].clone();
    poller.poll().await?;
    let began = Instant::now();
    let status = tokio::task::spawn_blocking(move || process.terminate()).await??;
    let took = began.elapsed();
    ensure!(took.as_secs_f64() < 3.5, "it took {took:?}: {status}");
    ensure!(
        status.code() == Some(1),
        "a request was not answered: {status}"
    );
    ensure!(download.await?.is_err());

    // The last poll was written, although the request used up the time.
    fs::remove_file(&stored)?;
    fs::write(&stored, bytes)?;
    let process = ServerProcess::start_with(&storage, &settings)?;
    let rest = RestClient::anonymous(reqwest::Client::new(), &process.url);
    let rest = authenticated(&rest).await?;
    let after = rest.get("devices/edge-0").await?.expect_success()?["last_seen"].clone();
    ensure!(
        after.as_str() > before.as_str(),
        "seen {before}, then {after}"
    );
    Ok(())
}

async fn shutdown_ends_within_its_grace_time_during_slow_config_checks(
    storage: ServerStorage,
) -> Result<()> {
    // One check is answered within the grace time; many one after another are not.
    for (checks, grace, is_clean) in [(1, 60, true), (40, 3, false)] {
        let settings = [
            ("TIDEGATE_DEV", "true".into()),
            ("TIDEGATE_SHUTDOWN_GRACE", format!("{grace}s").into()),
        ];
        let process = ServerProcess::start_with(&storage, &settings)?;
        let rest = RestClient::anonymous(reqwest::Client::new(), &process.url);
        let rest = authenticated(&rest).await?;
        let plugin = upload_slow_schema(&rest).await?;
        let path = format!("plugins/{plugin}/validate");
        let mut requests = JoinSet::new();
        for _ in 0..checks {
            let (rest, path) = (rest.clone(), path.clone());
            requests.spawn(async move {
                let config = json!({ "config": slow_config() });
                anyhow::Ok(rest.post(&path, &config).await?)
            });
        }
        let server = process.id();
        let checkers = wait_until("a check is under way", async || {
            let checkers = busy_checkers(server)?;
            Ok((!checkers.is_empty()).then_some(checkers))
        })
        .await?;
        let began = Instant::now();
        let status = tokio::task::spawn_blocking(move || process.terminate()).await??;
        let took = began.elapsed();
        let grace = Duration::from_secs(grace) + Duration::from_millis(500);
        ensure!(took < grace, "it took {took:?}: {status}");
        let expected = i32::from(!is_clean);
        ensure!(status.code() == Some(expected), "{checks} checks: {status}");
        if is_clean {
            let answered = requests.join_next().await.context("a request")???;
            answered.expect_problem(422, "plugin_failed")?;
        }
        wait_until("the checks have ended too", async || {
            let left = checkers.iter().filter(|pid| is_checker(**pid)).count();
            Ok((left == 0).then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// Uploads a plugin whose schema is slow to check with [`slow_config`]. Returns its name.
async fn upload_slow_schema(rest: &RestClient) -> Result<String> {
    let schema = slow_schema().to_string();
    let component = strategy_with(&Hooks::default().schema(schema))?;
    let part = Part::bytes(component).file_name("slow.wasm");
    let form = Form::new().part("component", part);
    let request = rest.request(Method::POST, "plugins").multipart(form);
    let uploaded = HttpResponse::fetch(request).await?.expect_success()?;
    let plugin = uploaded["plugin"].as_str().context("a name")?;
    let revision = uploaded["revision"].as_str().context("a revision")?;
    let path = format!("plugins/{plugin}/revisions/{revision}/enable");
    rest.post(&path, &json!({})).await?.expect_success()?;
    Ok(plugin.to_owned())
}

/// The processes of this server that check a config now.
fn busy_checkers(server: u32) -> Result<Vec<u32>> {
    let mut busy = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse().ok()) else {
            continue;
        };
        // The process may have ended. After its name come its state and its parent.
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let Some((_, fields)) = stat.rsplit_once(')') else {
            continue;
        };
        let fields: Vec<_> = fields.split_whitespace().collect();
        let is_child = fields[1] == server.to_string();
        let cpu_ticks: u64 = fields[11].parse()?;
        // Starting takes less.
        if is_child && is_checker(pid) && cpu_ticks > 20 {
            busy.push(pid);
        }
    }
    Ok(busy)
}

fn is_checker(pid: u32) -> bool {
    let arguments = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    arguments
        .split('\0')
        .any(|argument| argument == "check-configs")
}

/// On PostgreSQL it shows when the next heartbeat is due that no other server keeps the clock of updates.
async fn the_absence_of_the_only_server_extends_deadlines(storage: ServerStorage) -> Result<()> {
    const EXTENDED: &str = "devices could not report; deadlines of updates are extended";

    // It records a heartbeat before it listens.
    let status = ServerProcess::start(&storage)?.terminate()?;
    ensure!(status.success(), "the server ended with {status}");
    let log = storage.dir().join("log");
    let output = ServerOutput::File(File::create(&log)?);
    let process = ServerProcess::start_unread(&storage, &output, &[])?;
    wait_until("deadlines are extended", async || {
        Ok(fs::read_to_string(&log)?.contains(EXTENDED).then_some(()))
    })
    .await?;
    let status = process.terminate()?;
    ensure!(status.success(), "the server ended with {status}");
    Ok(())
}

/// Whether a thread of the process waits for the other end of a pipe.
fn waits_for_pipe(process: u32) -> Result<bool> {
    for thread in fs::read_dir(format!("/proc/{process}/task"))? {
        // The thread may have ended.
        let function = fs::read_to_string(thread?.path().join("wchan")).unwrap_or_default();
        if function.contains("wait_for_partner") || function.contains("fifo_open") {
            return Ok(true);
        }
    }
    Ok(false)
}

fn make_pipe(path: &Path) -> Result<()> {
    let status = Command::new("mkfifo").arg(path).status()?;
    ensure!(status.success(), "mkfifo: {status}");
    Ok(())
}

/// A client with the role of an administrator, of a server in development mode.
pub(crate) async fn authenticated(rest: &RestClient) -> Result<RestClient> {
    let request = json!({ "tenant": "default", "user_id": "jo", "role": "admin" });
    let token = rest.post("auth/dev-token", &request).await?;
    let token = token.expect_status(200)?.json()?;
    let token = token["token"].as_str().context("a token")?;
    Ok(rest.clone().with_token(token))
}
