//! What polls show of the updates of a transaction, by the same rule as `devices/poll_view.rs`.

use std::{cmp::Reverse, collections::HashSet, sync::Arc};

use tidegate_core::{
    device::DeviceState,
    id::{DeviceKey, UpdateId},
};
use tidegate_engine::ports::{DeviceUpdate, PollView};

use super::{LoadedUpdate, UpdateUnitOfWork};

impl UpdateUnitOfWork {
    /// The update that a poll of the device shows.
    pub(super) fn visible_update(&self, key: DeviceKey) -> Option<&LoadedUpdate> {
        self.updates_of(key)
            .filter(|loaded| loaded.update.state.status.is_offered_to_device())
            .max_by_key(|loaded| (loaded.update.weight, Reverse(loaded.update.id)))
    }

    /// Lets the clocks run of the updates that polls show, and stops those of the updates that wait behind them.
    pub(super) fn set_clocks(&mut self) {
        let visible = self
            .by_device
            .keys()
            .filter_map(|key| self.visible_update(*key));
        let visible: HashSet<UpdateId> = visible.map(|loaded| loaded.update.id).collect();
        for (id, loaded) in &mut self.updates {
            let is_visible = visible.contains(id);
            loaded.update.state.set_visible(is_visible, self.now);
        }
    }

    /// The poll view of a device from memory.
    pub(crate) fn view(&self, key: DeviceKey) -> Option<PollView> {
        let device = self.device(key)?;
        let visible = self.visible_update(key);
        Some(PollView {
            device: key,
            token_sha256: device.token_sha256,
            old_token: device.old_token.clone(),
            wants_attributes: device.wants_attributes,
            is_unseen: device.state == DeviceState::Unknown,
            open: visible
                .map(|loaded| Arc::new(DeviceUpdate::new(&loaded.update, loaded.revision))),
            installed: device.installed_update,
            polling_seconds: device.polling_seconds,
        })
    }
}
