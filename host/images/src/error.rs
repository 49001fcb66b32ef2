use std::io;

/// Why an image says nothing.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It is damaged, or something else than its name says.
    #[error("{0}")]
    Damaged(String),
    /// Its bytes could not be had.
    #[error("the image could not be read: {0}")]
    Io(#[from] io::Error),
}

impl ImageError {
    pub(crate) fn damaged(reason: impl Into<String>) -> Self {
        Self::Damaged(reason.into())
    }
}

pub(crate) type Result<T> = std::result::Result<T, ImageError>;
