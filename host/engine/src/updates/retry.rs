use tidegate_core::{Named as _, id::UpdateId, update::UpdateStatus};

use super::{create::create_one, request::INVALID};
use crate::{
    Authorized, Error, Operator, PluginCalls, Result, UpdateWriter,
    compatibility::{CompatibilityCheck, Policies, context_without_campaign},
    ports::{Offer, OfferAction, OfferedBy, UpdateRow},
    rules::Rules,
    update_options::RetryOptions,
};

/// Retries an update that ended without success: offers its firmware again with the same options, as an update of its
/// own. Its campaign keeps counting the failure. Policies are not checked again.
pub async fn retry(
    ctx: &Authorized<Operator>,
    writer: &UpdateWriter,
    plugins: &PluginCalls,
    id: UpdateId,
    changes: RetryOptions,
) -> Result<UpdateRow> {
    let store = writer.store();
    let row = super::get(ctx, store, id).await?;
    let update = &row.update;
    Rules::from_iter(changes.validate()).accept(INVALID)?;
    let options = changes.apply(update.state.options.clone());
    let status = update.state.status;
    if status.is_open() || status == UpdateStatus::Completed {
        let message = format!("the update is {} and cannot be retried", status.as_str());
        return Err(Error::conflict("nothing_to_retry", message));
    }
    let found = store.firmware(ctx.tenant, update.firmware).await?;
    let firmware = found.ok_or_else(|| Error::not_found("firmware", update.firmware))?;
    let check = CompatibilityCheck {
        plugins,
        tenant: ctx.tenant,
        policies: &Policies::default(),
        firmware: &firmware,
        context: context_without_campaign(ctx.now, options.timeouts.update),
    };
    let checked = check
        .check_devices(store, vec![row.device_id.clone()])
        .await?;
    let offer = Offer {
        firmware: update.firmware,
        to_version: update.to_version.clone(),
        weight: update.weight,
        success_criteria: update.state.success_criteria,
        options,
        now: ctx.now,
    };
    let by = OfferedBy {
        ctx: (**ctx).clone(),
        action: OfferAction::Retry,
    };
    let new_update = create_one(&by, writer, &row.device_id, &checked, &offer, false)
        .await?
        .map_err(|refusal| refusal.into_error_without_force(&row.device_id))?;
    let action = format!("retry of update {id}");
    writer.note(ctx, &new_update.update, &action, "").await;
    Ok(new_update)
}
