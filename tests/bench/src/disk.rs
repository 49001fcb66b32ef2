//! The speed of the disk.

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::report::median;

/// How fast the disk makes a few kilobytes durable.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SyncRate {
    pub(crate) per_second: f64,
    pub(crate) median_ms: f64,
}

/// Appends 4 KiB and calls fdatasync, repeatedly.
pub(crate) fn sync_rate(folder: &Path, time: Duration) -> Result<SyncRate> {
    let path = folder.join("syncs");
    let mut file = File::create(&path)?;
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < time {
        let one = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(one.elapsed().as_secs_f64() * 1e3);
    }
    let per_second = times.len() as f64 / began.elapsed().as_secs_f64();
    drop(file);
    std::fs::remove_file(&path)?;
    Ok(SyncRate {
        per_second,
        median_ms: median(times),
    })
}
