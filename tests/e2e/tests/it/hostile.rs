//! Components that mean harm, over REST: each is refused, or its campaign is stopped. The server lives, and so do all
//! other campaigns.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use reqwest::{
    Method,
    multipart::{Form, Part},
};
use serde_json::{Value, json};
use tidegate_e2e::{Alone, Answer, Database, Setup, both_databases, close, feedback, plain, until};
use tidegate_hostile::{Hooks, Hostile, compile_bomb, forbidden_import, strategy_with};

both_databases!(
    none_of_them_does_harm,
    lies_in_the_middle_of_a_campaign_hold_it,
    what_evades_its_trial_holds_its_campaign
);

async fn none_of_them_does_harm(lab: Alone) -> Result<()> {
    let mut fleet = lab.fleet("edge", 6).await?;
    let firmware = lab.firmware("2.0.0").await?;
    let honest = lab
        .start(firmware, json!({ "max_concurrent_updates": 1 }))
        .await?;

    let refused = upload(&lab, forbidden_import()?)
        .await?
        .problem(422, "plugin_rejected")?;
    let detail = refused["detail"].as_str().unwrap_or_default();
    ensure!(
        detail.contains("wasi:clocks/monotonic-clock@0.2.3"),
        "the import is not named: {detail}"
    );
    let mut stopped = Vec::new();
    // These say nothing false as long as nobody is in flight; their own test is below.
    let later = [Hostile::ReleasesOnHold, Hostile::CompletesInFlight];
    for hostile in Hostile::ALL {
        if later.contains(&hostile) {
            continue;
        }
        let answer = upload(&lab, hostile.component()?).await?;
        let fate = match answer.status {
            201 => match stop(&lab, firmware, &answer.json()?).await? {
                Some(how) => how,
                None if hostile == Hostile::Honest => continue,
                // A wave of more devices than there are is one of all that there are.
                None if hostile == Hostile::LyingPlan => "tamed".to_owned(),
                None => bail!("{hostile:?} did as it liked"),
            },
            // On a machine under load the deadline may come before the end of the fuel.
            503 if hostile != Hostile::Honest => answer
                .problem(503, "unavailable")
                .map(|_| "refused for now".to_owned())?,
            _ => {
                answer.problem(422, "plugin_rejected")?;
                ensure!(hostile != Hostile::Honest, "the honest one is refused");
                "refused".to_owned()
            }
        };
        stopped.push((hostile, fate));
        // Meanwhile the other campaign goes on.
        until("another campaign goes on", async || {
            let mut moved = lab.show(honest).await?["status"] == "completed";
            for device in &mut fleet {
                moved |= device.install().await?;
            }
            Ok(moved.then_some(()))
        })
        .await?;
    }
    let of = |wanted: Hostile| {
        stopped
            .iter()
            .find(|(hostile, _)| *hostile == wanted)
            .map(|(_, fate)| &**fate)
    };
    for lie in [Hostile::LyingDecision, Hostile::OutOfTurn] {
        ensure!(of(lie) == Some("held"), "{lie:?}: {stopped:?}");
    }
    lab.until_status_while(honest, "completed", async || {
        for device in &mut fleet {
            device.install().await?;
        }
        Ok(())
    })
    .await?;
    ensure!(
        fleet.iter().all(|device| device.version == "2.0.0"),
        "somebody was left out"
    );
    lab.viewer.get("/readyz").await?.is(200)?;
    Ok(())
}

/// A strategy that lies about what is in flight, or goes on although a policy says stop, lets nobody else in.
async fn lies_in_the_middle_of_a_campaign_hold_it(lab: Alone) -> Result<()> {
    let firmware = lab.firmware("2.0.0").await?;
    let policy = json!({
        "plugin": "failure-rate", "config": { "threshold_percent": 10, "minimum_sample": 1, "action": "hold" },
    });
    for (name, hostile, said, reason) in [
        (
            "busy",
            Hostile::CompletesInFlight,
            feedback("proceeding", "none"),
            "complete, although 1 devices are in flight",
        ),
        (
            "bad",
            Hostile::ReleasesOnHold,
            close("failure"),
            "devices were released although the policy failure-rate says stop",
        ),
    ] {
        let fleet = lab.fleet(name, 3).await?;
        let revision = upload(&lab, hostile.component()?).await?.is(201)?.json()?;
        let strategy = json!({
            "plugin": revision["plugin"], "revision": revision["revision"], "config": {},
        });
        let terms = json!({
            "strategy": strategy,
            "policies": [policy],
            "target_filter": format!("device_id=={name}-*"),
            "failure_threshold_percent": 100,
        });
        let id = lab.start(firmware, terms).await?;
        lab.until_counts(id, json!({ "in_progress_devices": 1 }))
            .await?;
        for device in &fleet {
            if let Some(offer) = device.offer().await? {
                device.feedback(&offer.id, &said).await?.is(200)?;
            }
        }
        let campaign = lab
            .until_status_while(id, "held", async || {
                lab.pass(Duration::from_secs(5));
                Ok(())
            })
            .await?;
        let why = campaign["hold"]["reason"].as_str().unwrap_or_default();
        ensure!(
            why.contains(reason) && why.contains("3 times"),
            "{hostile:?}: {why}"
        );
        ensure!(campaign["pending_devices"] == 2, "{campaign}");
        lab.step(id, "cancel").await?;
    }
    Ok(())
}

/// Some show their teeth only once they are in a campaign: their schema has no example, so they are never tried.
async fn what_evades_its_trial_holds_its_campaign(lab: Alone) -> Result<()> {
    let mut fleet = lab.fleet("edge", 2).await?;
    let firmware = lab.firmware("2.0.0").await?;
    let schema =
        r#"{"type": "object", "required": ["go"], "properties": {"go": {"pattern": "^x{7}$"}}}"#;
    for (decide, reason) in [
        ("unreachable", "the plugin trapped"),
        (
            "(loop $more (br $more)) unreachable",
            "the plugin ran out of fuel",
        ),
        ("(i32.const -4)", "the plugin's answer breaks the contract"),
    ] {
        let component = strategy_with(&Hooks::default().schema(schema).decide(decide))?;
        let revision = upload(&lab, component).await?.is(201)?.json()?;
        let strategy = json!({
            "plugin": revision["plugin"],
            "revision": revision["revision"],
            "config": { "go": "xxxxxxx" },
        });
        let id = lab.start(firmware, json!({ "strategy": strategy })).await?;
        let campaign = lab
            .until_status_while(id, "held", async || {
                lab.pass(Duration::from_secs(5));
                Ok(())
            })
            .await?;
        let said = campaign["hold"]["reason"].as_str().unwrap_or_default();
        ensure!(
            said.contains(reason) && said.contains("3 times"),
            "{decide}: {said}"
        );
        ensure!(
            campaign["in_progress_devices"] == 0 && campaign["pending_devices"] == 2,
            "{campaign}"
        );
        let failed = lab
            .journal(id)
            .await?
            .into_iter()
            .filter(|entry| entry["kind"] == "decide");
        let failed: Vec<Value> = failed.collect();
        ensure!(
            failed.len() == 3 && failed.iter().all(|entry| entry["applied"] == false),
            "{failed:?}"
        );

        // Somebody who resumes it all the same is no worse off.
        lab.step(id, "resume").await?;
        lab.until_status_while(id, "held", async || {
            lab.pass(Duration::from_secs(5));
            Ok(())
        })
        .await?;
        lab.step(id, "cancel").await?;
    }
    let id = lab.start(firmware, json!({})).await?;
    lab.until_status_while(id, "completed", async || {
        for device in &mut fleet {
            device.install().await?;
        }
        Ok(())
    })
    .await?;
    Ok(())
}

/// One that takes minutes to compile is given up, and the server serves meanwhile.
#[test]
fn a_compile_bomb_is_given_up() -> Result<()> {
    plain(async || {
        let setup = Setup {
            compile_cpu: Some(Duration::from_secs(2)),
            ..Setup::default()
        };
        let lab = Alone::with(Database::Sqlite, setup).await?;
        let (refused, served) = tokio::join!(upload(&lab, compile_bomb(40, 3000)?), async {
            for _ in 0..20 {
                lab.viewer.get("campaigns").await?.is(200)?;
            }
            anyhow::Ok(())
        });
        served?;
        let refused = refused?.problem(422, "plugin_rejected")?;
        let detail = refused["detail"].as_str().unwrap_or_default();
        ensure!(detail.contains("more than 2 s of CPU time"), "{detail}");
        upload(&lab, Hostile::Honest.component()?).await?.is(201)?;
        Ok(())
    })
}

async fn upload(lab: &Alone, component: Vec<u8>) -> Result<Answer> {
    let part = Part::bytes(component).file_name("hostile.wasm");
    let form = Form::new().part("component", part);
    Answer::of(
        lab.publisher
            .request(Method::POST, "plugins")
            .multipart(form),
    )
    .await
}

/// Runs a campaign with a revision, and tells how it was stopped; none: it came to a good end.
async fn stop(lab: &Alone, firmware: i64, revision: &Value) -> Result<Option<String>> {
    let strategy =
        json!({ "plugin": revision["plugin"], "revision": revision["revision"], "config": {} });
    let body = json!({ "strategy": strategy, "target_filter": null, "target_devices": ["edge-0"] });
    let id = lab.campaign(firmware, body).await?;
    let started = lab
        .operator
        .post(&format!("campaigns/{id}/start"), &json!({}))
        .await?;
    if started.status != 200 {
        started.problem(409, "plan_failed")?;
        let campaign = lab.show(id).await?;
        ensure!(
            campaign["status"] == "created" && campaign["waves"] == json!([]),
            "{campaign}"
        );
        return Ok(Some("no plan".to_owned()));
    }
    let status = until("the campaign is stopped", async || {
        // A plugin that failed is asked again after a while, three times in all.
        lab.pass(Duration::from_secs(5));
        let campaign = lab.show(id).await?;
        let status = campaign["status"].as_str().context("a status")?.to_owned();
        Ok((status != "in_progress").then_some((status, campaign)))
    })
    .await?;
    let (status, campaign) = status;
    ensure!(
        campaign["in_progress_devices"] == 0,
        "it let somebody in: {campaign}"
    );
    if status == "completed" {
        let waves = campaign["waves"].as_array().into_iter().flatten();
        let devices: u64 = waves.filter_map(|wave| wave["total"].as_u64()).sum();
        ensure!(
            devices == 1,
            "it has more devices than were meant: {campaign}"
        );
        return Ok(None);
    }
    ensure!(campaign["hold"]["by"] == revision["plugin"], "{campaign}");
    ensure!(
        campaign["hold"]["reason"]
            .as_str()
            .is_some_and(|why| why.contains("3 times")),
        "{campaign}"
    );
    Ok(Some(status))
}
