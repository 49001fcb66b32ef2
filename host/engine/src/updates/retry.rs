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
        CompatibilityCheck, IntermediateRules, Policies, chosen, compatibility_policies,
        context_without_campaign,
    },
    ports::{
        Offer, OfferAction, OfferActor, OfferCompatibility, RequestedApproval, Store,
        UpdateAuthorship, UpdateRow,
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
    let rules = IntermediateRules::of_update(&options, &firmware, false);
    let checked = check
        .check_devices(store, rules, vec![row.device_id.clone()])
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
    let first = first_attempt(ctx, store, &row).await?;
    let by = OfferActor {
        ctx: (**ctx).clone(),
        action: OfferAction::Retry,
        authorship: UpdateAuthorship::retry(ctx, &first),
        approval: approval_of_retry(ctx, store, &first, keeps_options).await?,
        incomplete_until: None,
    };
    let new_update = create_one(&by, writer, &row.device_id, &checked, &offer, false)
        .await?
        .map_err(|refusal| refusal.into_error_without_force(&row.device_id))?;
    let action = format!("retry of update {id}");
    writer.note(ctx, &new_update.update, &action, "").await;
    Ok(new_update)
}

/// The first attempt of an update: its request and its approval cover the automatic retries.
async fn first_attempt(ctx: &Ctx, store: &dyn Store, row: &UpdateRow) -> Result<UpdateRow> {
    let first = match row.update.attempt.first {
        Some(first) => store.update(ctx.tenant, first).await?,
        None => None,
    };
    Ok(first.unwrap_or_else(|| row.clone()))
}

/// The approval of a retry: that of the update, if it was approved with the same options. Otherwise the retry needs one
/// of its own, if the update needed one or may be like one that needs it.
async fn approval_of_retry(
    ctx: &Ctx,
    store: &dyn Store,
    row: &UpdateRow,
    keeps_options: bool,
) -> Result<Option<RequestedApproval>> {
    match &row.approval {
        None if !may_need_approval(row) => Ok(None),
        Some(approval) if keeps_options && approval.is_approved() => {
            Ok(Some(RequestedApproval::Given(approval.id)))
        }
        _ => requested_approval(ctx, store).await,
    }
}

/// Whether a new update like this one needs an approval if the tenant demands it: an operator forced it, or a bulk request
/// created it. Of a single update of an earlier version this is not known.
fn may_need_approval(row: &UpdateRow) -> bool {
    let update = &row.update;
    let policies = update.compatibility.as_ref().map(|basis| &basis.policies);
    match (policies, update.campaign, &row.authorship) {
        (Some(UpdatePolicies::Forced), ..) => true,
        (Some(UpdatePolicies::Latest), ..) | (_, Some(_), _) => false,
        (_, None, Some(authorship)) => authorship.is_bulk,
        (_, None, None) => update.weight != ROLLBACK_WEIGHT,
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
