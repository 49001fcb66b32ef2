use std::sync::Arc;

use tidegate_core::{
    id::UpdateId,
    plugin::FieldError,
    update::{Retries, Terms, UpdateStatus},
};

use super::{check::Policies, create::create_checked, log::note, wish::invalid};
use crate::{
    Engine, Error, Result,
    campaigns::broken_retries,
    ports::{Offer, Role, UpdateRow},
    tenants::Actor,
};

/// Offers the firmware of an update that came to a bad end again, on the same terms, as an update of its own, with these
/// retries by itself; none: as many as before. What its
/// campaign counted stays counted: a failure is not unsaid. No policy is asked, for they let it pass before.
pub async fn retry(
    engine: &Arc<Engine>,
    actor: &Actor,
    id: UpdateId,
    retries: Option<Retries>,
) -> Result<UpdateRow> {
    actor.require(Role::Operator)?;
    let row = super::get(engine, actor, id).await?;
    let update = &row.update;
    let terms = update.progress.terms.clone();
    let terms = Terms {
        retries: retries.unwrap_or(terms.retries),
        ..terms
    };
    let mut broken = Vec::new();
    broken_retries(terms.retries, &mut |good, path, message| {
        if !good {
            broken.push(FieldError {
                path: path.to_owned(),
                message: message.to_owned(),
            });
        }
    });
    if !broken.is_empty() {
        return Err(invalid(broken));
    }
    let status = update.progress.status;
    if status.is_open() || status == UpdateStatus::Completed {
        let message = format!(
            "the update is {}: there is nothing to try again",
            status.as_str()
        );
        return Err(Error::conflict("nothing_to_retry", message));
    }
    let policies = Policies::named(engine, actor.tenant, &[]).await?;
    let found = engine
        .store()
        .firmware(actor.tenant, update.firmware)
        .await?;
    let firmware = found.ok_or_else(|| Error::not_found("firmware", update.firmware))?;
    let timeout = terms.timeouts.update;
    let named = vec![row.device_id.clone()];
    let checked = policies
        .check(engine, actor.tenant, &firmware, timeout, named)
        .await?;
    let offer = Offer {
        firmware: update.firmware,
        to_version: update.to_version.clone(),
        weight: update.weight,
        proof: update.progress.proof,
        terms,
        now: engine.now(),
    };
    let again = create_checked(engine, actor, &row.device_id, &checked, &offer, false)
        .await?
        .map_err(|obstacle| obstacle.into_error_without_force(&row.device_id))?;
    let did = format!("update {id} tried again");
    note(engine, actor, &again.update, &did, "").await;
    Ok(again)
}
