/// What polls are answered from: memory first, the store when it is not there.
#[derive(Default)]
pub struct ReadModel {}

impl ReadModel {
    /// Forgets a device.
    pub(crate) fn forget(&self, _tenant: tidegate_core::id::TenantId, _device_id: &str) {}
}
