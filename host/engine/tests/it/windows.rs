use std::{sync::Arc, time::Duration};

use tidegate_core::{
    campaign::CampaignStatus,
    feedback::Finished,
    plugin::{HealthVerdict, Outcome, RollBack, Scope},
    update::Purpose,
    window::{MaintenanceWindow, WindowSpec},
};
use tidegate_engine::{
    campaigns::{self, Draft},
    ports::UpdateRow,
};

use crate::{
    scripted::{decision, health},
    world::{World, draft},
};

const HOUR: Duration = Duration::from_hours(1);

/// A world begins a quarter past midnight.
fn from_two_to_three(draft: Draft) -> Draft {
    let window = MaintenanceWindow::new(WindowSpec {
        schedule: "0 2 * * *".to_owned(),
        duration: HOUR,
        timezone: "UTC".to_owned(),
        prefetch: false,
    });
    let mut draft = draft;
    draft.terms.window = Some(Arc::new(window.expect("a good window")));
    draft
}

async fn reasons(world: &World, row: &UpdateRow) -> String {
    let explained = campaigns::explain(&world.engine, &world.actor, &row.device_id).await;
    explained.expect("it is explained")[0].reasons.join("; ")
}

#[tokio::test]
async fn a_device_that_waits_for_its_window_is_explained_and_not_late() {
    let world = World::new(10).await;
    let draft = from_two_to_three(draft(world.put_firmware("1.1.0").await));
    let id = world.started(draft).await;
    world
        .sandbox
        .decides(|_| Ok(decision(&[(0, 1)], Outcome::Proceed)));
    world.tick(id).await;
    let row = &world.updates(id).await[0];
    let waits = "its maintenance window is closed, and opens at 1970-01-01 02:00:00 UTC (UTC)";
    let said = reasons(&world, row).await;
    assert!(said.contains(waits), "{said}");

    world.clock.pass(2 * HOUR);
    let said = reasons(&world, row).await;
    assert!(!said.contains("window"), "it is open: {said}");
    assert_eq!(world.counts(id).await.timed_out, 0);
    world.answer(id, Finished::Success).await;
    assert_eq!(world.counts(id).await.completed, 1);
}

#[tokio::test]
async fn the_way_back_waits_for_no_window() {
    let world = World::new(10).await;
    let all = &[(0, 1), (1, 2), (2, 7)];
    world
        .sandbox
        .decides(|_| Ok(decision(all, Outcome::Proceed)));
    let first = world
        .started(draft(world.put_firmware("1.1.0").await))
        .await;
    world.tick(first).await;
    world.answer(first, Finished::Success).await;
    let draft = from_two_to_three(draft(world.put_firmware("1.2.0").await));
    let second = world.started(draft).await;
    world.tick(second).await;
    world.clock.pass(2 * HOUR);
    world.answer(second, Finished::Success).await;

    world.clock.pass(2 * HOUR);
    world.sandbox.evaluates(move |_| {
        Ok(health(HealthVerdict::RollBack(RollBack {
            scope: Scope::Everything,
            reason: "the pumps stand still".to_owned(),
        })))
    });
    world.tick(second).await;
    world.tick(second).await;
    assert_eq!(world.status(second).await, CampaignStatus::RollingBack);
    let back = world.open(second).await;
    assert_eq!(back.len(), 10);
    for row in back {
        let purpose = row.update.campaign.map(|(_, purpose)| purpose);
        assert_eq!(purpose, Some(Purpose::Return));
        assert_eq!(row.update.progress.terms.window, None);
    }
}
