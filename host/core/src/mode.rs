//! How a device comes by its firmware, and what keeps campaigns from it.

use crate::version::is_same;

/// How a device comes by its firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum DeviceMode {
    /// Campaigns give it to it.
    #[default]
    Rollout,
    /// It gets the newest compatible firmware by itself, and campaigns pass over it.
    Latest,
    /// It gets only what an operator assigns to it.
    Manual,
}

impl DeviceMode {
    const ALL: [Self; 3] = [Self::Rollout, Self::Latest, Self::Manual];

    /// Its name in SQL and REST.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rollout => "rollout",
            Self::Latest => "latest",
            Self::Manual => "manual",
        }
    }

    /// The mode of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|mode| mode.as_str() == text)
    }
}

/// Why a campaign passes over one of its devices when its turn comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SkipReason {
    /// It is pinned.
    Pinned,
    /// It is in another mode than `rollout`.
    Mode,
    /// It is not on the campaign's feed any more.
    Feed,
    /// A newer campaign on the same feed has it.
    Superseded,
}

impl SkipReason {
    const ALL: [Self; 4] = [Self::Pinned, Self::Mode, Self::Feed, Self::Superseded];

    /// Its name in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pinned => "pinned",
            Self::Mode => "mode",
            Self::Feed => "feed",
            Self::Superseded => "superseded",
        }
    }

    /// The reason of this name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }

    /// The sentence that people read.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Pinned => {
                "when its turn came it was pinned, and nothing new goes to a pinned device"
            }
            Self::Mode => "when its turn came it was in another mode than rollout",
            Self::Feed => "when its turn came it was not on the campaign's feed any more",
            Self::Superseded => "a newer campaign on the same feed has it",
        }
    }
}

/// What of a device decides whether campaigns pass over it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Eligibility<'a> {
    /// How it comes by its firmware.
    pub mode: DeviceMode,
    /// Whether nothing new is to go to it.
    pub pinned: bool,
    /// Which feed it follows.
    pub feed: Option<&'a str>,
}

/// Why a campaign on this feed (none: it is not on a feed) passes over a device; none: it does not. Whether a newer
/// campaign has the device is not known here.
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

/// Whether a device that reports this version has drifted from what its last completed update brought. Versions that
/// differ in their spelling only (`v1.2`, `1.2.0+build7`) are the same.
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

    #[test]
    fn names_round_trip() {
        for mode in DeviceMode::ALL {
            assert_eq!(DeviceMode::parse(mode.as_str()), Some(mode));
        }
        for reason in SkipReason::ALL {
            assert_eq!(SkipReason::parse(reason.as_str()), Some(reason));
        }
        assert_eq!(DeviceMode::parse("auto"), None);
    }
}
