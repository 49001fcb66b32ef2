use std::{
    process::Output,
    time::{Duration, Instant},
};

use super::*;

/// Writes to a file by `dd` on a slow disk. Returns how long it took.
fn write(delay: &str, file: &str, sync: Option<&str>) -> (Duration, Output) {
    let folder = tempfile::tempdir().expect("a folder");
    let delay = delay.parse().expect("a delay");
    let slow_disk = SlowDisk::build(folder.path(), delay).expect("a compiler");
    let mut dd = Command::new("dd");
    dd.args(["if=/dev/zero", "bs=4096", "count=1"])
        .arg(format!("of={}", folder.path().join(file).display()))
        .args(sync.map(|sync| format!("conv={sync}")))
        .env("LC_ALL", "C");
    slow_disk.apply_to(&mut dd);
    let started = Instant::now();
    let output = dd.output().expect("dd");
    (started.elapsed(), output)
}

#[test]
fn each_sync_takes_longer() {
    for sync in ["fsync", "fdatasync"] {
        let (elapsed, output) = write("150.5", "file", Some(sync));
        assert!(output.status.success(), "{output:?}");
        assert!(elapsed >= Duration::from_micros(150_500), "{elapsed:?}");
    }
}

#[test]
fn what_does_not_sync_is_not_delayed() {
    let (elapsed, output) = write("60000", "file", None);
    assert!(output.status.success(), "{output:?}");
    assert!(elapsed < Duration::from_mins(1), "{elapsed:?}");
}

#[test]
fn a_sync_that_fails_keeps_its_error() {
    let (_, output) = write("1", "/dev/null", Some("fsync"));
    assert!(!output.status.success(), "{output:?}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("Invalid argument"), "{errors}");
}

#[test]
fn a_delay_is_a_number_of_milliseconds() {
    for (text, micros) in [
        ("4", 4000),
        ("0.25", 250),
        ("1.1", 1100),
        ("60000", MAX_MICROS),
    ] {
        assert_eq!(text.parse(), Ok(SyncDelay { micros }), "{text}");
    }
    for text in ["0", "-1", "60001", "4ms", "", "NaN", "inf", "0.0001"] {
        let error = text.parse::<SyncDelay>().expect_err(text);
        assert_eq!(error, "give milliseconds, above 0 and at most 60000");
    }
}

#[test]
fn a_folder_that_the_linker_cannot_name_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let folder = folder.path().join("a b");
    fs::create_dir(&folder).expect("a folder");
    let error = SlowDisk::build(&folder, "1".parse().expect("a delay")).expect_err("a space");
    assert!(error.to_string().contains("without a space"), "{error}");
}
