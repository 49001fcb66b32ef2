//! Commands of the command line that are more than one REST request of the same name.

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tidegate_e2e::{
    Device, Execution, Feedback, Finished, FirmwareForm, RestResponse as _, ServerStorage,
    both_databases, close,
};
use tidegate_hostile::{HostilePlugin, forbidden_import};

use crate::dev_server::{DevServer, ID};

both_databases!(
    force_cancel_requires_a_cancelling_update,
    force_rolls_back_a_pinned_device,
    settings_take_effect_and_bad_values_are_named,
    the_number_of_kept_reports_is_configured,
    a_slip_in_a_selector_is_named,
    a_campaign_is_edited_until_it_starts,
    updates_are_approved_by_another_user,
    a_component_is_checked_without_a_server_as_at_an_upload,
);

async fn force_cancel_requires_a_cancelling_update(storage: ServerStorage) -> Result<()> {
    let server = DevServer::new(&storage)?;
    let device = server.device();
    device.identify().await?;
    let created = server.offer("1.1.0").await?;
    device.offer().await?.context("no offer")?;
    let id = created["update_id"].to_string();

    server.expect_rejection(
        &["update", "cancel", &id, "--force"],
        "update_not_cancelling",
    )?;
    let cancelled = server.run(&["update", "cancel", &id, "--reason", "the wrong one"])?;
    ensure!(cancelled["status"] == "cancelling", "{cancelled}");
    // Without force it still waits for the device.
    let asked_again = server.run(&["update", "cancel", &id])?;
    ensure!(asked_again["status"] == "cancelling", "{asked_again}");
    let ended = server.run(&["update", "cancel", &id, "--force"])?;
    ensure!(ended["status"] == "cancelled", "{ended}");
    ensure!(
        device.poll().await?.cancel_action().is_none(),
        "the cancellation is still offered"
    );
    Ok(())
}

async fn updates_are_approved_by_another_user(storage: ServerStorage) -> Result<()> {
    let server = DevServer::new(&storage)?;
    let device = server.device();
    device.identify().await?;
    server.run(&["settings", "set", "requires_approval=true"])?;
    let firmware = FirmwareForm::new("1.1.0").upload(&server.rest()).await?;
    let firmware = firmware.to_string();
    let force = ["device", "update", ID, "--force", "--firmware", &firmware];
    let waiting = server.run(&force)?;
    ensure!(waiting["status"] == "waiting_approval", "{waiting}");
    let id = waiting["update_id"].to_string();
    ensure!(device.offer().await?.is_none(), "the update is offered");

    let listed = server.text(&["update", "list", "--status", "waiting_approval"])?;
    ensure!(listed.contains(ID), "{listed}");
    let shown = server.text(&["update", "show", &id])?;
    ensure!(
        shown.contains("requested by") && shown.contains("ada"),
        "{shown}"
    );
    let explained = server.text(&["device", "explain", ID])?;
    let expected = format!("update {id} waits for the approval of another user than ada");
    ensure!(explained.contains(&expected), "{explained}");
    server.expect_rejection(&["update", "approve", &id], "own_update")?;

    let other = server.as_user("eve", "approver")?;
    let reject = ["update", "approve", &id, "--reject", "--comment", "not now"];
    ensure!(other.text(&reject)?.contains("1 update is rejected"));
    let shown = server.text(&["update", "show", &id])?;
    ensure!(shown.contains("rejected by eve: not now"), "{shown}");
    let again = server.run(&["update", "retry", &id])?["update_id"].to_string();
    ensure!(device.offer().await?.is_none(), "the retry is offered");
    let approved = other.run(&["update", "approve", &again])?;
    ensure!(approved["approved"] == true, "{approved}");
    ensure!(device.offer().await?.is_some(), "the update is not offered");
    let none = server.text(&["update", "list", "--status", "waiting_approval"])?;
    ensure!(none.trim() == "none", "{none}");

    let create = ["campaign", "create", "--name", "spring", "--device", ID];
    let rest = ["--strategy", "immediate", "--firmware", &firmware];
    let campaign = server.run(&[&create[..], &rest].concat())?["campaign_id"].to_string();
    let reject = ["campaign", "approve", &campaign, "--reject"];
    server.expect_rejection(&reject, "own_campaign")?;
    other.text(&reject)?;
    let ended = server.run(&["campaign", "show", &campaign])?;
    ensure!(ended["status"] == "cancelled", "{ended}");
    server.expect_rejection(&["campaign", "start", &campaign], "invalid_transition")?;
    Ok(())
}

async fn force_rolls_back_a_pinned_device(storage: ServerStorage) -> Result<()> {
    let server = DevServer::new(&storage)?;
    let mut device = server.device();
    device.identify().await?;
    for version in ["1.1.0", "1.2.0"] {
        server.offer(version).await?;
        ensure!(
            device.install().await?,
            "the device has no update to install"
        );
    }
    server.run(&["device", "set", ID, "--pin"])?;

    let rollback = ["device", "rollback", ID, "--reason", "it hums"];
    server.expect_rejection(&rollback, "pinned")?;
    let created = server.run(&[&rollback[..], &["--force"]].concat())?;
    ensure!(
        created["to_version"] == "1.1.0" && created["status"] == "offered",
        "{created}"
    );
    ensure!(device.install().await?, "the device has no rollback update");
    ensure!(device.version == "1.1.0", "{}", device.version);
    // Firmware that is already installed is installed again only by force.
    let same = ["device", "rollback", ID, "--to", "1.1.0"];
    server.run(&["device", "set", ID, "--unpin"])?;
    server.expect_rejection(&same, "already_installed")?;
    let again = server.run(&[&same[..], &["--force"]].concat())?;
    ensure!(again["to_version"] == "1.1.0", "{again}");
    Ok(())
}

async fn settings_take_effect_and_bad_values_are_named(storage: ServerStorage) -> Result<()> {
    let server = DevServer::new(&storage)?;
    let device = server.device();
    device.identify().await?;
    for (setting, part) in [
        (
            "ddi.links=ftp",
            "ddi.links: unknown variant `ftp`, expected one of `http`, `https`, `both`",
        ),
        ("ddi.link=http", "ddi.link: unknown field"),
        (
            "overdue_after=59s",
            "overdue_after: must be 1 minute to 30 days",
        ),
        (
            "overdue_after=31d",
            "overdue_after: must be 1 minute to 30 days",
        ),
        (
            "overdue_after=7",
            "overdue_after: must be a duration in whole seconds, such as `00:05:00` or `5m`",
        ),
        (
            "overdue_after=soon",
            "overdue_after: must be a duration in whole seconds, such as `00:05:00` or `5m`",
        ),
        (
            "versions=any",
            "versions: unknown variant `any`, expected `semver` or `loose`",
        ),
        ("limits.feedback_per_update=50", "limits: unknown field"),
        ("ddi.links", "`ddi.links` is not SETTING=VALUE"),
    ] {
        server.expect_rejection(&["settings", "set", setting], part)?;
    }

    // Which links a device gets to a file.
    server.offer("1.1.0").await?;
    for (links, names) in [
        ("https", &["download", "md5sum"][..]),
        (
            "both",
            &["download", "download-http", "md5sum", "md5sum-http"],
        ),
        ("http", &["download-http", "md5sum-http"]),
    ] {
        let set = server.run(&["settings", "set", &format!("ddi.links={links}")])?;
        ensure!(set["ddi"]["links"] == links, "{set}");
        let poll = device.poll().await?;
        let href = poll.deployment_base().context("no update")?;
        let deployment = device.get(href).await?.expect_status(200)?.json()?;
        let file = &deployment["deployment"]["chunks"][0]["artifacts"][0]["_links"];
        let file = file.as_object().context("no links")?;
        let mut found: Vec<_> = file.keys().map(String::as_str).collect();
        found.sort_unstable();
        ensure!(found == names, "{links}: {found:?}");
    }
    let unset = server.run(&["settings", "set", "ddi.links=null"])?;
    ensure!(unset["ddi"]["links"].is_null(), "{unset}");

    let set = server.run(&["settings", "set", "overdue_after=1m"])?;
    ensure!(set["overdue_after"] == "00:01:00", "{set}");
    let shown = server.text(&["settings", "show"])?;
    ensure!(shown.contains("overdue_after=00:01:00\n"), "{shown}");
    let overdue = ["device", "list", "--query", "state==overdue"];
    let listed = server.run(&overdue)?;
    ensure!(listed["total"] == 0, "{listed}");
    let unset = server.run(&["settings", "set", "overdue_after=null"])?;
    ensure!(unset["overdue_after"].is_null(), "{unset}");

    // A version that SemVer cannot express.
    let rest = server.rest();
    let form = || FirmwareForm::new("2026.05.1.7");
    form()
        .send(&rest)
        .await?
        .expect_problem(422, "invalid_firmware")?;
    let set = server.run(&["settings", "set", "versions=loose"])?;
    ensure!(set["versions"] == "loose", "{set}");
    form().upload(&rest).await?;
    let set = server.run(&["settings", "set", "versions=semver"])?;
    ensure!(set["versions"] == "semver", "{set}");
    let shown = server.text(&["settings", "show"])?;
    for line in [
        "ddi.links=http (server default)",
        "overdue_after=null",
        "versions=semver",
    ] {
        ensure!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    Ok(())
}

async fn the_number_of_kept_reports_is_configured(storage: ServerStorage) -> Result<()> {
    let server = DevServer::with(
        &storage,
        &[("TIDEGATE_LIMITS__FEEDBACK_PER_UPDATE", "10".into())],
    )?;
    let device = server.device();
    device.identify().await?;
    server.offer("1.1.0").await?;
    let offer = device.offer().await?.context("no offer")?;
    let report = async |device: &Device, update: &str, number: u32| {
        let proceeding = Feedback {
            progress: Some((number, 100)),
            ..Feedback::new(Execution::Proceeding, Finished::None)
        };
        device.feedback(update, &proceeding).await
    };
    for number in 0..10 {
        report(&device, &offer.id, number)
            .await?
            .expect_status(200)?;
    }
    let refused = report(&device, &offer.id, 10).await?;
    ensure!(refused.status == 429, "{refused}");
    let refusal = "at most 10 reports of this update are stored; the limit ends with the update";
    ensure!(refused.to_string().contains(refusal), "{refused}");
    let closed = device
        .feedback(&offer.id, &close(Finished::Success))
        .await?;
    closed.expect_status(200)?;

    // The next update starts again at none.
    server.offer("1.2.0").await?;
    let offer = device.offer().await?.context("no offer")?;
    for number in 0..10 {
        report(&device, &offer.id, number)
            .await?
            .expect_status(200)?;
    }
    let refused = report(&device, &offer.id, 10).await?;
    ensure!(refused.status == 429, "{refused}");

    // Without the setting the default applies, also to this update.
    ensure!(server.program.terminate()?.success(), "the server failed");
    let server = DevServer::new(&storage)?;
    let device = server.device();
    for number in 10..20 {
        report(&device, &offer.id, number)
            .await?
            .expect_status(200)?;
    }
    Ok(())
}

async fn a_campaign_is_edited_until_it_starts(storage: ServerStorage) -> Result<()> {
    let server = DevServer::new(&storage)?;
    server.device().identify().await?;
    let firmware = FirmwareForm::new("1.1.0").upload(&server.rest()).await?;
    let firmware = firmware.to_string();
    let create = [
        "campaign",
        "create",
        "--name",
        "spring",
        "--firmware",
        &firmware,
    ];
    let fields = [
        "--device",
        ID,
        "--strategy",
        "immediate",
        "--note",
        "ticket 7",
    ];
    let created = server.run(&[&create[..], &fields].concat())?;
    let id = created["campaign_id"].to_string();

    let set = ["campaign", "set", &id];
    let changes = ["--name", "summer", "--reset", "note", "--max-retries", "2"];
    let answer = server.run(&[&set[..], &changes].concat())?;
    let mut expected = created.clone();
    for (field, value) in [
        ("name", json!("summer")),
        ("note", json!("")),
        ("max_retries", json!(2)),
        ("edited_by", json!("ada")),
    ] {
        ensure!(
            expected[field] != value,
            "{field} did not change: {created}"
        );
        expected[field] = value;
    }
    ensure!(answer == expected, "{answer}");
    server.expect_rejection(
        &[&set[..], &["--failure-threshold", "0"]].concat(),
        "--failure-threshold",
    )?;
    server.expect_rejection(&[&set[..], &["--reset", "colour"]].concat(), "colour")?;

    server.run(&["campaign", "start", &id])?;
    let late = [&set[..], &["--name", "autumn"]].concat();
    server.expect_rejection(&late, "campaign_started")?;
    let limited = server.run(&[&set[..], &["--max-concurrent-updates", "3"]].concat())?;
    ensure!(limited["max_concurrent_updates"] == 3, "{limited}");
    Ok(())
}

async fn a_slip_in_a_selector_is_named(storage: ServerStorage) -> Result<()> {
    let server = DevServer::new(&storage)?;
    server.device().identify().await?;
    for (selector, part) in [
        (
            "pinned!=TRUE",
            "invalid value `TRUE` for `pinned`: must be true or false (did you mean true?)",
        ),
        (
            "mode!=manuel",
            "invalid value `manuel` for `mode`: must be rollout, latest or manual",
        ),
        (
            "sw_version=lt=2.O.0",
            "invalid value `2.O.0` for `sw_version`: must be a version",
        ),
        ("sw_version=lt=''", "for `sw_version`: must be a version"),
    ] {
        server.expect_rejection(&["device", "list", "--query", selector], part)?;
    }
    let listed = server.run(&["device", "list", "--query", "pinned!=true"])?;
    ensure!(listed["total"] == 1, "{listed}");
    Ok(())
}

async fn a_component_is_checked_without_a_server_as_at_an_upload(
    storage: ServerStorage,
) -> Result<()> {
    let server = DevServer::new(&storage)?;
    let folder = tempfile::tempdir()?;
    for (component, rejected) in [
        (HostilePlugin::Honest.component()?, false),
        (forbidden_import()?, true),
        (HostilePlugin::Panic.component()?, true),
    ] {
        let file = folder.path().join("component.wasm");
        std::fs::write(&file, component)?;
        let run = |command: &str| {
            let mut program = server.plain_command()?;
            program.args(["plugin", command]).arg(&file);
            program.env("XDG_CACHE_HOME", folder.path());
            let output = program.output()?;
            let stderr = String::from_utf8(output.stderr)?;
            anyhow::Ok((output.status.success(), stderr.trim_end().to_owned()))
        };
        let (uploaded, checked) = (run("upload")?, run("check")?);
        ensure!(uploaded.0 != rejected && checked.0 != rejected);
        // The upload adds the status and the code.
        ensure!(
            uploaded.1.starts_with(&checked.1),
            "{uploaded:?} {checked:?}"
        );
    }
    Ok(())
}
