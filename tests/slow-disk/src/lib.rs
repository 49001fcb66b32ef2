//! A disk whose syncs take longer, for benchmarks: what waits for the disk shows only where that takes long.
//!
//! A library that programs load before the C library delays `fsync` and `fdatasync`. A program passes it on to the
//! processes that it starts, unless it clears their environment.

#[cfg(test)]
mod tests;

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    str::FromStr,
};

const SOURCE: &str = include_str!("slow_disk.c");
/// The delay, for the library.
const DELAY: &str = "FSYNC_DELAY_MICROS";
/// The libraries that the dynamic linker loads first.
const PRELOAD: &str = "LD_PRELOAD";
const MAX_MICROS: u64 = 60_000_000;

/// How much longer each sync takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyncDelay {
    micros: u64,
}

impl SyncDelay {
    /// The delay of this process; none if it is not on a slow disk.
    #[must_use]
    pub fn of_this_process() -> Option<Self> {
        let micros = env::var(DELAY).ok()?.parse().ok()?;
        Some(Self { micros })
    }

    /// In milliseconds.
    #[must_use]
    pub fn milliseconds(self) -> f64 {
        self.micros as f64 / 1e3
    }
}

/// Milliseconds, which may have a fraction.
impl FromStr for SyncDelay {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let milliseconds = text.parse().unwrap_or(f64::NAN);
        let micros = (milliseconds * 1e3).round() as u64;
        if (1..=MAX_MICROS).contains(&micros) {
            return Ok(Self { micros });
        }
        Err(format!(
            "give milliseconds, above 0 and at most {}",
            MAX_MICROS / 1000
        ))
    }
}

/// The library, and the delay that it is used with.
#[derive(Debug)]
pub struct SlowDisk {
    library: PathBuf,
    delay: SyncDelay,
}

impl SlowDisk {
    /// Compiles the library into a folder, which the programs that use it must be able to read.
    pub fn build(folder: &Path, delay: SyncDelay) -> io::Result<Self> {
        let folder = fs::canonicalize(folder)?;
        // The dynamic linker knows no way to escape them.
        if folder.to_string_lossy().contains([' ', ':']) {
            let path = folder.display();
            let message = format!("a slow disk needs a folder without a space or colon: {path}");
            return Err(io::Error::other(message));
        }
        let (source, library) = (folder.join("slow_disk.c"), folder.join("slow_disk.so"));
        fs::write(&source, SOURCE)?;
        let compiled = Command::new("cc")
            .args(["-O2", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .stdin(Stdio::null())
            .output()
            .map_err(|error| {
                let message = format!("start cc, which compiles the slow disk: {error}");
                io::Error::new(error.kind(), message)
            })?;
        if !compiled.status.success() {
            let errors = String::from_utf8_lossy(&compiled.stderr);
            return Err(io::Error::other(format!("compile slow_disk.c: {errors}")));
        }
        Ok(Self { library, delay })
    }

    /// Makes the syncs of a program, and of those that it starts, take longer.
    pub fn apply_to(&self, command: &mut Command) {
        let mut libraries = self.library.clone().into_os_string();
        // On a slow disk this library is among them, and would delay twice.
        let is_slow = SyncDelay::of_this_process().is_some();
        if let Some(others) = env::var_os(PRELOAD).filter(|_| !is_slow) {
            libraries.push(":");
            libraries.push(others);
        }
        command.env(PRELOAD, libraries);
        command.env(DELAY, self.delay.micros.to_string());
    }
}
