/// Why a database operation failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A uniqueness rule is violated; the text names the existing object.
    #[error("{0}")]
    Conflict(String),
    /// The database cannot be reached, cannot write now or is overloaded; a retry may help.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// Another transaction locks a row for too long; a retry may help.
    #[error("the database is busy: {0}")]
    Locked(String),
    /// The disk or the quota of the database is full.
    #[error("the database has no space left: {0}")]
    NoSpace(String),
    /// A row or a statement is invalid.
    #[error("{context}")]
    Internal {
        /// Verb and object: `read firmware row`.
        context: &'static str,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}
