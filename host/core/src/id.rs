//! Ids, each of a type of its own so that the compiler tells them apart.

use std::fmt;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

id!(
    /// A tenant: the owner of devices, firmware and campaigns.
    TenantId(i64)
);
id!(
    /// Row id of a device. DDI and REST identify a device by its `device_id` instead.
    DeviceKey(i64)
);
id!(
    /// A gateway that authenticates on behalf of devices.
    GatewayId(i64)
);
id!(
    /// A certificate authority that signs device certificates.
    AuthorityId(i64)
);
id!(
    /// A firmware.
    FirmwareId(i64)
);
id!(
    /// A module of a firmware.
    ModuleId(i64)
);
id!(
    /// A campaign.
    CampaignId(i64)
);
id!(
    /// An update. Device clients parse it as a signed 32-bit integer.
    UpdateId(i32)
);
id!(
    /// The approval of one or more updates.
    ApprovalId(i32)
);

impl ApprovalId {
    /// The approval of new updates has the id of the first of them.
    pub fn of_first(update: UpdateId) -> Self {
        Self(update.0)
    }
}

/// SHA-256 digest; identifies plugin revisions and plugin inputs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Computes the digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", hex::encode(self.0))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is not `sha256:` followed by 64 hexadecimal digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a digest must be `sha256:` followed by 64 hexadecimal digits")]
pub struct InvalidDigest;

impl std::str::FromStr for Digest {
    type Err = InvalidDigest;

    fn from_str(text: &str) -> Result<Self, InvalidDigest> {
        let digits = text.strip_prefix("sha256:").ok_or(InvalidDigest)?;
        let bytes = hex::FromHex::from_hex(digits).map_err(|_| InvalidDigest)?;
        Ok(Self(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_survives_its_own_text() {
        let digest = Digest::of(b"tide");
        assert_eq!(digest.to_string().parse(), Ok(digest));
        for bad in [
            "",
            "sha256:",
            "sha256:zz",
            &"sha256:é".repeat(9),
            &format!("sha256:{}", "+1".repeat(32)),
        ] {
            assert_eq!(bad.parse::<Digest>(), Err(InvalidDigest), "{bad}");
        }
    }
}
