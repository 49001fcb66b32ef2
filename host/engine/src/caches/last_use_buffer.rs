use std::{collections::HashMap, hash::Hash};

use parking_lot::Mutex;
use tidegate_core::{id::TenantId, time::Timestamp};

use crate::ports::StoreError;

/// Last uses of credentials that are not written yet: the latest time of each credential of a tenant.
pub(crate) struct LastUseBuffer<K>(Mutex<HashMap<(TenantId, K), Timestamp>>);

impl<K> Default for LastUseBuffer<K> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K: Eq + Hash> LastUseBuffer<K> {
    /// Buffers a use; the latest time is kept.
    pub(crate) fn record(&self, tenant: TenantId, credential: K, at: Timestamp) {
        let mut times = self.0.lock();
        let time = times.entry((tenant, credential)).or_insert(at);
        *time = at.max(*time);
    }

    /// Takes all buffered uses.
    pub(crate) fn take(&self) -> Vec<(TenantId, K, Timestamp)> {
        let times = std::mem::take(&mut *self.0.lock());
        let uses = times.into_iter();
        uses.map(|((tenant, credential), at)| (tenant, credential, at))
            .collect()
    }

    /// Buffers these uses again if they were not written.
    pub(crate) fn restore_unwritten(
        &self,
        uses: Vec<(TenantId, K, Timestamp)>,
        written: Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if written.is_err() {
            for (tenant, credential, at) in uses {
                self.record(tenant, credential, at);
            }
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_use_of_each_credential_is_taken_once() {
        let buffer = LastUseBuffer::default();
        for (tenant, credential, at) in [(1, "a", 5), (1, "a", 9), (1, "a", 7), (2, "a", 1)] {
            buffer.record(TenantId(tenant), credential, Timestamp(at));
        }
        let mut uses = buffer.take();
        uses.sort_unstable();
        assert_eq!(
            uses,
            [
                (TenantId(1), "a", Timestamp(9)),
                (TenantId(2), "a", Timestamp(1))
            ]
        );
        assert_eq!(buffer.take(), []);
    }
}
