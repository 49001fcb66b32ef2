use tidegate_engine::{chain, ports::StoreError};

/// Converts the error of a statement. `context` is a verb and an object: `read firmware`.
pub(crate) fn failed(context: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| {
        if is_unavailable(&error) {
            return StoreError::Unavailable(format!("{context}: {}", chain(&error)));
        }
        if is_conflict(&error) {
            return StoreError::Conflict(format!("{context}: it exists already"));
        }
        let source = match error {
            // sqlx's message contains the message of its source: keep the source only.
            sqlx::Error::Database(error) => error.into_error(),
            error => Box::new(error),
        };
        StoreError::Internal { context, source }
    }
}

/// Like [`failed`], with the message `message` for a violated unique constraint.
pub(crate) fn conflict(
    context: &'static str,
    message: String,
) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |error| {
        if is_conflict(&error) {
            StoreError::Conflict(message)
        } else {
            failed(context)(error)
        }
    }
}

/// Converts errors that do not come from sqlx, such as invalid stored data.
pub(crate) fn internal(
    context: &'static str,
) -> impl Fn(Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    move |source| StoreError::Internal { context, source }
}

fn is_conflict(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(sqlx::error::DatabaseError::is_unique_violation)
}

/// Whether a retry may succeed.
fn is_unavailable(error: &sqlx::Error) -> bool {
    use sqlx::Error;
    match error {
        Error::Io(_)
        | Error::Tls(_)
        | Error::PoolTimedOut
        | Error::PoolClosed
        | Error::WorkerCrashed
        | Error::BeginFailed => true,
        Error::Database(error) => error.code().is_some_and(|code| {
            // SQLite: busy and locked, with their extended codes, and a full disk.
            let sqlite = code
                .parse::<u32>()
                .is_ok_and(|code| matches!(code & 0xFF, 5 | 6 | 13))
                && code.len() < 5;
            // PostgreSQL: connection lost, insufficient resources, shutting down, deadlock victim.
            let postgres = code.len() == 5
                && (["08", "53", "57"]
                    .iter()
                    .any(|class| code.starts_with(class))
                    || ["40001", "40P01", "55P03"].contains(&&*code));
            sqlite || postgres
        }),
        _ => false,
    }
}
