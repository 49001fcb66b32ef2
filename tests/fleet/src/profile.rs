use std::collections::BTreeMap;

use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use sha2::{Digest as _, Sha256};

/// How devices react to a firmware version, as probabilities from 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Profile {
    /// Installations that fail; the device stays on its old version.
    pub fails: f64,
    /// Installations that take ten times as long.
    pub slow: f64,
    /// Devices that stop communicating during the installation, for good.
    pub silent: f64,
    /// Devices that reject a cancellation.
    pub rejects_cancel: f64,
    /// Devices whose user denies the update, if a confirmation is requested.
    pub denies: f64,
}

/// A profile for each version; a version without a profile installs on all devices.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Profiles(pub BTreeMap<String, Profile>);

/// How one device reacts to one update.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is drawn independently")]
pub(crate) struct DeviceBehavior {
    pub(crate) fails: bool,
    pub(crate) slow: bool,
    pub(crate) silent: bool,
    pub(crate) rejects_cancel: bool,
    pub(crate) denies: bool,
}

impl Profiles {
    /// Changes the profile of a version.
    #[must_use]
    pub fn with(mut self, version: &str, change: impl FnOnce(&mut Profile)) -> Self {
        change(self.0.entry(version.to_owned()).or_default());
        self
    }

    /// Deterministic: the same arguments always give the same result.
    pub(crate) fn behavior(&self, seed: u64, device_id: &str, version: &str) -> DeviceBehavior {
        let profile = self.0.get(version).copied().unwrap_or_default();
        let mut rng = rng(seed, &[device_id, version]);
        let mut draw = |share: f64| rng.random_bool(share.clamp(0.0, 1.0));
        DeviceBehavior {
            fails: draw(profile.fails),
            slow: draw(profile.slow),
            silent: draw(profile.silent),
            rejects_cancel: draw(profile.rejects_cancel),
            denies: draw(profile.denies),
        }
    }
}

/// A random number generator that depends only on the seed and the names.
pub(crate) fn rng(seed: u64, names: &[&str]) -> StdRng {
    let mut hash = Sha256::new_with_prefix(seed.to_le_bytes());
    for name in names {
        hash.update(name.len().to_le_bytes());
        hash.update(name);
    }
    StdRng::from_seed(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behavior_depends_on_seed_device_and_version() {
        let profiles = Profiles::default().with("1.2.0", |profile| profile.fails = 0.3);
        let failing = |seed| {
            let fails = |n: &u32| {
                profiles
                    .behavior(seed, &format!("device-{n}"), "1.2.0")
                    .fails
            };
            (0..1000).filter(fails).collect::<Vec<_>>()
        };
        assert_eq!(failing(1), failing(1));
        assert_ne!(failing(1), failing(2));
        assert!(
            (250..350).contains(&failing(1).len()),
            "{}",
            failing(1).len()
        );
        assert!(!profiles.behavior(1, "device-1", "1.1.0").fails);
    }
}
