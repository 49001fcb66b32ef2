use futures::future::join_all;

use super::*;
use crate::testing::{TestStore, on_both};

const NOW: Timestamp = Timestamp(1_000);
const SOON: Timestamp = Timestamp(2_000);
const END: Timestamp = Timestamp(9_000);
const ROOM: Room = Room {
    requests: 100,
    bytes: 1_000,
};

fn request(digest: u8, salt: u8) -> NewRequest {
    NewRequest {
        ticket: Ticket {
            digest: [digest; 32],
            salt: [salt; 16],
        },
        fingerprint: [salt; 32],
        runs_until: SOON,
        forget_at: END,
    }
}

/// What a second request of the same key is told.
fn told(first: &NewRequest, progress: Progress) -> Reserved {
    Reserved::There(KnownRequest {
        ticket: first.ticket,
        fingerprint: first.fingerprint,
        progress,
    })
}

async fn reserve(store: &TestStore, request: &NewRequest) -> Result<Reserved, StoreError> {
    store
        .reserve_request(store.ours, request.clone(), ROOM, NOW)
        .await
}

on_both! {
    async fn a_request_is_reserved_once(store) {
        let (first, second) = (request(1, 1), request(1, 2));
        assert_eq!(reserve(store, &first).await?, Reserved::New);
        assert_eq!(reserve(store, &second).await?, told(&first, Progress::Running(SOON)));
        assert_eq!(reserve(store, &request(2, 2)).await?, Reserved::New, "another key");
        let theirs = store.reserve_request(store.theirs, second.clone(), ROOM, NOW).await?;
        assert_eq!(theirs, Reserved::New, "another tenant");
        let later = Timestamp(SOON.0 + 1);
        store.renew_request(store.ours, first.ticket, later, END).await?;
        assert_eq!(reserve(store, &second).await?, told(&first, Progress::Running(later)));
        // Neither a reservation that is not there nor another tenant's is renewed.
        store.renew_request(store.ours, second.ticket, END, END).await?;
        store.renew_request(store.theirs, first.ticket, END, END).await?;
        assert_eq!(reserve(store, &second).await?, told(&first, Progress::Running(later)));
    }

    async fn of_many_at_once_one_reserves(store) {
        let other = store.another_host().await?;
        for round in 0..20 {
            let requests: Vec<_> = (0..6).map(|n| request(round, n)).collect();
            let reserved = requests.iter().enumerate().map(|(n, request)| {
                let host = if n % 2 == 0 { store } else { &other };
                host.reserve_request(store.ours, request.clone(), ROOM, NOW)
            });
            let mut made = 0;
            for reserved in join_all(reserved).await {
                made += usize::from(reserved? == Reserved::New);
            }
            assert_eq!(made, 1);
        }
    }

    async fn an_answer_is_kept_until_its_time_is_up(store) {
        let (first, second) = (request(1, 1), request(1, 2));
        reserve(store, &first).await?;
        store.keep_answer(store.ours, second.ticket, Some(vec![6]), END).await?;
        store.keep_answer(store.theirs, first.ticket, Some(vec![6]), END).await?;
        assert_eq!(reserve(store, &second).await?, told(&first, Progress::Running(SOON)));
        let end = Timestamp(END.0 + 1_000);
        store.keep_answer(store.ours, first.ticket, Some(vec![7, 0, 255]), end).await?;
        let answered = told(&first, Progress::Answered(Some(vec![7, 0, 255])));
        assert_eq!(reserve(store, &second).await?, answered);
        // It is answered, so nothing about it changes any more.
        store.keep_answer(store.ours, first.ticket, None, END).await?;
        store.renew_request(store.ours, first.ticket, END, END).await?;
        store.give_request_back(store.ours, first.ticket).await?;
        let before = store.reserve_request(store.ours, second.clone(), ROOM, Timestamp(end.0 - 1));
        assert_eq!(before.await?, answered);
        // Nobody has forgotten it yet, but it is as if.
        let after = store.reserve_request(store.ours, second.clone(), ROOM, end);
        assert_eq!(after.await?, Reserved::New);
        assert_eq!(reserve(store, &first).await?, told(&second, Progress::Running(SOON)));
        store.keep_answer(store.ours, second.ticket, None, END).await?;
        assert_eq!(reserve(store, &first).await?, told(&second, Progress::Answered(None)));
    }

    async fn what_is_given_back_may_come_again(store) {
        let (first, second) = (request(1, 1), request(1, 2));
        reserve(store, &first).await?;
        store.give_request_back(store.theirs, first.ticket).await?;
        store.give_request_back(store.ours, second.ticket).await?;
        assert_eq!(reserve(store, &second).await?, told(&first, Progress::Running(SOON)));
        store.give_request_back(store.ours, first.ticket).await?;
        assert_eq!(reserve(store, &second).await?, Reserved::New);
    }

    async fn a_tenant_has_so_much_room(store) {
        let room = |requests, bytes| Room { requests, bytes };
        let reserve = |n, room| store.reserve_request(store.ours, request(n, n), room, NOW);
        assert_eq!(reserve(1, room(2, 10)).await?, Reserved::New);
        assert_eq!(reserve(2, room(2, 10)).await?, Reserved::New);
        assert_eq!(reserve(3, room(2, 10)).await?, Reserved::Full);
        let theirs = store.reserve_request(store.theirs, request(3, 3), room(2, 10), NOW);
        assert_eq!(theirs.await?, Reserved::New);
        store.keep_answer(store.ours, request(1, 1).ticket, Some(vec![0; 11]), END).await?;
        assert_eq!(reserve(3, room(3, 10)).await?, Reserved::Full, "answers count, too");
        let known = told(&request(2, 2), Progress::Running(SOON));
        assert_eq!(reserve(2, room(0, 0)).await?, known, "what is there stays");
        assert_eq!(reserve(3, room(3, 11)).await?, Reserved::New);
        assert_eq!(reserve(4, room(3, 11)).await?, Reserved::Full);
        store.give_request_back(store.ours, request(3, 3).ticket).await?;
        store.give_request_back(store.ours, request(3, 3).ticket).await?;
        assert_eq!(reserve(4, room(3, 11)).await?, Reserved::New, "there is room again");
        // A key whose time is up makes room for itself.
        let again = store.reserve_request(store.ours, request(1, 9), room(3, 11), END);
        assert_eq!(again.await?, Reserved::New);
        store.forget_requests(Timestamp(i64::MAX), 100).await?;
        assert_eq!(reserve(1, room(1, 0)).await?, Reserved::New, "nothing is left");
        assert_eq!(reserve(2, room(1, 0)).await?, Reserved::Full);
    }

    async fn old_requests_are_forgotten_a_few_at_a_time(store) {
        for n in 0..5 {
            let mut request = request(n, n);
            request.forget_at = Timestamp(END.0 + i64::from(n));
            store.reserve_request(store.ours, request.clone(), ROOM, NOW).await?;
            store.reserve_request(store.theirs, request, ROOM, NOW).await?;
        }
        let now = Timestamp(END.0 + 3);
        for expected in [3, 3, 2, 0] {
            assert_eq!(store.forget_requests(now, 3).await?, expected);
        }
        assert_eq!(reserve(store, &request(0, 7)).await?, Reserved::New);
        assert!(matches!(reserve(store, &request(4, 7)).await?, Reserved::There(_)));
    }
}
