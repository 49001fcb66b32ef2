use tidegate_core::plugin::FieldError;

/// A description that is invalid or does not match the uploaded files.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct UploadError {
    /// Stable, for machines.
    pub(super) code: &'static str,
    /// All errors.
    pub(super) errors: Vec<FieldError>,
}

impl UploadError {
    /// An error of one field.
    pub(super) fn new(code: &'static str, path: &str, message: String) -> Self {
        let path = path.to_owned();
        Self {
            code,
            errors: vec![FieldError { path, message }],
        }
    }
}
