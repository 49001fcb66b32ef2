//! Campaigns: made and steered by operators, kept going by the loops.
