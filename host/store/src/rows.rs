//! Conversion of rows to domain types.

use std::str::FromStr;

use hex::FromHex;
use serde::de::DeserializeOwned;
use sqlx::{ColumnIndex, Decode, Row, Type, any::AnyRow};
use tidegate_core::{time::Timestamp, version_changes::VersionChanges};
use tidegate_engine::ports::StoreError;

use crate::error::internal;

/// A row with a value that its column does not allow.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RowError {
    /// The column is missing or has another type.
    #[error(transparent)]
    Column(#[from] sqlx::Error),
    /// A text that is none of the defined values.
    #[error("`{value}` is not a valid {column}")]
    UnknownValue { column: &'static str, value: String },
    /// An integer outside its range.
    #[error("{value} is out of range for {column}")]
    OutOfRange { column: &'static str, value: i64 },
    /// Invalid JSON.
    #[error("invalid JSON in {column}: {error}")]
    Json {
        column: &'static str,
        #[source]
        error: serde_json::Error,
    },
}

/// Converts it to a [`StoreError`]; `context` is for example `read device row`.
pub(crate) fn row_error(context: &'static str) -> impl Fn(RowError) -> StoreError {
    move |error| internal(context)(Box::new(error))
}

/// Conversion of columns to domain types.
pub(crate) trait RowExt {
    /// Reads the column without a conversion.
    fn take<'r, T>(&'r self, column: impl ColumnIndex<AnyRow>) -> Result<T, RowError>
    where
        T: Decode<'r, sqlx::Any> + Type<sqlx::Any>;

    /// Reads a non-negative integer.
    fn count(&self, column: &'static str) -> Result<u64, RowError>;

    /// Reads an integer that may be null.
    fn optional_u32(&self, column: &'static str) -> Result<Option<u32>, RowError>;

    /// Reads 0 or 1.
    fn flag(&self, column: &'static str) -> Result<bool, RowError>;

    /// Reads a text and parses it.
    fn parse<T: FromStr>(&self, column: &'static str) -> Result<T, RowError>;

    /// Reads a text that may be null and parses it.
    fn parse_optional<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, RowError>;

    /// Reads bytes that are stored as hexadecimal digits.
    fn hex<T: FromHex>(&self, column: &'static str) -> Result<T, RowError>;

    /// Reads bytes that are stored as hexadecimal digits or are null.
    fn hex_optional<T: FromHex>(&self, column: &'static str) -> Result<Option<T>, RowError>;

    /// Reads a text that contains JSON.
    fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, RowError>;

    /// Reads a text that contains JSON or is null.
    fn json_optional<T: DeserializeOwned>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, RowError>;
}

impl RowExt for AnyRow {
    fn take<'r, T>(&'r self, column: impl ColumnIndex<AnyRow>) -> Result<T, RowError>
    where
        T: Decode<'r, sqlx::Any> + Type<sqlx::Any>,
    {
        Ok(self.try_get(column)?)
    }

    fn count(&self, column: &'static str) -> Result<u64, RowError> {
        let value: i64 = self.take(column)?;
        u64::try_from(value).map_err(|_| RowError::OutOfRange { column, value })
    }

    fn optional_u32(&self, column: &'static str) -> Result<Option<u32>, RowError> {
        let value: Option<i64> = self.take(column)?;
        value
            .map(|value| u32::try_from(value).map_err(|_| RowError::OutOfRange { column, value }))
            .transpose()
    }

    fn flag(&self, column: &'static str) -> Result<bool, RowError> {
        match self.take(column)? {
            0 => Ok(false),
            1 => Ok(true),
            value => Err(RowError::OutOfRange { column, value }),
        }
    }

    fn parse<T: FromStr>(&self, column: &'static str) -> Result<T, RowError> {
        parse_value(column, self.take(column)?)
    }

    fn parse_optional<T: FromStr>(&self, column: &'static str) -> Result<Option<T>, RowError> {
        let value: Option<&str> = self.take(column)?;
        value.map(|value| parse_value(column, value)).transpose()
    }

    fn hex<T: FromHex>(&self, column: &'static str) -> Result<T, RowError> {
        bytes_of_hex(column, self.take(column)?)
    }

    fn hex_optional<T: FromHex>(&self, column: &'static str) -> Result<Option<T>, RowError> {
        let value: Option<&str> = self.take(column)?;
        value.map(|value| bytes_of_hex(column, value)).transpose()
    }

    fn json<T: DeserializeOwned>(&self, column: &'static str) -> Result<T, RowError> {
        serde_json::from_str(self.take(column)?).map_err(|error| RowError::Json { column, error })
    }

    fn json_optional<T: DeserializeOwned>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, RowError> {
        let text: Option<&str> = self.take(column)?;
        text.map(serde_json::from_str)
            .transpose()
            .map_err(|error| RowError::Json { column, error })
    }
}

/// Parses a text that is stored under the name `column`.
pub(crate) fn parse_value<T: FromStr>(column: &'static str, value: &str) -> Result<T, RowError> {
    value.parse().map_err(|_| unknown_value(column, value))
}

/// Decodes the hexadecimal digits that are stored under the name `column`.
pub(crate) fn bytes_of_hex<T: FromHex>(column: &'static str, value: &str) -> Result<T, RowError> {
    T::from_hex(value).map_err(|_| unknown_value(column, value))
}

/// The error for a stored text that is none of the defined values.
pub(crate) fn unknown_value(column: &'static str, value: &str) -> RowError {
    RowError::UnknownValue {
        column,
        value: value.to_owned(),
    }
}

/// Converts to SQL's integer. Larger values do not occur and are clamped.
pub(crate) fn to_i64(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// Writes a parameter as JSON. Its texts must have been converted by [`crate::dialect::storable`].
pub(crate) fn to_json(value: &impl serde::Serialize) -> Result<String, StoreError> {
    serde_json::to_string(value)
        .map_err(|error| internal("write a parameter as JSON")(Box::new(error)))
}

/// Reads the columns `version_hour_at`, `version_changes` and `counted_version` of a device. Only an unstable version has
/// the last one.
pub(crate) fn version_changes(row: &AnyRow) -> Result<VersionChanges, RowError> {
    let count: i64 = row.take("version_changes")?;
    Ok(VersionChanges {
        hour_at: Timestamp(row.take("version_hour_at")?),
        count: u32::try_from(count).map_err(|_| RowError::OutOfRange {
            column: "version_changes",
            value: count,
        })?,
        is_unstable: row.take::<Option<&str>>("counted_version")?.is_some(),
    })
}
