use tidegate_core::{
    plugin::Origin,
    update::{ChosenPolicy, UpdatePolicies},
};
use tidegate_engine::ports::{OfferResult, Plugins as _};

use super::*;
use crate::{
    test_fixture::{NOON, StoreFixture},
    testing::on_both,
    updates::chosen_policies::keep_policies,
};

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

on_both! {
    async fn a_revision_is_read_as_it_was_stored_and_stored_once(store) {
        let stored = new("staged", b"one", 5);
        store.put_revision(store.ours, stored.clone()).await?;
        store.put_revision(store.ours, NewRevision { created_at: Timestamp(9), ..stored.clone() }).await?;
        let mut expected = stored.clone();
        expected.description.summary = "Goes on \u{FFFD} slowly.".into();
        let expected = Revision {
            stored: expected,
            state: RevisionState::Enabled,
            is_chosen_default: false,
            campaigns: 0,
            usage: Usage::default(),
        };
        assert_eq!(store.revisions(store.ours).await?, std::slice::from_ref(&expected));
        let read = store.revision(store.ours, &plugin("staged"), stored.digest).await?;
        assert_eq!(read, Some(expected));
        assert_eq!(store.revision(store.ours, &plugin("canary"), stored.digest).await?, None);
        assert_eq!(store.revisions_of(store.theirs, &plugin("staged")).await?, []);
        assert_eq!(store.revisions(store.theirs).await?, []);
    }

    async fn revisions_are_read_newest_first_with_their_states(store) {
        use RevisionState::{Deprecated, Disabled, Enabled};
        let [old, new_one] = [new("staged", b"one", 5), new("staged", b"two", 7)];
        store.put_revision(store.ours, new_one.clone()).await?;
        store.put_revision(store.ours, old.clone()).await?;
        store.put_revision(store.ours, new("canary", b"three", 6)).await?;
        let order = store.revisions(store.ours).await?.into_iter().map(|revision| revision.stored.digest);
        assert_eq!(order.collect::<Vec<_>>(), [Digest::of(b"three"), new_one.digest, old.digest]);

        let name = plugin("staged");
        let states = async || -> anyhow::Result<Vec<_>> {
            let revisions = store.revisions_of(store.ours, &name).await?;
            Ok(revisions.into_iter().map(|revision| revision.state).collect())
        };
        assert_eq!(states().await?, [Enabled, Enabled]);
        let change = |digest, state| store.change_revision_state(store.ours, &name, digest, state);
        assert!(change(new_one.digest, Deprecated).await?);
        assert!(!change(new_one.digest, Deprecated).await?, "it is so already");
        assert!(change(old.digest, Disabled).await?);
        assert_eq!(states().await?, [Deprecated, Disabled]);
        let refused = change(old.digest, Deprecated).await;
        assert!(matches!(&refused, Err(StoreError::Conflict(_))), "{refused:?}");
        assert!(!store.change_revision_state(store.theirs, &name, old.digest, Enabled).await?);
        assert_eq!(states().await?, [Deprecated, Disabled]);
    }

    async fn an_upload_is_a_candidate_and_its_version_has_one_component(store) {
        let vendors = |build: &[u8], version: &str| {
            let mut revision = NewRevision { origin: Origin::Upload, ..new("acme/rings", build, 5) };
            revision.description.version = version.into();
            revision
        };
        let first = vendors(b"one", "1.0.0");
        store.put_revision(store.ours, first.clone()).await?;
        let stored = store.revision(store.ours, &plugin("acme/rings"), first.digest).await?;
        assert!(stored.is_some_and(|revision| revision.state == RevisionState::Candidate));
        let refused = store.put_revision(store.ours, vendors(b"two", "1.0.0")).await;
        assert!(matches!(&refused, Err(PutRevisionError::OtherBytes(digest)) if *digest == first.digest), "{refused:?}");
        store.put_revision(store.theirs, vendors(b"two", "1.0.0")).await?;

        // The operator of the server puts it into the folder of plugins: that enables it, and nothing else does.
        let state = async || -> anyhow::Result<_> {
            let stored = store.revision(store.ours, &plugin("acme/rings"), first.digest).await?;
            Ok(stored.expect("it is stored").state)
        };
        store.put_revision(store.ours, first.clone()).await?;
        assert_eq!(state().await?, RevisionState::Candidate);
        let in_folder = NewRevision { origin: Origin::Folder, ..first.clone() };
        store.put_revision(store.ours, in_folder.clone()).await?;
        assert_eq!(state().await?, RevisionState::Enabled);
        let name = plugin("acme/rings");
        store.change_revision_state(store.ours, &name, first.digest, RevisionState::Disabled).await?;
        store.put_revision(store.ours, in_folder).await?;
        assert_eq!(state().await?, RevisionState::Disabled);
        store.put_revision(store.ours, vendors(b"two", "1.0.1")).await?;
        assert_eq!(store.revisions(store.ours).await?.len(), 2);
    }

    async fn only_an_enabled_revision_can_be_chosen_as_the_default(store) {
        let (name, revision) = (plugin("staged"), new("staged", b"one", 5));
        store.put_revision(store.ours, revision.clone()).await?;
        store.put_revision(store.theirs, revision.clone()).await?;
        let choose = |digest| store.choose_default_revision(store.ours, &name, digest);
        let chosen = async |tenant| -> anyhow::Result<_> {
            Ok(store.revisions_of(tenant, &name).await?[0].is_chosen_default)
        };
        assert!(choose(Some(revision.digest)).await?);
        assert!(!choose(Some(revision.digest)).await?, "it is so already");
        assert!(chosen(store.ours).await? && !chosen(store.theirs).await?);
        let refused = store.delete_revision(store.ours, &name, revision.digest).await;
        assert!(matches!(&refused, Err(StoreError::Conflict(why)) if why.contains("default")), "{refused:?}");
        assert!(choose(None).await?);
        assert!(!chosen(store.ours).await?);
        store.change_revision_state(store.ours, &name, revision.digest, RevisionState::Deprecated).await?;
        for digest in [revision.digest, Digest::of(b"unknown")] {
            let refused = choose(Some(digest)).await;
            assert!(matches!(&refused, Err(StoreError::Conflict(_))), "{refused:?}");
        }
        let unknown = plugin("acme/unknown");
        assert!(!store.choose_default_revision(store.ours, &unknown, None).await?);
    }

    async fn a_revision_that_is_used_is_not_deleted(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let pinned = Digest::of(b"canary");
        let name = plugin("canary");
        let read = async || store.revision(store.ours, &name, pinned).await;
        assert_eq!(read().await?.expect("it is pinned").campaigns, 1);
        let refused = store.delete_revision(store.ours, &name, pinned).await;
        assert!(matches!(&refused, Err(StoreError::Conflict(why)) if why.contains("campaign")), "{refused:?}");

        // An open update that names a policy.
        let policy = new("acme/fits", b"fits", 5);
        store.put_revision(store.ours, policy.clone()).await?;
        fixture.release(&[1]).await?;
        let chosen = |revision: Digest, config: &str| {
            let policy = json!({ "plugin": "acme/fits", "revision": revision.to_string(), "config": config });
            json!({ "policies": { "chosen": [policy] }, "accepted": null }).to_string()
        };
        let set = async |compatibility: String, completed: Option<i64>| -> anyhow::Result<()> {
            let mut tx = store.database.write().await?;
            sqlx::query("UPDATE updates SET compatibility = $2, completed_at = $3 WHERE tenant_id = $1")
                .bind(store.ours.0)
                .bind(compatibility)
                .bind(completed)
                .execute(tx.conn())
                .await?;
            Ok(tx.commit().await?)
        };
        set(chosen(policy.digest, "{}"), None).await?;
        let delete = async || store.delete_revision(store.ours, &policy.description.name, policy.digest).await;
        let refused = delete().await;
        assert!(matches!(&refused, Err(StoreError::Conflict(why)) if why.contains("update")), "{refused:?}");
        set(chosen(policy.digest, "{}"), Some(9)).await?;
        assert!(delete().await?);
        store.put_revision(store.ours, policy.clone()).await?;
        // A digest in a config names no revision.
        set(chosen(pinned, &format!(r#"["{}"]"#, policy.digest)), None).await?;
        assert!(!store.delete_revision(store.theirs, &policy.description.name, policy.digest).await?);
        assert!(delete().await?);
        assert!(!delete().await?);
        // The kind of a plugin without revisions is forgotten.
        let health = NewRevision { kind: PluginKind::Health, ..policy.clone() };
        store.put_revision(store.ours, health).await?;
    }

    /// The policies of an update are resolved before the transaction that creates it.
    async fn an_update_is_not_created_with_a_deleted_policy(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        let policy = new("acme/fits", b"fits", 5);
        let chosen = ChosenPolicy {
            plugin: policy.description.name.clone(),
            revision: policy.digest,
            config: "{}".into(),
        };
        let mut offer = fixture.offer(NOON);
        offer.compatibility.policies = Some(UpdatePolicies::Chosen(vec![chosen.clone(), chosen]));
        let create = async || store.create_updates(store.ours, &fixture.devices, &offer, false).await;
        let refused = create().await;
        assert!(matches!(&refused, Err(StoreError::Unavailable(why)) if why.contains("deleted")), "{refused:?}");
        store.put_revision(store.ours, policy.clone()).await?;
        let created = create().await?;
        assert!(matches!(created[..], [OfferResult::Created(..)]), "{created:?}");
        let refused = store.delete_revision(store.ours, &policy.description.name, policy.digest).await;
        assert!(matches!(&refused, Err(StoreError::Conflict(why)) if why.contains("update")), "{refused:?}");
    }

    async fn a_deletion_waits_for_an_update_that_is_being_created(store) {
        let fixture = StoreFixture::new(store, &[1]).await?;
        fixture.release(&[1]).await?;
        let policy = new("acme/fits", b"fits", 5);
        let name = &policy.description.name;
        store.put_revision(store.ours, policy.clone()).await?;
        let chosen = json!({ "plugin": name.to_string(), "revision": policy.digest.to_string(), "config": "{}" });
        let compatibility = json!({ "policies": { "chosen": [chosen] }, "accepted": null }).to_string();
        let policies = UpdatePolicies::Chosen(vec![ChosenPolicy {
            plugin: name.clone(),
            revision: policy.digest,
            config: "{}".into(),
        }]);
        let mut tx = store.database.write().await?;
        keep_policies(&mut tx, store.ours, Some(&policies)).await?;
        let create = async {
            sqlx::query("UPDATE updates SET compatibility = $2 WHERE tenant_id = $1")
                .bind(store.ours.0)
                .bind(compatibility)
                .execute(tx.conn())
                .await?;
            anyhow::Ok(tx.commit().await?)
        };
        let delete = store.delete_revision(store.ours, name, policy.digest);
        let (refused, created) = tokio::join!(delete, create);
        created?;
        assert!(matches!(&refused, Err(StoreError::Conflict(why)) if why.contains("update")), "{refused:?}");
    }

    async fn a_plugin_keeps_its_kind(store) {
        store.put_revision(store.ours, new("staged", b"one", 5)).await?;
        let health = NewRevision { kind: PluginKind::Health, ..new("staged", b"two", 6) };
        let refused = store.put_revision(store.ours, health.clone()).await;
        assert!(matches!(&refused, Err(PutRevisionError::OtherKind(PluginKind::Strategy))), "{refused:?}");
        assert_eq!(store.revisions(store.ours).await?.len(), 1);
        store.put_revision(store.theirs, health).await?;
    }

    async fn usage_of_plugins_is_summed(store) {
        let revision = new("staged", b"one", 5);
        store.put_revision(store.ours, revision.clone()).await?;
        store.put_revision(store.theirs, revision.clone()).await?;
        let usage = |calls, failures, fuel| (revision.digest, Usage { calls, failures, fuel, peak_memory: 100 * calls });
        store.record_plugin_usage(store.ours, vec![usage(1, 0, 10), usage(2, 1, 30), (Digest::of(b"unknown"), Usage::default())]).await?;
        store.record_plugin_usage(store.ours, vec![usage(1, 0, 1 << 60)]).await?;
        store.record_plugin_usage(store.ours, vec![]).await?;
        let cost = async |tenant| -> anyhow::Result<_> {
            Ok(store.revisions_of(tenant, &plugin("staged")).await?[0].usage)
        };
        let expected = Usage { calls: 4, failures: 1, fuel: (1 << 60) + 40, peak_memory: 200 };
        assert_eq!(cost(store.ours).await?, expected);
        assert_eq!(cost(store.theirs).await?, Usage::default());
    }
}
