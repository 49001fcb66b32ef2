use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use async_trait::async_trait;
use tidegate_core::{
    campaign::{AwaitedGate, Campaign, CampaignStatus, Hold, Rollback},
    id::{CampaignId, DeviceKey, FirmwareId, TenantId, UpdateId},
    measurement::Durations,
    plugin::{ClassKey, OperatorAct, RollbackScope},
    time::Timestamp,
    update::{
        CompatibilityBasis, IntermediateFirmware, SuccessCriteria, UpdateOptions, UpdatePolicies,
        UpgradePath,
    },
};

use super::{Advance, NewJournalEntry, PollView, StoreError, Wave};

/// Campaigns as the engine's loops process them. The cost of these methods does not depend on the number of devices.
#[async_trait]
pub trait Runs: Send + Sync {
    /// Campaigns whose wake-up time has passed or whose lease expired without being released, in any status. Tenants take
    /// turns, and within a tenant strategies, each with its longest overdue campaign first.
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<RunRef>, StoreError>;

    /// Leases the campaign for the server of this name until `until`. `None`: another server holds the lease. Every
    /// lease has a higher fence.
    async fn lease(
        &self,
        run: RunRef,
        server_name: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<Fence>, StoreError>;

    /// Extends a lease until `until`. False if it was lost or released.
    async fn renew_lease(
        &self,
        run: RunRef,
        fence: Fence,
        until: Timestamp,
    ) -> Result<bool, StoreError>;

    /// Releases a lease. A lost lease is no error.
    async fn release(&self, run: RunRef, fence: Fence) -> Result<(), StoreError>;

    /// Makes a campaign due no later than `at`, and releases its lease in the same transaction. A lost lease is no error.
    async fn requeue(&self, run: RunRef, fence: Fence, at: Timestamp) -> Result<(), StoreError>;

    /// Everything that a tick reads.
    async fn run(&self, run: RunRef) -> Result<Option<Run>, StoreError>;

    /// Applies a tick's outcome and journal in one transaction, if the campaign is still at this generation and under
    /// this fence. Increments the generation. Releases the lease with it, if the outcome says so. False: it is not, and
    /// nothing was changed.
    async fn apply(
        &self,
        run: RunRef,
        fence: Fence,
        outcome: TickOutcome,
    ) -> Result<bool, StoreError>;

    /// The classes that the campaign's policies accepted, with the firmware that comes first for those that need an
    /// intermediate version. Devices that join later may add some.
    async fn accepted_classes(&self, run: RunRef) -> Result<Vec<AcceptedClass>, StoreError>;

    /// Sorts the next `limit` released devices of this wave that have no update yet by their keys, so that the rows of a
    /// batch of updates lie together. The same devices are released as before. Does nothing under a lost fence.
    async fn sort_released(
        &self,
        run: RunRef,
        fence: Fence,
        wave: u32,
        limit: u32,
    ) -> Result<(), StoreError>;

    /// Creates updates for the next `limit` released devices of this wave that have none yet. A device that already has
    /// the firmware and has not drifted gets an update that is completed immediately. A device with a
    /// [`tidegate_core::mode::skip_reason`], or one that a newer campaign on the same feed has, is skipped and counts
    /// as cancelled. Does nothing under a lost fence. With `releases_lease` the lease ends in the same transaction, if
    /// every released device of the wave has been offered its update then.
    async fn offer_updates(
        &self,
        run: RunRef,
        fence: Fence,
        wave: u32,
        limit: u32,
        offer: &Offer,
        releases_lease: bool,
    ) -> Result<OfferedBatch, StoreError>;

    /// Checks up to `limit` skipped devices whose reason may no longer apply, and creates updates for those whose reason is
    /// gone. Does nothing under a lost fence, or if the campaign is not in progress.
    async fn offer_skipped_updates(
        &self,
        run: RunRef,
        fence: Fence,
        limit: u32,
        offer: &Offer,
    ) -> Result<Vec<AffectedDevice>, StoreError>;

    /// Offers up to `limit` retries of the campaign's waves that are due, the longest overdue first; cancels those of
    /// pinned devices. Does nothing under a lost fence, or if the campaign is not in progress.
    async fn offer_due_retries(
        &self,
        run: RunRef,
        fence: Fence,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<AffectedDevice>, StoreError>;

    /// Cancels up to `limit` open updates of the campaign. Does nothing under a lost fence.
    async fn cancel_updates(
        &self,
        run: RunRef,
        fence: Fence,
        limit: u32,
        now: Timestamp,
    ) -> Result<Vec<AffectedDevice>, StoreError>;

    /// Processes up to `limit` ended updates of the campaign that the rollback has not processed yet: creates a
    /// rollback update wherever [`tidegate_core::rollback::rollback_action`] says so. Pinned devices are skipped. Does
    /// nothing under a lost fence.
    async fn create_rollback_updates(
        &self,
        run: RunRef,
        fence: Fence,
        scope: RollbackScope,
        limit: u32,
        offer: &Offer,
    ) -> Result<RollbackBatch, StoreError>;

    /// Up to `limit` scheduled updates that are due, of all tenants, whose device is of another class than the one that
    /// policies accepted. Tenants take turns. They are not offered before [`Self::record_checks`].
    async fn updates_to_check(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<UpdateToCheck>, StoreError>;

    /// Records what policies decided on updates to check, with the journal entries of their campaign: an accepted update
    /// is offered next, with an intermediate firmware if that comes first; a rejected one ends, and one that needs an
    /// intermediate version that [`UpgradePath::refuse`] refuses. An update whose device changed meanwhile stays as it is.
    async fn record_checks(
        &self,
        checked: &CheckedUpdates,
        now: Timestamp,
    ) -> Result<Vec<AffectedDevice>, StoreError>;

    /// Repeats the check of an update later, as after [`CheckOutcome::Failed`]. Its row may be damaged.
    async fn postpone_check(
        &self,
        tenant: TenantId,
        update: UpdateId,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Ends up to `limit` open updates whose timeout has passed. Scheduled updates that are due are handled as
    /// [`tidegate_core::campaign::retry_action`] says, unless they are to be checked.
    async fn expire_updates(
        &self,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<AffectedDevice>, StoreError>;
}

/// Identifies a campaign.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names of the ids")]
pub struct RunRef {
    pub tenant: TenantId,
    pub campaign: CampaignId,
}

/// A fencing token: increases with every lease of a campaign, so that a server that lost its lease cannot write any
/// more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fence(pub i64);

/// Everything that a tick reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The campaign.
    pub campaign: Campaign,
    /// In the plan's order.
    pub waves: Vec<Wave>,
    /// Whether waves may be released in any order.
    pub parallel: bool,
    /// The last 64 acts of operators, oldest first.
    pub acts: Vec<OperatorAct>,
    /// Durations of the updates of all waves, from offer to end.
    pub durations: Durations,
    /// State kept for the strategy.
    pub strategy_state: Vec<u8>,
    /// State kept for each policy, in the order of the spec.
    pub policy_states: Vec<Vec<u8>>,
    /// Failures of plugins.
    pub plugin_failures: PluginFailureState,
    /// Ticks in a row that no event caused and that changed nothing; this one is counted, unless an event caused it.
    pub unchanged_ticks: u32,
    /// Progress of a rollback.
    pub rollback_progress: RollbackProgress,
    /// Retries of its waves that are not offered yet. Their devices are in flight.
    pub scheduled_retries: u64,
    /// Whether [`Runs::offer_skipped_updates`] has devices to check.
    pub has_skipped_devices_to_check: bool,
}

impl Run {
    /// Number of devices that count against `max_concurrent_updates`: those in flight, except those whose retry is not
    /// offered yet.
    pub fn concurrent_updates(&self) -> u64 {
        let outstanding: u64 = self
            .waves
            .iter()
            .map(|wave| wave.report.outstanding())
            .sum();
        outstanding.saturating_sub(self.scheduled_retries)
    }
}

/// Failures of a campaign's plugins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PluginFailureState {
    /// Failures in a row that repeat with the same input.
    pub failures: u32,
    /// Failures in a row that load may have caused.
    pub timeouts: u32,
    /// The last ticks that called plugins: those with a failure that repeats with the same input.
    pub recent: RecentTicks,
    /// The same ticks: those with a missed deadline.
    pub recent_timeouts: RecentTicks,
    /// No plugin is called before this time.
    pub retry_at: Option<Timestamp>,
}

/// Which of the last ticks that called plugins had a failure: a bit for each, the latest in the lowest place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecentTicks(pub u32);

impl RecentTicks {
    /// The number of ticks that are remembered.
    pub const COUNT: u32 = u32::BITS;

    /// These ticks and a later one.
    #[must_use]
    pub fn then(self, has_failed: bool) -> Self {
        Self(self.0 << 1 | u32::from(has_failed))
    }

    /// The number of ticks with a failure.
    pub fn failures(self) -> u32 {
        self.0.count_ones()
    }
}

/// Progress of a campaign that ends or rolls back, as numbers of updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RollbackProgress {
    /// Open updates of its waves.
    pub open_updates: u64,
    /// Ended updates of its waves that a rollback has not processed yet.
    pub rollback_pending: u64,
    /// Open rollback updates.
    pub open_rollbacks: u64,
    /// Completed rollback updates.
    pub rolled_back: u64,
    /// Rollback updates that failed or timed out.
    pub rollback_failed: u64,
    /// Devices that need a rollback for which the server does not have the previous firmware.
    pub rollback_impossible: u64,
    /// Devices that need a rollback and are skipped, because they are pinned.
    pub pinned: u64,
    /// Devices that an update of an operator was already rolling back.
    pub already_rolling_back: u64,
    /// Open updates whose device acknowledged the cancellation, but may have installed the firmware: its next report of
    /// its version is awaited.
    pub awaiting_version: u64,
}

/// What a tick decided. `None` leaves a value unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TickOutcome {
    /// The generation that the decision is based on.
    pub generation: i64,
    /// Time of the tick.
    pub at: Timestamp,
    /// The new level of every wave: how many of its devices are released in total. Levels never decrease.
    pub levels: Option<Vec<u64>>,
    /// New status.
    pub status: Option<CampaignStatus>,
    /// Why the server holds the campaign.
    pub hold: Option<Hold>,
    /// The gate at which the strategy waits for an operator; `Some(None)`: at none.
    pub awaiting: Option<Option<AwaitedGate>>,
    /// Scope and reason of the rollback.
    pub rollback: Option<Rollback>,
    /// Time of the next tick; `None`: only when an event wakes the campaign.
    pub wake_at: Option<Timestamp>,
    /// The decision's explanation, stored with the campaign.
    pub explain: Option<Vec<String>>,
    /// The operators' advances that the decision took into account, by the index of the wave. One that did not open its
    /// wave no longer counts.
    pub advances: Vec<(u32, Advance)>,
    /// When the campaign ended.
    pub ended_at: Option<Timestamp>,
    /// New state of the strategy.
    pub strategy_state: Option<Vec<u8>>,
    /// New state of each policy, in the order of the spec.
    pub policy_states: Option<Vec<Vec<u8>>>,
    /// Failures of plugins.
    pub plugin_failures: PluginFailureState,
    /// The plugin calls made.
    pub journal: Vec<NewJournalEntry>,
    /// Whether the lease ends with the outcome, because nothing follows in this tick.
    pub releases_lease: bool,
}

impl TickOutcome {
    /// An outcome without any change.
    pub fn unchanged(generation: i64, at: Timestamp, plugin_failures: PluginFailureState) -> Self {
        Self {
            generation,
            at,
            levels: None,
            status: None,
            hold: None,
            awaiting: None,
            rollback: None,
            wake_at: None,
            explain: None,
            advances: Vec::new(),
            ended_at: None,
            strategy_state: None,
            policy_states: None,
            plugin_failures,
            journal: Vec::new(),
            releases_lease: false,
        }
    }
}

/// An update to be offered to devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// The firmware; a rollback replaces it with each device's previous firmware.
    pub firmware: FirmwareId,
    /// Version of the firmware.
    pub to_version: String,
    /// Precedence over other open updates; higher is shown first.
    pub weight: i32,
    /// When the update counts as successful.
    pub success_criteria: SuccessCriteria,
    /// How the update is presented to the device.
    pub options: UpdateOptions,
    /// What the compatibility of the devices is based on.
    pub compatibility: OfferCompatibility,
    /// Time of the offer.
    pub now: Timestamp,
}

/// What the compatibility of the devices of an offer is based on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OfferCompatibility {
    /// The policies that decide; `None`: none does.
    pub policies: Option<UpdatePolicies>,
    /// The attributes that are part of the class, because these policies request them; ordered.
    pub attributes: Vec<String>,
    /// What they accepted.
    pub accepted: AcceptedClasses,
    /// The upgrade path of the update that is retried.
    pub path: Option<UpgradePath>,
}

/// A class of devices that policies accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedClass {
    /// The class.
    pub class: ClassKey,
    /// When.
    pub at: Timestamp,
    /// The firmware that comes first, if it needs an intermediate version.
    pub intermediate: Option<IntermediateFirmware>,
}

/// The classes that policies accepted, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AcceptedClasses {
    /// The class of each device.
    OfDevices(HashMap<DeviceKey, AcceptedClass>),
    /// Of any device of a campaign.
    OfCampaign(BTreeMap<ClassKey, AcceptedClass>),
}

impl Default for AcceptedClasses {
    fn default() -> Self {
        Self::OfDevices(HashMap::new())
    }
}

impl OfferCompatibility {
    /// That of an update that an operator forces.
    pub fn forced() -> Self {
        Self {
            policies: Some(UpdatePolicies::Forced),
            ..Self::default()
        }
    }

    /// That of a device for which this is known from another update.
    pub fn of_device(device: DeviceKey, basis: CompatibilityBasis) -> Self {
        let accepted = basis.accepted.map(|(class, at)| AcceptedClass {
            class,
            at,
            intermediate: None,
        });
        let accepted = accepted.map(|accepted| (device, accepted));
        Self {
            policies: Some(basis.policies),
            attributes: basis.attributes,
            accepted: AcceptedClasses::OfDevices(accepted.into_iter().collect()),
            path: basis.path,
        }
    }

    /// That of the waves of a campaign, of which policies with these attributes accepted these classes.
    pub fn of_campaign(attributes: Vec<String>, classes: Vec<AcceptedClass>) -> Self {
        let mut of_policies: BTreeMap<ClassKey, AcceptedClass> = BTreeMap::new();
        for mut accepted in classes {
            let class = &mut accepted.class;
            // The classes of a campaign also have the attributes that its strategy requests.
            class
                .attributes
                .retain(|(name, _)| attributes.contains(name));
            class.attributes.sort_unstable();
            match of_policies.get_mut(&accepted.class) {
                Some(known) => {
                    known.at = known.at.min(accepted.at);
                    known.intermediate = known.intermediate.take().or(accepted.intermediate);
                }
                None => {
                    of_policies.insert(accepted.class.clone(), accepted);
                }
            }
        }
        Self {
            policies: Some(UpdatePolicies::Campaign),
            attributes,
            accepted: AcceptedClasses::OfCampaign(of_policies),
            path: None,
        }
    }

    /// What the compatibility of an update of this device, which is of this class, is based on.
    fn basis(&self, device: DeviceKey, class: &ClassKey) -> Option<CompatibilityBasis> {
        let accepted = match &self.accepted {
            AcceptedClasses::OfDevices(devices) => devices.get(&device),
            AcceptedClasses::OfCampaign(classes) => classes.get(class),
        };
        Some(CompatibilityBasis {
            policies: self.policies.clone()?,
            attributes: self.attributes.clone(),
            accepted: accepted.map(|accepted| (accepted.class.clone(), accepted.at)),
            rejected: None,
            path: self.path.clone(),
        })
    }

    /// The firmware that this device, which is of this class, gets first.
    fn intermediate(&self, device: DeviceKey, class: &ClassKey) -> Option<&IntermediateFirmware> {
        match &self.accepted {
            AcceptedClasses::OfDevices(devices) => devices.get(&device)?.intermediate.as_ref(),
            AcceptedClasses::OfCampaign(classes) => classes.get(class)?.intermediate.as_ref(),
        }
    }

    /// All firmware that single devices get first.
    pub fn intermediate_firmware(&self) -> BTreeSet<FirmwareId> {
        let devices = match &self.accepted {
            AcceptedClasses::OfDevices(devices) => Some(devices.values()),
            AcceptedClasses::OfCampaign(_) => None,
        };
        let devices = devices.into_iter().flatten();
        devices
            .filter_map(|device| Some(device.intermediate.as_ref()?.firmware))
            .collect()
    }
}

/// The firmware that a device is offered, and what its compatibility is based on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the columns")]
pub struct OfferedFirmware {
    pub firmware: FirmwareId,
    pub to_version: String,
    pub compatibility: Option<CompatibilityBasis>,
}

impl Offer {
    /// What devices are offered if no policy decides on it.
    pub fn unchecked(&self) -> OfferedFirmware {
        OfferedFirmware {
            firmware: self.firmware,
            to_version: self.to_version.clone(),
            compatibility: None,
        }
    }

    /// What a device of this class is offered: the firmware, or an intermediate version that comes first.
    pub fn for_device(&self, device: DeviceKey, class: &ClassKey) -> OfferedFirmware {
        let intermediate = self.compatibility.intermediate(device, class).cloned();
        let target = OfferedFirmware {
            compatibility: self.compatibility.basis(device, class),
            ..self.unchecked()
        };
        let Some(intermediate) = intermediate else {
            return target;
        };
        let path = UpgradePath {
            target: target.firmware,
            target_version: target.to_version,
            installed: Vec::new(),
            reason: Some(intermediate.reason),
        };
        OfferedFirmware {
            firmware: intermediate.firmware,
            to_version: intermediate.version,
            compatibility: target.compatibility.map(|basis| CompatibilityBasis {
                path: Some(path),
                ..basis
            }),
        }
    }
}

/// An update whose device has to be checked before it is offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateToCheck {
    /// Owner.
    pub tenant: TenantId,
    /// The update.
    pub update: UpdateId,
    /// Its device.
    pub device: DeviceKey,
    /// The name of the device.
    pub device_id: String,
    /// The firmware that the device is to get in the end.
    pub firmware: FirmwareId,
    /// Whether the update installs it, not only downloads it.
    pub installs: bool,
    /// Its campaign, if it has one.
    pub campaign: Option<CampaignId>,
    /// Its timeout.
    pub update_timeout: Duration,
    /// The policies that decide, and the class that they accepted.
    pub basis: CompatibilityBasis,
}

/// What policies decided on updates of one tenant, and of one campaign if they have one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedUpdates {
    /// Owner.
    pub tenant: TenantId,
    /// Their campaign.
    pub campaign: Option<CampaignId>,
    /// The attributes that are part of the classes, because the policies request them; ordered.
    pub attributes: Vec<String>,
    /// One for each update.
    pub checks: Vec<UpdateCheck>,
    /// The calls, for the journal of the campaign.
    pub journal: Vec<NewJournalEntry>,
}

/// What policies decided on an update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateCheck {
    /// The update.
    pub update: UpdateId,
    /// Its device.
    pub device: DeviceKey,
    /// The class that was checked.
    pub class: ClassKey,
    /// The decision.
    pub outcome: CheckOutcome,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CheckOutcome {
    /// Every policy accepts the device.
    Accepted,
    /// Every policy accepts the device, after it has this intermediate firmware, which every policy accepts now.
    Needs(IntermediateFirmware),
    /// A policy rejects the device, for this reason.
    Rejected(String),
    /// A policy failed; the check is repeated later.
    Failed,
}

/// Result of offering updates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OfferedBatch {
    /// Devices for which updates were created.
    pub affected: Vec<AffectedDevice>,
    /// Number of released devices that still have no update.
    pub remaining: u64,
    /// Whether the lease ended.
    pub lease_released: bool,
}

/// Result of creating rollback updates.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RollbackBatch {
    /// Number of ended updates that were processed.
    pub processed: u64,
    /// Devices for which rollback updates were created.
    pub affected: Vec<AffectedDevice>,
}

/// A device whose updates changed: cached data about it is stale.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names of the ids")]
pub struct AffectedDevice {
    pub tenant: TenantId,
    pub device: DeviceKey,
    pub device_id: String,
    pub campaign: Option<CampaignId>,
    /// What its next poll shows; boxed, because a batch has many of them.
    pub view: Option<Box<PollView>>,
}
