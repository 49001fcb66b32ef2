//! Start and ticks of a campaign: the engine in this process, on a real database, called directly.

use std::{collections::BTreeMap, time::Duration, time::Instant};

use anyhow::{Context as _, Result, bail};
use futures::future::try_join_all;
use tidegate::{
    app::{AppContext, Environment},
    config::Config,
};
use tidegate_core::{
    campaign::{Priority, Targets},
    device::{AttributeMode, AttributeNames},
    firmware::FirmwareDetails,
    id::{FirmwareId, TenantId},
    update::{SuccessCriteria, UpdateOptions},
};
use tidegate_engine::{
    Actor, Authorized, Ctx, Engine, Operator, Publisher,
    campaigns::{self, CampaignRequest},
    plugins::{self, PluginChoice},
    ports::{DeviceEvent, DeviceReport, NewFirmware, NewModule, ReportedAttributes, RunRef},
    tenants::{self, DEFAULT_TENANT},
};

use crate::{
    Bench,
    database::DatabaseKind,
    disk,
    process::create_empty_dir,
    report::{Figure, median, quantile},
    sandbox, tidegate as server,
};

pub(crate) async fn measure(bench: &Bench, kind: DatabaseKind) -> Result<Vec<Figure>> {
    let (many, few) = (bench.size(100_000, 10_000), 1_000);
    let fixture = EngineFixture::open(bench, kind).await?;
    fixture.create_devices("large", many).await?;
    fixture.create_devices("small", few).await?;

    let mut starts = Vec::new();
    let mut running = None;
    // The last campaign stays running; the others are cancelled, which frees their devices.
    for round in 0..bench.size(3, 1) {
        if let Some((run, _)) = running {
            fixture.cancel(run).await?;
        }
        let started = fixture.start("large", round, many).await?;
        starts.push(started.1);
        running = Some(started);
    }
    let (large, _) = running.context("no campaign was started")?;
    let (small, _) = fixture.start("small", 0, few).await?;
    let (mut at_large, mut at_small) = (Vec::new(), Vec::new());
    for _ in 0..bench.size(200, 50) {
        at_large.push(fixture.tick(large).await?);
        at_small.push(fixture.tick(small).await?);
    }
    let sync = disk::sync_time(&bench.work, bench.time(2.0, 0.5))?;
    fixture.app.store.close().await;
    Ok(figures(
        kind, many, few, &starts, &at_large, &at_small, sync,
    ))
}

fn figures(
    kind: DatabaseKind,
    many: usize,
    few: usize,
    starts: &[StartTimes],
    at_large: &[f64],
    at_small: &[f64],
    sync: f64,
) -> Vec<Figure> {
    let of = |step: fn(&StartTimes) -> f64| median(starts.iter().map(step));
    let p95 = |times: &[f64]| quantile(times.iter().copied(), 0.95);
    let middle = |times: &[f64]| median(times.iter().copied());
    let kind = kind.name();
    vec![
        Figure::new(
            format!(
                "start of a campaign on {many} devices, {kind}: until the first wave is offered"
            ),
            of(|steps| steps.start + steps.offer),
            "s",
        )
        .of_which("selecting, planning and storing", of(|steps| steps.start))
        .of_which(
            format!("offering its {} devices the update", many / 10),
            of(|steps| steps.offer),
        )
        .at_most(0.7),
        Figure::new(
            format!("tick of a running campaign, {kind}, {many} devices"),
            middle(at_large),
            "ms",
        )
        .compared_to(format!("{few} devices"), middle(at_small), "ms")
        .note("strategy canary and policy failure-rate, each call with its record in the journal"),
        Figure::new(
            format!("tick of a running campaign, {kind}, {many} devices: p95"),
            p95(at_large),
            "ms",
        )
        .compared_to("one fdatasync", sync, "ms")
        .compared_to(format!("{few} devices"), p95(at_small), "ms")
        .ratio_at_most(3.0),
    ]
}

/// Durations of the start of a campaign, in seconds.
#[derive(Debug, Clone, Copy)]
struct StartTimes {
    /// Until the campaign, its waves and their members are stored.
    start: f64,
    /// Until every device of the first wave has its update.
    offer: f64,
}

/// An engine without background loops.
struct EngineFixture {
    app: AppContext,
    tenant: TenantId,
    firmware: FirmwareId,
}

impl EngineFixture {
    async fn open(bench: &Bench, kind: DatabaseKind) -> Result<Self> {
        let name = format!("campaigns_{}", kind.name().to_lowercase());
        let data_dir = bench.work.join(&name);
        create_empty_dir(&data_dir)?;
        server::share_compiled_code(bench, &data_dir)?;
        let mut config = Config {
            data_dir,
            components: Some(bench.components.clone()),
            ..Config::default()
        };
        if kind == DatabaseKind::Postgres {
            config.database.url = Some(bench.postgres(&format!("bench_{name}")).await?);
        }
        let environment = Environment {
            child_command: sandbox::child_command()?,
            ..Environment::default()
        };
        let app = AppContext::open(&config, environment).await?;
        tenants::bootstrap(&app.engine).await?;
        plugins::install_folder(&app.engine, &bench.components).await?;
        let tenant = tenants::by_name(app.engine.store(), DEFAULT_TENANT).await?;
        let tenant = tenant.context("the default tenant is missing")?.id;
        let ctx = app
            .engine
            .trusted_ctx::<Publisher>(tenant, Actor::command_line());
        let firmware = firmware(&ctx, &app.engine).await?;
        Ok(Self {
            app,
            tenant,
            firmware,
        })
    }

    fn ctx(&self) -> Authorized<Operator> {
        let actor = Actor::command_line();
        self.app.engine.trusted_ctx(self.tenant, actor)
    }

    /// Creates devices of a model, in three hardware revisions, on version 1.0.0.
    async fn create_devices(&self, model: &str, size: usize) -> Result<()> {
        let (engine, tenant) = (&self.app.engine, self.tenant);
        let numbers: Vec<usize> = (0..size).collect();
        for part in numbers.chunks(1024) {
            let one = async |number: &usize| {
                let id = format!("{model}-{number:06}");
                let now = engine.now();
                let view = engine.store().register(tenant, &id, now).await?;
                let data = [
                    ("hw_model", model.to_owned()),
                    ("hw_revision", format!("{}.0", number % 3 + 1)),
                    ("sw_version", "1.0.0".to_owned()),
                ];
                let data = data.map(|(name, value)| (name.to_owned(), Some(value)));
                let attributes = ReportedAttributes {
                    mode: AttributeMode::Merge,
                    data: BTreeMap::from(data),
                    names: AttributeNames::default(),
                };
                let report = DeviceReport {
                    tenant,
                    device: view.device,
                    by: None,
                    read_at: None,
                    at: now,
                    event: DeviceEvent::Attributes(attributes),
                };
                engine.store().report(report).await?;
                anyhow::Ok(())
            };
            try_join_all(part.iter().map(one)).await?;
        }
        Ok(())
    }

    /// Starts a campaign on all devices of a model.
    async fn start(&self, model: &str, round: usize, size: usize) -> Result<(RunRef, StartTimes)> {
        let (engine, ctx) = (&*self.app.engine, self.ctx());
        let request = self.campaign_request(model, round);
        let campaign = campaigns::create(&ctx, engine.store(), engine.plugins(), request)
            .await?
            .id;
        let run = RunRef {
            tenant: ctx.tenant,
            campaign,
        };
        let began = Instant::now();
        campaigns::start(
            &ctx,
            engine.store(),
            engine.caches(),
            engine.plugins(),
            engine.signals(),
            campaign,
        )
        .await?;
        let start = began.elapsed();
        let first = (size / 10) as u64;
        for _ in 0..100 {
            campaigns::tick(engine, run).await?;
            let elapsed = began.elapsed();
            let waves = engine.store().waves(ctx.tenant, campaign).await?;
            if waves.first().is_some_and(|wave| wave.admitted == first) {
                let steps = StartTimes {
                    start: start.as_secs_f64(),
                    offer: elapsed.saturating_sub(start).as_secs_f64(),
                };
                return Ok((run, steps));
            }
        }
        bail!("the first wave was not offered the update")
    }

    async fn cancel(&self, run: RunRef) -> Result<()> {
        let (engine, ctx) = (&*self.app.engine, self.ctx());
        campaigns::cancel(
            &ctx,
            engine.store(),
            engine.signals(),
            run.campaign,
            "measured",
        )
        .await?;
        for _ in 0..20 {
            campaigns::tick(engine, run).await?;
        }
        Ok(())
    }

    /// Ticks a campaign once. Returns the duration in milliseconds.
    async fn tick(&self, run: RunRef) -> Result<f64> {
        let began = Instant::now();
        campaigns::tick(&self.app.engine, run).await?;
        Ok(began.elapsed().as_secs_f64() * 1e3)
    }

    fn campaign_request(&self, model: &str, round: usize) -> CampaignRequest {
        let choice = |plugin: &str, config: &str| PluginChoice {
            plugin: plugin.to_owned(),
            revision: None,
            config: config.to_owned(),
        };
        CampaignRequest {
            name: format!("{model} {round}"),
            description: String::new(),
            firmware: self.firmware,
            targets: Targets {
                filter: Some(format!("hw_model=={model}").into()),
                ..Targets::default()
            },
            allow_beta: false,
            // As revisions without default policies do, so that the figures can be compared.
            allow_incompatible: true,
            strategy: choice("canary", r#"{"canary_percentage":10}"#),
            policies: vec![choice("failure-rate", "{}")],
            priority: Priority::Normal,
            max_concurrent_updates: None,
            options: UpdateOptions::forced(Duration::from_hours(24)),
            requires_approval: false,
            auto_rollback: true,
            failure_threshold_percent: 20,
            success_criteria: SuccessCriteria::Reported,
        }
    }
}

async fn firmware(ctx: &Ctx, engine: &Engine) -> Result<FirmwareId> {
    let firmware = NewFirmware {
        details: FirmwareDetails {
            name: "edge-os".to_owned(),
            version: "2.0.0".to_owned(),
            ..FirmwareDetails::default()
        },
        modules: vec![NewModule {
            part: "os".to_owned(),
            name: "edge-os".to_owned(),
            version: "2.0.0".to_owned(),
            artifacts: Vec::new(),
            ..NewModule::default()
        }],
        created_by: "bench".to_owned(),
        created_at: engine.now(),
    };
    Ok(engine.store().create_firmware(ctx, firmware).await?)
}
