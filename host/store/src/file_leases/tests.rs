use tidegate_core::firmware::{Artifact, Hashes};
use tidegate_engine::ports::{FileLeases as _, NewFirmware};

use super::*;
use crate::{test_fixture, testing::on_both};

const FILE: [u8; 32] = [7; 32];
const NOW: Timestamp = Timestamp(1_000);
const LATER: Timestamp = Timestamp(2_000);

fn firmware() -> NewFirmware {
    let mut firmware = test_fixture::firmware("1.0.0");
    firmware.modules[0].artifacts = vec![Artifact {
        filename: "edge.bin".into(),
        size: 1,
        hashes: Hashes {
            sha1: [0; 20],
            md5: [0; 16],
            sha256: FILE,
        },
    }];
    firmware
}

on_both! {
    async fn an_unreferenced_file_is_deleted_when_its_last_lease_ends(store) {
        assert!(store.lease_file(FILE, "a/1", LATER).await?);
        assert!(store.lease_file(FILE, "b/1", LATER).await?);
        assert_eq!(store.end_file_leases("a/1", NOW).await?, Vec::<[u8; 32]>::new(), "b has a lease");
        assert_eq!(store.end_file_leases("b/1", NOW).await?, [FILE]);
        assert!(!store.lease_file(FILE, "c/1", LATER).await?, "it is being deleted");
        store.confirm_file_deleted(FILE).await?;
        assert!(store.lease_file(FILE, "c/1", LATER).await?);
        // A late confirmation does not affect the new lease.
        store.confirm_file_deleted(FILE).await?;
        assert_eq!(store.end_file_leases("c/1", NOW).await?, [FILE]);
    }

    async fn a_referenced_file_is_kept(store) {
        assert!(store.lease_file(FILE, "a/1", LATER).await?);
        store.create_firmware(store.ours, firmware()).await?;
        assert_eq!(store.end_file_leases("a/1", NOW).await?, Vec::<[u8; 32]>::new());
        // Ending the lease of another tenant's refused upload keeps the referenced file.
        assert!(store.lease_file(FILE, "b/1", LATER).await?);
        assert_eq!(store.end_file_leases("b/1", NOW).await?, Vec::<[u8; 32]>::new());
        assert_eq!(store.end_file_leases("no lease", NOW).await?, Vec::<[u8; 32]>::new());
    }

    async fn files_of_a_stopped_server_are_found(store) {
        assert!(store.lease_file(FILE, "a/1", LATER).await?);
        let none = Vec::<[u8; 32]>::new();
        assert_eq!(store.orphaned_files(NOW, Timestamp(0)).await?, none, "the lease is valid");
        assert_eq!(store.orphaned_files(LATER, Timestamp(0)).await?, [FILE], "the lease expired");
        // The server stopped before it deleted the file.
        assert_eq!(store.orphaned_files(LATER, LATER).await?, none);
        assert_eq!(store.orphaned_files(LATER, Timestamp(LATER.0 + 1)).await?, [FILE]);
        store.confirm_file_deleted(FILE).await?;
        assert_eq!(store.orphaned_files(LATER, Timestamp(i64::MAX)).await?, none);
    }

    async fn concurrent_leases_never_delete_a_leased_file(store) {
        for round in 0..50 {
            let (old, new) = (format!("old/{round}"), format!("new/{round}"));
            assert!(store.lease_file(FILE, &old, LATER).await?);
            let (leased, deleted) = tokio::join!(
                store.lease_file(FILE, &new, LATER),
                store.end_file_leases(&old, NOW),
            );
            let (leased, deleted) = (leased?, deleted?);
            assert_ne!(leased, deleted == [FILE], "either leased or deleted");
            store.end_file_leases(&new, NOW).await?;
            store.confirm_file_deleted(FILE).await?;
        }
    }
}
