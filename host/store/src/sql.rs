//! Statements that are built at run time. Values are bound; they never become part of the text.

use sqlx::{Any, Arguments, AssertSqlSafe, Encode, Type, any::AnyArguments, query::Query};
use tidegate_engine::ports::StoreError;

use crate::error::internal;

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
