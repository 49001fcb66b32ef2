use std::time::Duration;

use tidegate_core::{campaign::InvalidTransition, plugin::FieldError};

use crate::ports::{CallFailure, StoreError};

/// Result of a use case.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a use case failed. A failed use case changes nothing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The object does not exist, or belongs to another tenant.
    #[error("there is no {what} {id}")]
    NotFound {
        /// Kind of object: `campaign`, `device`, ...
        what: &'static str,
        /// The id or name from the request.
        id: String,
    },
    /// The request conflicts with the current state.
    #[error("{message}")]
    Conflict {
        /// Stable code for programs.
        code: &'static str,
        /// The conflicting state, and what to do.
        message: String,
        /// The input that resolves it, if one does.
        remedy: Option<Remedy>,
    },
    /// The request violates rules.
    #[error("{message}")]
    Invalid {
        /// Stable code for programs.
        code: &'static str,
        /// Summary of the violations.
        message: String,
        /// One error for each violated rule. A path has the names of the input's fields, separated by dots
        /// (`targets.filter`, `policies.0.plugin`); a JSON pointer into a plugin's config may follow
        /// (`strategy.config/steps/1`).
        errors: Vec<FieldError>,
        /// The input that resolves it, if one does that the path does not name.
        remedy: Option<Remedy>,
    },
    /// The user lacks the permission.
    #[error("{message}")]
    Forbidden {
        /// Stable code for programs.
        code: &'static str,
        /// Who has the permission.
        message: String,
    },
    /// A size limit is exceeded.
    #[error("{message}")]
    TooLarge {
        /// The limit.
        message: String,
    },
    /// A rate or count limit is exceeded.
    #[error("{message}")]
    TooMany {
        /// Stable code for programs.
        code: &'static str,
        /// The limit.
        message: String,
        /// When a retry may help; `None`: at any time.
        retry_after: Option<Duration>,
    },
    /// Temporarily unavailable; a retry may help.
    #[error("{message}")]
    Unavailable {
        /// What is unavailable, for the caller.
        message: String,
        /// The cause, for the log.
        source: Option<Box<dyn std::error::Error + Send + Sync>>,
    },
    /// A disk or a quota of the server is full.
    #[error("{message}")]
    NoSpace {
        /// What is full.
        message: String,
    },
    /// An internal error.
    #[error("{context}")]
    Internal {
        /// Verb and object: `read firmware`.
        context: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What resolves an error. Fields are named as in [`Error::Invalid`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The same request with this field.
    SetField(&'static str),
    /// An update of the device, requested with this field.
    StartUpdate(&'static str),
}

impl Error {
    /// An error for an object that does not exist.
    pub fn not_found(what: &'static str, id: impl std::fmt::Display) -> Self {
        Self::NotFound {
            what,
            id: id.to_string(),
        }
    }

    /// An error for a conflict with the current state.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::Conflict {
            code,
            message: message.into(),
            remedy: None,
        }
    }

    /// Adds the input that resolves a conflict or an invalid request.
    #[must_use]
    pub(crate) fn with_remedy(mut self, resolved_by: Remedy) -> Self {
        if let Self::Conflict { remedy, .. } | Self::Invalid { remedy, .. } = &mut self {
            *remedy = Some(resolved_by);
        }
        self
    }

    /// An error for one invalid field.
    pub fn invalid(
        code: &'static str,
        path: impl Into<String>,
        message: impl Into<String>,
    ) -> Self {
        let message = message.into();
        let errors = vec![FieldError {
            path: path.into(),
            message: message.clone(),
        }];
        Self::Invalid {
            code,
            message,
            errors,
            remedy: None,
        }
    }

    /// An error for several invalid fields.
    pub fn invalid_fields(code: &'static str, errors: Vec<FieldError>) -> Self {
        let message = match &errors[..] {
            [one] => format!("{}: {}", one.path, one.message),
            many => format!("{} invalid fields", many.len()),
        };
        Self::Invalid {
            code,
            message,
            errors,
            remedy: None,
        }
    }

    /// An error for something that is unavailable and has no other cause.
    pub(crate) fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable {
            message: message.into(),
            source: None,
        }
    }

    /// An internal error.
    pub fn internal(
        context: &'static str,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self::Internal {
            context,
            source: source.into(),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Conflict(message) => Self::Conflict {
                code: "already_exists",
                message,
                remedy: None,
            },
            StoreError::Unavailable(cause) => Self::Unavailable {
                message: "the database is not available now; retry later".to_owned(),
                source: Some(cause.into()),
            },
            StoreError::Locked(cause) => Self::Unavailable {
                message: "another request is changing the same data; retry later".to_owned(),
                source: Some(cause.into()),
            },
            StoreError::NoSpace(message) => Self::NoSpace { message },
            StoreError::Internal { context, source } => Self::Internal { context, source },
        }
    }
}

impl From<InvalidTransition> for Error {
    fn from(error: InvalidTransition) -> Self {
        Self::conflict("invalid_transition", error.to_string())
    }
}

impl From<CallFailure> for Error {
    fn from(failure: CallFailure) -> Self {
        match failure {
            CallFailure::Deadline(_) => Self::unavailable(format!("{failure}; retry later")),
            CallFailure::Host(_) => Self::Unavailable {
                message: "the server could not run the plugin; retry later".to_owned(),
                source: Some(failure.into()),
            },
            CallFailure::InvalidRecord(_) => Self::internal("read recorded call", failure),
            _ => Self::invalid("plugin_failed", "", failure.to_string()),
        }
    }
}
