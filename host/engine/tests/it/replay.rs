use tidegate_engine::{
    campaigns,
    ports::{EntryKind, PageRequest},
};

use crate::engine_fixture::EngineFixture;

#[tokio::test]
async fn fuel_is_compared_only_if_it_was_counted_by_the_same_costs() {
    let fixture = EngineFixture::new(1).await;
    let id = fixture.start_campaign().await;
    fixture.tick(id).await;
    let (ctx, store) = (fixture.ctx(), fixture.engine.store());
    let page = PageRequest {
        limit: 500,
        offset: 0,
    };
    let journal = campaigns::journal(&ctx, store, id, 0, page).await;
    let entries = journal.expect("a journal").items;
    let decided = entries.iter().find(|entry| entry.kind == EntryKind::Decide);
    let seq = decided.expect("a decision").seq;
    let recorded = store.recorded_call(ctx.tenant, id, seq).await;
    let output = recorded.expect("a database").expect("a call").output;
    for (output, fuel, costs, same, compares_fuel) in [
        (&output[..], 1000, 1, true, true),
        (&output[..], 999, 1, false, true),
        (&output[..], 999, 2, true, false),
        (b"another", 1000, 2, false, false),
    ] {
        *fixture.sandbox.replay.lock() = (output.to_vec(), fuel, costs);
        let plugins = fixture.engine.plugins();
        let replay = campaigns::replay(&ctx, store, plugins, id, seq, None).await;
        let replay = replay.expect("a replay");
        assert_eq!((replay.same, replay.compares_fuel), (same, compares_fuel));
        assert_eq!((replay.fuel, replay.recorded_fuel), (fuel, 1000));
    }
}
