//! Statements that are built at run time. Values are bound; only names of enums become part of the text.

use std::sync::OnceLock;

use sqlx::{Any, Arguments, AssertSqlSafe, Encode, Type, any::AnyArguments, query::Query};
use tidegate_core::Named;
use tidegate_engine::ports::StoreError;

use crate::{dialect::Dialect, error::internal};

/// The text of a statement that depends on the dialect alone. It is built once for each dialect that is used.
pub(crate) struct SqlText {
    build: fn(Dialect) -> String,
    sqlite: OnceLock<String>,
    postgres: OnceLock<String>,
}

impl SqlText {
    pub(crate) const fn new(build: fn(Dialect) -> String) -> Self {
        Self {
            build,
            sqlite: OnceLock::new(),
            postgres: OnceLock::new(),
        }
    }

    pub(crate) fn of(&'static self, dialect: Dialect) -> &'static str {
        let text = match dialect {
            Dialect::Sqlite => &self.sqlite,
            Dialect::Postgres => &self.postgres,
        };
        text.get_or_init(|| (self.build)(dialect))
    }
}

/// The name of a variant as a literal. Partial indexes and statements that are shared need it in the text.
pub(crate) fn literal(variant: impl Named + Copy) -> String {
    format!("'{}'", variant.as_str())
}

/// The names of variants as a list of literals, without parentheses.
pub(crate) fn literals<T: Named + Copy>(variants: impl IntoIterator<Item = T>) -> String {
    let literals: Vec<_> = variants.into_iter().map(literal).collect();
    literals.join(", ")
}

/// The parameters of a statement under construction.
#[derive(Default)]
pub(crate) struct Parameters {
    arguments: AnyArguments,
    failed: Option<StoreError>,
}

impl Parameters {
    /// Binds a value and returns its placeholder, such as `$3`. External text must have been converted by
    /// [`crate::dialect::storable`].
    pub(crate) fn bind<'q, T: Encode<'q, Any> + Type<Any>>(&mut self, value: T) -> String {
        if let Err(error) = self.arguments.add(value) {
            self.failed = Some(internal("bind a parameter")(error));
        }
        format!("${}", self.arguments.len())
    }

    /// Returns the statement with its parameters.
    pub(crate) fn query(
        self,
        sql: String,
    ) -> Result<Query<'static, Any, AnyArguments>, StoreError> {
        match self.failed {
            Some(error) => Err(error),
            None => Ok(sqlx::query_with(AssertSqlSafe(sql), self.arguments)),
        }
    }
}
