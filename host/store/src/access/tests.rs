use std::sync::Arc;

use tidegate_core::time::Timestamp;
use tidegate_engine::ports::{
    Access as _, Authority, Devices as _, Enrolment, Gateway, GatewayUse, NewAuthority, NewDevice,
    NewGateway, OldToken, StoreError,
};

use crate::testing::on_both;

fn gateway(name: &str, sha256: [u8; 32], group: Option<&str>) -> NewGateway {
    NewGateway {
        name: name.to_owned(),
        sha256,
        group: group.map(str::to_owned),
        created_at: Timestamp(3),
    }
}

fn authority(name: &str, certificate: &[u8]) -> NewAuthority {
    NewAuthority {
        name: name.to_owned(),
        certificate: certificate.to_vec(),
        sha256: [certificate[0]; 32],
        subject: format!("CN={name}"),
        expires_at: Timestamp(i64::MAX),
        created_at: Timestamp(3),
    }
}

fn enrolment(group: Option<&str>, token: Option<[u8; 32]>) -> Enrolment {
    Enrolment {
        group: group.map(Into::into),
        token_sha256: token,
    }
}

on_both! {
    async fn gateways_belong_to_their_tenant(store) {
        let hall_2 = store.create_gateway(store.ours, gateway("hall 2", [2; 32], Some("lab"))).await?;
        let hall_1 = store.create_gateway(store.ours, gateway("hall 1", [1; 32], None)).await?;
        let theirs = store.create_gateway(store.theirs, gateway("hall 1", [3; 32], None)).await?;
        let again = store.create_gateway(store.ours, gateway("hall 1", [4; 32], None)).await;
        assert!(matches!(&again, Err(StoreError::Conflict(why)) if why.contains("hall 1")), "{again:?}");

        let created = |id, name: &str, sha256, group: Option<&str>| Gateway {
            id,
            name: name.to_owned(),
            sha256,
            group: group.map(Arc::from),
            created_at: Timestamp(3),
            last_used: None,
        };
        let ours = [created(hall_1, "hall 1", [1; 32], None), created(hall_2, "hall 2", [2; 32], Some("lab"))];
        assert_eq!(store.gateways(store.ours).await?, ours);

        assert!(!store.delete_gateway(store.ours, theirs).await?);
        assert!(store.delete_gateway(store.ours, hall_1).await?);
        assert!(!store.delete_gateway(store.ours, hall_1).await?);
        assert_eq!(store.gateways(store.ours).await?, ours[1..]);
        assert_eq!(store.gateways(store.theirs).await?.len(), 1);
    }

    async fn the_latest_use_of_a_gateway_is_kept(store) {
        let one = store.create_gateway(store.ours, gateway("one", [1; 32], None)).await?;
        let other = store.create_gateway(store.ours, gateway("other", [2; 32], None)).await?;
        let at = |tenant, gateway, at| GatewayUse { tenant, gateway, at: Timestamp(at) };
        store.record_gateway_use(vec![at(store.ours, one, 5), at(store.ours, one, 9)]).await?;
        // A late record, and one with the wrong tenant.
        store.record_gateway_use(vec![at(store.ours, one, 7), at(store.theirs, other, 9)]).await?;
        store.record_gateway_use(Vec::new()).await?;
        let used: Vec<_> = store.gateways(store.ours).await?.iter().map(|one| one.last_used).collect();
        assert_eq!(used, [Some(Timestamp(9)), None]);
    }

    async fn authorities_belong_to_their_tenant(store) {
        let plant = store.create_authority(store.ours, authority("plant", &[7, 0, 255])).await?;
        store.create_authority(store.ours, authority("office", &[8])).await?;
        store.create_authority(store.theirs, authority("plant", &[7, 0, 255])).await?;
        for again in [authority("plant", &[9]), authority("other", &[7])] {
            let again = store.create_authority(store.ours, again).await;
            assert!(matches!(again, Err(StoreError::Conflict(_))), "{again:?}");
        }
        let ours = store.authorities(store.ours).await?;
        let expected = Authority {
            id: plant,
            name: "plant".to_owned(),
            certificate: vec![7, 0, 255],
            sha256: [7; 32],
            subject: "CN=plant".to_owned(),
            expires_at: Timestamp(i64::MAX),
            created_at: Timestamp(3),
        };
        assert_eq!((ours.len(), &ours[1]), (2, &expected));
        assert!(!store.delete_authority(store.theirs, plant).await?);
        assert!(store.delete_authority(store.ours, plant).await?);
        assert!(!store.delete_authority(store.ours, plant).await?);
        assert_eq!(store.authorities(store.ours).await?.len(), 1);
    }

    async fn an_old_token_stays_until_the_new_one_was_used(store) {
        let new = NewDevice { device_id: "gate-1".into(), token_sha256: Some([1; 32]), ..NewDevice::default() };
        let key = store.create_device(store.ours, new.clone()).await?;
        store.create_device(store.theirs, new).await?;
        let tokens = async || {
            let view = store.poll_view(store.ours, "gate-1").await?.expect("it was created");
            let old = view.old_token.map(|old| (old.sha256[0], old.until.0));
            anyhow::Ok((view.token_sha256.map(|sha256| sha256[0]), old))
        };
        let replace = async |sha256: Option<u8>, until: Option<i64>, now: i64| {
            let (sha256, until) = (sha256.map(|byte| [byte; 32]), until.map(Timestamp));
            let replaced = store.replace_token(store.ours, "gate-1", sha256, until, Timestamp(now)).await;
            assert!(replaced?);
            anyhow::Ok(())
        };
        assert_eq!(tokens().await?, (Some(1), None));
        replace(Some(2), Some(100), 10).await?;
        assert_eq!(tokens().await?, (Some(2), Some((1, 100))));
        // The second token was never used: the device still has the first one.
        replace(Some(3), Some(200), 20).await?;
        assert_eq!(tokens().await?, (Some(3), Some((1, 200))));
        // Neither an older token nor another tenant deletes the old token.
        store.delete_old_token(store.ours, key, [2; 32]).await?;
        store.delete_old_token(store.theirs, key, [3; 32]).await?;
        assert_eq!(tokens().await?, (Some(3), Some((1, 200))));
        store.delete_old_token(store.ours, key, [3; 32]).await?;
        assert_eq!(tokens().await?, (Some(3), None));
        // An expired token does not become valid again.
        replace(Some(4), Some(300), 250).await?;
        replace(Some(5), Some(400), 300).await?;
        assert_eq!(tokens().await?, (Some(5), Some((4, 400))));
        replace(Some(6), None, 310).await?;
        assert_eq!(tokens().await?, (Some(6), None));
        replace(None, None, 320).await?;
        assert_eq!(tokens().await?, (None, None));
        replace(Some(7), Some(900), 330).await?;
        assert_eq!(tokens().await?, (Some(7), None));
        replace(Some(8), Some(900), 340).await?;
        assert_eq!(tokens().await?, (Some(8), Some((7, 900))));

        let replaced = store.replace_token(store.ours, "gate-2\0", None, None, Timestamp(0)).await?;
        assert!(!replaced);
        let theirs = store.poll_view(store.theirs, "gate-1").await?.expect("it was created");
        assert_eq!((theirs.token_sha256, theirs.old_token), (Some([1; 32]), None::<Box<OldToken>>));
    }

    async fn enrolment_sets_token_and_group_only_at_creation(store) {
        let enrol = async |tenant, id: &str, group, token| {
            let enrolment = enrolment(group, token);
            store.enrol(tenant, id, &enrolment, Timestamp(1)).await
        };
        let (ours, theirs) = (store.ours, store.theirs);
        let view = enrol(ours, "gate-1", Some("lab"), Some([1; 32])).await?;
        assert_eq!(view.token_sha256, Some([1; 32]));
        let view = enrol(ours, "gate-1", Some("office"), Some([2; 32])).await?;
        assert_eq!(view.token_sha256, Some([1; 32]), "the first token is kept");
        assert_eq!(store.device_groups(ours, "gate-1").await?, Some(vec!["lab".to_owned()]));

        let bare = enrol(ours, "gate-2", None, None).await?;
        assert_eq!(bare.token_sha256, None);
        let view = enrol(ours, "gate-2", Some("lab"), Some([2; 32])).await?;
        assert_eq!((view.token_sha256, view.device), (None, bare.device));
        assert_eq!(store.device_groups(ours, "gate-2").await?, Some(Vec::new()));
        assert_eq!(store.device_groups(ours, "gate-3").await?, None);
        assert_eq!(store.device_groups(theirs, "gate-1").await?, None);

        // Concurrent enrolments of one device keep the first token.
        let tokens: Vec<u8> = (10..60).collect();
        let all = tokens.iter().map(|&n| {
            let (tenant, id) = if n % 2 == 0 { (ours, format!("many-{n}")) } else { (theirs, "same".to_owned()) };
            let group = (n % 4 == 0).then_some("lab");
            async move { enrol(tenant, &id, group, Some([n; 32])).await }
        });
        let views: Vec<_> = futures::future::join_all(all).await.into_iter().collect::<Result<_, _>>()?;
        for (n, view) in tokens.iter().zip(&views) {
            let expected = if n % 2 == 0 { [*n; 32] } else { [11; 32] };
            assert_eq!(view.token_sha256, Some(expected));
        }
        assert_eq!(store.device_groups(ours, "many-12").await?, Some(vec!["lab".to_owned()]));
        assert_eq!(store.device_groups(ours, "many-14").await?, Some(Vec::new()));
    }
}
