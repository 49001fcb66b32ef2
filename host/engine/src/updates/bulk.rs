use std::collections::{BTreeMap, HashSet};

use tidegate_core::id::{ApprovalId, UpdateId};

use super::{
    OfferRefusal, UpdateRequest,
    approve::requested_approval,
    policies::{compatibility_of, policies_of},
    request::check_device_ids,
};
use crate::{
    Authorized, Operator, PluginCalls, Result, UpdateWriter,
    compatibility::{CheckedDevices, CompatibilityCheck, context_without_campaign},
    ports::{Offer, OfferAction, OfferActor, OfferResult, RequestedApproval},
};

/// Devices per transaction.
const BATCH_SIZE: usize = 1000;

/// The result of a bulk update; both lists follow the order of the request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct BulkResult {
    /// Device id and update id.
    pub accepted: Vec<(String, UpdateId)>,
    /// Device id and reason.
    pub refused: Vec<(String, OfferRefusal)>,
    /// The approval that the updates wait for; `None`: they are offered.
    pub approval: Option<ApprovalId>,
}

/// Offers a firmware to many devices. Each device is accepted or refused independently. Accepted batches stay accepted
/// if a later batch cannot be written. The updates may have to be approved first, which is done for all as one.
pub async fn create_many(
    ctx: &Authorized<Operator>,
    writer: &UpdateWriter,
    plugins: &PluginCalls,
    device_ids: Vec<String>,
    request: &UpdateRequest,
) -> Result<BulkResult> {
    let store = writer.store();
    let mut checked = request.check(ctx, store, plugins).await?;
    check_device_ids(&device_ids, &mut checked.rules);
    let (firmware, chosen) = checked.finish()?;
    let policies = policies_of(store, plugins, ctx.tenant, request, chosen).await?;
    let check = CompatibilityCheck {
        plugins,
        tenant: ctx.tenant,
        policies: &policies,
        firmware: &firmware,
        context: context_without_campaign(ctx.now, request.options.timeouts.update),
    };
    let offer = request.offer(ctx, &firmware);
    let mut by = OfferActor {
        ctx: (**ctx).clone(),
        action: OfferAction::CreateMany,
        approval: requested_approval(ctx, store).await?,
    };
    let mut result = BulkResult::default();
    let mut seen_ids = HashSet::new();
    for chunk in device_ids.chunks(BATCH_SIZE) {
        let checked = check.check_devices(store, chunk.to_vec()).await?;
        let offer = Offer {
            compatibility: compatibility_of(request, &policies, &checked, ctx.now),
            ..offer.clone()
        };
        let checked_batch: Vec<_> = chunk
            .iter()
            .map(|id| (id, check_before_offer(&mut seen_ids, id, &checked)))
            .collect();
        let eligible = checked_batch
            .iter()
            .filter(|(_, refusal)| refusal.is_none());
        let eligible: Vec<String> = eligible.map(|(id, _)| (*id).clone()).collect();
        let results =
            create_checked(&by, writer, &eligible, &checked, &offer, request.force).await?;
        if by.approval.is_some() && result.approval.is_none() {
            let first = results.values().filter_map(OfferResult::created).min();
            result.approval = first.map(ApprovalId::of_first);
            by.approval = result
                .approval
                .map(RequestedApproval::Existing)
                .or(by.approval);
        }
        for (id, refusal) in checked_batch {
            match refusal.map_or_else(|| created_id(results.get(id)), Err) {
                Ok(update) => result.accepted.push((id.clone(), update)),
                Err(refusal) => result.refused.push((id.clone(), refusal)),
            }
        }
    }
    Ok(result)
}

/// Why a device is refused before the store is asked.
fn check_before_offer(
    seen_ids: &mut HashSet<String>,
    id: &str,
    checked: &CheckedDevices,
) -> Option<OfferRefusal> {
    if !seen_ids.insert(id.to_owned()) {
        return Some(OfferRefusal::DuplicateDevice);
    }
    match checked.get(id) {
        None => Some(OfferRefusal::DeviceNotFound),
        Some((_, reason)) => reason.clone().map(OfferRefusal::Incompatible),
    }
}

/// Creates the updates of devices that the policies have checked; results by device id.
pub(super) async fn create_checked(
    by: &OfferActor,
    writer: &UpdateWriter,
    ids: &[String],
    checked: &CheckedDevices,
    offer: &Offer,
    force: bool,
) -> Result<BTreeMap<String, OfferResult>> {
    let devices = ids
        .iter()
        .filter_map(|id| Some((id.clone(), checked.get(id)?.0.key)));
    writer.create(by, devices.collect(), offer, force).await
}

/// The id of the created update, or why the device was refused.
pub(super) fn created_id(
    result: Option<&OfferResult>,
) -> std::result::Result<UpdateId, OfferRefusal> {
    match result {
        Some(OfferResult::Created(id, _)) => Ok(*id),
        Some(OfferResult::AlreadyOpen(id)) => Err(OfferRefusal::AlreadyOpen(*id)),
        Some(OfferResult::Pinned) => Err(OfferRefusal::Pinned),
        Some(OfferResult::AlreadyInstalled) => Err(OfferRefusal::AlreadyInstalled),
        Some(OfferResult::DeviceNotFound) | None => Err(OfferRefusal::DeviceNotFound),
    }
}
