//! The speed of the disk.

use std::{
    fs::File,
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::report::median;

/// Appends 4 KiB and calls fdatasync, repeatedly. Returns the median duration in milliseconds.
pub(crate) fn sync_time(folder: &Path, time: Duration) -> Result<f64> {
    let path = folder.join("syncs");
    let mut file = File::create(&path)?;
    let (began, mut times) = (Instant::now(), Vec::new());
    while began.elapsed() < time {
        let one = Instant::now();
        file.write_all(&[7; 4096])?;
        file.sync_data()?;
        times.push(one.elapsed().as_secs_f64() * 1e3);
    }
    drop(file);
    std::fs::remove_file(&path)?;
    Ok(median(times))
}
