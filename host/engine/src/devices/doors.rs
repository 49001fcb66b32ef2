use std::{sync::Arc, time::Duration};

use moka::sync::Cache;
use tidegate_core::{id::TenantId, time::Timestamp};

use crate::ports::Tenant;

/// Most tenants, by every spelling that devices use, and most gateways.
const CAPACITY: u64 = 10_000;

/// Which tenants there are and what opens their doors, remembered so that a poll needs no store.
pub struct Doors {
    /// By the name as it was asked for.
    pub(super) tenants: Cache<Box<str>, Remembered<Option<Arc<Tenant>>>>,
    /// The sha256 of every gateway token.
    pub(super) gateways: Cache<TenantId, Remembered<Arc<[[u8; 32]]>>>,
}

/// What the store said, and when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Remembered<T> {
    pub(super) said: T,
    pub(super) at: Timestamp,
}

impl Default for Doors {
    fn default() -> Self {
        Self {
            tenants: Cache::new(CAPACITY),
            gateways: Cache::new(CAPACITY),
        }
    }
}

impl<T> Remembered<T> {
    /// Whether it is not older than that. A clock that went back makes it old.
    pub(super) fn is_fresh(&self, now: Timestamp, longest: Duration) -> bool {
        now >= self.at && now.since(self.at) < longest
    }
}
