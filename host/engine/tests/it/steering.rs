use tidegate_core::{
    campaign::{CampaignStatus, Targets},
    plugin::{OperatorActKind, Outcome},
};
use tidegate_engine::{Error, campaigns, ports::Role, tenants::Actor};

use crate::{
    scripted::decision,
    world::{World, draft},
};

#[tokio::test]
async fn everything_wrong_with_a_campaign_is_said_at_once() {
    let world = World::new(1).await;
    let mut draft = draft(tidegate_core::id::FirmwareId(99));
    draft.name = String::new();
    draft.targets = Targets {
        filter: Some("colour==red".to_owned()),
        ..Targets::default()
    };
    draft.strategy.plugin = "calm".to_owned();
    draft.policies[0].plugin = "nowhere".to_owned();
    let error = campaigns::create(&world.engine, &world.actor, draft)
        .await
        .expect_err("it is bad");
    let Error::Invalid { errors, .. } = error else {
        panic!("{error:?}")
    };
    let paths: Vec<&str> = errors.iter().map(|error| error.path.as_str()).collect();
    assert_eq!(
        paths,
        [
            "/name",
            "/target_filter",
            "/firmware_id",
            "/policies/0/plugin",
            "/strategy/plugin"
        ]
    );
}

#[tokio::test]
async fn approval_comes_from_somebody_else() {
    let world = World::new(1).await;
    let mut draft = draft(world.put_firmware("1.1.0").await);
    draft.requires_approval = true;
    let id = world.create(draft).await.id;
    let code = |error: Error| match error {
        Error::Conflict { code, .. } | Error::Forbidden { code, .. } => code,
        other => panic!("{other:?}"),
    };
    let start = campaigns::start(&world.engine, &world.actor, id).await;
    assert_eq!(code(start.expect_err("nobody approved")), "not_approved");
    let own = campaigns::approve(&world.engine, &world.actor, id, String::new()).await;
    assert_eq!(code(own.expect_err("it is their own")), "own_campaign");
    let viewer = Actor {
        user: "stranger".to_owned(),
        role: Role::Viewer,
        ..world.actor.clone()
    };
    let no_role = campaigns::approve(&world.engine, &viewer, id, String::new()).await;
    assert_eq!(code(no_role.expect_err("they may not")), "role_missing");
    let approver = Actor {
        user: "maker".to_owned(),
        role: Role::Approver,
        ..world.actor.clone()
    };
    campaigns::approve(&world.engine, &approver, id, "looks good".to_owned())
        .await
        .expect("somebody else may");
    campaigns::start(&world.engine, &world.actor, id)
        .await
        .expect("now it starts");
}

#[tokio::test]
async fn a_paused_campaign_asks_nobody_and_a_gate_is_passed_once() {
    let world = World::new(3).await;
    let id = world
        .started(draft(world.put_firmware("1.1.0").await))
        .await;
    campaigns::pause(&world.engine, &world.actor, id, "lunch")
        .await
        .expect("it pauses");
    world
        .sandbox
        .decides(|_| panic!("a paused campaign asks nobody"));
    world.tick(id).await;
    assert_eq!(world.status(id).await, CampaignStatus::Paused);
    campaigns::resume(&world.engine, &world.actor, id)
        .await
        .expect("it resumes");

    world.sandbox.decides(|observation| {
        let acts: Vec<OperatorActKind> = observation.operator.iter().map(|act| act.kind).collect();
        assert_eq!(
            acts[acts.len() - 2..],
            [OperatorActKind::Paused, OperatorActKind::Resumed]
        );
        Ok(decision(&[(0, 1)], Outcome::AwaitOperator(1)))
    });
    world.tick(id).await;
    campaigns::advance(&world.engine, &world.actor, id, 1)
        .await
        .expect("the operator says go on");
    world.sandbox.decides(|observation| {
        assert!(observation.waves[1].advanced_at.is_some());
        Ok(decision(&[(1, 2)], Outcome::Proceed))
    });
    world.tick(id).await;
    assert_eq!(world.updates(id).await.len(), 3);
    let again = campaigns::advance(&world.engine, &world.actor, id, 1)
        .await
        .expect_err("it is open");
    assert!(matches!(
        again,
        Error::Conflict {
            code: "gate_passed",
            ..
        }
    ));
}

#[tokio::test]
async fn another_tenant_sees_nothing() {
    let world = World::new(1).await;
    let id = world
        .started(draft(world.put_firmware("1.1.0").await))
        .await;
    let other = world
        .engine
        .store()
        .create_tenant("OTHER", world.engine.now())
        .await
        .expect("a tenant");
    let stranger = Actor {
        tenant: other.id,
        ..world.actor.clone()
    };
    let engine = &world.engine;
    assert!(matches!(
        campaigns::get(engine, &stranger, id).await,
        Err(Error::NotFound { .. })
    ));
    assert!(matches!(
        campaigns::pause(engine, &stranger, id, "").await,
        Err(Error::NotFound { .. })
    ));
    assert!(matches!(
        campaigns::explain(engine, &stranger, "device-000").await,
        Err(Error::NotFound { .. })
    ));
    assert_eq!(world.status(id).await, CampaignStatus::InProgress);
}
