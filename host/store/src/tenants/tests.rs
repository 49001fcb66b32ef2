use std::time::Duration;

use tidegate_core::{
    access::{AccessSettings, Registration},
    polling::{PollingOverride, PollingSettings},
    selector::{SelectorText, Syntax},
    settings::{DdiLinks, DdiSettings, VersionScheme},
};
use tidegate_engine::{Role, ports::Tenants as _};

use super::*;
use crate::testing::on_both;

on_both! {
    async fn a_tenant_is_made_once(store) {
        let acme = store.create_tenant("ACME", Timestamp(1)).await?;
        assert_eq!(store.tenant("ACME").await?, Some(acme));
        assert_eq!(store.tenant("UNKNOWN\0").await?, None);
        let again = store.create_tenant("ACME", Timestamp(2)).await;
        assert!(matches!(&again, Err(StoreError::Conflict(why)) if why.contains("ACME")), "{again:?}");
        let names = store.tenants().await?.into_iter().map(|tenant| tenant.name);
        assert_eq!(names.collect::<Vec<_>>(), ["DEFAULT", "OTHER", "ACME"]);
    }

    async fn keys_are_found_by_their_digest(store) {
        assert!(!store.has_keys().await?);
        let new = ApiKeyRecord {
            tenant: store.ours,
            user: "creator".into(),
            role: Role::Approver,
            sha256: [7; 32],
            expires_at: Some(Timestamp(99)),
            created_at: Timestamp(1),
            last_used: None,
        };
        store.create_key(new.clone()).await?;
        assert!(store.has_keys().await?);
        let key = store.key([7; 32]).await?;
        let expected = ApiKey {
            tenant: store.tenant("DEFAULT").await?.expect("the first tenant"),
            user: "creator".into(),
            role: Role::Approver,
            expires_at: Some(Timestamp(99)),
        };
        assert_eq!(key, Some(expected));
        assert_eq!(store.key([8; 32]).await?, None);
        let again = store.create_key(ApiKeyRecord { tenant: store.theirs, ..new }).await;
        assert!(matches!(again, Err(StoreError::Conflict(_))));
    }

    async fn keys_are_listed_and_deleted_by_their_own_tenant(store) {
        let stored = |tenant, byte, created_at| ApiKeyRecord {
            tenant,
            user: "creator".into(),
            role: Role::Admin,
            sha256: [byte; 32],
            expires_at: None,
            created_at: Timestamp(created_at),
            last_used: None,
        };
        let (late, early, other) =
            (stored(store.ours, 1, 2), stored(store.ours, 2, 1), stored(store.theirs, 3, 1));
        for key in [&late, &early, &other] {
            store.create_key(key.clone()).await?;
        }
        assert_eq!(store.keys(store.ours).await?, [early.clone(), late.clone()]);
        let sought = [
            (store.ours, early.sha256),
            (store.ours, other.sha256),
            (store.ours, [9; 32]),
            (store.theirs, other.sha256),
        ];
        let mut existing = store.existing_keys(&sought).await?;
        existing.sort();
        assert_eq!(existing, [sought[0], sought[3]]);
        assert_eq!(store.existing_keys(&[]).await?, []);
        assert!(!store.delete_key(store.theirs, early.sha256).await?);
        assert!(store.delete_key(store.ours, early.sha256).await?);
        assert!(!store.delete_key(store.ours, early.sha256).await?);
        assert_eq!(store.key(early.sha256).await?, None);
        assert_eq!(store.existing_keys(&sought).await?, [sought[3]]);
        assert_eq!(store.keys(store.ours).await?, [late]);
        assert_eq!(store.keys(store.theirs).await?, [other]);
    }

    async fn the_latest_use_of_a_key_is_kept(store) {
        let key = |tenant, byte| ApiKeyRecord {
            tenant,
            user: "creator".into(),
            role: Role::Admin,
            sha256: [byte; 32],
            expires_at: None,
            created_at: Timestamp(1),
            last_used: None,
        };
        for key in [key(store.ours, 1), key(store.ours, 2), key(store.theirs, 3)] {
            store.create_key(key).await?;
        }
        let used = |tenant, byte, at| ApiKeyUse { tenant, sha256: [byte; 32], at: Timestamp(at) };
        store.record_key_use(vec![used(store.ours, 1, 5), used(store.ours, 1, 9), used(store.theirs, 3, 4)]).await?;
        // A late record, one with the wrong tenant, and one of a key that is deleted.
        store
            .record_key_use(vec![used(store.ours, 1, 7), used(store.theirs, 2, 9), used(store.ours, 4, 9)])
            .await?;
        store.record_key_use(Vec::new()).await?;
        let last_uses = async |tenant| {
            let keys = store.keys(tenant).await?.into_iter();
            anyhow::Ok(keys.map(|key| key.last_used).collect::<Vec<_>>())
        };
        assert_eq!(last_uses(store.ours).await?, [Some(Timestamp(9)), None]);
        assert_eq!(last_uses(store.theirs).await?, [Some(Timestamp(4))]);
    }

    async fn settings_are_changed_by_compare_and_set(store) {
        let own = store.tenant_by_id(store.ours).await?.expect("a tenant");
        assert_eq!((own.settings, own.settings_revision), (TenantSettings::default(), 0));
        let over = |filter: &str, jitter_percent| {
            PollingOverride::new(filter.to_owned(), Duration::from_secs(7), jitter_percent).expect("a selector")
        };
        let settings = TenantSettings {
            polling: PollingSettings {
                interval: Some(Duration::from_mins(10)),
                jitter_percent: Some(20),
                overrides: vec![over("hw_model=='a \\'b'", None), over("state!=error", Some(3))],
            },
            access: AccessSettings {
                registration: Registration::AllowList,
                trust_on_first_use: true,
                target_tokens: false,
                gateway_tokens: false,
                proxy_authorities: vec!["AB:CD".to_owned()],
            },
            track_address: true,
            overdue_after: Some(Duration::from_hours(36)),
            versions: VersionScheme::Loose,
            ddi: DdiSettings {
                links: Some(DdiLinks::Both),
            },
            requires_approval: true,
        };
        assert!(store.change_settings(store.ours, 0, &settings).await?);
        assert!(!store.change_settings(store.ours, 0, &TenantSettings::default()).await?);
        let own = store.tenant_by_id(store.ours).await?.expect("a tenant");
        assert_eq!((&own.settings, own.settings_revision), (&settings, 1));
        assert_eq!(store.tenant(&own.name).await?, Some(own));
        let other = store.tenant_by_id(store.theirs).await?.expect("a tenant");
        assert_eq!(other.settings_revision, 0);
        assert!(store.change_settings(store.ours, 1, &TenantSettings::default()).await?);
        let own = store.tenant_by_id(store.ours).await?.expect("a tenant");
        assert_eq!(own.settings, TenantSettings::default());
        assert!(!store.change_settings(TenantId(99), 0, &settings).await?);
        assert_eq!(store.tenant_by_id(TenantId(99)).await?, None);
    }

    async fn a_filter_that_was_accepted_before_values_were_checked_keeps_its_meaning(store) {
        let stored = |filter: &str| {
            let filter = SelectorText { text: filter.to_owned(), syntax: Syntax::V1 };
            PollingOverride::new(filter, Duration::from_secs(7), None).expect("a selector")
        };
        let overrides = vec![stored("state!=in-sync"), stored("sw_version=lt=rev-b"), stored(r"name==a\*")];
        let polling = PollingSettings { overrides, ..PollingSettings::default() };
        let settings = TenantSettings { polling, ..TenantSettings::default() };
        assert!(store.change_settings(store.ours, 0, &settings).await?);
        let own = store.tenant_by_id(store.ours).await?.expect("a tenant");
        assert_eq!(own.settings, settings);

        let without_syntax = r#"{"polling": {"overrides": [{"filter": "state!=in-sync", "seconds": 7}]}}"#;
        sqlx::query("UPDATE tenants SET settings = $1 WHERE id = $2")
            .bind(without_syntax)
            .bind(store.ours.0)
            .execute(store.database.writers())
            .await?;
        let own = store.tenant_by_id(store.ours).await?.expect("a tenant");
        assert_eq!(own.settings.polling.overrides, [stored("state!=in-sync")]);
    }
}
