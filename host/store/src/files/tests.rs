use tidegate_core::firmware::{Artifact, Hashes};
use tidegate_engine::ports::{Firmwares as _, NewFirmware};

use super::*;
use crate::{scene, testing::on_both};

const FILE: [u8; 32] = [7; 32];
const NOW: Timestamp = Timestamp(1_000);
const LATER: Timestamp = Timestamp(2_000);

/// A firmware that refers to the file.
fn firmware() -> NewFirmware {
    let mut firmware = scene::firmware("1.0.0");
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
    async fn what_nobody_refers_to_is_doomed_when_the_last_one_lets_go(store) {
        assert!(store.hold_file(FILE, "a/1", LATER).await?);
        assert!(store.hold_file(FILE, "b/1", LATER).await?);
        assert_eq!(store.let_go_of_files("a/1", NOW).await?, Vec::<[u8; 32]>::new(), "b has it");
        assert_eq!(store.let_go_of_files("b/1", NOW).await?, [FILE]);
        assert!(!store.hold_file(FILE, "c/1", LATER).await?, "it is being deleted");
        store.file_is_gone(FILE).await?;
        assert!(store.hold_file(FILE, "c/1", LATER).await?);
        // Whoever was slow to say that it is gone does not speak of the new one.
        store.file_is_gone(FILE).await?;
        assert_eq!(store.let_go_of_files("c/1", NOW).await?, [FILE]);
    }

    async fn what_somebody_refers_to_stays(store) {
        assert!(store.hold_file(FILE, "a/1", LATER).await?);
        store.create_firmware(store.ours, firmware()).await?;
        assert_eq!(store.let_go_of_files("a/1", NOW).await?, Vec::<[u8; 32]>::new());
        // Another tenant's upload of the same bytes is refused.
        assert!(store.hold_file(FILE, "b/1", LATER).await?);
        assert_eq!(store.let_go_of_files("b/1", NOW).await?, Vec::<[u8; 32]>::new());
        assert_eq!(store.let_go_of_files("nobody", NOW).await?, Vec::<[u8; 32]>::new());
    }

    async fn what_a_dead_host_left_is_found(store) {
        assert!(store.hold_file(FILE, "a/1", LATER).await?);
        let none = Vec::<[u8; 32]>::new();
        assert_eq!(store.stray_files(NOW, Timestamp(0)).await?, none, "it may still live");
        assert_eq!(store.stray_files(LATER, Timestamp(0)).await?, [FILE], "its hold is over");
        // Whoever doomed it died before it was deleted.
        assert_eq!(store.stray_files(LATER, LATER).await?, none);
        assert_eq!(store.stray_files(LATER, Timestamp(LATER.0 + 1)).await?, [FILE]);
        store.file_is_gone(FILE).await?;
        assert_eq!(store.stray_files(LATER, Timestamp(i64::MAX)).await?, none);
    }

    async fn holding_and_letting_go_at_once_never_dooms_what_is_held(store) {
        for round in 0..50 {
            let (old, new) = (format!("old/{round}"), format!("new/{round}"));
            assert!(store.hold_file(FILE, &old, LATER).await?);
            let (held, doomed) = tokio::join!(
                store.hold_file(FILE, &new, LATER),
                store.let_go_of_files(&old, NOW),
            );
            let (held, doomed) = (held?, doomed?);
            assert_ne!(held, doomed == [FILE], "held or doomed, never both");
            store.let_go_of_files(&new, NOW).await?;
            store.file_is_gone(FILE).await?;
        }
    }
}
