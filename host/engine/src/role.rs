use strum::{EnumString, IntoStaticStr, VariantNames};

/// What a user may do.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    IntoStaticStr,
    EnumString,
    VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum Role {
    /// Reads.
    Viewer,
    /// Uploads firmware and plugins.
    Publisher,
    /// Approves campaigns of other users.
    Approver,
    /// Creates, starts, pauses, cancels and rolls back campaigns.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// Whether an actor with this role has the permissions of another one. Every role includes `viewer`; `admin`
    /// includes all.
    pub fn includes(self, required: Self) -> bool {
        required == Self::Viewer || self == Self::Admin || self == required
    }
}
