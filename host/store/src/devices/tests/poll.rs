use tidegate_core::{id::UpdateId, update::UpdateStatus};
use tidegate_engine::ports::OpenUpdate;

use super::*;

on_both! {
    async fn a_poll_shows_the_heaviest_then_the_oldest_update(store) {
        let new = NewDevice { token_sha256: Some([5; 32]), ..device("gate-1", &[], &[]) };
        let key = store.create_device(store.ours, new).await?;
        let view = async || store.poll_view(store.ours, "gate-1").await;
        let idle = PollView {
            device: key,
            token_sha256: Some([5; 32]),
            wants_attributes: true,
            is_unseen: true,
            open: None,
            installed: None,
        };
        assert_eq!(view().await?, Some(idle.clone()));

        // Done, and waiting for its proof: neither is shown.
        insert_update(store, store.ours, key, 9000, "completed").await?;
        insert_update(store, store.ours, key, 9000, "verifying").await?;
        assert_eq!(view().await?, Some(idle.clone()));

        let shown = |id, status| {
            let open = OpenUpdate { id: UpdateId(id), status, revision: 7 };
            Some(PollView { open: Some(open), ..idle.clone() })
        };
        let oldest = insert_update(store, store.ours, key, 500, "offered").await?;
        insert_update(store, store.ours, key, 500, "offered").await?;
        assert_eq!(view().await?, shown(oldest, UpdateStatus::Offered));
        let heaviest = insert_update(store, store.ours, key, 800, "cancelling").await?;
        assert_eq!(view().await?, shown(heaviest, UpdateStatus::Cancelling));

        // No row can point into another tenant.
        assert!(insert_update(store, store.theirs, key, 9999, "offered").await.is_err());
        assert_eq!(view().await?, shown(heaviest, UpdateStatus::Cancelling));
        assert_eq!(store.poll_view(store.theirs, "gate-1").await?, None);
        assert_eq!(store.poll_view(store.ours, "gate-1\0").await?, None);
    }

    async fn many_polls_are_answered_at_once(store) {
        let ours = store.create_device(store.ours, device("gate-1", &[], &[])).await?;
        let other = store.create_device(store.ours, device("gate-2", &[], &[])).await?;
        let theirs = store.create_device(store.theirs, device("gate-1", &[], &[])).await?;
        let open = insert_update(store, store.ours, other, 500, "installing").await?;
        let mut tx = store.database.write().await?;
        let wanted = [(store.ours, ours), (store.ours, other), (store.ours, theirs)];
        let views = poll_views(&mut tx, &wanted).await?;
        assert_eq!(views.len(), 2);
        assert_eq!(views[&ours].open, None);
        assert_eq!(views[&other].open.map(|open| open.id), Some(UpdateId(open)));
        assert_eq!(poll_views(&mut tx, &[]).await?.len(), 0);
    }
}
