//! The server's own absence, a jump of its time, and refused reports: none of them is the silence of devices.

use std::time::Duration;

use tidegate_core::{
    campaign::CampaignStatus,
    device::AttributeMode,
    feedback::Finished,
    id::CampaignId,
    plugin::DecisionOutcome,
    polling::PollingOverride,
    settings::TenantSettings,
    update::{UpdateEvent, UpdateStatus},
};
use tidegate_engine::{
    Admin, Authorized, Engine, Error, Role, Settings,
    campaigns::{self, CampaignRequest},
    devices::{self, Caller, DeviceWait},
    ports::{DeviceChange, Enrolment, RunRef},
    tenants,
};

use crate::{
    engine_fixture::{EngineFixture, campaign_request, feedback},
    scripted_sandbox::decision,
};

const HEARTBEAT: Duration = Duration::from_secs(10);
/// Two polling intervals of the default settings.
const GRACE: Duration = Duration::from_mins(10);

/// A campaign with ten devices that are being updated since ten minutes, of thirty; it is rolled back if half of them
/// fail.
async fn in_flight() -> (EngineFixture, CampaignId) {
    let fixture = EngineFixture::new(10).await;
    fixture.clock.become_wall_clock();
    let request = CampaignRequest {
        failure_threshold_percent: 50,
        ..campaign_request(fixture.add_firmware("1.1.0").await)
    };
    let id = fixture.create_and_start(request).await;
    fixture.sandbox.decides(|_| {
        Ok(decision(
            &[(0, 1), (1, 2), (2, 7)],
            DecisionOutcome::Proceed,
        ))
    });
    fixture.tick(id).await;
    pass(&fixture, &fixture.engine, Duration::from_mins(10)).await;
    assert_eq!(fixture.counts(id).await.offered, 10);
    (fixture, id)
}

/// Starts another server on the same database.
async fn start(fixture: &EngineFixture, settings: Settings) -> Engine {
    let engine = Engine::new(fixture.ports.clone(), settings);
    engine.synchronize_clock().await;
    engine
}

/// Lets the time pass for a server that runs.
async fn pass(fixture: &EngineFixture, server: &Engine, time: Duration) {
    for _ in 0..time.as_secs() / HEARTBEAT.as_secs() {
        fixture.clock.advance(HEARTBEAT);
        campaigns::expire_batch(server).await.expect("a round");
    }
}

/// Checks that no update has timed out, that every success is taken, and that the campaign goes on.
async fn check_all_succeed(fixture: &EngineFixture, server: &Engine, id: CampaignId) {
    assert_eq!(campaigns::expire_batch(server).await.expect("a round"), 0);
    pass(fixture, server, GRACE).await;
    assert_eq!(fixture.counts(id).await.timed_out, 0);
    fixture.report_result(id, Finished::Success).await;
    fixture.tick(id).await;
    assert_eq!(fixture.counts(id).await.completed, 10);
    assert_eq!(fixture.status(id).await, CampaignStatus::InProgress);
}

/// Checks that silent devices time out after the twenty minutes that they had left.
async fn check_silence_counts(fixture: &EngineFixture, server: &Engine, id: CampaignId) {
    pass(fixture, server, Duration::from_mins(19)).await;
    assert_eq!(fixture.counts(id).await.timed_out, 0);
    pass(fixture, server, Duration::from_mins(2)).await;
    assert_eq!(fixture.counts(id).await.timed_out, 10);
    fixture.tick(id).await;
    assert_ne!(fixture.status(id).await, CampaignStatus::InProgress);
}

#[tokio::test]
async fn the_servers_absence_times_out_no_update() {
    let (fixture, id) = in_flight().await;
    fixture.clock.advance(Duration::from_hours(2));
    let restarted = start(&fixture, Settings::default()).await;
    check_all_succeed(&fixture, &restarted, id).await;
}

#[tokio::test]
async fn devices_that_stay_silent_after_the_absence_time_out() {
    let (fixture, id) = in_flight().await;
    fixture.clock.advance(Duration::from_hours(2));
    let restarted = start(&fixture, Settings::default()).await;
    campaigns::expire_batch(&restarted).await.expect("a round");
    pass(&fixture, &restarted, GRACE).await;
    check_silence_counts(&fixture, &restarted, id).await;
}

#[tokio::test]
async fn a_gap_of_the_loop_or_a_jump_of_the_time_times_out_no_update() {
    let (fixture, id) = in_flight().await;
    fixture.clock.advance(Duration::from_hours(2));
    check_all_succeed(&fixture, &fixture.engine, id).await;
}

#[tokio::test]
async fn a_time_in_which_reports_are_refused_times_out_no_update() {
    let (fixture, id) = in_flight().await;
    // The database is reached by the loop, not by the devices: no report may wait.
    let settings = Settings {
        waiting_reports: 0,
        ..Settings::default()
    };
    let busy = start(&fixture, settings).await;
    campaigns::expire_batch(&busy).await.expect("a round");
    pass(&fixture, &busy, GRACE).await;
    let caller = Caller {
        tenant: fixture.tenant(),
        device_id: fixture.updates(id).await.remove(0).device_id,
        may_register: false,
        enrolment: Enrolment::default(),
        address: None,
        wait: DeviceWait::new(busy.settings().device_wait),
    };
    for _ in 0..60 {
        let data = [("a".to_owned(), Some("b".to_owned()))].into();
        let refused = devices::report_attributes(&caller, &busy, AttributeMode::Merge, data);
        refused.await.expect_err("no report may wait");
        // As the device API does.
        busy.note_refused_report();
        pass(&fixture, &busy, Duration::from_mins(1)).await;
    }
    let open = fixture.open(id).await;
    assert!(
        open.iter()
            .all(|row| row.update.state.status == UpdateStatus::Offered)
    );
    check_all_succeed(&fixture, &fixture.engine, id).await;
}

#[tokio::test]
async fn a_report_that_is_refused_for_itself_stops_no_clock() {
    let (fixture, id) = in_flight().await;
    for _ in 0..21 {
        // The database takes the reports of others.
        fixture.engine.note_refused_report();
        pass(&fixture, &fixture.engine, Duration::from_mins(1)).await;
    }
    assert_eq!(fixture.counts(id).await.timed_out, 10);
}

#[tokio::test]
async fn a_server_that_does_not_know_the_time_of_the_database_decides_nothing() {
    let (fixture, id) = in_flight().await;
    let ahead = Engine::new(fixture.ports.clone(), Settings::default());
    assert!(ahead.unhealthy_reason().is_some());
    let run = RunRef {
        tenant: fixture.tenant(),
        campaign: id,
    };
    fixture.clock.advance(Duration::from_mins(21));
    let calls = fixture.calls.lock().len();
    assert!(!ahead.keep_reporting_clock().await.expect("no heartbeat"));
    assert_eq!(campaigns::expire_batch(&ahead).await.expect("a round"), 0);
    campaigns::tick(&ahead, run).await.expect("a tick");
    assert_eq!(fixture.calls.lock().len(), calls, "no plugin was asked");
    let store = fixture.engine.store();
    let clock = store.reporting_clock().await.expect("the clock");
    assert!(
        !clock.has_recent_beat(fixture.engine.now()),
        "no heartbeat was recorded by an unknown time"
    );

    ahead.synchronize_clock().await;
    assert_eq!(ahead.unhealthy_reason(), None);
    campaigns::tick(&ahead, run).await.expect("a tick");
    assert!(fixture.calls.lock().len() > calls, "the lease was free");
}

#[tokio::test]
async fn the_failure_ceiling_is_judged_on_late_successes() {
    let (fixture, id) = in_flight().await;
    // The devices are silent for half an hour, and then they report success.
    pass(&fixture, &fixture.engine, Duration::from_mins(21)).await;
    assert_eq!(fixture.counts(id).await.timed_out, 10);
    for row in fixture.updates(id).await {
        let success = UpdateEvent::Feedback(feedback(Finished::Success));
        fixture.report(&row, success).await;
    }
    fixture.tick(id).await;
    let counts = fixture.counts(id).await;
    assert_eq!((counts.completed, counts.timed_out), (10, 0));
    assert_eq!(fixture.status(id).await, CampaignStatus::InProgress);
}

#[tokio::test]
async fn the_clock_stands_still_for_twice_the_longest_polling_interval() {
    const LONGEST: Duration = Duration::from_hours(2);

    for of_a_device in [false, true] {
        let (fixture, id) = in_flight().await;
        // The interval of a device without an update does not matter.
        let (store, tenant, now) = (
            fixture.engine.store(),
            fixture.tenant(),
            fixture.engine.now(),
        );
        store
            .register(tenant, "idle", now)
            .await
            .expect("registered");
        set_interval(&fixture, "idle", 5 * LONGEST).await;
        if of_a_device {
            set_interval(&fixture, "device-007", LONGEST).await;
        } else {
            let admin = fixture.ctx_of("op", Role::Admin);
            let admin: Authorized<Admin> = Authorized::new(admin).expect("an administrator");
            let rpi4 = PollingOverride::new("hw_model==rpi4".to_owned(), LONGEST, None);
            let overrides = vec![rpi4.expect("a selector")];
            let change = |mut settings: TenantSettings| {
                settings.polling.overrides = overrides.clone();
                Ok::<_, Error>(settings)
            };
            let caches = fixture.engine.caches();
            let changed = tenants::change_settings(&admin, store, caches, change);
            changed.await.expect("valid settings");
        }
        fixture.clock.advance(Duration::from_hours(2));
        let restarted = start(&fixture, Settings::default()).await;
        campaigns::expire_batch(&restarted).await.expect("a round");
        pass(&fixture, &restarted, 2 * LONGEST).await;
        check_silence_counts(&fixture, &restarted, id).await;
    }
}

async fn set_interval(fixture: &EngineFixture, device_id: &str, interval: Duration) {
    let change = DeviceChange {
        polling_interval: Some(Some(interval)),
        ..DeviceChange::at(fixture.engine.now())
    };
    let (ctx, store) = (fixture.ctx(), fixture.engine.store());
    let changed = store.change_device(&ctx, device_id, change).await;
    changed.expect("a device");
}
