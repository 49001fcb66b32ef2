use super::*;
use crate::testing::on_both;

on_both! {
    async fn a_tenant_is_made_once(store) {
        let acme = store.create_tenant("ACME", Timestamp(1)).await?;
        assert_eq!(store.tenant("ACME").await?, Some(acme));
        assert_eq!(store.tenant("NOBODY\0").await?, None);
        let again = store.create_tenant("ACME", Timestamp(2)).await;
        assert!(matches!(&again, Err(StoreError::Conflict(why)) if why.contains("ACME")), "{again:?}");
        let names = store.tenants().await?.into_iter().map(|tenant| tenant.name);
        assert_eq!(names.collect::<Vec<_>>(), ["DEFAULT", "OTHER", "ACME"]);
    }

    async fn keys_are_found_by_their_digest(store) {
        assert!(!store.has_keys().await?);
        let new = NewKey {
            tenant: store.ours,
            user: "maker".into(),
            role: Role::Approver,
            sha256: [7; 32],
            expires_at: Some(Timestamp(99)),
            created_at: Timestamp(1),
        };
        store.create_key(new.clone()).await?;
        assert!(store.has_keys().await?);
        let key = store.key([7; 32]).await?;
        let expected = Key {
            tenant: Tenant { id: store.ours, name: "DEFAULT".into() },
            user: "maker".into(),
            role: Role::Approver,
            expires_at: Some(Timestamp(99)),
        };
        assert_eq!(key, Some(expected));
        assert_eq!(store.key([8; 32]).await?, None);
        let again = store.create_key(NewKey { tenant: store.theirs, ..new }).await;
        assert!(matches!(again, Err(StoreError::Conflict(_))));
    }
}
