//! Update options, which are the same columns in `campaigns` and `updates`.

use std::time::Duration;

use serde::Serialize;
use sqlx::any::AnyRow;
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
    maintenance_windows,
    rows::{RowError, RowExt as _, unknown_value},
};

/// The columns, in the order of [`UpdateOptionsRow`]. Both tables are written and read by this list.
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

/// The columns of the table or alias `table`, for a `SELECT`.
pub(crate) fn update_option_columns(table: &str) -> String {
    let columns = UPDATE_OPTION_COLUMNS.iter();
    let columns: Vec<_> = columns.map(|(name, _)| format!("{table}.{name}")).collect();
    columns.join(", ")
}

/// The values of [`UPDATE_OPTION_COLUMNS`]. `on_denied` and `confirmation_timeout_ms` are none without confirmation.
#[derive(Debug, Serialize)]
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

/// Reads the [`UPDATE_OPTION_COLUMNS`].
pub(crate) fn options(row: &AnyRow) -> Result<UpdateOptions, RowError> {
    let forced_at = row.take::<Option<i64>>("forced_at")?.map(Timestamp);
    let on_denied: Option<OnDenied> = row.parse_optional("on_denied")?;
    let confirmation = on_denied.map(|on_denied| {
        Ok::<_, RowError>(Confirmation {
            on_denied,
            timeout: Duration::from_millis(row.count("confirmation_timeout_ms")?),
        })
    });
    let name: UpdateTypeName = row.parse("update_type")?;
    let update_type = UpdateType::new(name, forced_at);
    Ok(UpdateOptions {
        update_type: update_type.ok_or_else(|| unknown_value("update_type", name.into()))?,
        confirmation: confirmation.transpose()?,
        timeouts: Timeouts {
            update: Duration::from_millis(row.count("update_timeout_ms")?),
            download: duration(row, "download_timeout_ms")?,
            install: duration(row, "install_timeout_ms")?,
        },
        window: maintenance_windows::from_row(row, "maintenance_window")?,
        device_refusal: row.parse::<DeviceRefusal>("device_refusal")?,
        retries: RetryPolicy {
            max_retries: take_u32(row, "max_retries")?,
            delay: Duration::from_millis(row.count("retry_delay_ms")?),
        },
        note: row.take("note")?,
    })
}

/// Reads `success_criteria` and `soak_ms`.
pub(crate) fn success_criteria(row: &AnyRow) -> Result<SuccessCriteria, RowError> {
    let soak = duration(row, "soak_ms")?;
    let name: SuccessCriteriaName = row.parse("success_criteria")?;
    SuccessCriteria::new(name, soak).ok_or_else(|| unknown_value("success_criteria", name.into()))
}

/// Reads an integer that fits 32 bits.
pub(crate) fn take_u32(row: &AnyRow, column: &'static str) -> Result<u32, RowError> {
    let value: i64 = row.take(column)?;
    u32::try_from(value).map_err(|_| RowError::OutOfRange { column, value })
}

fn duration(row: &AnyRow, column: &'static str) -> Result<Option<Duration>, RowError> {
    let value: Option<i64> = row.take(column)?;
    let millis = value.map(|value| {
        u64::try_from(value)
            .map(Duration::from_millis)
            .map_err(|_| RowError::OutOfRange { column, value })
    });
    millis.transpose()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
