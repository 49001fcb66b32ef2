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

use crate::{Credentials, Ddi, Memory, Profiles, device::Device, install_tls, profile::rng};

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
    pub confirms_all: bool,
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
            confirms_all: false,
        }
    }
}

/// Devices that run until the fleet is dropped.
pub struct Fleet {
    memories: Vec<Arc<Mutex<Memory>>>,
    changed: Arc<Notify>,
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
            memories: Vec::new(),
            changed: Arc::default(),
            devices: JoinSet::new(),
        };
        let places = Arc::new(Semaphore::new(options.connections));
        let profiles = Arc::new(options.profiles);
        for number in 0..options.devices {
            let id = format!("{}{number:04}", options.prefix);
            let memory = Arc::new(Mutex::new(Memory::new(id.clone(), options.version.clone())));
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
                confirms_all: options.confirms_all,
                attributes: options.attributes.clone(),
                jitter: rng(options.seed, &[&id]),
                memory: Arc::clone(&memory),
                places: Arc::clone(&places),
                changed: Arc::clone(&fleet.changed),
            };
            fleet.memories.push(memory);
            fleet.devices.spawn(device.run());
        }
        Ok(fleet)
    }

    /// What every device remembers, in the order of their numbers.
    pub fn memories(&self) -> Vec<Memory> {
        let read = |memory: &Arc<Mutex<Memory>>| {
            memory
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .clone()
        };
        self.memories.iter().map(read).collect()
    }

    /// How many devices run each version.
    pub fn versions(&self) -> BTreeMap<String, usize> {
        let mut versions = BTreeMap::new();
        for memory in self.memories() {
            *versions.entry(memory.version).or_default() += 1;
        }
        versions
    }

    /// Waits until the devices remember what is asked for.
    pub async fn until(&self, mut holds: impl FnMut(&[Memory]) -> bool) {
        loop {
            // Before looking: what happens while we look wakes us too.
            let changed = self.changed.notified();
            if holds(&self.memories()) {
                return;
            }
            changed.await;
            // A thousand devices change something all the time.
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// Switches every device off.
    pub async fn stop(mut self) {
        self.devices.shutdown().await;
    }
}
