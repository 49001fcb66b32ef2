use tidegate_core::plugin::FieldError;

use crate::{Error, Remedy};

/// A description that is invalid or does not match the uploaded files.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UploadError {
    /// Stable, for machines.
    pub(super) code: &'static str,
    /// All errors.
    pub(super) errors: Vec<FieldError>,
    /// The input that resolves it, if one does that the path does not name.
    pub(super) remedy: Option<Remedy>,
}

impl UploadError {
    /// An error of one field.
    pub(super) fn new(code: &'static str, path: &str, message: String) -> Self {
        let path = path.to_owned();
        Self::of_fields(code, vec![FieldError { path, message }])
    }

    /// Errors of several fields.
    pub(super) fn of_fields(code: &'static str, errors: Vec<FieldError>) -> Self {
        Self {
            code,
            errors,
            remedy: None,
        }
    }

    /// Adds the input that resolves it.
    pub(super) fn with_remedy(mut self, remedy: Remedy) -> Self {
        self.remedy = Some(remedy);
        self
    }
}

impl From<UploadError> for Error {
    fn from(error: UploadError) -> Self {
        let invalid = Self::invalid_fields(error.code, error.errors);
        match error.remedy {
            Some(remedy) => invalid.with_remedy(remedy),
            None => invalid,
        }
    }
}
