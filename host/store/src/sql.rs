//! Statements whose text depends on what is asked. Values never become part of the text: they are bound.

use sqlx::{Any, Arguments, AssertSqlSafe, Encode, Type, any::AnyArguments, query::Query};
use tidegate_engine::ports::StoreError;

use crate::error::internal;

/// The parameters of a statement that is being written.
#[derive(Default)]
pub(crate) struct Parameters {
    arguments: AnyArguments,
    failed: Option<StoreError>,
}

impl Parameters {
    /// Binds a value and answers its place, such as `$3`. Text from outside has gone through
    /// [`crate::dialect::storable`].
    pub(crate) fn bind<'q, T: Encode<'q, Any> + Type<Any>>(&mut self, value: T) -> String {
        if let Err(error) = self.arguments.add(value) {
            self.failed = Some(internal("bind a parameter")(error));
        }
        format!("${}", self.arguments.len())
    }

    /// The statement with its parameters.
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
