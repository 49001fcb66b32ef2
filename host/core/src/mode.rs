//! Device modes, and the reasons for which campaigns skip a device.

use strum::{EnumString, IntoStaticStr, VariantArray, VariantNames};

use crate::version::is_same;

/// How a device comes by its firmware.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    Default,
    IntoStaticStr,
    EnumString,
    VariantArray,
    VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum DeviceMode {
    /// From campaigns.
    #[default]
    Rollout,
    /// The newest compatible firmware, automatically; campaigns skip the device.
    Latest,
    /// Only from operators.
    Manual,
}

/// Why a campaign skips a device that would be offered the update next.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, EnumString, VariantArray, VariantNames,
)]
#[strum(serialize_all = "snake_case")]
pub enum SkipReason {
    /// The device is pinned.
    Pinned,
    /// The device's mode is not `rollout`.
    Mode,
    /// The device is no longer on the campaign's feed.
    Feed,
    /// A newer campaign on the same feed includes the device.
    Superseded,
}

impl SkipReason {
    /// Explanation for operators: a sentence about the device, without a full stop.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Pinned => {
                "it was pinned when its turn came, and pinned devices get no new updates"
            }
            Self::Mode => "its mode was not rollout when its turn came",
            Self::Feed => "it was no longer on the campaign's feed when its turn came",
            Self::Superseded => "a newer campaign on the same feed includes it",
        }
    }
}

/// The properties of a device that decide whether campaigns skip it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eligibility<'a> {
    /// How it comes by its firmware.
    pub mode: DeviceMode,
    /// Excludes the device from new updates.
    pub pinned: bool,
    /// Feed that the device follows.
    pub feed: Option<&'a str>,
}

/// Why a campaign (on this feed, if any) skips a device; `None`: it does not. Newer campaigns on the feed are not
/// considered.
pub fn skip_reason(device: Eligibility<'_>, campaign_feed: Option<&str>) -> Option<SkipReason> {
    if device.pinned {
        return Some(SkipReason::Pinned);
    }
    if device.mode != DeviceMode::Rollout {
        return Some(SkipReason::Mode);
    }
    let is_elsewhere = campaign_feed.is_some() && campaign_feed != device.feed;
    is_elsewhere.then_some(SkipReason::Feed)
}

/// True if the reported version differs from that of the last completed update. Different spellings of one version
/// (`v1.2`, `1.2.0+build7`) are equal.
pub fn has_drifted(expected: Option<&str>, reported: Option<&str>) -> bool {
    match (expected, reported) {
        (Some(expected), Some(reported)) => !is_same(expected, reported),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_are_skipped_when_pinned_or_in_another_mode_or_feed() {
        use DeviceMode as M;
        use SkipReason as P;
        for (mode, pinned, feed, campaign_feed, expected) in [
            (M::Rollout, false, None, None, None),
            (M::Rollout, false, Some("beta"), None, None),
            (M::Rollout, false, Some("beta"), Some("beta"), None),
            (
                M::Rollout,
                false,
                Some("beta"),
                Some("stable"),
                Some(P::Feed),
            ),
            (M::Rollout, false, None, Some("stable"), Some(P::Feed)),
            (M::Manual, false, None, None, Some(P::Mode)),
            (M::Latest, false, None, None, Some(P::Mode)),
            (M::Manual, true, None, Some("beta"), Some(P::Pinned)),
        ] {
            let device = Eligibility { mode, pinned, feed };
            assert_eq!(
                skip_reason(device, campaign_feed),
                expected,
                "{device:?} {campaign_feed:?}"
            );
        }
    }

    #[test]
    fn a_device_drifts_when_it_reports_another_version() {
        for (expected, reported, drifted) in [
            (None, Some("1.0.0"), false),
            (Some("1.0.0"), None, false),
            (Some("1.0.0"), Some("1.0.0"), false),
            (Some("1.2.0+build7"), Some("v1.2"), false),
            (Some("2.0.0"), Some("1.0.0"), true),
            (Some("2.0.0"), Some("2.0.0-rc.1"), true),
            (Some("rev b"), Some("rev c"), true),
        ] {
            assert_eq!(
                has_drifted(expected, reported),
                drifted,
                "{expected:?} {reported:?}"
            );
        }
    }
}
