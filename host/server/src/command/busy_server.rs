//! Requests of commands that run for long, while the server refuses them for now.

use anyhow::Result;

use super::print_error;
use crate::client::Problem;

/// Sends a request, again and again while the server answers 429, each time after the delay that it asks for.
pub(super) async fn repeat_while_busy<T>(mut request: impl AsyncFnMut() -> Result<T>) -> Result<T> {
    let mut is_told = false;
    loop {
        let error = match request().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let problem = error.downcast_ref::<Problem>();
        let Some(delay) = problem.and_then(Problem::retry_delay) else {
            return Err(error);
        };
        if !is_told {
            is_told = true;
            let seconds = delay.as_secs();
            print_error(format_args!("{error}; trying again every {seconds} s"));
        }
        tokio::time::sleep(delay).await;
    }
}
