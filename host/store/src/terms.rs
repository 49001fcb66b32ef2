//! How an update is put to its device, as campaigns and updates have it: the same columns in both tables.

use std::time::Duration;

use serde::Serialize;
use sqlx::any::AnyRow;
use tidegate_core::{
    time::Timestamp,
    update::{Confirmation, OnDenied, Proof, Retries, Terms, Timeouts, UpdateType},
};
use tidegate_engine::ports::StoreError;

use crate::{
    dialect::Type,
    rows::{BadRow, Columns as _},
    windows,
};

/// The columns, in the order of [`TermsRow`].
pub(crate) const TERMS: [(&str, Type); 10] = [
    ("update_type", Type::Text),
    ("forced_at", Type::Int),
    ("on_denied", Type::Text),
    ("confirmation_ms", Type::Int),
    ("timeout_ms", Type::Int),
    ("download_ms", Type::Int),
    ("install_ms", Type::Int),
    ("maintenance_window", Type::Text),
    ("max_retries", Type::Int),
    ("retry_delay_ms", Type::Int),
];

/// The values of [`TERMS`]. Where nobody is asked, the two of the confirmation are none.
#[derive(Debug, Serialize)]
pub(crate) struct TermsRow {
    pub(crate) update_type: &'static str,
    pub(crate) forced_at: Option<i64>,
    pub(crate) on_denied: Option<&'static str>,
    pub(crate) confirmation_ms: Option<i64>,
    pub(crate) timeout_ms: i64,
    pub(crate) download_ms: Option<i64>,
    pub(crate) install_ms: Option<i64>,
    pub(crate) maintenance_window: Option<String>,
    pub(crate) max_retries: i64,
    pub(crate) retry_delay_ms: i64,
}

impl TermsRow {
    pub(crate) fn new(terms: &Terms) -> Result<Self, StoreError> {
        let Terms {
            update_type,
            confirmation,
            timeouts,
            window,
            retries,
        } = terms;
        Ok(Self {
            update_type: update_type.as_str(),
            forced_at: update_type.forced_at().map(|at| at.0),
            on_denied: confirmation.map(|confirmation| confirmation.on_denied.as_str()),
            confirmation_ms: confirmation.map(|confirmation| millis(confirmation.timeout)),
            timeout_ms: millis(timeouts.update),
            download_ms: timeouts.download.map(millis),
            install_ms: timeouts.install.map(millis),
            maintenance_window: windows::to_text(window.as_ref())?,
            max_retries: i64::from(retries.most),
            retry_delay_ms: millis(retries.delay),
        })
    }
}

/// The terms of a row that has [`TERMS`].
pub(crate) fn terms(row: &AnyRow) -> Result<Terms, BadRow> {
    let forced_at = row.take::<Option<i64>>("forced_at")?.map(Timestamp);
    let on_denied = row.word_or_none("on_denied", OnDenied::parse)?;
    let confirmation = on_denied.map(|on_denied| {
        Ok::<_, BadRow>(Confirmation {
            on_denied,
            timeout: Duration::from_millis(row.count("confirmation_ms")?),
        })
    });
    Ok(Terms {
        update_type: row.word("update_type", |text| UpdateType::parse(text, forced_at))?,
        confirmation: confirmation.transpose()?,
        timeouts: Timeouts {
            update: Duration::from_millis(row.count("timeout_ms")?),
            download: duration(row, "download_ms")?,
            install: duration(row, "install_ms")?,
        },
        window: windows::of_row(row, "maintenance_window")?,
        retries: Retries {
            most: small(row, "max_retries")?,
            delay: Duration::from_millis(row.count("retry_delay_ms")?),
        },
    })
}

/// What an update needs to count as done, of a row that has `proof` and `soak_ms`.
pub(crate) fn proof(row: &AnyRow) -> Result<Proof, BadRow> {
    let soak = duration(row, "soak_ms")?;
    row.word("proof", |text| Proof::parse(text, soak))
}

/// The value of `soak_ms`.
pub(crate) fn soak_millis(proof: Proof) -> Option<i64> {
    proof.soak().map(millis)
}

/// A number that is never big.
pub(crate) fn small(row: &AnyRow, column: &'static str) -> Result<u32, BadRow> {
    let value: i64 = row.take(column)?;
    u32::try_from(value).map_err(|_| BadRow::Number { column, value })
}

fn duration(row: &AnyRow, column: &'static str) -> Result<Option<Duration>, BadRow> {
    let value: Option<i64> = row.take(column)?;
    let millis = value.map(|value| {
        u64::try_from(value)
            .map(Duration::from_millis)
            .map_err(|_| BadRow::Number { column, value })
    });
    millis.transpose()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
