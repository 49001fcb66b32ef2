//! How many transactions a tick commits. Each waits for the disk.

use serde_json::json;
use tidegate_captured_log::count_commits;
use tidegate_engine::campaigns;

use crate::{
    statements::{release_all, start},
    test_server::TestServer,
};

#[tokio::test]
async fn a_tick_commits_its_lease_its_outcome_and_the_updates_of_each_wave() {
    for server in TestServer::on_both_databases(|_| {}).await {
        server.fleet(4).await;
        let path = server
            .campaign(json!({"strategy": {"plugin": "acme/canary", "config": {"canaries": 3}}}))
            .await;
        let run = start(&server, &path).await;
        let commits = async || {
            let tick = Box::pin(campaigns::tick(&server.state.engine, run));
            let (ticked, commits) = count_commits(tick).await;
            assert!(!ticked.expect("a tick"), "nothing is left");
            commits
        };
        assert_eq!(commits().await, 2, "it waits");
        let (_, waves) = release_all(&server, run, Vec::new()).await;
        assert!(waves > 1);
        assert_eq!(commits().await, 2 + waves);
        let updates = server.get(&format!("{path}/updates")).await;
        assert_eq!(updates.expect(200)["total"], 4);
        assert_eq!(commits().await, 2, "it waits again");
    }
}
