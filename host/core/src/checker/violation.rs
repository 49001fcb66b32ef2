use crate::campaign::MAX_WAVES;

/// Maximum length of the name of a gate, in characters.
pub const MAX_GATE_NAME: usize = 100;

/// A rule of the contract that a plugin output breaks; the message is for plugin authors and operators.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A plan without waves.
    #[error("the plan has no waves; at least one is required")]
    NoWaves,
    /// More waves than [`MAX_WAVES`].
    #[error("the plan has {0} waves; at most {MAX_WAVES} are allowed")]
    TooManyWaves(usize),
    /// A wave's name is empty or too long.
    #[error("the name of wave {0} must have 1 to 100 characters")]
    WaveName(usize),
    /// A share above 100 %.
    #[error("the share of wave {wave} is {share} basis points; at most 10000 are allowed")]
    Share {
        /// Index of the wave.
        wave: usize,
        /// Share in basis points.
        share: u16,
    },
    /// A selector that cannot be parsed.
    #[error("invalid selector of wave {wave}: {error}")]
    Selector {
        /// Index of the wave.
        wave: usize,
        /// Parse error.
        error: String,
    },
    /// A device assigned to a wave that does not exist or is not custom.
    #[error("row {row} is assigned to wave {wave}, which is not a custom wave of the plan")]
    Assignment {
        /// Index of the row.
        row: usize,
        /// Index of the wave.
        wave: u32,
    },
    /// A wave that does not exist.
    #[error("wave {0} does not exist")]
    UnknownWave(u32),
    /// Two levels for one wave.
    #[error("the decision has two levels for wave {0}")]
    DuplicateLevel(u32),
    /// More devices than the wave has.
    #[error("wave {wave} has {size} devices; the decision releases {released}")]
    LevelAboveWaveSize {
        /// Index of the wave.
        wave: u32,
        /// Devices in the wave.
        size: u64,
        /// Level in the decision.
        released: u64,
    },
    /// A wave that opens before an earlier one.
    #[error("wave {0} must not open before the waves in front of it")]
    OutOfOrder(u32),
    /// More devices in flight than the campaign allows.
    #[error("the decision would put {in_flight} devices in flight; the campaign allows {limit}")]
    TooManyInFlight {
        /// Devices in flight after the decision.
        in_flight: u64,
        /// Limit of the campaign.
        limit: u64,
    },
    /// A release although a health policy holds or rolls back.
    #[error("the decision releases devices although policy {0} stops the campaign")]
    StoppedByPolicy(String),
    /// A release together with an outcome that stops the campaign.
    #[error("the decision releases devices although its outcome is {0}")]
    ReleaseWithStop(&'static str),
    /// Completion while devices are in flight.
    #[error("the outcome is complete although {0} devices are in flight")]
    CompleteInFlight(u64),
    /// Completion although devices were never released, without a reason.
    #[error("the outcome is complete although {0} devices were never released; it needs a reason")]
    CompleteWithoutReason(u64),
    /// A gate's name is empty or too long.
    #[error("the name of a gate must have 1 to {MAX_GATE_NAME} characters")]
    GateName,
    /// A gate before a wave that has already opened.
    #[error("wave {0} has already opened; no operator can be awaited at its gate")]
    GateAlreadyPassed(u32),
}
