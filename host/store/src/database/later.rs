//! Statements whose results are not read. SQLite's connection is a thread, and each statement that is sent to it costs two
//! switches between threads, often more than the statement itself: so those wait, and are sent as one before the next one.

use std::fmt::Write as _;

use sqlx::{Any, AssertSqlSafe, any::AnyArguments, query::Query};

/// A value that is bound to a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SqlValue {
    Int(Option<i64>),
    Text(String),
}

impl From<i64> for SqlValue {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for SqlValue {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<String> for SqlValue {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

/// Binds the values in their order.
pub(super) fn bind(
    query: Query<'_, Any, AnyArguments>,
    values: impl IntoIterator<Item = SqlValue>,
) -> Query<'_, Any, AnyArguments> {
    values.into_iter().fold(query, |query, value| match value {
        SqlValue::Int(value) => query.bind(value),
        SqlValue::Text(value) => query.bind(value),
    })
}

/// Statements of SQLite that wait for the next one.
#[derive(Debug, Default)]
pub(super) struct LaterStatements {
    text: String,
    values: Vec<SqlValue>,
}

impl LaterStatements {
    /// Adds a statement, whose parameters are `$1`, `$2` and so on.
    pub(super) fn add(&mut self, statement: &str, values: impl IntoIterator<Item = SqlValue>) {
        let offset = self.values.len();
        if !self.text.is_empty() {
            self.text.push_str("; ");
        }
        let mut parts = statement.split('$');
        self.text.extend(parts.next());
        for part in parts {
            let digits = part.bytes().take_while(u8::is_ascii_digit).count();
            let (number, rest) = part.split_at(digits);
            // Writing to a string does not fail.
            let _ = match number.parse::<usize>() {
                Ok(number) => write!(self.text, "${}{rest}", number + offset),
                // The path of a value in JSON.
                Err(_) => write!(self.text, "${part}"),
            };
        }
        self.values.extend(values);
    }

    /// All statements as one query; `None`: there are none.
    pub(super) fn take(&mut self) -> Option<Query<'static, Any, AnyArguments>> {
        let Self { text, values } = std::mem::take(self);
        (!text.is_empty()).then(|| bind(sqlx::query(AssertSqlSafe(text)), values))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_several_statements_are_numbered_in_a_row() {
        let mut later = LaterStatements::default();
        later.add("UPDATE a SET b = $2 WHERE c = $1", [1.into(), 2.into()]);
        later.add("DELETE FROM a", []);
        later.add(
            "INSERT INTO a SELECT json_extract(value, '$.id'), $1, $12 FROM json_each($1, '$[0]')",
            [String::from("[]").into()],
        );
        let text = "UPDATE a SET b = $2 WHERE c = $1; DELETE FROM a; \
             INSERT INTO a SELECT json_extract(value, '$.id'), $3, $14 FROM json_each($3, '$[0]')";
        assert_eq!(later.text, text);
        assert_eq!(
            later.values,
            [1.into(), 2.into(), SqlValue::Text("[]".to_owned())]
        );
        assert!(later.take().is_some());
        assert!(later.take().is_none());
    }
}
