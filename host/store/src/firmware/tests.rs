use tidegate_core::{
    firmware::{Artifact, Firmware, FirmwareDetails, Hashes, Module, ModuleMetadata},
    id::{FirmwareId, TenantId},
    time::Timestamp,
    version::sort_key,
};
use tidegate_engine::ports::{
    CandidateFilter, FirmwareFilter, Firmwares as _, NewFirmware, NewModule, PageRequest,
    StoreError,
};

use crate::testing::{TestStore, on_both};

fn artifact(filename: &str, size: u64) -> Artifact {
    let hashes = Hashes {
        sha1: [1; 20],
        md5: [2; 16],
        sha256: [0xAB; 32],
    };
    Artifact {
        filename: filename.into(),
        size,
        hashes,
    }
}

fn firmware(name: &str, version: &str) -> NewFirmware {
    let module = |part: &str, artifacts| NewModule {
        part: part.into(),
        name: format!("{name} {part}"),
        version: version.into(),
        metadata: vec![ModuleMetadata {
            key: "part".into(),
            value: part.into(),
        }],
        is_encrypted: part == "os",
        artifacts,
    };
    NewFirmware {
        details: FirmwareDetails {
            name: name.into(),
            version: version.into(),
            ..FirmwareDetails::default()
        },
        modules: vec![
            module(
                "os",
                vec![
                    artifact("z.img", 1),
                    artifact("a.sig", u64::from(u32::MAX) + 1),
                ],
            ),
            module("bApp", vec![]),
        ],
        created_by: "creator".into(),
        created_at: Timestamp(5),
    }
}

fn for_model(mut firmware: NewFirmware, model: &str) -> NewFirmware {
    firmware.details.device_model = Some(model.into());
    firmware
}

async fn versions(store: &TestStore, filter: &FirmwareFilter) -> anyhow::Result<String> {
    let page = PageRequest {
        limit: 50,
        offset: 0,
    };
    let page = store.list_firmware(store.ours, filter, page).await?;
    assert_eq!(page.total, page.items.len() as u64);
    let versions: Vec<_> = page
        .items
        .into_iter()
        .map(|firmware| firmware.details.version)
        .collect();
    Ok(versions.join(" "))
}

on_both! {
    async fn a_firmware_is_read_as_it_was_made(store) {
        let mut new = firmware("edge", "1.2.0");
        new.details = FirmwareDetails {
            description: "for \0 gateways".into(),
            device_model: Some("rpi4".into()),
            manufacturer: Some("tide works".into()),
            min_hardware_version: Some("1".into()),
            max_hardware_version: Some("2".into()),
            tags: vec!["b".into(), "a".into()],
            metadata: [("k".to_owned(), "\"v\"".to_owned())].into(),
            is_beta: true,
            is_security_update: true,
            changelog: "all new".into(),
            ..new.details
        };
        let id = store.create_firmware(store.ours, new.clone()).await?;
        let read = store.firmware(store.ours, id).await?.expect("it was created");
        let modules = new.modules.iter().zip(&read.modules).map(|(new, read)| Module {
            id: read.id,
            part: new.part.clone(),
            name: new.name.clone(),
            version: new.version.clone(),
            metadata: new.metadata.clone(),
            is_encrypted: new.is_encrypted,
            artifacts: new.artifacts.clone(),
        });
        let expected = Firmware {
            id,
            tenant: store.ours,
            details: FirmwareDetails { description: "for \u{FFFD} gateways".into(), ..new.details },
            modules: modules.collect(),
            created_at: Timestamp(5),
            created_by: "creator".into(),
            deleted_at: None,
        };
        assert_eq!(read, expected);
        assert_eq!(read.modules.len(), 2);

        let module = read.modules[0].id;
        assert_eq!(store.firmware_of_module(store.ours, module).await?, Some(read));
        assert_eq!(store.firmware_of_module(store.theirs, module).await?, None);
        assert_eq!(store.firmware(store.theirs, id).await?, None);
    }

    async fn name_version_and_model_are_unique(store) {
        store.create_firmware(store.ours, firmware("edge", "1.0.0")).await?;
        store.create_firmware(store.ours, for_model(firmware("edge", "1.0.0"), "rpi4")).await?;
        store.create_firmware(store.theirs, firmware("edge", "1.0.0")).await?;
        for again in [firmware("edge", "1.0.0"), for_model(firmware("edge", "1.0.0"), "rpi4")] {
            let refused = store.create_firmware(store.ours, again).await;
            assert!(matches!(&refused, Err(StoreError::Conflict(why)) if why.contains("edge 1.0.0")), "{refused:?}");
        }
        let mut twice = firmware("edge", "2.0.0");
        twice.modules[1].artifacts = vec![artifact("x", 1), artifact("x", 1)];
        assert!(matches!(store.create_firmware(store.ours, twice).await, Err(StoreError::Conflict(_))));
        // Nothing was stored.
        assert_eq!(versions(store, &FirmwareFilter::default()).await?, "1.0.0 1.0.0");
    }

    async fn lists_are_filtered_and_newest_first(store) {
        let mut beta = for_model(firmware("edge", "2.0.0"), "rpi4");
        beta.details.is_beta = true;
        beta.details.tags = vec!["night".into()];
        store.create_firmware(store.ours, firmware("edge", "1.0.0")).await?;
        store.create_firmware(store.ours, beta).await?;
        store.create_firmware(store.theirs, firmware("edge", "9.0.0")).await?;
        let none = FirmwareFilter::default;
        for (filter, expected) in [
            (none(), "2.0.0 1.0.0"),
            (FirmwareFilter { is_beta: Some(false), ..none() }, "1.0.0"),
            (FirmwareFilter { is_beta: Some(true), tag: Some("night".into()), ..none() }, "2.0.0"),
            (FirmwareFilter { tag: Some("nigh\0".into()), ..none() }, ""),
            (FirmwareFilter { device_model: Some("rpi4".into()), ..none() }, "2.0.0"),
            (FirmwareFilter { version: Some("1.0.0".into()), ..none() }, "1.0.0"),
            (FirmwareFilter { is_security_update: Some(true), ..none() }, ""),
            (FirmwareFilter { manufacturer: Some("unknown".into()), ..none() }, ""),
        ] {
            assert_eq!(versions(store, &filter).await?, expected, "{filter:?}");
        }
    }

    async fn a_model_has_candidates_highest_version_first(store) {
        let with = |version: &str, change: &dyn Fn(&mut FirmwareDetails)| {
            let mut new = firmware("edge", version);
            change(&mut new.details);
            new
        };
        let with_metadata = |key: &'static str, value: &'static str| {
            move |details: &mut FirmwareDetails| {
                details.metadata.insert(key.to_owned(), value.to_owned());
            }
        };
        let for_device_model = |model: &'static str| move |details: &mut FirmwareDetails| details.device_model = Some(model.into());
        let deleted = store.create_firmware(store.ours, with("9.0.0", &for_device_model("rpi4"))).await?;
        for new in [
            with("1.10.0", &for_device_model("rpi4")),
            with("1.9.0", &for_device_model("rpi4")),
            with("1.11.0", &with_metadata("rauc.compatible", "rpi4")),
            with("1.8.0", &with_metadata("swu.hardware_compatibility", r#"["1.0"]"#)),
            with("1.7.0", &|details| {
                with_metadata("swu.boards", r#"{"cm4":[],"rpi4":[]}"#)(details);
                with_metadata("swu.hardware_compatibility", r#"["1.0"]"#)(details);
            }),
            with("2.0.0", &for_device_model("cm4")),
            with("3.0.0-rc.1", &for_device_model("rpi4")),
            with("3.0.0", &|details| { for_device_model("rpi4")(details); details.is_beta = true; }),
            with("4.0.0", &|_| {}),
            with("2.0.0.1", &for_device_model("cm4")),
            with("nightly", &for_device_model("cm4")),
            with("1.0.20261129101500", &for_device_model("cm4")),
        ] {
            store.create_firmware(store.ours, new).await?;
        }
        store.create_firmware(store.theirs, with("8.0.0", &for_device_model("rpi4"))).await?;
        store.delete_firmware(store.ours, deleted, Timestamp(9)).await?;
        let names = |found: Vec<Firmware>| {
            let versions: Vec<_> = found.into_iter().map(|one| one.details.version).collect();
            versions.join(" ")
        };
        let rpi4 = CandidateFilter { model: "rpi4".into(), limit: 50, ..CandidateFilter::default() };
        let all = store.candidates(store.ours, &rpi4).await?;
        assert_eq!(names(all.clone()), "1.11.0 1.10.0 1.9.0 1.8.0 1.7.0");
        assert_eq!(names(store.excluded_candidates(store.ours, &rpi4).await?), "4.0.0 3.0.0 3.0.0-rc.1");

        let part = CandidateFilter {
            at_least: Some(sort_key("1.8.0")),
            after: Some((sort_key("1.11.0"), all[0].id)),
            ..rpi4.clone()
        };
        assert_eq!(names(store.candidates(store.ours, &part).await?), "1.10.0 1.9.0 1.8.0");
        let one = CandidateFilter { limit: 1, ..part };
        assert_eq!(names(store.candidates(store.ours, &one).await?), "1.10.0");
        let cm4 = CandidateFilter { model: "cm4".into(), ..rpi4.clone() };
        assert_eq!(names(store.candidates(store.ours, &cm4).await?), "2.0.0.1 2.0.0 1.8.0 1.7.0");
        let without_order = CandidateFilter { limit: 2, ..cm4 };
        assert_eq!(
            names(store.excluded_candidates(store.ours, &without_order).await?),
            "nightly 1.0.20261129101500"
        );
        let newer = CandidateFilter { at_least: Some(sort_key("3.0.0")), ..rpi4 };
        assert_eq!(names(store.excluded_candidates(store.ours, &newer).await?), "4.0.0 3.0.0");
    }

    async fn a_firmware_is_found_by_name_version_and_model(store) {
        let any = store.create_firmware(store.ours, firmware("edge", "1.0.0")).await?;
        let pi = store.create_firmware(store.ours, for_model(firmware("edge", "1.0.0"), "rpi4")).await?;
        let newer = store.create_firmware(store.ours, firmware("edge", "1.0")).await?;
        let jetson = store.create_firmware(store.ours, for_model(firmware("edge", "2.0.0"), "jetson")).await?;
        let other = store.create_firmware(store.ours, firmware("gateway", "1.0.0")).await?;
        store.create_firmware(store.theirs, firmware("edge", "3.0.0")).await?;
        assert_ne!(any, newer);
        for (name, version, model, expected) in [
            ("edge", "1.0.0", Some("rpi4"), Some(pi)),
            ("edge", "v1.0", Some(" rpi4 "), Some(pi)),
            ("edge", "1.0.0", Some("jetson"), Some(newer)),
            ("edge", "1.0.0", None, Some(newer)),
            ("edge", "2.0.0", Some("jetson"), Some(jetson)),
            ("edge", "2.0.0", Some("rpi4"), None),
            ("edge", "2.0.0", Some(""), None),
            ("edge", "2.0.0", None, None),
            ("gateway", "1.0.0", Some("rpi4"), Some(other)),
            ("unknown", "1.0.0", Some("rpi4"), None),
            ("edge", "3.0.0", None, None),
        ] {
            let found = store.firmware_of_version(store.ours, name, version, model).await?;
            assert_eq!(found, expected, "{name} {version} {model:?}");
        }
    }

    async fn a_deleted_firmware_is_hidden_and_can_be_uploaded_again(store) {
        let id = store.create_firmware(store.ours, firmware("edge", "1.0.0")).await?;
        assert!(!store.delete_firmware(store.theirs, id, Timestamp(9)).await?);
        assert!(store.delete_firmware(store.ours, id, Timestamp(9)).await?);
        assert!(!store.delete_firmware(store.ours, id, Timestamp(9)).await?);
        assert_eq!(versions(store, &FirmwareFilter::default()).await?, "");
        let deleted = store.firmware(store.ours, id).await?.expect("the firmware");
        assert_eq!(deleted.deleted_at, Some(Timestamp(9)));
        assert!(!store.firmware_is_used(store.ours, id).await?);
        assert_eq!(store.firmware_of_version(store.ours, "edge", "1.0.0", None).await?, None);
        let again = store.create_firmware(store.ours, firmware("edge", "1.0.0")).await?;
        assert_ne!(id, again);
    }

    async fn a_firmware_in_use_cannot_be_deleted(store) {
        let id = store.create_firmware(store.ours, firmware("edge", "1.0.0")).await?;
        insert_campaign(store, store.ours, id, None).await?;
        let refused = store.delete_firmware(store.ours, id, Timestamp(9)).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");

        let unused = store.create_firmware(store.ours, firmware("edge", "2.0.0")).await?;
        insert_campaign(store, store.ours, unused, Some(7)).await?;
        assert!(store.delete_firmware(store.ours, unused, Timestamp(9)).await?);
        assert!(store.firmware_is_used(store.ours, unused).await?, "an ended campaign uses it");
        assert!(!store.firmware_is_used(store.theirs, unused).await?);
    }
}

/// Inserts a campaign directly into the database.
async fn insert_campaign(
    store: &TestStore,
    tenant: TenantId,
    firmware: FirmwareId,
    ended_at: Option<i64>,
) -> anyhow::Result<()> {
    use sqlx::Row as _;

    let mut tx = store.database.write().await?;
    let row = sqlx::query(
        "INSERT INTO campaigns (tenant_id, name, description, firmware_id, targets, allow_beta, \
         strategy, policies, priority, update_timeout_ms, requires_approval, auto_rollback, \
         failure_threshold_percent, success_criteria, created_by, created_at, update_type, max_retries, retry_delay_ms) \
         VALUES ($1, 'c', '', $2, '{}', 0, '{}', '[]', 'normal', 1, 0, 0, 20, 'reported', 'creator', 0, 'forced', 0, 0) \
         RETURNING id",
    )
    .bind(tenant.0)
    .bind(firmware.0)
    .fetch_one(tx.conn())
    .await?;
    sqlx::query(
        "INSERT INTO campaign_runs (tenant_id, campaign_id, status, generation, explain, operator_acts, \
         total_devices, parallel, plugin_failures, plugin_timeouts, journal_seq, fence, ended_at) \
         VALUES ($1, $2, 'created', 0, '[]', '[]', 0, 0, 0, 0, 0, 0, $3)",
    )
    .bind(tenant.0)
    .bind(row.try_get::<i64, _>("id")?)
    .bind(ended_at)
    .execute(tx.conn())
    .await?;
    tx.commit().await?;
    Ok(())
}
