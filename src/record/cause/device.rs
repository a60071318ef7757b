//! Causes that are the device's: it is away, asleep, held back, or its clock is wrong.

use crate::condition::Condition;
use crate::metric::Owner;

use super::situation::{Failure, FailureKind, Situation, is_clock_wrong};
use super::{Cause, Rule};

pub(super) const RULES: [Rule; 8] = [
    Rule {
        cause: Cause::DeviceOff,
        name: "device-off",
        owner: Some(Owner::Device),
        holds: device_off,
        remedy: "charge the device and turn it on; APNs keeps one push and delivers it then",
    },
    Rule {
        cause: Cause::DeviceOffline,
        name: "device-offline",
        owner: Some(Owner::Device),
        holds: device_offline,
        remedy: "bring the device back to a network; APNs keeps one push and delivers it then",
    },
    Rule {
        cause: Cause::GhostDevice,
        name: "ghost-device",
        owner: Some(Owner::Device),
        holds: ghost_device,
        remedy: "delete the device's record on the server, which cancels its commands; look for \
                 others that have not checked in for weeks",
    },
    Rule {
        cause: Cause::DeviceAsleep,
        name: "device-asleep",
        owner: Some(Owner::Device),
        holds: device_asleep,
        remedy: "wake the device or wait until somebody does; the push is kept and delivered then",
    },
    Rule {
        cause: Cause::BackgroundThrottled,
        name: "background-throttled",
        owner: Some(Owner::Device),
        holds: background_throttled,
        remedy: "open the management app in the foreground once; let users not force-quit it, and \
                 leave Background App Refresh on",
    },
    Rule {
        cause: Cause::AgentStopped,
        name: "agent-stopped",
        owner: Some(Owner::Device),
        holds: agent_stopped,
        remedy: "restart the device, or its management agent (mdmclient, mdmd); a user's commands \
                 need that user to log in",
    },
    Rule {
        cause: Cause::ClockRefusedTls,
        name: "clock-refused-tls",
        owner: Some(Owner::Device),
        holds: clock_refused_tls,
        remedy: "set the device's date and time automatically (Settings, General, Date & Time) \
                 and open UDP 123 to time.apple.com; the server's certificate is fine",
    },
    Rule {
        cause: Cause::ClockRefusedSignature,
        name: "clock-refused-signature",
        owner: Some(Owner::Device),
        holds: clock_refused_signature,
        remedy: "set the device's date and time automatically; a CA that dates certificates back \
                 by some minutes forgives small errors right after enrolling",
    },
];

fn device_off(situation: &Situation<'_>) -> Option<String> {
    let since = situation.since(Condition::Off)?;
    is_away(situation).then(|| {
        let push = situation.waiting_push();
        format!("the device has been off since {since}{push}")
    })
}

fn device_offline(situation: &Situation<'_>) -> Option<String> {
    let since = situation.since(Condition::Offline)?;
    is_away(situation).then(|| {
        let push = situation.waiting_push();
        format!("the device has been off the network since {since}{push}")
    })
}

/// Whether the command waits for a device that may come back. Without a network it cannot try
/// again either, whoever was to blame for a failure before.
fn is_away(situation: &Situation<'_>) -> bool {
    situation.awaits_device() && !situation.held.has(Condition::Gone)
}

fn ghost_device(situation: &Situation<'_>) -> Option<String> {
    if let Some((at, why)) = situation.unenrolled {
        return Some(format!("the device dropped its management at {at}: {why}"));
    }
    let since = situation.since(Condition::Gone)?;
    situation.awaits_device().then(|| {
        let push = situation.waiting_push();
        format!("the device has been gone since {since} and does not come back{push}")
    })
}

fn device_asleep(situation: &Situation<'_>) -> Option<String> {
    let push = situation.waiting_push();
    if let Some(since) = situation.since(Condition::Asleep) {
        let waits = situation.push_is_underway() || situation.awaits_connection();
        return waits.then(|| format!("the device has been asleep since {since}{push}"));
    }
    let since = situation.since(Condition::LowPower)?;
    situation.push_is_underway().then(|| {
        format!("the device has held back pushes of low priority since {since} to save power{push}")
    })
}

fn background_throttled(situation: &Situation<'_>) -> Option<String> {
    let since = situation.since(Condition::Throttled)?;
    holds_agent_back(situation)
        .then(|| format!("the system has held the device's management agent back since {since}"))
}

fn agent_stopped(situation: &Situation<'_>) -> Option<String> {
    if let Some(since) = situation.since(Condition::AgentStopped) {
        return holds_agent_back(situation)
            .then(|| format!("the device's management agent has not run since {since}"));
    }
    // A user's agent runs while that user is logged in, and only then (protocol.md 2.6).
    let since = situation.since(Condition::LoggedOut)?;
    let waits = holds_agent_back(situation) && situation.channel.user > 0;
    waits.then(|| {
        format!("nobody has been logged in since {since}, so the user's agent does not run")
    })
}

/// Whether an agent that runs would be taking a push or connecting.
fn holds_agent_back(situation: &Situation<'_>) -> bool {
    situation.push_is_underway() || situation.awaits_connection()
}

fn clock_refused_tls(situation: &Situation<'_>) -> Option<String> {
    let Failure {
        at,
        kind: FailureKind::Tls(why),
    } = situation.request?
    else {
        return None;
    };
    is_clock_wrong(situation.clock_ahead_ms).then(|| {
        let clock = situation.clock();
        format!("the device's clock is {clock}; its TLS handshake failed at {at}: {why}")
    })
}

fn clock_refused_signature(situation: &Situation<'_>) -> Option<String> {
    let failure = situation.request?;
    let is_refused = failure.kind == FailureKind::Status(400);
    (is_refused && is_clock_wrong(situation.clock_ahead_ms)).then(|| {
        let clock = situation.clock();
        format!(
            "the device's clock is {clock}, and so is the time in its signature; its request got \
             400 at {}",
            failure.at
        )
    })
}
