use futures::future::join_all;
use tidegate_engine::ports::KeyedRequests as _;

use super::*;
use crate::testing::{TestStore, on_both};

const NOW: Timestamp = Timestamp(1_000);
const LEASE_END: Timestamp = Timestamp(2_000);
const END: Timestamp = Timestamp(9_000);
const QUOTA: Quota = Quota {
    requests: 100,
    bytes: 1_000,
};

fn request(digest: u8, salt: u8) -> NewRequest {
    NewRequest {
        reservation: ReservationId {
            digest: [digest; 32],
            salt: [salt; 16],
        },
        fingerprint: [salt; 32],
        lease_until: LEASE_END,
        expires_at: END,
    }
}

/// The result of a second request with the same key.
fn exists(first: &NewRequest, progress: RequestState) -> ReserveResult {
    ReserveResult::Exists(ExistingRequest {
        reservation: first.reservation,
        fingerprint: first.fingerprint,
        progress,
    })
}

async fn reserve(store: &TestStore, request: &NewRequest) -> Result<ReserveResult, StoreError> {
    store
        .reserve_request(store.ours, request.clone(), QUOTA, NOW)
        .await
}

on_both! {
    async fn a_request_is_reserved_once(store) {
        let (first, second) = (request(1, 1), request(1, 2));
        assert_eq!(reserve(store, &first).await?, ReserveResult::Reserved);
        assert_eq!(reserve(store, &second).await?, exists(&first, RequestState::Running(LEASE_END)));
        assert_eq!(reserve(store, &request(2, 2)).await?, ReserveResult::Reserved, "another key");
        let theirs = store.reserve_request(store.theirs, second.clone(), QUOTA, NOW).await?;
        assert_eq!(theirs, ReserveResult::Reserved, "another tenant");
        let later = Timestamp(LEASE_END.0 + 1);
        store.renew_request(store.ours, first.reservation, later, END).await?;
        assert_eq!(reserve(store, &second).await?, exists(&first, RequestState::Running(later)));
        // Another reservation and another tenant renew nothing.
        store.renew_request(store.ours, second.reservation, END, END).await?;
        store.renew_request(store.theirs, first.reservation, END, END).await?;
        assert_eq!(reserve(store, &second).await?, exists(&first, RequestState::Running(later)));
    }

    async fn one_of_many_concurrent_requests_reserves_the_key(store) {
        let other = store.another_server().await?;
        for round in 0..20 {
            let requests: Vec<_> = (0..6).map(|n| request(round, n)).collect();
            let reserved = requests.iter().enumerate().map(|(n, request)| {
                let server = if n % 2 == 0 { store } else { &other };
                server.reserve_request(store.ours, request.clone(), QUOTA, NOW)
            });
            let mut reserved_count = 0;
            for reserved in join_all(reserved).await {
                reserved_count += usize::from(reserved? == ReserveResult::Reserved);
            }
            assert_eq!(reserved_count, 1);
        }
    }

    async fn a_response_is_stored_until_it_expires(store) {
        let (first, second) = (request(1, 1), request(1, 2));
        reserve(store, &first).await?;
        store.store_response(store.ours, second.reservation, Some(vec![6]), END).await?;
        store.store_response(store.theirs, first.reservation, Some(vec![6]), END).await?;
        assert_eq!(reserve(store, &second).await?, exists(&first, RequestState::Running(LEASE_END)));
        let end = Timestamp(END.0 + 1_000);
        store.store_response(store.ours, first.reservation, Some(vec![7, 0, 255]), end).await?;
        let answered = exists(&first, RequestState::Completed(Some(vec![7, 0, 255])));
        assert_eq!(reserve(store, &second).await?, answered);
        // A stored response does not change.
        store.store_response(store.ours, first.reservation, None, END).await?;
        store.renew_request(store.ours, first.reservation, END, END).await?;
        store.release_request(store.ours, first.reservation).await?;
        let before = store.reserve_request(store.ours, second.clone(), QUOTA, Timestamp(end.0 - 1));
        assert_eq!(before.await?, answered);
        // An expired request is not deleted yet, but its key is free.
        let after = store.reserve_request(store.ours, second.clone(), QUOTA, end);
        assert_eq!(after.await?, ReserveResult::Reserved);
        assert_eq!(reserve(store, &first).await?, exists(&second, RequestState::Running(LEASE_END)));
        store.store_response(store.ours, second.reservation, None, END).await?;
        assert_eq!(reserve(store, &first).await?, exists(&second, RequestState::Completed(None)));
    }

    async fn a_released_key_can_be_reserved_again(store) {
        let (first, second) = (request(1, 1), request(1, 2));
        reserve(store, &first).await?;
        store.release_request(store.theirs, first.reservation).await?;
        store.release_request(store.ours, second.reservation).await?;
        assert_eq!(reserve(store, &second).await?, exists(&first, RequestState::Running(LEASE_END)));
        store.release_request(store.ours, first.reservation).await?;
        assert_eq!(reserve(store, &second).await?, ReserveResult::Reserved);
    }

    async fn quotas_limit_requests_and_bytes_of_a_tenant(store) {
        let quota = |requests, bytes| Quota { requests, bytes };
        let reserve = |n, quota| store.reserve_request(store.ours, request(n, n), quota, NOW);
        assert_eq!(reserve(1, quota(2, 10)).await?, ReserveResult::Reserved);
        assert_eq!(reserve(2, quota(2, 10)).await?, ReserveResult::Reserved);
        assert_eq!(reserve(3, quota(2, 10)).await?, ReserveResult::QuotaExceeded);
        let theirs = store.reserve_request(store.theirs, request(3, 3), quota(2, 10), NOW);
        assert_eq!(theirs.await?, ReserveResult::Reserved);
        store.store_response(store.ours, request(1, 1).reservation, Some(vec![0; 11]), END).await?;
        assert_eq!(reserve(3, quota(3, 10)).await?, ReserveResult::QuotaExceeded, "responses count as well");
        let existing_request = exists(&request(2, 2), RequestState::Running(LEASE_END));
        assert_eq!(reserve(2, quota(0, 0)).await?, existing_request, "stored requests are kept");
        assert_eq!(reserve(3, quota(3, 11)).await?, ReserveResult::Reserved);
        assert_eq!(reserve(4, quota(3, 11)).await?, ReserveResult::QuotaExceeded);
        store.release_request(store.ours, request(3, 3).reservation).await?;
        store.release_request(store.ours, request(3, 3).reservation).await?;
        assert_eq!(reserve(4, quota(3, 11)).await?, ReserveResult::Reserved, "the quota is free again");
        // An expired key frees its own quota.
        let again = store.reserve_request(store.ours, request(1, 9), quota(3, 11), END);
        assert_eq!(again.await?, ReserveResult::Reserved);
        store.delete_expired_requests(Timestamp(i64::MAX), 100).await?;
        assert_eq!(reserve(1, quota(1, 0)).await?, ReserveResult::Reserved, "all were deleted");
        assert_eq!(reserve(2, quota(1, 0)).await?, ReserveResult::QuotaExceeded);
    }

    async fn expired_requests_are_deleted_in_batches(store) {
        for n in 0..5 {
            let mut request = request(n, n);
            request.expires_at = Timestamp(END.0 + i64::from(n));
            store.reserve_request(store.ours, request.clone(), QUOTA, NOW).await?;
            store.reserve_request(store.theirs, request, QUOTA, NOW).await?;
        }
        let now = Timestamp(END.0 + 3);
        for expected in [3, 3, 2, 0] {
            assert_eq!(store.delete_expired_requests(now, 3).await?, expected);
        }
        assert_eq!(reserve(store, &request(0, 7)).await?, ReserveResult::Reserved);
        assert!(matches!(reserve(store, &request(4, 7)).await?, ReserveResult::Exists(_)));
    }
}
