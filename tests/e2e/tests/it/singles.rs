//! Updates of one device, from an operator's wish to the device's end of it.

use anyhow::{Context as _, Result, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tidegate_e2e::{Device, Events, Lab, both_databases, close, feedback};

both_databases!(
    one_device_goes_there_and_back,
    one_device_is_called_back,
    nothing_undoes_a_rollback
);

async fn one_device_goes_there_and_back(lab: Lab) -> Result<()> {
    let mut fleet = lab.fleet("edge", 2).await?;
    let first = lab.firmware("1.1.0").await?;
    let second = lab.firmware("1.2.0").await?;
    for (firmware, version) in [(first, "1.1.0"), (second, "1.2.0")] {
        let made = offer(&lab, &fleet[0], firmware).await?;
        ensure!(made["status"] == "offered", "{made}");
        ensure!(made["campaign_id"].is_null(), "{made}");
        ensure!(fleet[0].install().await?, "it had nothing to install");
        ensure!(fleet[0].version == version, "{}", fleet[0].version);
        let shown = show(&lab, &made).await?;
        ensure!(shown["status"] == "completed", "{shown}");
    }
    let device = fleet[0].id.clone();
    let wish = json!({ "reason": "it hums" });
    let back = lab
        .operator
        .post(&format!("devices/{device}/rollback"), &wish)
        .await?
        .is(201)?
        .json()?;
    ensure!(back["to_version"] == "1.1.0", "{back}");
    ensure!(fleet[0].install().await?, "it had nothing to go back to");
    ensure!(fleet[0].version == "1.1.0", "{}", fleet[0].version);
    ensure!(
        !fleet[1].install().await?,
        "the other one has nothing to do with it"
    );

    let history = lab
        .viewer
        .get(&format!("devices/{device}/updates"))
        .await?
        .ok()?;
    ensure!(history["total"] == 3, "{history}");
    ensure!(history["success_rate"] == 100.0, "{history}");
    Ok(())
}

async fn one_device_is_called_back(lab: Lab) -> Result<()> {
    let mut fleet = lab.fleet("edge", 1).await?;
    let device = &mut fleet[0];
    let firmware = lab.firmware("1.1.0").await?;
    let made = offer(&lab, device, firmware).await?;
    let path = format!("updates/{}", made["update_id"]);
    let mut events = Events::follow(&lab.viewer, &format!("{path}/log")).await?;

    let taken = device.offer().await?.context("an offer")?;
    let mut begun = feedback("proceeding", "none");
    begun["status"]["details"] = json!(["erasing"]);
    device.feedback(&taken.id, &begun).await?.is(200)?;
    let lines = device
        .request(Method::PUT, "log")
        .header("content-type", "text/plain")
        .body("block 1\nblock 2\n");
    ensure!(lines.send().await?.status() == 200, "its log is not taken");

    let wish = json!({ "reason": "the wrong one" });
    let called = lab
        .operator
        .post(&format!("{path}/cancel"), &wish)
        .await?
        .ok()?;
    ensure!(called["status"] == "cancelling", "{called}");
    let poll = device.poll().await?;
    ensure!(
        poll.cancel().is_some() && poll.deployment().is_none(),
        "{poll:?}"
    );
    device
        .cancel_feedback(&taken.id, &close("success"))
        .await?
        .is(200)?;
    let shown = show(&lab, &made).await?;
    ensure!(shown["status"] == "cancelled", "{shown}");

    let seen = events.up_to(|event| event.name == "end").await?;
    let lines: Vec<&str> = seen
        .iter()
        .filter_map(|event| event.data["text"].as_str())
        .collect();
    ensure!(
        lines.starts_with(&["erasing", "block 1", "block 2"]),
        "{lines:?}"
    );
    ensure!(
        lines.iter().any(|line| line.ends_with(": the wrong one")),
        "{lines:?}"
    );
    let end = seen.last().context("an event")?;
    ensure!(end.data["status"] == "cancelled", "{end:?}");

    let again = lab
        .operator
        .post(&format!("{path}/retry"), &json!({}))
        .await?;
    let again = again.is(201)?.json()?;
    ensure!(again["update_id"] != made["update_id"], "{again}");
    ensure!(device.install().await?, "it had nothing to install");
    ensure!(
        show(&lab, &again).await?["status"] == "completed",
        "{again}"
    );
    Ok(())
}

async fn nothing_undoes_a_rollback(lab: Lab) -> Result<()> {
    let mut fleet = lab.fleet("edge", 1).await?;
    let device = &mut fleet[0];
    for version in ["1.1.0", "1.2.0"] {
        let firmware = lab.firmware(version).await?;
        offer(&lab, device, firmware).await?;
        ensure!(device.install().await?, "it had nothing to install");
    }
    let bad = lab.firmware("1.3.0").await?;
    let open = offer(&lab, device, bad).await?;
    device.offer().await?.context("an offer")?;

    let path = format!("devices/{}/rollback", device.id);
    let back = lab.operator.post(&path, &json!({})).await?;
    let back = back.is(201)?.json()?;
    ensure!(back["to_version"] == "1.1.0", "{back}");
    ensure!(device.install().await?, "it had nothing to go back to");
    ensure!(device.version == "1.1.0", "{}", device.version);
    let poll = device.poll().await?;
    ensure!(
        poll.deployment().is_none() && poll.cancel().is_some(),
        "{poll:?}"
    );
    ensure!(device.install().await?, "it was not called back");
    ensure!(!device.install().await?, "there is more to do");
    ensure!(device.version == "1.1.0", "{}", device.version);
    let shown = show(&lab, &open).await?;
    ensure!(shown["status"] == "cancelled", "{shown}");
    Ok(())
}

async fn offer(lab: &Lab, device: &Device, firmware: i64) -> Result<Value> {
    let wish = json!({ "firmware_id": firmware });
    let path = format!("devices/{}/update", device.id);
    lab.operator.post(&path, &wish).await?.is(201)?.json()
}

async fn show(lab: &Lab, update: &Value) -> Result<Value> {
    let path = format!("updates/{}", update["update_id"]);
    lab.viewer.get(&path).await?.ok()
}
