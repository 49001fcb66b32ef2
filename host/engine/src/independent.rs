//! Work of the background loops whose parts do not depend on one another.

use std::fmt::Debug;

use crate::{Error, Result, chain};

/// Does the work for each item, one after another, and returns the results of those that succeeded. A failure is logged and
/// stops nothing else, unless the database is unavailable: then the rest would fail too.
pub(crate) async fn do_each<T, R, F>(
    work: &'static str,
    items: impl IntoIterator<Item = T>,
    mut run: impl FnMut(T) -> F,
) -> Result<Vec<R>>
where
    T: Copy + Debug,
    F: Future<Output = Result<R>>,
{
    let mut results = Vec::new();
    for item in items {
        let result = run(item).await;
        results.extend(done(work, &item, result)?);
    }
    Ok(results)
}

/// The result of a part of the work; none if it failed, which is logged and stops nothing else. An error if the database is
/// unavailable.
pub(crate) fn done<R>(
    work: &'static str,
    item: &impl Debug,
    result: Result<R>,
) -> Result<Option<R>> {
    match result {
        Ok(result) => Ok(Some(result)),
        Err(error @ Error::Unavailable { .. }) => Err(error),
        Err(error) => {
            tracing::warn!(work, ?item, error = %chain(&error), "a part of background work failed; retrying");
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use tidegate_captured_log::CapturedLog;

    use super::*;

    #[tokio::test]
    async fn one_failure_is_logged_and_stops_nothing_else() {
        let log = CapturedLog::start();
        let results = do_each("count", [1, 2, 3], async |number| {
            if number == 2 {
                return Err(Error::not_found("number", number));
            }
            Ok(10 * number)
        });
        assert_eq!(results.await.expect("the others"), [10, 30]);
        let failures = log.events("a part of background work failed; retrying");
        assert_eq!(failures.len(), 1, "{failures:?}");
        assert_eq!(failures[0]["error"], "there is no number 2");
        assert_eq!(
            (&failures[0]["work"], &failures[0]["item"]),
            (&"count".into(), &"2".into())
        );
    }

    #[tokio::test]
    async fn without_the_database_the_rest_is_left_for_the_next_round() {
        let begun = RefCell::new(Vec::new());
        let results = do_each("count", [1, 2, 3], async |number| {
            begun.borrow_mut().push(number);
            if number == 2 {
                return Err(Error::unavailable("no database"));
            }
            Ok(())
        });
        let failed = results.await;
        assert!(
            matches!(failed, Err(Error::Unavailable { .. })),
            "{failed:?}"
        );
        assert_eq!(begun.into_inner(), [1, 2]);
    }
}
