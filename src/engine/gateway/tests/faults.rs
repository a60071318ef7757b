//! Each fault of a push, as its provider sees it.

use super::*;
use crate::fact::Unanswered;
use crate::ids::PushId;
use crate::protocol::push::Reason;
use crate::seed::Dist;

const SHORT: Dist = Dist::Constant(Duration::from_millis(40));
const VERY_LONG: Dist = Dist::Constant(Duration::from_secs(3600));

fn unanswered(push: u64, how: Unanswered) -> impl Fn(&FactKind) -> bool {
    move |fact| {
        matches!(fact, FactKind::PushUnanswered { push: it, how: was, .. }
            if *it == PushId(push) && *was == how)
    }
}

/// Whether an answer is not there yet.
fn is_waiting<F: Future + Unpin>(answer: &mut F) -> bool {
    futures_util::FutureExt::now_or_never(answer).is_none()
}

#[tokio::test]
async fn a_push_is_answered_with_any_status_and_reason() {
    with(async |mut rig: Rig| {
        let path = rig.path(3, 0);
        let line = rig.line().await;
        for (status, reason, body) in [
            (
                500,
                Some(Reason::InternalServerError),
                r#"{"reason":"InternalServerError"}"#,
            ),
            (
                429,
                Some(Reason::TooManyRequests),
                r#"{"reason":"TooManyRequests"}"#,
            ),
            (418, None, ""),
        ] {
            rig.fault(Fault::Answer { status, reason });
            let seen = line.push(&path, PAYLOAD).await.unwrap();
            assert_eq!((seen.status.as_u16(), seen.body.as_str()), (status, body));
            assert!(seen.id.is_some());
        }
        rig.fault(Fault::Answer {
            status: 410,
            reason: Some(Reason::ExpiredToken),
        });
        let gone = line.push(&path, PAYLOAD).await.unwrap();
        assert!(gone.body.contains(r#""timestamp":"#), "{gone:?}");
        rig.fault(Fault::Garble { status: 503 });
        let garbled = line.push(&path, PAYLOAD).await.unwrap();
        assert_eq!((garbled.status.as_u16(), garbled.id), (503, None));
        assert!(garbled.body.starts_with("<html>"));
        assert_eq!(rig.seen().await.0, 0);
    })
    .await;
}

#[tokio::test]
async fn a_lost_push_is_answered_with_200_and_reaches_nobody() {
    with(async |mut rig: Rig| {
        let lose = |share| FaultRule {
            of: Some(DeviceId(0)..DeviceId(10)),
            strikes: Strikes::Share(share),
            fault: Fault::Drop,
        };
        rig.gateway.fault(lose(1.0));
        assert!(is_accepted(&rig.push(0).await));
        let (pushes, facts) = rig.seen().await;
        assert_eq!(pushes, 0);
        let [
            FactKind::PushReceived {
                push, status: 200, ..
            },
            lost,
        ] = &facts[..]
        else {
            panic!("{facts:?}")
        };
        let (push, channel) = (*push, CHANNEL);
        assert_eq!(lost, &FactKind::PushLost { push, channel });
        rig.gateway.fault(lose(0.0));
        assert!(is_accepted(&rig.push(0).await));
        let (pushes, facts) = rig.seen().await;
        assert_eq!((pushes, facts.len()), (1, 1));
    })
    .await;
}

#[tokio::test]
async fn a_push_that_is_answered_with_200_unseen_is_lost() {
    with(async |mut rig: Rig| {
        let ok = Fault::Answer {
            status: 200,
            reason: None,
        };
        for (fault, push) in [(ok, PushId(0)), (Fault::Garble { status: 200 }, PushId(1))] {
            rig.fault_nth(1, fault);
            assert!(is_accepted(&rig.push(0).await));
            let (pushes, facts) = rig.seen().await;
            assert_eq!((pushes, facts.len()), (0, 2));
            let channel = CHANNEL;
            assert_eq!(facts[1], FactKind::PushLost { push, channel });
        }
    })
    .await;
}

#[tokio::test]
async fn a_200_without_a_look_at_the_push_is_no_proof_of_who_the_provider_is() {
    with(async |rig: Rig| {
        rig.fault_nth(
            1,
            Fault::Answer {
                status: 200,
                reason: None,
            },
        );
        let path = rig.path(3, 0);
        let line = Line::over(rig.tls(None).await).await;
        for status in [StatusCode::OK, StatusCode::FORBIDDEN] {
            assert_eq!(line.push(&path, PAYLOAD).await.unwrap().status, status);
        }
        assert_eq!(line.sender.current_max_send_streams(), 1);
    })
    .await;
}

#[tokio::test]
async fn a_hung_push_has_no_answer_and_others_on_the_connection_do() {
    with(async |mut rig: Rig| {
        let path = rig.path(3, 0);
        let line = rig.line().await;
        rig.fault_nth(1, Fault::Hang);
        let hung = line.begin(request(&path), PAYLOAD).await.unwrap();
        let mut hung = Box::pin(hung);
        let other = line.push(&path, PAYLOAD).await.unwrap();
        assert_eq!(other.status, StatusCode::OK);
        assert!(is_waiting(&mut hung));
        rig.fact(unanswered(0, Unanswered::Hang)).await;
        // Its client gives up; nothing of it is left.
        drop(hung);
        let other = line.push(&path, PAYLOAD).await.unwrap();
        assert_eq!(other.status, StatusCode::OK);
    })
    .await;
}

#[tokio::test]
async fn a_slow_answer_comes_after_the_push_has_set_out() {
    with(async |mut rig: Rig| {
        let path = rig.path(3, 0);
        let line = rig.line().await;
        rig.fault_nth(1, Fault::Slow(SHORT));
        let before = tokio::time::Instant::now();
        let slow = line.begin(request(&path), PAYLOAD).await.unwrap();
        let mut slow = Box::pin(slow);
        assert_eq!(rig.handed_on().await.id, PushId(0));
        assert!(is_waiting(&mut slow));
        assert_eq!(slow.await.unwrap().status, StatusCode::OK);
        assert!(before.elapsed() >= Duration::from_millis(40));
    })
    .await;
}

#[tokio::test]
async fn a_delayed_push_is_answered_at_once_and_sets_out_later() {
    with(async |mut rig: Rig| {
        let path = rig.path(3, 0);
        let line = rig.line().await;
        rig.fault_nth(1, Fault::Delay(SHORT));
        for _ in 0..2 {
            line.push(&path, PAYLOAD).await.unwrap();
        }
        let (second, first) = (rig.handed_on().await, rig.handed_on().await);
        assert_eq!((second.id, first.id), (PushId(1), PushId(0)));
        assert!(first.arrived.since(crate::time::SimTime::ZERO) >= Duration::from_millis(40));
    })
    .await;
}

#[tokio::test]
async fn a_doubled_push_sets_out_twice() {
    with(async |mut rig: Rig| {
        let path = rig.path(3, 0);
        let line = rig.line().await;
        rig.fault_nth(1, Fault::Duplicate(SHORT));
        line.push(&path, PAYLOAD).await.unwrap();
        line.push(&path, PAYLOAD).await.unwrap();
        let mut ids = Vec::new();
        for _ in 0..3 {
            ids.push(rig.handed_on().await.id.0);
        }
        assert_eq!(ids, [0, 1, 0]);
    })
    .await;
}

#[tokio::test]
async fn a_reordered_push_sets_out_after_the_next_one() {
    with(async |mut rig: Rig| {
        let path = rig.path(3, 0);
        let line = rig.line().await;
        rig.fault_nth(1, Fault::Reorder(VERY_LONG));
        line.push(&path, PAYLOAD).await.unwrap();
        line.push(&path, PAYLOAD).await.unwrap();
        assert_eq!(rig.handed_on().await.id, PushId(1));
        assert_eq!(rig.handed_on().await.id, PushId(0));
    })
    .await;
}

#[tokio::test]
async fn a_reset_takes_all_that_is_under_way_with_it() {
    with(async |mut rig: Rig| {
        let path = rig.path(3, 0);
        let line = rig.line().await;
        rig.fault_nth(1, Fault::Hang);
        let hung = line.begin(request(&path), PAYLOAD).await.unwrap();
        rig.fact(unanswered(0, Unanswered::Hang)).await;
        rig.fault_nth(1, Fault::Reset);
        let reset = line.push(&path, PAYLOAD).await.unwrap_err();
        let is_reset = |error: &h2::Error| {
            let kind = error.get_io().map(std::io::Error::kind);
            kind == Some(std::io::ErrorKind::ConnectionReset)
        };
        assert!(is_reset(&reset), "{reset:?}");
        assert!(is_reset(&hung.await.unwrap_err()));
        rig.fact(unanswered(1, Unanswered::Reset)).await;
        assert!(is_accepted(&rig.push(0).await));
    })
    .await;
}

#[tokio::test]
async fn a_goaway_answers_what_came_before_and_says_why() {
    with(async |mut rig: Rig| {
        let path = rig.path(3, 0);
        let line = rig.line().await;
        rig.fault_nth(2, Fault::GoAway(Reason::ServiceUnavailable));
        rig.fault_nth(1, Fault::Slow(SHORT));
        let before = line.begin(request(&path), PAYLOAD).await.unwrap();
        let struck = line.push(&path, PAYLOAD).await.unwrap_err();
        assert!(struck.is_go_away() && struck.is_remote(), "{struck:?}");
        assert_eq!(struck.reason(), Some(h2::Reason::NO_ERROR));
        let why = r#"{\"reason\":\"ServiceUnavailable\"}"#;
        assert!(struck.to_string().contains(why), "{struck}");
        assert_eq!(before.await.unwrap().status, StatusCode::OK);
        rig.fact(unanswered(1, Unanswered::GoAway)).await;
        assert!(line.ended().await.is_ok());
        assert_eq!(rig.seen().await.0, 1);
    })
    .await;
}

#[tokio::test]
async fn a_provider_connects_again_after_a_goaway() {
    with(async |mut rig: Rig| {
        assert!(is_accepted(&rig.push(0).await));
        rig.fault_nth(1, Fault::GoAway(Reason::Shutdown));
        let struck = rig.push(0).await;
        assert!(matches!(struck, PushResult::Failed { .. }), "{struck:?}");
        assert!(is_accepted(&rig.push(0).await));
        assert_eq!(rig.seen().await.0, 2);
    })
    .await;
}

#[tokio::test]
async fn a_healed_gateway_takes_pushes_again() {
    with(async |rig: Rig| {
        let path = rig.path(3, 0);
        let line = rig.line().await;
        rig.fault(Fault::Answer {
            status: 503,
            reason: Some(Reason::ServiceUnavailable),
        });
        let seen = line.push(&path, PAYLOAD).await.unwrap();
        assert_eq!(seen.status, StatusCode::SERVICE_UNAVAILABLE);
        rig.gateway.heal(None);
        let seen = line.push(&path, PAYLOAD).await.unwrap();
        assert_eq!(seen.status, StatusCode::OK);
    })
    .await;
}
