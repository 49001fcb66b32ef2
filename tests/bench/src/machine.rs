//! The machine on which the figures are measured.

use serde::Serialize;
use tidegate_slow_disk::SyncDelay;

/// Properties that may explain a figure.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cores: usize,
    processor: String,
    /// One-minute load average before the first figure.
    load_before: f64,
    /// How much longer each fsync and fdatasync takes than on the machine's disk.
    fsync_delay_ms: Option<f64>,
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Machine {
    pub(crate) fn detect() -> Self {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = text.lines().find(|line| line.starts_with("model name"));
        let name = model.and_then(|line| line.split_once(':'));
        Self {
            cores: cores(),
            processor: name
                .map(|(_, name)| name.trim().to_owned())
                .unwrap_or_default(),
            load_before: load(),
            fsync_delay_ms: SyncDelay::of_this_process().map(SyncDelay::milliseconds),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            cores,
            processor,
            load_before,
            fsync_delay_ms,
        } = self;
        write!(
            f,
            "{cores} cores ({processor}), load {load_before:.2} before the first figure"
        )?;
        match fsync_delay_ms {
            Some(delay) => write!(f, "; a slow disk: each fsync takes {delay} ms longer"),
            None => Ok(()),
        }
    }
}

fn load() -> f64 {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let first = text.split(' ').next();
    first.and_then(|load| load.parse().ok()).unwrap_or(f64::NAN)
}
