//! Prometheus metrics. Requests and plugin calls are counted as they happen. The fleet's gauges are read from the
//! store's counters at every scrape. They are sums over all tenants, so that they reveal nothing about one tenant.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use axum::{extract::Request, response::Response};
use http::Method;
use prometheus::{
    Encoder as _, Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, IntGaugeVec, Opts, Registry, TextEncoder, core::Collector,
};
use strum::{IntoStaticStr, VariantArray, VariantNames};
use tidegate_core::{
    Named, campaign::CampaignStatus, plugin::PluginName, time::Timestamp, update::UpdateStatus,
};
use tidegate_engine::{
    Engine, chain,
    ports::{CallFailure, Observer, PluginFiles, Stats},
    tenants,
};

use crate::{route::Route, tls_failure::TlsFailure};

/// All metrics of `/metrics`.
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    ddi_seconds: Histogram,
    rest_seconds: Histogram,
    refused_logins: IntCounterVec,
    tls_failures: IntCounterVec,
    plugin_labels: PluginLabels,
    plugin_calls: IntCounterVec,
    plugin_fuel: IntCounterVec,
    plugin_seconds: HistogramVec,
    plugin_files: IntGaugeVec,
    last_seen_seconds: Histogram,
    clock_offset: Gauge,
    fleet: FleetGauges,
    log_lines_dropped: IntCounter,
    dropped_log_lines: DroppedLogLines,
}

/// How plugins are named in the labels `vendor` and `name`. Clients that reach `/metrics` see those of all tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PluginLabels {
    /// The names of built-in plugins, and `other` for all others.
    #[default]
    BuiltIn,
    /// All names.
    All,
}

/// The vendor and name of plugins whose names are not shown.
const OTHER_PLUGINS: &str = "other";

/// Reads the number of log lines that were dropped since the start.
type DroppedLogLines = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The kind of credential of a refused login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub(crate) enum LoginKind {
    /// `X-API-Key`.
    ApiKey,
    /// A JWT.
    BearerToken,
    /// The token of `/metrics`.
    MetricsToken,
    /// A device's token.
    TargetToken,
    /// A gateway's token.
    GatewayToken,
    /// A device's certificate, on the connection or reported by a proxy.
    Certificate,
    /// No credential of a known kind.
    None,
}

/// Gauges that are refreshed at every scrape.
struct FleetGauges {
    devices: IntGaugeVec,
    drifted: IntGauge,
    updates: IntGaugeVec,
    campaigns: IntGaugeVec,
    journal_bytes: IntGauge,
    updated_pods: IntGauge,
    last_run: IntGauge,
    jobs_pending: IntGauge,
    jobs_successful: IntGauge,
    jobs: IntGauge,
}

impl Metrics {
    /// Registers all metrics. `dropped_log_lines` is read at every scrape.
    ///
    /// # Errors
    ///
    /// Fails only if two metrics have the same name.
    pub fn new(
        dropped_log_lines: DroppedLogLines,
        plugin_labels: PluginLabels,
    ) -> prometheus::Result<Self> {
        let registry = Registry::new();
        let seconds = |name: &str, help: &str, smallest: f64| {
            let buckets = prometheus::exponential_buckets(smallest, 4.0, 9)?;
            Ok::<_, prometheus::Error>(HistogramOpts::new(name, help).buckets(buckets))
        };
        let request_seconds = seconds(
            "tidegate_http_request_seconds",
            "Time to respond to requests.",
            0.0002,
        )?;
        let request_seconds = HistogramVec::new(request_seconds, &["api"])?;
        let request_seconds = register(&registry, request_seconds)?;
        let plugin_seconds = seconds(
            "tidegate_plugin_call_seconds",
            "Duration of plugin calls.",
            0.000_01,
        )?;
        Ok(Self {
            requests: register_counters(
                &registry,
                "tidegate_http_requests_total",
                "Requests by route and status.",
                &["method", "route", "status"],
            )?,
            ddi_seconds: request_seconds.with_label_values(&["ddi"]),
            rest_seconds: request_seconds.with_label_values(&["rest"]),
            refused_logins: register_counters_of::<LoginKind>(
                &registry,
                "tidegate_refused_logins_total",
                "Requests whose credential was not accepted, or that had none, by the kind of credential.",
                "kind",
            )?,
            tls_failures: register_counters_of::<TlsFailure>(
                &registry,
                "tidegate_tls_handshake_failures_total",
                "TLS handshakes that failed, by the reason.",
                "reason",
            )?,
            plugin_labels,
            plugin_calls: register_counters(
                &registry,
                "tidegate_plugin_calls_total",
                "Plugin calls; the outcome is `ok` or the failure class.",
                &["vendor", "name", "call", "outcome"],
            )?,
            plugin_fuel: register_counters(
                &registry,
                "tidegate_plugin_fuel_total",
                "Fuel consumed by plugins.",
                &["vendor", "name", "call"],
            )?,
            plugin_seconds: register(
                &registry,
                HistogramVec::new(plugin_seconds, &["vendor", "name", "call"])?,
            )?,
            plugin_files: register_gauges(
                &registry,
                "tidegate_plugin_files",
                "Components in the folder of plugins by state.",
                "state",
            )?,
            last_seen_seconds: register(
                &registry,
                Histogram::with_opts(seconds(
                    "tidegate_last_seen_write_seconds",
                    "Duration of transactions that write last-seen times of devices.",
                    0.1 / 64.0,
                )?)?,
            )?,
            clock_offset: register(
                &registry,
                Gauge::new(
                    "tidegate_clock_offset_seconds",
                    "How far the clock of the database is ahead of the server's.",
                )?,
            )?,
            fleet: FleetGauges::new(&registry)?,
            log_lines_dropped: register(
                &registry,
                IntCounter::new(
                    "tidegate_log_lines_dropped_total",
                    "Log lines that could not be written.",
                )?,
            )?,
            dropped_log_lines,
            registry,
        })
    }

    /// Counts a refused login.
    pub(crate) fn login_refused(&self, kind: LoginKind) {
        let counter = self.refused_logins.with_label_values(&[kind.as_str()]);
        counter.inc();
    }

    /// Counts a failed TLS handshake.
    pub(crate) fn tls_handshake_failed(&self, failure: TlsFailure) {
        let counter = self.tls_failures.with_label_values(&[failure.as_str()]);
        counter.inc();
    }

    /// Refreshes the fleet's gauges. If the database fails, they keep their last values.
    pub(crate) async fn refresh_fleet_gauges(&self, engine: &Engine) {
        match tenants::stats_of_all(engine.store(), engine.caches(), engine.now()).await {
            Ok(by_tenant) => self.fleet.update(&by_tenant),
            Err(error) => {
                tracing::warn!(error = %chain(&error), "cannot refresh fleet gauges");
            }
        }
    }

    /// Encodes all metrics in the Prometheus text format.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let dropped = (self.dropped_log_lines)();
        // Two scrapes at once may both see a difference; the next one sees none.
        self.log_lines_dropped
            .inc_by(dropped.saturating_sub(self.log_lines_dropped.get()));
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            tracing::error!(error = %chain(&error), "cannot encode metrics");
        }
        text
    }
}

impl Observer for Metrics {
    fn clock_measured(&self, offset_ms: i64) {
        self.clock_offset.set(offset_ms as f64 / 1000.0);
    }

    fn plugin_folder_scanned(&self, files: PluginFiles) {
        for (state, count) in [
            ("installed", files.installed),
            ("refused", files.refused),
            ("waiting", files.waiting),
        ] {
            let gauge = self.plugin_files.with_label_values(&[state]);
            gauge.set(count.try_into().unwrap_or(i64::MAX));
        }
    }

    fn last_seen_written(&self, duration: Duration) {
        self.last_seen_seconds.observe(duration.as_secs_f64());
    }

    fn plugin_called(
        &self,
        plugin: &PluginName,
        call: &'static str,
        failure: Option<&CallFailure>,
        fuel: u64,
        duration: Duration,
    ) {
        let is_named = plugin.is_built_in() || self.plugin_labels == PluginLabels::All;
        let (vendor, name) = if is_named {
            (plugin.vendor(), plugin.name())
        } else {
            (OTHER_PLUGINS, OTHER_PLUGINS)
        };
        let outcome = failure.map_or("ok", CallFailure::as_str);
        self.plugin_calls
            .with_label_values(&[vendor, name, call, outcome])
            .inc();
        self.plugin_fuel
            .with_label_values(&[vendor, name, call])
            .inc_by(fuel);
        self.plugin_seconds
            .with_label_values(&[vendor, name, call])
            .observe(duration.as_secs_f64());
    }
}

/// A request whose response will be counted, by its route.
pub(crate) struct RequestTimer {
    method: Method,
    started: Instant,
}

impl RequestTimer {
    pub(crate) fn start(request: &Request) -> Self {
        Self {
            method: request.method().clone(),
            started: Instant::now(),
        }
    }

    pub(crate) fn finish(self, route: &Route, response: &Response, metrics: &Metrics) {
        let seconds = if route.is_of_device() {
            &metrics.ddi_seconds
        } else {
            &metrics.rest_seconds
        };
        // A non-standard method must not become a label: clients could create any number of them.
        let method = match self.method.as_str() {
            standard @ ("GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS") => {
                standard
            }
            _ => "other",
        };
        metrics
            .requests
            .with_label_values(&[method, route.as_str(), response.status().as_str()])
            .inc();
        seconds.observe(self.started.elapsed().as_secs_f64());
    }
}

impl FleetGauges {
    fn new(registry: &Registry) -> prometheus::Result<Self> {
        let gauge_vec = |name, help, label| register_gauges(registry, name, help, label);
        let gauge = |name, help| register(registry, IntGauge::new(name, help)?);
        Ok(Self {
            devices: gauge_vec("tidegate_devices", "Devices by state.", "state")?,
            drifted: gauge(
                "tidegate_devices_drifted",
                "Devices that report another version than their last completed update installed.",
            )?,
            updates: gauge_vec("tidegate_updates", "Updates by status.", "status")?,
            campaigns: gauge_vec("tidegate_campaigns", "Campaigns by status.", "status")?,
            journal_bytes: gauge(
                "tidegate_journal_bytes",
                "Size of the journals of all campaigns.",
            )?,
            updated_pods: gauge("ota_updated_pods_total", "Completed updates.")?,
            last_run: gauge(
                "ota_last_run_timestamp_seconds",
                "Time of the last change of an update, in seconds since 1970.",
            )?,
            jobs_pending: gauge("ota_jobs_pending", "Open updates.")?,
            jobs_successful: gauge("ota_jobs_successful", "Completed updates.")?,
            jobs: gauge("ota_jobs_total", "Created updates.")?,
        })
    }

    fn update(&self, stats: &[Stats]) {
        let updates = sum_by_label(stats, |stats| &stats.updates_by_status);
        let drifted: u64 = stats.iter().map(|stats| stats.drifted_devices).sum();
        self.drifted.set(i64::try_from(drifted).unwrap_or(i64::MAX));
        let journals: u64 = stats.iter().map(|stats| stats.journal_bytes).sum();
        let journal_bytes = i64::try_from(journals).unwrap_or(i64::MAX);
        self.journal_bytes.set(journal_bytes);
        set_gauges(
            &self.devices,
            &sum_by_label(stats, |stats| &stats.devices_by_state),
        );
        set_gauges(&self.updates, &updates);
        let mut campaigns = sum_by_label(stats, |stats| &stats.campaigns_by_status);
        for status in <CampaignStatus as VariantNames>::VARIANTS {
            campaigns.entry(status).or_default();
        }
        set_gauges(&self.campaigns, &campaigns);
        let completed = updates
            .get(UpdateStatus::Completed.as_str())
            .copied()
            .unwrap_or(0);
        let is_open = |status: &str| status.parse().is_ok_and(UpdateStatus::is_open);
        let open = updates
            .iter()
            .filter(|(status, _)| is_open(status))
            .map(|(_, count)| count)
            .sum();
        let last_change = stats.iter().filter_map(|stats| stats.last_change).max();
        self.updated_pods.set(completed);
        self.jobs_successful.set(completed);
        self.jobs_pending.set(open);
        self.jobs.set(updates.values().sum());
        self.last_run
            .set(last_change.map_or(0, |Timestamp(millis)| millis / 1000));
    }
}

fn sum_by_label(
    stats: &[Stats],
    list: impl Fn(&Stats) -> &Vec<(String, u64)>,
) -> BTreeMap<&str, i64> {
    let mut sums = BTreeMap::new();
    for (name, count) in stats.iter().flat_map(list) {
        *sums.entry(name.as_str()).or_default() += i64::try_from(*count).unwrap_or(i64::MAX);
    }
    sums
}

fn set_gauges(gauges: &IntGaugeVec, counts: &BTreeMap<&str, i64>) {
    // A label without a count any more would keep its last value.
    gauges.reset();
    for (label, count) in counts {
        gauges.with_label_values(&[*label]).set(*count);
    }
}

/// Registers counters with every value of the label from the start, so that the first count is an increase.
fn register_counters_of<L>(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
) -> prometheus::Result<IntCounterVec>
where
    L: VariantArray + Named,
{
    let counters = register_counters(registry, name, help, &[label])?;
    for value in L::VARIANTS {
        counters.with_label_values(&[value.as_str()]);
    }
    Ok(counters)
}

fn register_counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> prometheus::Result<IntCounterVec> {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels)?)
}

fn register_gauges(
    registry: &Registry,
    name: &str,
    help: &str,
    label: &str,
) -> prometheus::Result<IntGaugeVec> {
    register(registry, IntGaugeVec::new(Opts::new(name, help), &[label])?)
}

fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    metric: C,
) -> prometheus::Result<C> {
    registry.register(Box::new(metric.clone()))?;
    Ok(metric)
}
