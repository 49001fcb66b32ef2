//! Strategies that assign devices to waves, page by page.

use std::sync::Arc;

use parking_lot::Mutex;
use tidegate_core::{
    campaign::CampaignStatus,
    feedback::Finished,
    id::CampaignId,
    order,
    plugin::{DecisionOutcome, Members, UNASSIGNED},
};
use tidegate_engine::{
    Error, campaigns,
    ports::{CallFailure, EntryKind},
};

use crate::{
    engine_fixture::{EngineFixture, campaign_request, plan},
    scripted_sandbox::decision,
};

/// The rows of a page.
const ROWS: usize = 2;
/// The wave of each device, in the campaign's stable order.
const ASSIGNED: [u32; 5] = [1, 0, UNASSIGNED, 1, 0];

/// Five devices, and a strategy of two custom waves and the rest.
async fn fixture() -> EngineFixture {
    let fixture = EngineFixture::new(ASSIGNED.len()).await;
    let waves = plan(&[Members::Custom, Members::Custom, Members::Rest]);
    *fixture.sandbox.plan.lock() = Box::new(move |_| Ok(waves.clone()));
    fixture.restarted_with(|settings| settings.assign_rows = ROWS)
}

#[tokio::test]
async fn pages_of_devices_are_assigned_one_after_the_other() {
    let fixture = fixture().await;
    let places = Arc::<Mutex<Vec<u32>>>::default();
    let seen = Arc::clone(&places);
    fixture.sandbox.assigns(move |input| {
        let start = input.page.number as usize * ROWS;
        let page = &ASSIGNED[start..ASSIGNED.len().min(start + ROWS)];
        assert_eq!((input.page.total, input.waves.len()), (3, 3));
        assert_eq!(
            (input.group.len(), input.class.len()),
            (page.len(), page.len())
        );
        let mut places = seen.lock();
        assert_eq!(places.len(), start, "in order");
        places.extend(&input.place);
        Ok(page.to_vec())
    });
    let id = fixture.start_campaign().await;

    let ordered = in_stable_order(id);
    let expected: Vec<_> = ordered.iter().map(|(place, _)| *place).collect();
    assert_eq!(*places.lock(), expected);
    let journal = fixture.journal(id).await;
    let kinds: Vec<_> = journal.iter().map(|entry| entry.kind).collect();
    let assigned = kinds.iter().filter(|kind| **kind == EntryKind::Assign);
    assert_eq!(assigned.count(), 3, "{kinds:?}");

    // The waves are released one after the other.
    let devices_of = |wave: u32| -> Vec<&str> {
        let assigned = ordered.iter().zip(ASSIGNED);
        let of_wave = assigned.filter(|(_, assigned)| *assigned == wave);
        of_wave.map(|((_, device), _)| &**device).collect()
    };
    let mut offered = 0;
    for (wave, assigned) in [(0, 0), (1, 1), (2, UNASSIGNED)] {
        let devices = devices_of(assigned);
        let release = (wave, devices.len() as u64);
        fixture
            .sandbox
            .decides(move |_| Ok(decision(&[release], DecisionOutcome::Proceed)));
        fixture.tick(id).await;
        let updates = fixture.updates(id).await;
        let mut found: Vec<_> = updates[offered..]
            .iter()
            .map(|row| &*row.device_id)
            .collect();
        let mut expected = devices;
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(found, expected, "wave {wave}");
        offered = updates.len();
        fixture.report_result(id, Finished::Success).await;
    }
}

#[tokio::test]
async fn a_campaign_does_not_start_if_a_page_is_not_assigned() {
    let fixture = fixture().await;
    fixture.sandbox.assigns(|input| match input.page.number {
        2 => Err(CallFailure::PluginError("a bug".to_owned())),
        _ => Ok(vec![0; input.class.len()]),
    });
    let request = campaign_request(fixture.add_firmware("1.1.0").await);
    let id = fixture.create(request).await.id;
    let engine = &fixture.engine;
    let (ctx, store, caches) = (fixture.ctx(), engine.store(), engine.caches());
    let (plugins, signals) = (engine.plugins(), engine.signals());
    let started = campaigns::start(&ctx, store, caches, plugins, signals, id).await;
    let Err(Error::Conflict { code, message, .. }) = started else {
        panic!("{started:?}");
    };
    assert_eq!(code, "plan_failed");
    assert!(
        message.contains("acme/waves") && message.contains("a bug"),
        "{message}"
    );
    assert_eq!(fixture.status(id).await, CampaignStatus::Created);
}

/// The devices in the campaign's stable order, with their places in it.
fn in_stable_order(id: CampaignId) -> Vec<(u32, String)> {
    let seed = order::seed(id);
    let ids = (0..ASSIGNED.len()).map(|n| format!("device-{n:03}"));
    let mut ordered: Vec<_> = ids.map(|id| (order::order_key(seed, &id), id)).collect();
    ordered.sort_unstable();
    let place = |key: u64| u32::try_from(key >> 32).expect("32 bits");
    ordered
        .into_iter()
        .map(|(key, id)| (place(key), id))
        .collect()
}
