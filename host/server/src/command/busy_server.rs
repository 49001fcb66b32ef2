//! Repeats requests of long-running commands while the server is busy.

use anyhow::Result;

use super::print_error;
use crate::client::Problem;

/// Sends a request, and repeats it while the server answers 429, each time after the delay of its `Retry-After`.
pub(super) async fn repeat_while_busy<T>(mut request: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let mut is_reported = false;
    loop {
        let error = match request().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let problem = error.downcast_ref::<Problem>();
        let Some(delay) = problem.and_then(Problem::retry_delay) else {
            return Err(error);
        };
        if !is_reported {
            is_reported = true;
            let seconds = delay.as_secs();
            print_error(format_args!("{error}; trying again every {seconds} s"));
        }
        tokio::time::sleep(delay).await;
    }
}
