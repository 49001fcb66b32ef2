//! How long the writes of last-seen times take beside a load, by the server's own metric.

use std::time::Duration;

use anyhow::{Result, bail};
use tokio::time::{Instant, sleep};

use crate::{
    http1::{Connection, request},
    report::Figure,
    tidegate::Tidegate,
};

const METRIC: &str = "tidegate_last_seen_write_seconds";
/// A server writes last-seen times every 5 s.
const MAX_WAIT: Duration = Duration::from_secs(15);

/// The figure of a load that has just ended. `None`: the server is of an earlier revision, without the metric.
pub(crate) async fn slowest_write(server: &Tidegate, load: &str) -> Result<Option<Figure>> {
    let started = Instant::now();
    loop {
        let text = metrics(server).await?;
        let Some(writes) = value(&text, &format!("{METRIC}_count")) else {
            return Ok(None);
        };
        if writes > 0.0 {
            let mean = value(&text, &format!("{METRIC}_sum")).unwrap_or(f64::NAN) / writes;
            let name = format!("{load}: the slowest transaction that writes last-seen times");
            let note = format!(
                "the upper bound of its bucket; {writes} of up to 250 devices, {:.1} ms on average",
                mean * 1e3
            );
            let figure = Figure::new(name, slowest(&text, writes) * 1e3, "ms").note(note);
            return Ok(Some(figure.at_most(100.0)));
        }
        if started.elapsed() > MAX_WAIT {
            bail!("the server wrote no last-seen times");
        }
        sleep(Duration::from_millis(100)).await;
    }
}

async fn metrics(server: &Tidegate) -> Result<String> {
    let bytes = request("GET", "/metrics", server.addr(), "", b"");
    let mut connection = Connection::open(server.addr()).await?;
    let response = connection.exchange(&bytes).await?;
    response.expect_status(200)?;
    Ok(str::from_utf8(response.body)?.to_owned())
}

/// The value of a sample.
fn value(text: &str, sample: &str) -> Option<f64> {
    text.lines()
        .find_map(|line| line.strip_prefix(sample)?.trim().parse().ok())
}

/// The upper bound, in seconds, of the first bucket that contains all observations.
fn slowest(text: &str, observations: f64) -> f64 {
    let prefix = format!("{METRIC}_bucket{{le=\"");
    let mut buckets = text.lines().filter_map(|line| {
        let (bound, count) = line.strip_prefix(&prefix)?.split_once("\"} ")?;
        Some((bound.parse::<f64>().ok()?, count.parse::<f64>().ok()?))
    });
    buckets
        .find(|(_, count)| *count >= observations)
        .map_or(f64::INFINITY, |(bound, _)| bound)
}
