//! Causes on the way of a push: from the target that has to send it to the device's door.

use crate::condition::Condition;
use crate::fact::{Ignored, NoEntry, Unanswered};
use crate::metric::Owner;
use crate::record::phase::Push;

use super::situation::{NoPush, ProviderRefusal, PushFate, Refusal, Situation};
use super::{Cause, Rule};

pub(super) const RULES: [Rule; 11] = [
    Rule {
        cause: Cause::NeverPushed,
        name: "never-pushed",
        owner: Some(Owner::Target),
        holds: never_pushed,
        remedy: "send a blank push to the device from the server; check that its push certificate \
                 is uploaded and that its way to APNs is this run's gateway",
    },
    Rule {
        cause: Cause::PushRejected,
        name: "push-rejected",
        owner: Some(Owner::Target),
        holds: push_rejected,
        remedy: "look up the APNs reason; renew the push certificate under the same Apple \
                 Account, or let the device send its token again by enrolling; after 429 push \
                 less often to one device",
    },
    Rule {
        cause: Cause::PushUnanswered,
        name: "push-unanswered",
        owner: Some(Owner::Apns),
        holds: push_unanswered,
        remedy: "a server has to give up on a push that APNs does not answer and send it again on \
                 another connection, without holding up the others",
    },
    Rule {
        cause: Cause::PushServiceDown,
        name: "push-service-down",
        owner: Some(Owner::Apns),
        holds: push_service_down,
        remedy: "nothing is wrong with the server while APNs is down, but it has to try again, \
                 after 15 minutes and then less and less often (Apple)",
    },
    Rule {
        cause: Cause::PushConnectRefused,
        name: "push-connect-refused",
        owner: Some(Owner::Network),
        holds: push_connect_refused,
        remedy: "let the server's proxy or firewall through to api.push.apple.com, 443 or 2197, \
                 without inspection of TLS",
    },
    Rule {
        cause: Cause::PushCertificateExpired,
        name: "push-certificate-expired",
        owner: Some(Owner::Target),
        holds: push_certificate_expired,
        remedy: "renew the push certificate at identity.apple.com under the Apple Account that \
                 made it, upload it, and send a blank push; every device waits until then",
    },
    Rule {
        cause: Cause::PushLost,
        name: "push-lost",
        owner: Some(Owner::Apns),
        holds: push_lost,
        remedy: "send a blank push: APNs promises no delivery, so a server has to push again when \
                 a device does not come",
    },
    Rule {
        cause: Cause::PushNotStored,
        name: "push-not-stored",
        owner: Some(Owner::Target),
        holds: push_not_stored,
        remedy: "send a blank push while the device is reachable; let the server set an \
                 apns-expiration of days, so that APNs keeps the push for devices that are away",
    },
    Rule {
        cause: Cause::WrongPush,
        name: "wrong-push",
        owner: Some(Owner::Target),
        holds: wrong_push,
        remedy: "check that the server uses the topic, token and PushMagic of the device's last \
                 TokenUpdate; enrolling the device again gives it fresh ones",
    },
    Rule {
        cause: Cause::PushPortBlocked,
        name: "push-port-blocked",
        owner: Some(Owner::Network),
        holds: push_port_blocked,
        remedy: "open TCP 5223 (and 443 and 2197) to 17.0.0.0/8 for these devices; to prove it, \
                 move one to a hotspot: its commands complete at once",
    },
    Rule {
        cause: Cause::PushDeaf,
        name: "push-deaf",
        owner: Some(Owner::Network),
        holds: push_deaf,
        remedy: "let the firewall or NAT keep idle connections to TCP 5223 for 30 minutes or \
                 more; leaving and joining the network makes the device connect anew",
    },
];

fn never_pushed(situation: &Situation<'_>) -> Option<String> {
    let accepted = situation.accepted?;
    let is_quiet = !situation.was_pushed
        && !situation.was_fetched
        && situation.refusal.is_none()
        && situation.provider.is_none()
        && certificate_trouble(situation).is_none();
    is_quiet.then(|| match situation.push_failed {
        Some(why) => format!(
            "the target took it at {accepted} and said that its push failed ({why}); none came \
             since"
        ),
        None => format!("the target took it at {accepted} and no push came since"),
    })
}

fn push_rejected(situation: &Situation<'_>) -> Option<String> {
    let (refusal, status) = refused(situation)?;
    (status < 500).then_some(refusal)
}

/// The refusal of the last push in words, and its status.
fn refused(situation: &Situation<'_>) -> Option<(String, u16)> {
    let Refusal { at, push, answer } = situation.refusal.filter(|_| situation.awaits_push())?;
    match answer {
        NoPush::Refused { status, reason } => {
            let reason = reason.as_deref().unwrap_or("no reason");
            let push = push.0;
            let text =
                format!("push {push}, the last one, was refused at {at} with {status} {reason}");
            Some((text, *status))
        }
        NoPush::Unanswered(_) => None,
    }
}

fn push_unanswered(situation: &Situation<'_>) -> Option<String> {
    let Refusal { at, push, answer } = situation.refusal.filter(|_| situation.awaits_push())?;
    let what = match answer {
        NoPush::Unanswered(Unanswered::Hang) => "it kept silent",
        NoPush::Unanswered(Unanswered::Reset) => "it reset the connection",
        NoPush::Unanswered(Unanswered::GoAway) => "it ended the connection with GOAWAY",
        NoPush::Refused { .. } => return None,
    };
    let push = push.0;
    Some(format!(
        "APNs never answered push {push} of {at}, the last one: {what}"
    ))
}

fn push_service_down(situation: &Situation<'_>) -> Option<String> {
    if let Some((refusal, status)) = refused(situation)
        && status >= 500
    {
        return Some(refusal);
    }
    let refused = situation.provider.filter(|_| situation.awaits_push())?;
    let ProviderRefusal { at, why } = refused;
    (*why == NoEntry::Service).then(|| {
        format!("APNs took no connection of the target at {at}: {why}; no push came since")
    })
}

fn push_connect_refused(situation: &Situation<'_>) -> Option<String> {
    let refused = situation.provider.filter(|_| situation.awaits_push())?;
    let ProviderRefusal { at, why } = refused;
    (*why == NoEntry::Connect).then(|| {
        format!("the target did not get through to APNs at {at}: {why}; no push came since")
    })
}

fn push_certificate_expired(situation: &Situation<'_>) -> Option<String> {
    situation
        .awaits_push()
        .then(|| certificate_trouble(situation))
        .flatten()
}

/// What says that the target's push certificate is not taken.
fn certificate_trouble(situation: &Situation<'_>) -> Option<String> {
    if let Some(ProviderRefusal { at, why }) = situation.provider {
        return match why {
            NoEntry::Certificate(why) => Some(format!(
                "the gateway refused the target's TLS handshake at {at}: {why}; no push came since"
            )),
            NoEntry::Connect | NoEntry::Service | NoEntry::Stray(_) => None,
        };
    }
    let why = situation
        .push_failed
        .filter(|why| !situation.was_pushed && why.to_lowercase().contains("certificate"))?;
    Some(format!(
        "the target took it and said that its push failed: {why}"
    ))
}

fn push_lost(situation: &Situation<'_>) -> Option<String> {
    if situation.push != Push::Lost {
        return None;
    }
    let last = situation.last_push?;
    match last.fate {
        PushFate::Lost(at) => Some(format!(
            "push {} was answered with 200 at {at} and lost",
            last.push.0
        )),
        PushFate::Underway
        | PushFate::Stored(_)
        | PushFate::Delivered(_)
        | PushFate::Ignored(..)
        | PushFate::Discarded(_) => None,
    }
}

fn push_not_stored(situation: &Situation<'_>) -> Option<String> {
    let last = situation.last_push.filter(|_| situation.awaits_push())?;
    match last.fate {
        PushFate::Discarded(at) => Some(format!(
            "push {} of {} was gone at {at}: it expired, or was not to be stored, before the \
             device could be reached",
            last.push.0, last.arrived
        )),
        PushFate::Underway
        | PushFate::Stored(_)
        | PushFate::Delivered(_)
        | PushFate::Ignored(..)
        | PushFate::Lost(_) => None,
    }
}

fn wrong_push(situation: &Situation<'_>) -> Option<String> {
    let last = situation.last_push.filter(|_| situation.awaits_push())?;
    let (at, what) = match last.fate {
        PushFate::Ignored(at, Ignored::WrongTopic) => (at, "its topic is not the device's"),
        PushFate::Ignored(at, Ignored::WrongMagic) => (at, "its PushMagic is not the device's"),
        // That the device is not enrolled is not the push's fault.
        PushFate::Ignored(_, Ignored::NotEnrolled)
        | PushFate::Underway
        | PushFate::Stored(_)
        | PushFate::Delivered(_)
        | PushFate::Discarded(_)
        | PushFate::Lost(_) => return None,
    };
    let push = last.push.0;
    Some(format!("the device ignored push {push} at {at}: {what}"))
}

fn push_port_blocked(situation: &Situation<'_>) -> Option<String> {
    let since = situation.since(Condition::PushBlocked)?;
    can_be_pushed(situation).then(|| {
        let push = situation.waiting_push();
        format!("the device's network has dropped TCP 5223 since {since}{push}")
    })
}

fn push_deaf(situation: &Situation<'_>) -> Option<String> {
    let since = situation.since(Condition::PushDeaf)?;
    can_be_pushed(situation).then(|| {
        let push = situation.waiting_push();
        format!("a NAT forgot the device's push connection at {since}{push}")
    })
}

/// Whether a push waits, and the device is one that could come for it.
fn can_be_pushed(situation: &Situation<'_>) -> bool {
    situation.push_is_underway() && !situation.held.has(Condition::Gone)
}
