mod approvals;
mod attributes;
mod batch;
mod confirmation;
mod counters;
mod feedback;
mod installed_report;
mod late_success;
mod log;
mod refusals;
mod single_updates;
mod soak;
mod upgrade_path;
mod windows;

use anyhow::Context as _;
use tidegate_core::{
    device::{Device, DeviceState},
    id::DeviceKey,
    update::UpdateStatus,
};
use tidegate_engine::ports::{DeviceEvent, Devices as _, RecordError};

use crate::{
    test_fixture::{NOON, StoreFixture, feedback, later},
    testing::{TestStore, on_both},
};

/// The device with this index.
async fn device(store: &TestStore, number: usize) -> anyhow::Result<Device> {
    let device = store.device(store.ours, &format!("d-{number}")).await?;
    device.context("a device of the fixture")
}
