//! Update options, which are the same columns in `campaigns` and `updates`.

use std::time::Duration;

use serde::Serialize;
use tidegate_core::{
    Named as _,
    time::Timestamp,
    update::{
        Confirmation, DeviceRefusal, OnDenied, RetryPolicy, SuccessCriteria, SuccessCriteriaName,
        Timeouts, UpdateOptions, UpdateType, UpdateTypeName,
    },
};
use tidegate_engine::ports::StoreError;

use crate::{
    dialect::{ColumnType, storable},
    json_row::{Name, json_row},
    maintenance_windows,
    rows::{RowError, unknown_value},
};

/// The columns, in the order of [`UpdateOptionsRow`]. Both tables are written by this list.
pub(crate) const UPDATE_OPTION_COLUMNS: &[(&str, ColumnType)] = &[
    ("update_type", ColumnType::Text),
    ("forced_at", ColumnType::Int),
    ("on_denied", ColumnType::Text),
    ("confirmation_timeout_ms", ColumnType::Int),
    ("update_timeout_ms", ColumnType::Int),
    ("download_timeout_ms", ColumnType::Int),
    ("install_timeout_ms", ColumnType::Int),
    ("maintenance_window", ColumnType::Text),
    ("max_retries", ColumnType::Int),
    ("retry_delay_ms", ColumnType::Int),
    ("success_criteria", ColumnType::Text),
    ("soak_ms", ColumnType::Int),
    ("note", ColumnType::Text),
    ("device_refusal", ColumnType::Text),
];

json_row! {
    /// The options as they are read.
    pub(crate) struct StoredOptions {
        update_type: Name<UpdateTypeName>,
        forced_at: Option<i64>,
        on_denied: Option<Name<OnDenied>>,
        confirmation_timeout_ms: Option<u64>,
        update_timeout_ms: u64,
        download_timeout_ms: Option<u64>,
        install_timeout_ms: Option<u64>,
        maintenance_window: Option<String>,
        max_retries: u32,
        retry_delay_ms: u64,
        success_criteria: Name<SuccessCriteriaName>,
        soak_ms: Option<u64>,
        note: String,
        device_refusal: Name<DeviceRefusal>,
    }
}

/// The values of [`UPDATE_OPTION_COLUMNS`]. `on_denied` and `confirmation_timeout_ms` are none without confirmation.
#[derive(Debug, PartialEq, Eq, Hash, Serialize)]
pub(crate) struct UpdateOptionsRow {
    update_type: &'static str,
    forced_at: Option<i64>,
    on_denied: Option<&'static str>,
    confirmation_timeout_ms: Option<i64>,
    update_timeout_ms: i64,
    download_timeout_ms: Option<i64>,
    install_timeout_ms: Option<i64>,
    maintenance_window: Option<String>,
    max_retries: i64,
    retry_delay_ms: i64,
    success_criteria: &'static str,
    soak_ms: Option<i64>,
    note: String,
    device_refusal: &'static str,
}

impl UpdateOptionsRow {
    pub(crate) fn new(
        options: &UpdateOptions,
        success_criteria: SuccessCriteria,
    ) -> Result<Self, StoreError> {
        let UpdateOptions {
            update_type,
            confirmation,
            timeouts,
            window,
            device_refusal,
            retries,
            note,
        } = options;
        Ok(Self {
            update_type: update_type.as_str(),
            forced_at: update_type.forced_at().map(|at| at.0),
            on_denied: confirmation.map(|confirmation| confirmation.on_denied.as_str()),
            confirmation_timeout_ms: confirmation.map(|confirmation| millis(confirmation.timeout)),
            update_timeout_ms: millis(timeouts.update),
            download_timeout_ms: timeouts.download.map(millis),
            install_timeout_ms: timeouts.install.map(millis),
            maintenance_window: maintenance_windows::to_text(window.as_ref())?,
            max_retries: i64::from(retries.max_retries),
            retry_delay_ms: millis(retries.delay),
            success_criteria: success_criteria.as_str(),
            soak_ms: success_criteria.soak().map(millis),
            note: storable(note).into_owned(),
            device_refusal: device_refusal.as_str(),
        })
    }
}

impl StoredOptions {
    pub(crate) fn into_parts(self) -> Result<(UpdateOptions, SuccessCriteria), RowError> {
        let millis = Duration::from_millis;
        let Name(name) = self.success_criteria;
        let success_criteria = SuccessCriteria::new(name, self.soak_ms.map(millis))
            .ok_or_else(|| unknown_value("success_criteria", name.into()))?;
        let confirmation = self.on_denied.map(|Name(on_denied)| {
            let timeout = self.confirmation_timeout_ms.map(millis);
            let timeout =
                timeout.ok_or_else(|| unknown_value("confirmation_timeout_ms", "null"))?;
            Ok::<_, RowError>(Confirmation { on_denied, timeout })
        });
        let window = self.maintenance_window;
        let window = window.map(|text| maintenance_windows::from_text(&text, "maintenance_window"));
        let Name(name) = self.update_type;
        let options = UpdateOptions {
            update_type: update_type(name, self.forced_at)?,
            confirmation: confirmation.transpose()?,
            timeouts: Timeouts {
                update: millis(self.update_timeout_ms),
                download: self.download_timeout_ms.map(millis),
                install: self.install_timeout_ms.map(millis),
            },
            window: window.transpose()?,
            device_refusal: self.device_refusal.0,
            retries: RetryPolicy {
                max_retries: self.max_retries,
                delay: millis(self.retry_delay_ms),
            },
            note: self.note,
        };
        Ok((options, success_criteria))
    }
}

/// The update type of a row.
pub(crate) fn update_type(
    name: UpdateTypeName,
    forced_at: Option<i64>,
) -> Result<UpdateType, RowError> {
    let update_type = UpdateType::new(name, forced_at.map(Timestamp));
    update_type.ok_or_else(|| unknown_value("update_type", name.into()))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
