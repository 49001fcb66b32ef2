//! The outputs of the functions that every plugin has.

use tidegate_core::plugin as core;

use super::{
    bindings::exports::tidegate::plugin::meta::{Description, FieldError, Interests},
    shape,
};
use crate::contract::MetaOutput;

impl MetaOutput for Description {
    type Answer = core::Description;

    fn check(&self) -> Result<(), String> {
        shape::check_description(self)
    }

    fn accept(self) -> Result<core::Description, String> {
        self.try_into()
    }
}

impl MetaOutput for Vec<FieldError> {
    type Answer = Vec<core::FieldError>;

    fn check(&self) -> Result<(), String> {
        shape::check_field_errors(self)
    }

    fn accept(self) -> Result<Vec<core::FieldError>, String> {
        Ok(self.into_iter().map(Into::into).collect())
    }
}

impl MetaOutput for Interests {
    type Answer = core::Interests;

    fn check(&self) -> Result<(), String> {
        shape::check_wants(self)
    }

    fn accept(self) -> Result<core::Interests, String> {
        Ok(self.into())
    }
}
