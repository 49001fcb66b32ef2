use std::io;

/// Why an image cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Damaged, or not of the format that its file name implies. The text is the cause.
    #[error("{0}")]
    Damaged(String),
    /// The source failed.
    #[error("cannot read the image: {0}")]
    Io(#[from] io::Error),
}

impl ImageError {
    pub(crate) fn damaged(reason: impl Into<String>) -> Self {
        Self::Damaged(reason.into())
    }
}

pub(crate) type Result<T> = std::result::Result<T, ImageError>;
