//! Maintenance windows as JSON, which SQL does not read.

use std::{
    collections::HashMap,
    sync::{Arc, LazyLock, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use sqlx::any::AnyRow;
use tidegate_core::window::{MaintenanceWindow, WindowSpec};
use tidegate_engine::ports::StoreError;

use crate::{
    dialect::storable,
    rows::{RowError, RowExt as _, to_json},
};

/// The size at which unused entries are removed from the cache.
const MAX_CACHED: usize = 1024;

#[derive(Serialize, Deserialize)]
struct WindowJson {
    schedule: String,
    seconds: u64,
    timezone: String,
    prefetch: bool,
}

pub(crate) fn to_text(
    window: Option<&Arc<MaintenanceWindow>>,
) -> Result<Option<String>, StoreError> {
    let json = window.map(|window| {
        let spec = window.spec();
        WindowJson {
            schedule: storable(&spec.schedule).into_owned(),
            seconds: spec.duration.as_secs(),
            timezone: storable(&spec.timezone).into_owned(),
            prefetch: spec.prefetch,
        }
    });
    json.as_ref().map(to_json).transpose()
}

/// Reads the window in this column.
pub(crate) fn from_row(
    row: &AnyRow,
    column: &'static str,
) -> Result<Option<Arc<MaintenanceWindow>>, RowError> {
    let text: Option<&str> = row.take(column)?;
    text.map(|text| from_text(text, column)).transpose()
}

/// Parses the window in this column, once for all updates with the same window: they share one value.
pub(crate) fn from_text(
    text: &str,
    column: &'static str,
) -> Result<Arc<MaintenanceWindow>, RowError> {
    static CACHE: LazyLock<Mutex<HashMap<Box<str>, Weak<MaintenanceWindow>>>> =
        LazyLock::new(Mutex::default);

    let mut cache = CACHE.lock();
    if let Some(window) = cache.get(text).and_then(Weak::upgrade) {
        return Ok(window);
    }
    let window = Arc::new(parse(text, column)?);
    if cache.len() >= MAX_CACHED {
        cache.retain(|_, window| window.strong_count() > 0);
    }
    cache.insert(text.into(), Arc::downgrade(&window));
    Ok(window)
}

fn parse(text: &str, column: &'static str) -> Result<MaintenanceWindow, RowError> {
    let json: WindowJson =
        serde_json::from_str(text).map_err(|error| RowError::Json { column, error })?;
    let spec = WindowSpec {
        schedule: json.schedule,
        duration: Duration::from_secs(json.seconds),
        timezone: json.timezone,
        prefetch: json.prefetch,
    };
    MaintenanceWindow::new(spec).map_err(|_| RowError::UnknownValue {
        column,
        value: text.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_stored_and_shared() -> anyhow::Result<()> {
        let window = |schedule: &str| {
            Arc::new(
                MaintenanceWindow::new(WindowSpec {
                    schedule: schedule.to_owned(),
                    duration: Duration::from_mins(90),
                    timezone: "Europe/Berlin".to_owned(),
                    prefetch: true,
                })
                .expect("a valid window"),
            )
        };
        let nightly = window("0 2 * * *");
        let text = to_text(Some(&nightly))?.expect("a window");
        let from_text = |text: &str| from_text(text, "maintenance_window");
        let (one, other) = (from_text(&text)?, from_text(&text)?);
        assert_eq!(one, nightly);
        assert!(Arc::ptr_eq(&one, &other));
        let weekly = to_text(Some(&window("0 2 * * SUN")))?.expect("a window");
        assert_ne!(from_text(&weekly)?, one);
        assert_eq!(to_text(None)?, None);
        assert!(from_text("{}").is_err());
        assert!(from_text(&text.replace("0 2 * * *", "0 99 * * *")).is_err());
        Ok(())
    }
}
