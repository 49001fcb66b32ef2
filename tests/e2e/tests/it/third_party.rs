//! A device client that others wrote: the crate `hawkbit`.

use anyhow::{Context as _, Result, ensure};
use hawkbit::ddi::{Client, ClientAuthorization, Execution, Finished, Mode, Type};
use serde_json::json;
use tidegate_e2e::{Lab, both_databases, until};

both_databases!(it_installs_and_it_is_called_back);

async fn it_installs_and_it_is_called_back(lab: Lab) -> Result<()> {
    let made = lab
        .operator
        .post("devices", &json!({ "device_id": "third-0" }))
        .await?
        .is(201)?
        .json()?;
    let token = made["token"].as_str().context("a token")?.to_owned();
    let authorization = ClientAuthorization::TargetToken(token);
    let client = Client::new(
        &lab.server.url,
        &lab.tenant.name,
        "third-0",
        authorization,
        None,
        None,
        None,
    )?;

    let reply = client.poll().await?;
    ensure!(
        reply.polling_sleep()?.as_secs() == 300,
        "{:?}",
        reply.polling_sleep()
    );
    ensure!(reply.update().is_none() && reply.cancel_action().is_none());
    let request = reply
        .config_data_request()
        .context("it is not asked what it is")?;
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
        "it is asked again"
    );

    let firmware = lab.firmware("2.0.0").await?;
    let id = lab.start(firmware, json!({})).await?;
    let update = until("it is offered an update", async || {
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
    let shown = lab.updates(id).await?.swap_remove(0);
    ensure!(
        shown["status"] == "installing" && shown["progress_percentage"] == 50.0,
        "{shown}"
    );
    update
        .send_feedback(Execution::Closed, Finished::Success, vec!["done"])
        .await?;
    let campaign = lab.until_status(id, "completed").await?;
    ensure!(campaign["completed_devices"] == 1, "{campaign}");
    ensure!(
        client.poll().await?.update().is_none(),
        "it is offered it again"
    );

    let firmware = lab.firmware("3.0.0").await?;
    let id = lab.start(firmware, json!({})).await?;
    let update = until("it is offered another", async || {
        Ok(client.poll().await?.update())
    })
    .await?;
    let update = update.fetch().await?;
    lab.step(id, "cancel").await?;
    let cancel = until("it is called back", async || {
        Ok(client.poll().await?.cancel_action())
    })
    .await?;
    ensure!(
        cancel.id().await? == update.action_id(),
        "another update is called back"
    );
    cancel
        .send_feedback(Execution::Closed, Finished::Success, vec!["as you like"])
        .await?;
    lab.until_counts(id, json!({ "cancelled_devices": 1 }))
        .await?;
    let reply = client.poll().await?;
    ensure!(
        reply.update().is_none() && reply.cancel_action().is_none(),
        "there is something left"
    );
    let late = update
        .send_feedback(Execution::Closed, Finished::Success, vec![])
        .await;
    ensure!(late.is_err(), "what was called back was taken all the same");
    Ok(())
}
