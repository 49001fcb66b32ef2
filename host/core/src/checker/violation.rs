use crate::campaign::MAX_WAVES;

/// A rule that an answer breaks, in words for its author and the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Violation {
    /// A plan without waves.
    #[error("a plan has at least one wave")]
    NoWaves,
    /// More waves than [`MAX_WAVES`].
    #[error("a plan has at most {MAX_WAVES} waves, not {0}")]
    TooManyWaves(usize),
    /// A wave's name is empty or too long.
    #[error("the name of wave {0} must have 1 to 100 characters")]
    WaveName(usize),
    /// A share above the whole.
    #[error("wave {wave} wants {share} basis points; 10000 is the whole")]
    Share {
        /// Which wave.
        wave: usize,
        /// What it wants.
        share: u16,
    },
    /// A selector that is none.
    #[error("the selector of wave {wave}: {error}")]
    Selector {
        /// Which wave.
        wave: usize,
        /// What is wrong with it.
        error: String,
    },
    /// Plans that take in devices later.
    #[error("this host has no dynamic plans: the devices of a campaign are chosen at its start")]
    Dynamic,
    /// Assigned to a wave that is not custom, or is not there.
    #[error("row {row} is assigned to wave {wave}, which is not a custom wave of the plan")]
    Assignment {
        /// Which row.
        row: usize,
        /// To which wave.
        wave: u16,
    },
    /// A wave that is not there.
    #[error("there is no wave {0}")]
    UnknownWave(u32),
    /// Two levels for one wave.
    #[error("wave {0} is admitted twice")]
    DuplicateLevel(u32),
    /// More devices than the wave has.
    #[error("wave {wave} has {size} devices; {admitted} were admitted")]
    LevelAboveWaveSize {
        /// Which wave.
        wave: u32,
        /// Its size.
        size: u64,
        /// What was admitted.
        admitted: u64,
    },
    /// A wave before its turn.
    #[error("wave {0} may open only after the one before it")]
    OutOfOrder(u32),
    /// Too many in flight.
    #[error("{in_flight} devices would be in flight; the campaign allows {limit}")]
    TooManyInFlight {
        /// How many there would be.
        in_flight: u64,
        /// How many may be.
        limit: u64,
    },
    /// Releases although a policy says stop.
    #[error("devices were released although the policy {0} says stop")]
    StoppedByPolicy(String),
    /// Releases and stops in one breath.
    #[error("devices were released by a decision whose outcome is {0}")]
    ReleaseWithStop(&'static str),
    /// Done while devices are not.
    #[error("complete, although {0} devices are in flight")]
    CompleteInFlight(u64),
    /// A gate before a wave that is open.
    #[error("wave {0} is open already, so nobody needs to wait at its gate")]
    GateAlreadyPassed(u32),
}
