use tidegate_core::{
    Named as _,
    campaign::ROLLBACK_WEIGHT,
    id::UpdateId,
    update::{CompatibilityBasis, Purpose, Update, UpdatePolicies, UpdateStatus},
};

use super::{approve::requested_approval, create::create_one, request::INVALID};
use crate::{
    Authorized, Ctx, Error, Operator, PluginCalls, Result, UpdateWriter,
    compatibility::{
        CompatibilityCheck, Policies, chosen, compatibility_policies, context_without_campaign,
    },
    ports::{
        Offer, OfferAction, OfferActor, OfferCompatibility, RequestedApproval, Store, UpdateRow,
    },
    rules::Rules,
    update_options::RetryOptions,
};

/// Retries an update that ended without success: offers its firmware again with the same options, as an update of its
/// own. Its campaign keeps counting the failure. If the device is of another class than the policies accepted, they are
/// asked again before the device is offered the update.
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
    let keeps_options = options == update.state.options;
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
        compatibility: compatibility(ctx, store, update).await?,
        now: ctx.now,
    };
    let approval = approval_of_retry(ctx, store, &row, keeps_options).await?;
    let by = OfferActor {
        ctx: (**ctx).clone(),
        action: OfferAction::Retry,
        approval,
        incomplete_until: None,
    };
    let new_update = create_one(&by, writer, &row.device_id, &checked, &offer, false)
        .await?
        .map_err(|refusal| refusal.into_error_without_force(&row.device_id))?;
    let action = format!("retry of update {id}");
    writer.note(ctx, &new_update.update, &action, "").await;
    Ok(new_update)
}

/// The approval of a retry: that of the update, if it was approved with the same options. Otherwise the retry needs one
/// of its own, if the update needed one or may have been forced.
async fn approval_of_retry(
    ctx: &Ctx,
    store: &dyn Store,
    row: &UpdateRow,
    keeps_options: bool,
) -> Result<Option<RequestedApproval>> {
    let approval = match (&row.approval, row.update.attempt.first) {
        (Some(approval), _) => Some(approval.clone()),
        // Automatic retries are covered by the approval of the first attempt.
        (None, Some(first)) => {
            let first = store.update(ctx.tenant, first).await?;
            first.and_then(|first| first.approval)
        }
        (None, None) => None,
    };
    match approval {
        None if !may_be_forced(&row.update) => Ok(None),
        Some(approval) if keeps_options && approval.is_approved() => {
            Ok(Some(RequestedApproval::Given(approval.id)))
        }
        _ => requested_approval(ctx, store).await,
    }
}

/// Whether an operator forced a single update. Of a single update that does not record which policies accepted it, this
/// is not known.
fn may_be_forced(update: &Update) -> bool {
    match &update.compatibility {
        Some(basis) => basis.policies == UpdatePolicies::Forced,
        None => update.campaign.is_none() && update.weight != ROLLBACK_WEIGHT,
    }
}

/// That of the retried update. The policies of its campaign are chosen, because the retry is a single update. An update of
/// a campaign's wave that has none was created before updates recorded it: its device is checked.
async fn compatibility(
    ctx: &Ctx,
    store: &dyn Store,
    update: &Update,
) -> Result<OfferCompatibility> {
    let basis = match (&update.compatibility, update.campaign) {
        (Some(basis), _) => basis.clone(),
        (None, Some((_, Purpose::Forward { .. }))) => {
            CompatibilityBasis::unchecked(UpdatePolicies::Campaign)
        }
        (None, _) => return Ok(OfferCompatibility::default()),
    };
    let campaign = match (&basis.policies, update.campaign) {
        (UpdatePolicies::Campaign, Some((id, _))) => store.campaign(ctx.tenant, id).await?,
        _ => return Ok(OfferCompatibility::of_device(update.device, basis)),
    };
    let uses = campaign.as_ref().map(compatibility_policies);
    let uses = uses.unwrap_or_default();
    if uses.is_empty() {
        return Ok(OfferCompatibility::default());
    }
    let basis = CompatibilityBasis {
        policies: chosen(&uses),
        ..basis
    };
    Ok(OfferCompatibility::of_device(update.device, basis))
}
