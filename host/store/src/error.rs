use tidegate_engine::ports::StoreError;

/// What a failed statement is to the engine. `context` is verb and object: `read firmware`.
pub(crate) fn failed(context: &'static str) -> impl Fn(sqlx::Error) -> StoreError {
    move |error| {
        if is_unavailable(&error) {
            return StoreError::Unavailable(format!("{context}: {error}"));
        }
        if is_conflict(&error) {
            return StoreError::Conflict(format!("{context}: it is there already"));
        }
        let source = match error {
            // sqlx says what the database said, and names that as its source, which says it again.
            sqlx::Error::Database(error) => error.into_error(),
            error => Box::new(error),
        };
        StoreError::Internal { context, source }
    }
}

/// Like [`failed`], and names what stands against it when a rule of uniqueness does.
pub(crate) fn conflict(
    context: &'static str,
    there: String,
) -> impl FnOnce(sqlx::Error) -> StoreError {
    move |error| {
        if is_conflict(&error) {
            StoreError::Conflict(there)
        } else {
            failed(context)(error)
        }
    }
}

/// Something else than sqlx failed, or what was read is not what was written.
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

/// Whether asking again may help.
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
            // SQLite: busy and locked, plainly and in their extended forms; a full disk.
            let sqlite = code
                .parse::<u32>()
                .is_ok_and(|code| matches!(code & 0xFF, 5 | 6 | 13))
                && code.len() < 5;
            // PostgreSQL: connection lost, no room, shutting down, chosen to end a deadlock.
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
