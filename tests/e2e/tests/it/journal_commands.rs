//! Commands of the command line on the journal of a campaign: replay, question and move.

use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tidegate_e2e::{FirmwareForm, ServerStorage, both_databases, output_of, wait_until};
use tidegate_hostile::{Hooks, strategy_with};

use crate::dev_server::{DevServer, ID};

both_databases!(
    a_campaign_is_replayed_and_moved_to_another_revision,
    a_recorded_question_is_answered_alike_without_the_server,
    a_start_that_failed_is_shown_and_replayed,
);

async fn a_campaign_is_replayed_and_moved_to_another_revision(
    storage: ServerStorage,
) -> Result<()> {
    let server = DevServer::new(&storage)?;
    let folder = tempfile::tempdir()?;
    let first = install(&server, folder.path(), &proceeds())?;
    let alike = install(&server, folder.path(), &proceeds().extra("(func $unused)"))?;
    // It completes the campaign.
    let other = install(&server, folder.path(), &Hooks::default())?;
    let id = start(&server, &first).await?;
    decided(&server, &id).await?;

    for revision in [None, Some(&*alike)] {
        let mut replay = vec!["campaign", "replay", &*id];
        replay.extend(
            revision
                .into_iter()
                .flat_map(|digest| ["--revision", digest]),
        );
        let all = server.run(&replay)?;
        ensure!(
            all["same"].as_u64() >= Some(2)
                && all["different"].as_array().is_some_and(Vec::is_empty),
            "{all}"
        );
        let report = server.text(&replay)?;
        ensure!(report.contains(", different: 0, "), "{report}");
    }

    let differs = ["campaign", "replay", &id, "--revision", &other];
    server.expect_rejection(&differs, "decisions differ")?;
    let to_other = ["campaign", "move", &id, "--revision", &other];
    server.expect_rejection(&to_other, "`--accept-differences` moves it")?;
    let unmoved = server.run(&["campaign", "show", &id])?;
    ensure!(unmoved["strategy"]["revision"] == *first, "{unmoved}");

    let mut to_alike = server.command(&["campaign", "move", &id, "--revision", &alike])?;
    let output = to_alike.output()?;
    let stderr = String::from_utf8(output.stderr)?;
    ensure!(output.status.success(), "{stderr}");
    let moved: Value = serde_json::from_slice(&output.stdout)?;
    let report = check_not_compared(&moved, &stderr);
    report.with_context(|| format!("{moved} {stderr}"))?;
    ensure!(
        moved["strategy"]["revision"] == *alike && moved["status"] == "in_progress",
        "{moved}"
    );
    server.run(&[&to_other[..], &["--accept-differences"]].concat())?;
    wait_until("the other revision completes the campaign", async || {
        let campaign = server.run(&["campaign", "show", &id])?;
        Ok((campaign["status"] == "completed").then_some(()))
    })
    .await
}

/// Checks what a move says of the entries that it did not compare: those of the default policies.
fn check_not_compared(moved: &Value, stderr: &str) -> Result<()> {
    ensure!(
        stderr.contains(", different: 0, not compared: 2"),
        "the report"
    );
    for policy in ["hardware", "version-path"] {
        let why =
            format!("belongs to the plugin acme/hostile, and this entry to tidegate/{policy}");
        let of_policy = |line: &&str| line.contains(&why);
        let line = stderr.lines().find(of_policy).context("no line")?;
        ensure!(
            line.starts_with("  1 not compared, the first is "),
            "{line}"
        );
    }
    ensure!(moved["replay"]["different"] == 0, "the counts of the move");
    Ok(())
}

async fn a_recorded_question_is_answered_alike_without_the_server(
    storage: ServerStorage,
) -> Result<()> {
    let server = DevServer::new(&storage)?;
    let folder = tempfile::tempdir()?;
    let revision = install(&server, folder.path(), &proceeds())?;
    let id = start(&server, &revision).await?;
    let seq = decided(&server, &id).await?[0]["seq"].to_string();

    let case = server.text(&["campaign", "question", &id, &seq])?;
    let recorded: Value = serde_json::from_str(&case)?;
    ensure!(recorded["call"] == "decide", "{case}");
    let replayed = server.run(&["campaign", "replay", &id, "--entry", &seq])?;
    ensure!(
        replayed["same"] == true && replayed["decision"]["answer"] == recorded["expect"],
        "{replayed} {case}"
    );
    let file = folder.path().join("case.json");
    std::fs::write(&file, &case)?;
    let mut command = storage.command()?;
    command.args(["plugin", "run", "--json"]);
    command.arg(folder.path().join("component.wasm"));
    command.arg("--input").arg(&file);
    command.env("XDG_CACHE_HOME", folder.path());
    let run: Value = serde_json::from_str(&output_of(&mut command)?)?;
    ensure!(
        run["call"] == "decide"
            && run["output"] == recorded["expect"]
            && run["fuel"] == replayed["fuel"],
        "{run} {case}"
    );
    Ok(())
}

async fn a_start_that_failed_is_shown_and_replayed(storage: ServerStorage) -> Result<()> {
    let server = DevServer::new(&storage)?;
    let folder = tempfile::tempdir()?;
    let error = "(i32.store8 (i32.const 512) (i32.const 1)) (i32.store (i32.const 516) (i32.const 900))
        (i32.store (i32.const 520) (i32.const 2)) (i32.store16 (i32.const 900) (i32.const 0x6f6e)) (i32.const 512)";
    let plans_nothing = install(&server, folder.path(), &Hooks::default().plan(error))?;
    let proceeds = install(&server, folder.path(), &proceeds())?;
    let id = create(&server, &plans_nothing, &[]).await?;
    let start = ["campaign", "start", &id];
    for words in [
        "could not plan: the plugin returned an error: no",
        "journal",
    ] {
        server.expect_rejection(&start, words)?;
    }
    let strategy = format!("acme/hostile@{proceeds}");
    server.run(&["campaign", "set", &id, "--strategy", &strategy])?;
    server.run(&start)?;
    decided(&server, &id).await?;

    let journal = server.text(&["campaign", "journal", &id])?;
    ensure!(
        journal.matches("not_started").count() == 2
            && journal.contains("ada could not start the campaign"),
        "{journal}"
    );
    let entries = server.run(&["campaign", "journal", &id])?;
    let entries = entries["items"].as_array().context("no entries")?;
    let planned = entries.iter().filter(|entry| entry["kind"] == "plan");
    let outcomes: Vec<_> = planned.clone().map(|entry| &entry["outcome"]).collect();
    ensure!(
        outcomes == ["plugin-error", "plugin-error", "ok"],
        "{entries:?}"
    );
    for plan in planned {
        let seq = plan["seq"].to_string();
        let replayed = server.run(&["campaign", "replay", &id, "--entry", &seq])?;
        ensure!(replayed["same"] == true, "{replayed}");
        let question = server.text(&["campaign", "question", &id, &seq])?;
        let question: Value = serde_json::from_str(&question)?;
        ensure!(
            question["call"] == "plan"
                && question.get("expect").is_some() == (plan["outcome"] == "ok"),
            "{question}"
        );
    }
    let all = server.run(&["campaign", "replay", &id])?;
    let different = all["different"].as_array().context("no list")?;
    ensure!(different.is_empty(), "{all}");
    Ok(())
}

/// A strategy that proceeds and releases nothing.
fn proceeds() -> Hooks {
    Hooks::default().decide("(i32.store (i32.const 656) (i32.const 0)) (i32.const 640)")
}

/// Uploads and enables a strategy, whose component is then in this folder. Returns its revision.
fn install(server: &DevServer<'_>, folder: &Path, hooks: &Hooks) -> Result<String> {
    let file = folder.join("component.wasm");
    std::fs::write(&file, strategy_with(hooks)?)?;
    let file = file.to_str().context("a folder's name is not UTF-8")?;
    let uploaded = server.run(&["plugin", "upload", file])?;
    let text = |field: &str| uploaded[field].as_str().context("no revision");
    let (plugin, revision) = (text("plugin")?, text("revision")?);
    server.run(&["plugin", "enable", plugin, revision])?;
    Ok(revision.to_owned())
}

/// Starts a campaign on one device with this revision of the strategy. Returns its id.
async fn start(server: &DevServer<'_>, revision: &str) -> Result<String> {
    create(server, revision, &["--start"]).await
}

/// Creates such a campaign with these options.
async fn create(server: &DevServer<'_>, revision: &str, options: &[&str]) -> Result<String> {
    server.device().identify().await?;
    let firmware = FirmwareForm::new("1.1.0").upload(&server.rest()).await?;
    let firmware = firmware.to_string();
    let strategy = format!("acme/hostile@{revision}");
    let create = ["campaign", "create", "--name", "spring"];
    let spec = [
        "--device",
        ID,
        "--firmware",
        &firmware,
        "--strategy",
        &strategy,
    ];
    let created = server.run(&[&create[..], &spec, options].concat())?;
    Ok(created["campaign_id"].to_string())
}

/// Waits for a decision. Returns the decisions of the journal.
async fn decided(server: &DevServer<'_>, id: &str) -> Result<Vec<Value>> {
    wait_until("the strategy decides", async || {
        let journal = server.run(&["campaign", "journal", id])?;
        let entries = journal["items"].as_array().context("no entries")?;
        let decisions = entries.iter().filter(|entry| entry["kind"] == "decide");
        let decisions: Vec<_> = decisions.cloned().collect();
        Ok((!decisions.is_empty()).then_some(decisions))
    })
    .await
}
