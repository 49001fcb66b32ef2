//! The built-in plugins of a server that comes after another one on the same database.

use std::sync::Arc;

use tidegate_core::{id::Digest, plugin::PluginKind};
use tidegate_engine::{
    BuiltIns, Engine, Error, Settings, campaigns, plugins::PluginChoice, ports::PageRequest,
};

use crate::engine_fixture::{EngineFixture, campaign_request, settings};

#[tokio::test]
async fn a_campaign_keeps_the_built_in_policy_of_an_earlier_server() {
    let fixture = EngineFixture::new(1).await;
    let firmware = fixture.add_firmware("1.1.0").await;
    let mut request = campaign_request(firmware);
    request.policies = Vec::new();
    let campaign = fixture.create(request.clone()).await;
    let earlier = Digest::of(b"hardware");
    let uses_earlier = |uses: &[tidegate_core::campaign::PluginUse]| {
        uses.iter().any(|policy| policy.revision == earlier)
    };
    assert!(uses_earlier(&campaign.spec.policies));

    // The next server has another build of it.
    let built_ins: BuiltIns = [
        ("hardware", Digest::of(b"a later build")),
        ("version-path", Digest::of(b"version-path")),
    ]
    .into_iter()
    .collect();
    let later = Arc::new(Engine::new(
        fixture.ports.clone(),
        Settings {
            built_ins,
            ..settings()
        },
    ));
    let ctx = fixture.ctx();
    let create =
        async |request| campaigns::create(&ctx, later.store(), later.plugins(), request).await;
    let errors = |refused: tidegate_engine::Result<_>| match refused {
        Err(Error::Invalid { errors, .. }) => {
            let paths = errors.into_iter();
            paths.map(|error| error.path).collect::<Vec<_>>()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(
        errors(create(request.clone()).await),
        ["policies"],
        "it is not installed"
    );
    request.policies = vec![PluginChoice {
        plugin: "hardware".to_owned(),
        revision: Some(earlier),
        config: "{}".to_owned(),
    }];
    assert_eq!(errors(create(request).await), ["policies.0.revision"]);

    let started = campaigns::start(
        &ctx,
        later.store(),
        later.caches(),
        later.plugins(),
        later.signals(),
        campaign.id,
    )
    .await
    .expect("the campaign starts");
    assert!(uses_earlier(&started.spec.policies));

    // Its calls are replayed with the earlier build.
    let page = PageRequest {
        limit: 500,
        offset: 0,
    };
    let journal = campaigns::journal(&ctx, later.store(), campaign.id, 0, page);
    let entries = journal.await.expect("a journal").items;
    let of_earlier = entries
        .iter()
        .filter(|entry| entry.revision == Some(earlier));
    let of_earlier: Vec<_> = of_earlier.collect();
    assert_eq!(of_earlier.len(), 1, "{entries:?}");
    for revision in [None, Some(earlier)] {
        let (store, plugins) = (later.store(), later.plugins());
        let (id, seq) = (campaign.id, of_earlier[0].seq);
        let replay = campaigns::replay(&ctx, store, plugins, id, seq, revision).await;
        let replay = replay.expect("a replay");
        assert_eq!(replay.recorded_fuel, of_earlier[0].fuel);
    }
    let replayed = fixture.sandbox.replayed.lock().clone();
    assert_eq!(replayed, [earlier, earlier]);
}

#[tokio::test]
async fn a_server_without_built_in_plugins_lets_nothing_pass() {
    let fixture = EngineFixture::new(1).await;
    let firmware = fixture.add_firmware("1.1.0").await;
    // Uploaded, and called like a default policy.
    fixture
        .add_plugin("hardware", PluginKind::Compatibility)
        .await;
    let without = Engine::new(fixture.ports.clone(), Settings::default());
    let mut request = campaign_request(firmware);
    request.policies = Vec::new();
    let ctx = fixture.ctx();
    let refused =
        campaigns::create(&ctx, without.store(), without.plugins(), request.clone()).await;
    let Err(Error::Invalid { errors, .. }) = refused else {
        panic!("{refused:?}");
    };
    assert!(
        errors[0]
            .message
            .contains("tidegate/hardware: this default policy is not installed")
    );
    request.allow_incompatible = true;
    let created = campaigns::create(&ctx, without.store(), without.plugins(), request).await;
    let campaign = created.expect("it asks no policy");
    assert_eq!(campaigns::warnings(&campaign).len(), 1);
}
