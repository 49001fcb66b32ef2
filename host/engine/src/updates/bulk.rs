use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use tidegate_core::{id::UpdateId, plugin::FieldError};

use super::{
    Obstacle, Wish,
    check::{Checked, Policies},
    wish::invalid,
};
use crate::{
    Engine, Error, Result, devices,
    ports::{Made, Offer, Role, Touched},
    tenants::Actor,
};

/// Most devices that one request may name.
pub const MAX_DEVICES: usize = 10_000;
/// Devices in one transaction.
const CHUNK: usize = 1000;

/// What came of offering a firmware to many devices; each in the order in which they were named.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bulk {
    /// The device, and its update.
    pub accepted: Vec<(String, UpdateId)>,
    /// The device, and what stands against it.
    pub refused: Vec<(String, Obstacle)>,
}

/// Offers a firmware to many devices. A device that cannot have it is refused, with the reason, and keeps no other one
/// from its own. What was accepted stays so when a later chunk cannot be written.
pub async fn create_many(
    engine: &Arc<Engine>,
    actor: &Actor,
    device_ids: Vec<String>,
    wish: &Wish,
) -> Result<Bulk> {
    actor.require(Role::Operator)?;
    if !(1..=MAX_DEVICES).contains(&device_ids.len()) {
        return Err(invalid(vec![FieldError {
            path: "/device_ids".to_owned(),
            message: format!("must name 1 to {MAX_DEVICES} devices"),
        }]));
    }
    let firmware = wish.firmware(engine, actor).await?;
    let policies = Policies::of(engine, actor.tenant, wish).await?;
    let offer = wish.offer(engine, &firmware);
    let mut bulk = Bulk::default();
    let mut named = HashSet::new();
    for chunk in device_ids.chunks(CHUNK) {
        let checked = policies
            .check(
                engine,
                actor.tenant,
                &firmware,
                wish.terms.timeouts.update,
                chunk.to_vec(),
            )
            .await?;
        let judged: Vec<_> = chunk
            .iter()
            .map(|id| (id, judge(&mut named, id, &checked)))
            .collect();
        let fits = judged.iter().filter(|(_, obstacle)| obstacle.is_none());
        let fits: Vec<String> = fits.map(|(id, _)| (*id).clone()).collect();
        let made = make(engine, actor, &fits, &checked, &offer, wish.force).await?;
        for (id, obstacle) in judged {
            match obstacle.map_or_else(|| outcome(made.get(id)), Err) {
                Ok(update) => bulk.accepted.push((id.clone(), update)),
                Err(obstacle) => bulk.refused.push((id.clone(), obstacle)),
            }
        }
    }
    Ok(bulk)
}

/// What stands against a device before the store is asked.
fn judge(named: &mut HashSet<String>, id: &str, checked: &Checked) -> Option<Obstacle> {
    if !named.insert(id.to_owned()) {
        return Some(Obstacle::NamedTwice);
    }
    match checked.get(id) {
        None => Some(Obstacle::NoDevice),
        Some((_, reason)) => reason.clone().map(Obstacle::Incompatible),
    }
}

/// Makes updates for these devices in one transaction, and forgets what is remembered of them; what came of each by its
/// id. It goes on when whoever asked hangs up.
pub(super) async fn make(
    engine: &Arc<Engine>,
    actor: &Actor,
    ids: &[String],
    checked: &Checked,
    offer: &Offer,
    force: bool,
) -> Result<BTreeMap<String, Made>> {
    let named: Vec<_> = ids
        .iter()
        .filter_map(|id| Some((id.clone(), checked.get(id)?.0.key)))
        .collect();
    if named.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (engine, tenant, offer) = (Arc::clone(engine), actor.tenant, offer.clone());
    let task = tokio::spawn(async move {
        let keys: Vec<_> = named.iter().map(|(_, key)| *key).collect();
        let made = engine
            .store()
            .create_updates(tenant, &keys, &offer, force)
            .await;
        match made {
            Ok(made) => {
                let touched = made.iter().filter_map(touched).cloned();
                devices::forget(&engine, &touched.collect::<Vec<_>>());
                Ok(named.into_iter().map(|(id, _)| id).zip(made).collect())
            }
            Err(error) => {
                // Where the store failed, nobody knows what it did.
                for (id, _) in &named {
                    devices::forget_device(&engine, tenant, id);
                }
                Err(Error::from(error))
            }
        }
    });
    task.await
        .map_err(|panic| Error::internal("make updates", panic))?
}

fn touched(made: &Made) -> Option<&Touched> {
    match made {
        Made::Update(_, touched) => Some(touched),
        Made::AlreadyOpen(_) | Made::AlreadyInstalled | Made::Pinned | Made::NoDevice => None,
    }
}

/// The update that was made, or what stands against it.
pub(super) fn outcome(made: Option<&Made>) -> std::result::Result<UpdateId, Obstacle> {
    match made {
        Some(Made::Update(id, _)) => Ok(*id),
        Some(Made::AlreadyOpen(id)) => Err(Obstacle::AlreadyOpen(*id)),
        Some(Made::Pinned) => Err(Obstacle::Pinned),
        Some(Made::AlreadyInstalled) => Err(Obstacle::AlreadyInstalled),
        Some(Made::NoDevice) | None => Err(Obstacle::NoDevice),
    }
}
