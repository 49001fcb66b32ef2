use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use tidegate_core::id::{ApprovalId, UpdateId};

use super::{
    OfferRefusal, UpdateRequest,
    approve::requested_approval,
    policies::{compatibility_of, policies_of},
    request::check_device_ids,
};
use crate::{
    Authorized, Operator, PluginCalls, Result, UpdateWriter, chain,
    compatibility::{CheckedDevices, CompatibilityCheck, context_without_campaign},
    ports::{Offer, OfferAction, OfferActor, OfferResult, RequestedApproval, UpdateAuthorship},
};

/// Devices per transaction.
const BATCH_SIZE: usize = 1000;
/// Maximum time from one batch to the next, with the calls of the policies. If a server dies in between, the batches that
/// it has written can be decided on after this time.
const MAX_PAUSE: Duration = Duration::from_mins(5);

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
/// if a later batch cannot be written. The updates may have to be approved first, which is done for all as one, once all
/// are written.
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
    let mut batches = Batches {
        writer,
        request,
        check,
        offer: request.offer(ctx, &firmware),
        by: OfferActor {
            ctx: (**ctx).clone(),
            action: OfferAction::CreateMany,
            authorship: UpdateAuthorship::bulk(ctx),
            approval: requested_approval(ctx, store).await?,
            incomplete_until: None,
        },
        seen_ids: HashSet::new(),
        result: BulkResult::default(),
    };
    let chunks: Vec<_> = device_ids.chunks(BATCH_SIZE).collect();
    let are_many = chunks.len() > 1;
    let mut written = Ok(());
    for chunk in chunks {
        written = batches.write(chunk, are_many).await;
        if written.is_err() {
            break;
        }
    }
    if are_many {
        batches.complete().await;
    }
    written.map(|()| batches.result)
}

/// The batches of one request.
struct Batches<'a> {
    writer: &'a UpdateWriter,
    request: &'a UpdateRequest,
    check: CompatibilityCheck<'a>,
    offer: Offer,
    by: OfferActor,
    seen_ids: HashSet<String>,
    result: BulkResult,
}

impl Batches<'_> {
    /// Creates the updates of a batch of devices. `are_many`: until the end of the request their approval is not complete.
    async fn write(&mut self, device_ids: &[String], are_many: bool) -> Result<()> {
        let (check, request) = (&self.check, self.request);
        let rules = request.intermediate_rules(check.firmware);
        let checked = check
            .check_devices(self.writer.store(), rules, device_ids.to_vec())
            .await?;
        let now = self.by.ctx.now;
        let offer = Offer {
            compatibility: compatibility_of(request, check.policies, &checked, now),
            ..self.offer.clone()
        };
        let checked_batch: Vec<_> = device_ids
            .iter()
            .map(|id| (id, check_before_offer(&mut self.seen_ids, id, &checked)))
            .collect();
        let eligible = checked_batch
            .iter()
            .filter(|(_, refusal)| refusal.is_none());
        let eligible: Vec<String> = eligible.map(|(id, _)| (*id).clone()).collect();
        // Not the time of the request, which may have begun long ago.
        let now = self.writer.now();
        self.by.incomplete_until = are_many.then(|| now.plus(MAX_PAUSE));
        let (by, writer) = (&self.by, self.writer);
        let results =
            create_checked(by, writer, &eligible, &checked, &offer, request.force).await?;
        if self.by.approval == Some(RequestedApproval::New)
            && let Some(first) = results.values().filter_map(OfferResult::created).min()
        {
            let id = ApprovalId::of_first(first);
            self.result.approval = Some(id);
            self.by.approval = Some(RequestedApproval::Existing(id));
        }
        let result = &mut self.result;
        for (id, refusal) in checked_batch {
            match refusal.map_or_else(|| created_id(results.get(id)), Err) {
                Ok(update) => result.accepted.push((id.clone(), update)),
                Err(refusal) => result.refused.push((id.clone(), refusal)),
            }
        }
        Ok(())
    }

    /// Lets the approval be decided on.
    async fn complete(&self) {
        let Some(approval) = self.result.approval else {
            return;
        };
        let tenant = self.by.ctx.tenant;
        let completed = self.writer.store().complete_approval(tenant, approval);
        if let Err(error) = completed.await {
            tracing::warn!(error = %chain(&error), %tenant, %approval, "approval not completed; it can be decided on in some minutes");
        }
    }
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
        Some(found) => found.rejection().cloned().map(OfferRefusal::Incompatible),
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
        .filter_map(|id| Some((id.clone(), checked.get(id)?.device.key)));
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
        Some(OfferResult::ApprovalDecided) => Err(OfferRefusal::ApprovalDecided),
        Some(OfferResult::DeviceNotFound) | None => Err(OfferRefusal::DeviceNotFound),
    }
}
