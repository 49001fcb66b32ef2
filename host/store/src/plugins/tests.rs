use tidegate_core::plugin::Origin;
use tidegate_engine::ports::Plugins as _;

use super::*;
use crate::testing::{TestStore, on_both};

pub(crate) fn new(name: &str, build: &[u8], created_at: i64) -> NewRevision {
    NewRevision {
        digest: Digest::of(build),
        kind: PluginKind::Strategy,
        contract: "1.0.0".into(),
        description: Description {
            name: plugin(name),
            version: "1.0.0".into(),
            summary: "Goes on \0 slowly.".into(),
            config_schema: "{}".into(),
            state_schema: u32::MAX,
            metrics: vec!["temperature".into()],
            attributes: vec!["site".into(), "floor".into()],
        },
        size: 45_000,
        origin: Origin::Folder,
        created_by: "tidegate".into(),
        created_at: Timestamp(created_at),
    }
}

fn plugin(name: &str) -> PluginName {
    name.parse().expect("a name")
}

async fn latest(store: &TestStore, name: &str) -> anyhow::Result<Option<Digest>> {
    let revision = store.revision(store.ours, &plugin(name), None).await?;
    Ok(revision.map(|revision| revision.stored.digest))
}

on_both! {
    async fn a_revision_is_read_as_it_was_stored_and_stored_once(store) {
        let stored = new("staged", b"one", 5);
        store.put_revision(store.ours, stored.clone()).await?;
        store.put_revision(store.ours, NewRevision { created_at: Timestamp(9), ..stored.clone() }).await?;
        let mut expected = stored.clone();
        expected.description.summary = "Goes on \u{FFFD} slowly.".into();
        let expected = Revision { stored: expected, enabled: true, usage: Usage::default() };
        assert_eq!(store.revisions(store.ours).await?, std::slice::from_ref(&expected));
        let read = store.revision(store.ours, &plugin("staged"), Some(stored.digest)).await?;
        assert_eq!(read, Some(expected));
        assert_eq!(store.revision(store.ours, &plugin("canary"), Some(stored.digest)).await?, None);
        assert_eq!(store.revision(store.theirs, &plugin("staged"), None).await?, None);
        assert_eq!(store.revisions(store.theirs).await?, []);
    }

    async fn the_newest_enabled_revision_is_the_latest(store) {
        let [old, new_one] = [new("staged", b"one", 5), new("staged", b"two", 7)];
        store.put_revision(store.ours, new_one.clone()).await?;
        store.put_revision(store.ours, old.clone()).await?;
        store.put_revision(store.ours, new("canary", b"three", 6)).await?;
        let order = store.revisions(store.ours).await?.into_iter().map(|revision| revision.stored.digest);
        assert_eq!(order.collect::<Vec<_>>(), [Digest::of(b"three"), new_one.digest, old.digest]);

        assert_eq!(latest(store, "staged").await?, Some(new_one.digest));
        assert!(store.enable_revision(store.ours, &plugin("staged"), new_one.digest, false).await?);
        assert_eq!(latest(store, "staged").await?, Some(old.digest));
        let disabled = store.revision(store.ours, &plugin("staged"), Some(new_one.digest)).await?;
        assert!(disabled.is_some_and(|revision| !revision.enabled));
        assert!(store.enable_revision(store.ours, &plugin("staged"), old.digest, false).await?);
        assert_eq!(latest(store, "staged").await?, None);
        assert!(!store.enable_revision(store.theirs, &plugin("staged"), old.digest, true).await?);
    }

    async fn a_plugin_keeps_its_kind(store) {
        store.put_revision(store.ours, new("staged", b"one", 5)).await?;
        let health = NewRevision { kind: PluginKind::Health, ..new("staged", b"two", 6) };
        let refused = store.put_revision(store.ours, health.clone()).await;
        assert!(matches!(&refused, Err(StoreError::Conflict(why)) if why.contains("strategy")), "{refused:?}");
        assert_eq!(store.revisions(store.ours).await?.len(), 1);
        store.put_revision(store.theirs, health).await?;
    }

    async fn usage_of_plugins_is_summed(store) {
        let revision = new("staged", b"one", 5);
        store.put_revision(store.ours, revision.clone()).await?;
        store.put_revision(store.theirs, revision.clone()).await?;
        let usage = |calls, failures, fuel| (revision.digest, Usage { calls, failures, fuel });
        store.record_plugin_usage(store.ours, vec![usage(1, 0, 10), usage(2, 1, 30), (Digest::of(b"unknown"), Usage::default())]).await?;
        store.record_plugin_usage(store.ours, vec![usage(1, 0, 1 << 60)]).await?;
        store.record_plugin_usage(store.ours, vec![]).await?;
        let cost = async |tenant| -> anyhow::Result<_> {
            Ok(store.revision(tenant, &plugin("staged"), None).await?.expect("it was stored").usage)
        };
        let expected = Usage { calls: 4, failures: 1, fuel: (1 << 60) + 40 };
        assert_eq!(cost(store.ours).await?, expected);
        assert_eq!(cost(store.theirs).await?, Usage::default());
    }
}
