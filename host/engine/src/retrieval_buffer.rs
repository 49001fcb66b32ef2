use std::collections::{HashMap, hash_map::Entry};

use parking_lot::Mutex;
use tidegate_core::{
    id::{DeviceKey, TenantId, UpdateId},
    time::Timestamp,
};

/// Updates that their devices have read, and that this is not recorded of yet. A device that reads its update reports on it
/// soon; both are recorded at once then.
#[derive(Default)]
pub(crate) struct RetrievalBuffer(Mutex<HashMap<(TenantId, UpdateId), Retrieval>>);

/// A device has read its update.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Retrieval {
    pub(crate) device: DeviceKey,
    pub(crate) device_id: String,
    pub(crate) at: Timestamp,
}

impl RetrievalBuffer {
    /// Buffers a retrieval of this update; the first one is kept. Returns whether it is the first.
    pub(crate) fn insert(&self, tenant: TenantId, update: UpdateId, retrieval: Retrieval) -> bool {
        match self.0.lock().entry((tenant, update)) {
            Entry::Occupied(_) => false,
            Entry::Vacant(entry) => {
                entry.insert(retrieval);
                true
            }
        }
    }

    /// Takes the retrieval of this update.
    pub(crate) fn take(&self, tenant: TenantId, update: UpdateId) -> Option<Retrieval> {
        self.0.lock().remove(&(tenant, update))
    }

    /// The updates with a buffered retrieval.
    pub(crate) fn updates(&self) -> Vec<(TenantId, UpdateId)> {
        self.0.lock().keys().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_retrieval_of_an_update_is_taken_once() {
        let buffer = RetrievalBuffer::default();
        let (tenant, update) = (TenantId(1), UpdateId(8));
        let retrieval = |at| Retrieval {
            device: DeviceKey(7),
            device_id: "a".to_owned(),
            at: Timestamp(at),
        };
        assert!(buffer.insert(tenant, update, retrieval(1)));
        assert!(!buffer.insert(tenant, update, retrieval(2)));
        assert_eq!(buffer.take(TenantId(2), update), None);
        assert_eq!(buffer.updates(), [(tenant, update)]);
        assert_eq!(buffer.take(tenant, update), Some(retrieval(1)));
        assert_eq!(buffer.take(tenant, update), None);
        assert!(buffer.insert(tenant, update, retrieval(3)));
    }
}
