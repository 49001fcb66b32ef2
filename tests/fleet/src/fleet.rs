use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tidegate_ddi_client::{Credentials, DdiClient};
use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::sleep,
};

use crate::{DeviceRecord, Profiles, device::Device, install_tls, profile::rng};

/// The options of a fleet.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    /// The server's URL.
    pub url: String,
    /// The tenant of the devices.
    pub tenant: String,
    /// The number of devices.
    pub devices: usize,
    /// Prefix of the device ids, which end in a number of at least four digits, from 0.
    pub prefix: String,
    /// The seed of all random decisions.
    pub seed: u64,
    /// The initial version.
    pub version: String,
    /// Attributes in addition to the version.
    pub attributes: BTreeMap<String, String>,
    /// How fast devices act.
    pub pace: Pace,
    /// Maximum number of concurrent connections.
    pub connections: usize,
    /// The credentials of all devices.
    pub credentials: Credentials,
    /// How devices react to versions.
    pub profiles: Profiles,
    /// Whether devices activate automatic confirmation.
    pub auto_confirm: bool,
}

/// How fast devices act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Shortest and longest time between two polls.
    pub poll: (Duration, Duration),
    /// Duration of one installation step, and of a restart.
    pub step: Duration,
}

impl FleetOptions {
    /// A fleet that polls at intervals of 0.3 to 1 s, without credentials.
    pub fn new(url: impl Into<String>, devices: usize) -> Self {
        let attributes = [("hw_model", "tide-box"), ("hw_revision", "2.0.0")];
        Self {
            url: url.into(),
            tenant: "DEFAULT".to_owned(),
            devices,
            prefix: "box-".to_owned(),
            seed: 1,
            version: "1.0.0".to_owned(),
            attributes: attributes
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            pace: Pace {
                poll: (Duration::from_millis(300), Duration::from_secs(1)),
                step: Duration::from_millis(200),
            },
            connections: 64,
            credentials: Credentials::default(),
            profiles: Profiles::default(),
            auto_confirm: false,
        }
    }
}

/// Devices that run until the fleet is dropped.
pub struct Fleet {
    records: Vec<Arc<Mutex<DeviceRecord>>>,
    record_changed: Arc<Notify>,
    devices: JoinSet<()>,
}

impl Fleet {
    /// Starts a fleet.
    pub fn start(options: FleetOptions) -> reqwest::Result<Self> {
        install_tls();
        let http = reqwest::Client::builder()
            .pool_max_idle_per_host(options.connections)
            .timeout(Duration::from_secs(30))
            .no_proxy()
            .build()?;
        let mut fleet = Self {
            records: Vec::new(),
            record_changed: Arc::default(),
            devices: JoinSet::new(),
        };
        let connection_permits = Arc::new(Semaphore::new(options.connections));
        let profiles = Arc::new(options.profiles);
        for number in 0..options.devices {
            let id = format!("{}{number:04}", options.prefix);
            let record = Arc::new(Mutex::new(DeviceRecord::new(
                id.clone(),
                options.version.clone(),
            )));
            let device = Device {
                ddi: DdiClient::new(http.clone(), &options.url, &options.tenant, &id)
                    .with_credentials(options.credentials.clone()),
                seed: options.seed,
                pace: options.pace,
                profiles: Arc::clone(&profiles),
                auto_confirm: options.auto_confirm,
                attributes: options.attributes.clone(),
                jitter: rng(options.seed, &[&id]),
                record: Arc::clone(&record),
                connection_permits: Arc::clone(&connection_permits),
                record_changed: Arc::clone(&fleet.record_changed),
            };
            fleet.records.push(record);
            fleet.devices.spawn(device.run());
        }
        Ok(fleet)
    }

    /// The records of all devices, in the order of their numbers.
    pub fn records(&self) -> Vec<DeviceRecord> {
        let read = |record: &Arc<Mutex<DeviceRecord>>| record.lock().clone();
        self.records.iter().map(read).collect()
    }

    /// The number of devices on each version.
    pub fn versions(&self) -> BTreeMap<String, usize> {
        let mut versions = BTreeMap::new();
        for record in self.records() {
            *versions.entry(record.version).or_default() += 1;
        }
        versions
    }

    /// Waits until the records meet a condition.
    pub async fn wait_until(&self, mut condition: impl FnMut(&[DeviceRecord]) -> bool) {
        loop {
            // Created before the check, so that changes during the check are not missed.
            let record_changed = self.record_changed.notified();
            if condition(&self.records()) {
                return;
            }
            record_changed.await;
            // A large fleet changes all the time; this limits the number of checks.
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Stops all devices.
    pub async fn stop(mut self) {
        self.devices.shutdown().await;
    }
}
