//! The stable order of a campaign's devices.
//!
//! It depends only on the campaign and the device id, not on the age of a device: canaries differ between campaigns,
//! and all replicas agree.

use sha2::{Digest as _, Sha256};

use crate::id::CampaignId;

/// The seed that plugins are given for a campaign.
pub fn seed(campaign: CampaignId) -> u64 {
    first_u64(Sha256::new_with_prefix(b"tidegate campaign").chain_update(campaign.0.to_le_bytes()))
}

/// Sort key of a device, evenly distributed over `u64`. Devices with equal keys are ordered by device id.
pub fn order_key(seed: u64, device_id: &str) -> u64 {
    first_u64(Sha256::new_with_prefix(seed.to_le_bytes()).chain_update(device_id))
}

fn first_u64(hash: Sha256) -> u64 {
    let bytes: [u8; 32] = hash.finalize().into();
    bytes
        .iter()
        .take(8)
        .fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn campaigns_order_the_same_devices_differently() {
        let ids: Vec<String> = (0..100).map(|n| format!("device-{n}")).collect();
        let order = |campaign| {
            let seed = seed(CampaignId(campaign));
            let mut sorted = ids.clone();
            sorted.sort_by_key(|id| order_key(seed, id));
            sorted
        };
        assert_eq!(order(1), order(1));
        assert_ne!(order(1), order(2));
        assert_ne!(order(1), ids);
    }
}
