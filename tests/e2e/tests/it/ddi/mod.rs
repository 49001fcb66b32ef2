//! The device API, as data: cases over plain HTTP, which could be pointed at any server that has an adapter.

mod cancel;
mod case;
mod config_data;
mod deployment;
mod doors;
mod feedback;
mod files;
mod installed;
mod names;
mod negotiation;
mod old_clients;
mod poll;
mod server;

use std::fmt::Write as _;

use anyhow::{Context as _, Result, bail, ensure};
use futures::{StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
use serde_json::json;
use tidegate_e2e::{Answer, Device, Lab, both_databases, close, feedback, until};

use case::{Case, Standing};
use names::Names;
use server::Target;

both_databases!(every_case, many_speak_at_once, nobody_speaks_without_end);

/// Cases that run side by side.
const AT_ONCE: usize = 8;

async fn every_case(lab: Lab) -> Result<()> {
    let cases: Vec<Case> = [
        poll::cases(),
        negotiation::cases(),
        deployment::cases(),
        feedback::cases(),
        cancel::cases(),
        config_data::cases(),
        installed::cases(),
        files::cases(),
        doors::cases(),
        old_clients::cases(),
    ]
    .concat();
    ensure!(cases.len() >= 100, "there are only {} cases", cases.len());
    run(&lab, &cases).await
}

/// The same and other things, said at once, are all taken, and kept once.
async fn many_speak_at_once(lab: Lab) -> Result<()> {
    let device = lab.fleet("edge", 1).await?.swap_remove(0);
    lab.assign(&[&device]).await?;
    let offer = device.offer().await?.context("an offer")?;
    let say = |n: usize| {
        let mut body = feedback("proceeding", "none");
        body["status"]["details"] = json!([format!("line {}", n % 10)]);
        let (device, id) = (&device, &offer.id);
        async move { device.feedback(id, &body).await?.is(200) }
    };
    try_join_all((0..40).map(say)).await?;
    // Of two ends one is the first, and the other comes too late.
    let (good, bad) = (close("success"), close("failure"));
    let ends = tokio::join!(
        device.feedback(&offer.id, &good),
        device.feedback(&offer.id, &bad)
    );
    let mut statuses = [ends.0?.status, ends.1?.status];
    statuses.sort_unstable();
    ensure!(statuses == [200, 410], "{statuses:?}");
    let log = lab
        .viewer
        .get("devices/edge-0/log?limit=500")
        .await?
        .is(200)?
        .json()?;
    ensure!(log["count"] == 11, "{log}");
    Ok(())
}

/// A device that never stops is stopped; its end is taken all the same.
async fn nobody_speaks_without_end(lab: Lab) -> Result<()> {
    let device = lab.fleet("edge", 1).await?.swap_remove(0);
    lab.assign(&[&device]).await?;
    let offer = device.offer().await?.context("an offer")?;
    let say = async |n: usize| {
        let mut body = feedback("proceeding", "none");
        body["status"]["details"] = json!([format!("line {n}")]);
        device.feedback(&offer.id, &body).await
    };
    stream::iter((0..1000).map(say))
        .buffer_unordered(50)
        .try_for_each(|answer| async { answer.is(200).map(drop) })
        .await?;
    say(1000).await?.is(429)?;
    say(7).await?.is(200)?;
    device
        .feedback(&offer.id, &close("success"))
        .await?
        .is(200)?;
    device
        .get(&format!("installedBase/{}", offer.id))
        .await?
        .is(200)?;
    Ok(())
}

/// Runs cases, each on a device of its own, and tells of all that failed.
async fn run(target: &impl Target, cases: &[Case]) -> Result<()> {
    let http = reqwest::Client::new();
    let devices: Vec<Device> = (0..cases.len())
        .map(|n| {
            let device = Device::new(
                http.clone(),
                target.url(),
                target.tenant(),
                &format!("case-{n}"),
            );
            device.authorized(format!("GatewayToken {}", target.gateway()))
        })
        .collect();
    let pairs: Vec<(&Case, &Device)> = cases.iter().zip(&devices).collect();
    let updates = set_up(target, &pairs).await.context("set the cases up")?;
    let runs = pairs
        .iter()
        .zip(&updates)
        .enumerate()
        .map(|(n, ((case, device), update))| {
            let mut names = server::names(target);
            names.set("device", &device.id);
            names.set(
                "base",
                format!(
                    "{}/{}/controller/v1/{}",
                    target.url(),
                    target.tenant(),
                    device.id
                ),
            );
            let other = updates
                .iter()
                .enumerate()
                .filter(|(m, _)| *m != n)
                .find_map(|(_, other)| other.as_ref());
            for (name, update) in [("id", update.as_ref()), ("other", other)] {
                names.set(name, update.map_or("0", |update| &update.id));
            }
            let all = update.iter().chain(updates.iter().flatten());
            let module = all
                .map(|update| &*update.module)
                .find(|module| !module.is_empty());
            names.set("module", module.unwrap_or("0"));
            async move {
                let outcome = run_one(case, device, &mut names).await;
                outcome
                    .err()
                    .map(|error| format!("{} ({:?}): {error:#}", case.name, case.standing))
            }
        });
    let failed: Vec<Option<String>> = stream::iter(runs).buffered(AT_ONCE).collect().await;
    let failed: Vec<String> = failed.into_iter().flatten().collect();
    if failed.is_empty() {
        return Ok(());
    }
    let mut report = format!("{} of {} cases failed:", failed.len(), cases.len());
    for failure in failed {
        let _ = write!(report, "\n- {failure}");
    }
    bail!(report)
}

async fn run_one(case: &Case, device: &Device, names: &mut Names) -> Result<()> {
    for (n, step) in case.steps.iter().enumerate() {
        let device = if step.is_authorized {
            device.clone()
        } else {
            device.clone().unauthorized()
        };
        let path = names.fill(&step.path);
        let path = if path.starts_with('/') {
            names.fill("{server}") + &path
        } else {
            path
        };
        let mut request = device.request(step.method.clone(), &path);
        for (name, value) in &step.headers {
            request = request.header(name, names.fill(value));
        }
        if let Some(body) = &step.body {
            request = request.body(match std::str::from_utf8(body) {
                Ok(text) => names.fill(text).into_bytes(),
                Err(_) => body.clone(),
            });
        }
        let answer = Answer::of(request).await?;
        step.judge(&answer, names)
            .with_context(|| format!("request {}", n + 1))?;
        for (name, field) in [("etag", "etag"), ("modified", "last-modified")] {
            if answer.headers.contains_key(field) {
                names.set(name, answer.header(field));
            }
        }
    }
    Ok(())
}

/// An update as cases name it.
struct Update {
    id: String,
    module: String,
}

/// Brings every device to where its case begins.
async fn set_up(target: &impl Target, pairs: &[(&Case, &Device)]) -> Result<Vec<Option<Update>>> {
    let known = pairs
        .iter()
        .filter(|(case, _)| case.standing != Standing::Unknown);
    stream::iter(known)
        .map(|(case, device)| async move {
            match case.standing {
                Standing::Known => device.poll().await.map(drop),
                _ => device.introduce().await,
            }
        })
        .buffered(AT_ONCE)
        .try_collect::<()>()
        .await?;
    let assigned = |called_back: bool| -> Vec<&Device> {
        let wanted = |case: &Case| {
            case.standing.has_update() && case.standing.is_called_back() == called_back
        };
        pairs
            .iter()
            .filter(|(case, _)| wanted(case))
            .map(|(_, device)| *device)
            .collect()
    };
    target.assign(&assigned(false)).await?;
    let to_call_back = target.assign(&assigned(true)).await?;
    let mut updates = Vec::with_capacity(pairs.len());
    for (case, device) in pairs {
        updates.push(
            bring_on(case.standing, device)
                .await
                .with_context(|| case.name.clone())?,
        );
    }
    target.call_back(&to_call_back).await?;
    for ((case, device), update) in pairs.iter().zip(&updates) {
        let (true, Some(update)) = (case.standing.is_called_back(), update) else {
            continue;
        };
        until("the update is called back", async || {
            Ok(device.poll().await?.cancel().map(drop))
        })
        .await?;
        if case.standing == Standing::Cancelled {
            device
                .cancel_feedback(&update.id, &close("success"))
                .await?
                .is(200)?;
        }
    }
    Ok(updates)
}

/// Brings one device on, as far as it can come before anything is called back.
async fn bring_on(standing: Standing, device: &Device) -> Result<Option<Update>> {
    if !standing.has_update() {
        return Ok(None);
    }
    let poll = device.poll().await?;
    let href = poll.deployment().context("no update")?;
    let id = href
        .rsplit('/')
        .next()
        .and_then(|end| end.split('?').next())
        .context("no id")?;
    let mut update = Update {
        id: id.to_owned(),
        module: String::new(),
    };
    if standing == Standing::Offered {
        return Ok(Some(update));
    }
    let offer = device.offer().await?.context("no update")?;
    let link =
        offer.artifacts().next().context("no file")?["_links"]["download-http"]["href"].clone();
    let module = link
        .as_str()
        .and_then(|link| link.split("/softwaremodules/").nth(1)?.split('/').next());
    module
        .context("no module in the link")?
        .clone_into(&mut update.module);
    let said = match standing {
        Standing::Done => close("success"),
        Standing::Failed => close("failure"),
        _ => feedback("proceeding", "none"),
    };
    device.feedback(&update.id, &said).await?.is(200)?;
    Ok(Some(update))
}
