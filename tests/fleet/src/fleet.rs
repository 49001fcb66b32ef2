use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{Notify, Semaphore},
    task::JoinSet,
    time::sleep,
};

use crate::{Credentials, Ddi, DeviceRecord, Profiles, device::Device, install_tls, profile::rng};

/// What a fleet is made of.
#[derive(Debug, Clone)]
pub struct FleetOptions {
    /// The server.
    pub url: String,
    /// Whose devices they are.
    pub tenant: String,
    /// How many.
    pub devices: usize,
    /// Their ids are this and a number of four digits or more, from 0.
    pub prefix: String,
    /// What everything that is drawn is drawn from.
    pub seed: u64,
    /// What they run at first.
    pub version: String,
    /// What they report beside their version.
    pub attributes: BTreeMap<String, String>,
    /// How fast they are.
    pub pace: Pace,
    /// Most connections at once.
    pub connections: usize,
    /// How they show who they are.
    pub credentials: Credentials,
    /// What firmware does to them.
    pub profiles: Profiles,
    /// Whether their people agree to all updates beforehand.
    pub auto_confirm: bool,
}

/// How fast devices are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Shortest and longest time between two polls.
    pub poll: (Duration, Duration),
    /// Time for a step of an install, and for a restart.
    pub step: Duration,
}

impl FleetOptions {
    /// A fleet that polls every third of a second to every second, without credentials.
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
    /// Switches a fleet on.
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
                ddi: Ddi::new(
                    http.clone(),
                    &options.url,
                    &options.tenant,
                    &id,
                    &options.credentials,
                ),
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

    /// What every device remembers, in the order of their numbers.
    pub fn records(&self) -> Vec<DeviceRecord> {
        let read = |record: &Arc<Mutex<DeviceRecord>>| {
            record
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        };
        self.records.iter().map(read).collect()
    }

    /// How many devices run each version.
    pub fn versions(&self) -> BTreeMap<String, usize> {
        let mut versions = BTreeMap::new();
        for record in self.records() {
            *versions.entry(record.version).or_default() += 1;
        }
        versions
    }

    /// Waits until the devices remember what is asked for.
    pub async fn wait_until(&self, mut condition: impl FnMut(&[DeviceRecord]) -> bool) {
        loop {
            // Before looking: what happens while we look wakes us too.
            let record_changed = self.record_changed.notified();
            if condition(&self.records()) {
                return;
            }
            record_changed.await;
            // A thousand devices change something all the time.
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Switches every device off.
    pub async fn stop(mut self) {
        self.devices.shutdown().await;
    }
}
