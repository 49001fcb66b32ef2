use tidegate_core::{campaign::InvalidTransition, plugin::FieldError};

use crate::ports::{CallFailure, StoreError};

/// What a use case answers.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a use case did nothing. Nothing is half done: whoever gets an error finds everything as it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such thing, or it is another tenant's.
    #[error("there is no {what} {id}")]
    NotFound {
        /// `campaign`, `device`, ...
        what: &'static str,
        /// As it was asked for.
        id: String,
    },
    /// It stands against what is there.
    #[error("{message}")]
    Conflict {
        /// Stable, for machines.
        code: &'static str,
        /// What is there, and what to do.
        message: String,
    },
    /// The request breaks rules.
    #[error("{message}")]
    Invalid {
        /// Stable, for machines.
        code: &'static str,
        /// What is wrong as a whole.
        message: String,
        /// Each broken rule. Paths are JSON pointers into the request.
        errors: Vec<FieldError>,
    },
    /// Not this user.
    #[error("{message}")]
    Forbidden {
        /// Stable, for machines.
        code: &'static str,
        /// Who may.
        message: String,
    },
    /// More than may be stored.
    #[error("{message}")]
    TooLarge {
        /// The limit.
        message: String,
    },
    /// More often than may be.
    #[error("{message}")]
    TooMany {
        /// The limit.
        message: String,
    },
    /// Not now; asking again may help.
    #[error("{message}")]
    Unavailable {
        /// What is not there.
        message: String,
    },
    /// Our own mistake.
    #[error("{context}")]
    Internal {
        /// Verb and object: `read firmware`.
        context: &'static str,
        /// What went wrong.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl Error {
    /// There is no such thing.
    pub fn not_found(what: &'static str, id: impl std::fmt::Display) -> Self {
        Self::NotFound {
            what,
            id: id.to_string(),
        }
    }

    /// It stands against what is there.
    pub fn conflict(code: &'static str, message: impl Into<String>) -> Self {
        Self::Conflict {
            code,
            message: message.into(),
        }
    }

    /// One field breaks a rule.
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
        }
    }

    /// Our own mistake.
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
            },
            StoreError::Unavailable(message) => Self::Unavailable { message },
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
            CallFailure::Deadline(_) | CallFailure::Host(_) => Self::Unavailable {
                message: failure.to_string(),
            },
            _ => Self::invalid("plugin_failed", "", failure.to_string()),
        }
    }
}
