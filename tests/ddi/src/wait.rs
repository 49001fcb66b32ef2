use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::time::sleep;

/// How long a server may take to apply an operator's action.
pub const WAIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Calls `ask` until it returns a value. `None` means not yet; an error ends the waiting.
pub async fn wait_until<T>(
    what: &str,
    mut ask: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let began = Instant::now();
    let mut pause = Duration::from_millis(2);
    loop {
        let response = ask()
            .await
            .with_context(|| format!("while waiting until {what}"))?;
        if let Some(response) = response {
            return Ok(response);
        }
        if began.elapsed() > WAIT_TIMEOUT {
            bail!("timed out after {WAIT_TIMEOUT:?} waiting until {what}");
        }
        sleep(pause).await;
        pause = (pause * 3 / 2).min(Duration::from_millis(50));
    }
}
