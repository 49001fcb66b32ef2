use tidegate_core::id::CampaignId;
use tidegate_engine::ports::RecordError;

/// The result of one report.
pub(super) type RecordOutcome = Result<Effects, RecordError>;

/// What a report changed.
#[derive(Debug, Default)]
pub(super) struct Effects {
    /// The campaigns of the changed updates; none for an update without a campaign.
    pub(super) updates: Vec<Option<CampaignId>>,
    /// Whether the device refused its update, which the update's status does not tell.
    pub(super) changes_refusal: bool,
    /// As in [`RecordedReport`].
    pub(super) is_new_installation: bool,
}

impl Effects {
    /// The effects of an event of one update.
    pub(super) fn of_update(changed: bool, campaign: Option<CampaignId>) -> Self {
        Self {
            updates: if changed { vec![campaign] } else { Vec::new() },
            ..Self::default()
        }
    }
}
