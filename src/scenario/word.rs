//! The words of `do`: everything that may happen in a timeline, and the keys each takes.

use crate::apns::service::ServiceChange;
use crate::condition::Condition;
use crate::device::contract::{Change, Wish};
use crate::ids::DeviceId;

/// One word of `do`.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    pub(super) does: Does,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Does {
    /// Changes devices.
    Changes(&'static [Change]),
    SetClock,
    EndRule,
    BlankPush,
    ExpirePushCertificate,
    RenewPushCertificate,
    LosePushes,
    FaultPushes,
    HealPushes,
    Service(OfService),
    Reissue,
}

/// How an event changes the push service.
#[derive(Clone, Copy, Debug)]
pub(super) enum OfService {
    /// In a way that needs no further key.
    Fixed(ServiceChange),
    Streams,
    Rate,
    GoAway,
}

impl Does {
    /// The keys beside `at` and `do`, and whether they must be there.
    pub(super) const fn takes(self) -> &'static [(&'static str, bool)] {
        match self {
            Self::Changes(_) => &[("to", false), ("spread", false), ("share", false)],
            Self::SetClock => &[
                ("to", false),
                ("spread", false),
                ("share", false),
                ("ahead", true),
            ],
            Self::EndRule => &[
                ("to", false),
                ("spread", false),
                ("share", false),
                ("rule", true),
            ],
            Self::BlankPush => &[("to", false)],
            Self::ExpirePushCertificate | Self::RenewPushCertificate => &[],
            Self::FaultPushes => &[
                ("to", false),
                ("share", false),
                ("fault", true),
                ("nth", false),
                ("by", false),
                ("status", false),
                ("reason", false),
            ],
            Self::HealPushes => &[("to", false)],
            Self::Service(OfService::Fixed(_)) => &[],
            Self::Service(OfService::Streams) => &[("streams", true)],
            Self::Service(OfService::Rate) => &[("rate", false)],
            Self::Service(OfService::GoAway) => &[("reason", false)],
            Self::LosePushes => &[("to", false), ("share", true)],
            Self::Reissue => &[
                ("to", false),
                ("spread", false),
                ("stage", false),
                ("request", false),
            ],
        }
    }
}

/// The keys that some events take and others do not, with what stands in for a missing one.
pub(super) const PARTICULAR: [(&str, &str); 14] = [
    ("to", "to = \"cohort\""),
    ("spread", "spread = \"0s..2m\""),
    ("share", "share = 0.3"),
    ("ahead", "ahead = \"-11m\""),
    ("rule", "rule = \"name\""),
    ("stage", "stage = \"name\""),
    ("request", "request = \"InstallProfile\""),
    ("fault", "fault = \"drop\""),
    ("nth", "nth = 3"),
    ("by", "by = \"30s\""),
    ("status", "status = 503"),
    ("reason", "reason = \"TooManyRequests\""),
    ("streams", "streams = 1"),
    ("rate", "rate = \"5 per 1m\""),
];

use Change::{Enter, Leave};
use Condition as In;

const fn device(name: &'static str, about: &'static str, changes: &'static [Change]) -> Known {
    known(name, about, Does::Changes(changes))
}

const fn known(name: &'static str, about: &'static str, does: Does) -> Known {
    Known { name, about, does }
}

/// Everything that may happen. A condition entered by an event lasts until an event ends it.
#[rustfmt::skip]
static EVENTS: [Known; 59] = [
    device("sleep", "Devices fall asleep.", &[Enter(In::Asleep)]),
    device("wake", "Devices wake up, as by hand.", &[Leave(In::Asleep)]),
    device("go-offline", "Devices leave the network.", &[Enter(In::Offline)]),
    device("come-online", "Devices come back to the network.", &[Leave(In::Offline)]),
    device("power-off", "Devices are switched off, or their batteries are flat.", &[Enter(In::Off)]),
    device("power-on", "Devices are switched on, and boot.", &[Leave(In::Off)]),
    device("reboot", "Devices restart; those with a passcode are locked then, before their first unlock.", &[Change::Reboot]),
    device("lock", "Screens are locked.", &[Enter(In::Locked)]),
    device("unlock", "Screens are unlocked.", &[Leave(In::BeforeFirstUnlock), Leave(In::Locked)]),
    device("block-push", "The network drops TCP 5223: HTTPS works, pushes do not arrive.", &[Enter(In::PushBlocked)]),
    device("unblock-push", "The network lets TCP 5223 through.", &[Leave(In::PushBlocked)]),
    device("move-to-hotspot", "Devices change to a network without restrictions: online, with pushes.", &[Leave(In::PushBlocked), Leave(In::PushDeaf), Leave(In::Offline)]),
    device("deafen", "A NAT forgets the push connections: devices seem connected and hear nothing.", &[Enter(In::PushDeaf)]),
    device("low-power-on", "Low Power Mode: pushes of low priority are held back.", &[Enter(In::LowPower)]),
    device("low-power-off", "Low Power Mode ends.", &[Leave(In::LowPower)]),
    device("enter-setup", "Setup Assistant runs.", &[Enter(In::SetupAssistant)]),
    device("finish-setup", "Setup Assistant is done.", &[Leave(In::SetupAssistant)]),
    device("throttle", "The system holds the management agent back.", &[Enter(In::Throttled)]),
    device("crash-agent", "The management agent crashes.", &[Enter(In::AgentStopped)]),
    device("open-agent", "The agent is opened in the foreground: it runs again, unthrottled.", &[Leave(In::Throttled), Leave(In::AgentStopped)]),
    device("lose", "Lost mode begins.", &[Enter(In::LostMode)]),
    device("find", "Lost mode ends.", &[Leave(In::LostMode)]),
    device("vanish", "Devices are gone for good, and the server does not know.", &[Enter(In::Gone)]),
    device("log-in", "Users log in to Macs and Shared iPads.", &[Leave(In::LoggedOut)]),
    device("log-out", "Users log out: their channels are silent.", &[Enter(In::LoggedOut)]),
    device("block-login", "A login waits for the server.", &[Enter(In::LoginBlocked)]),
    device("unblock-login", "The login goes on.", &[Leave(In::LoginBlocked)]),
    device("lock-keychain", "The keychains of Macs' users are locked.", &[Enter(In::KeychainLocked)]),
    device("unlock-keychain", "The keychains of Macs' users are open.", &[Leave(In::KeychainLocked)]),
    device("battery", "Devices run on their batteries.", &[Enter(In::OnBattery)]),
    device("mains", "Devices are plugged in.", &[Leave(In::OnBattery)]),
    known("set-clock", "Somebody sets the clock by hand, this far `ahead`, and it stays so.", Does::SetClock),
    device("sync-clock", "\"Set automatically\": clocks are right from now on.", &[Change::SyncClock]),
    known("end-rule", "The rule of that name does not apply any more.", Does::EndRule),
    device("rotate-token", "Push tokens change, and devices report the new ones.", &[Change::RotateToken]),
    device("re-enroll", "Devices enrol again, as after their management profile was removed.", &[Change::Reenroll]),
    device("renew-identity", "Devices get a new certificate, and enrol with it as the same devices.", &[Change::RenewIdentity]),
    device("remove-profile", "Users remove the management profile; devices check out, if the profile asks for it.", &[Change::RemoveProfile]),
    device("erase-and-re-enroll", "Devices are erased and enrol again: everything is new but UDID and serial number.", &[Change::EraseAndReenroll]),
    device("clone", "Devices are restored from the backup of the device before them in the cohort: they enrol with its identity.", &[Change::CloneOf(DeviceId(0))]),
    device("set-bootstrap-token", "Supervised Macs give their bootstrap token to the target once more.", &[Change::Wish(Wish::SetBootstrapToken)]),
    device("get-bootstrap-token", "Supervised Macs ask the target for their bootstrap token.", &[Change::Wish(Wish::GetBootstrapToken)]),
    device("get-token", "Devices ask the target for a token for Managed Apple Accounts.", &[Change::Wish(Wish::GetToken)]),
    device("return-to-service", "Supervised iPhones and iPads ask the target for their way back into service.", &[Change::Wish(Wish::ReturnToService)]),
    device("sync-declarations", "Devices ask the target which declarations there are.", &[Change::Wish(Wish::Declarations)]),
    known("blank-push", "The administrator sends a push without a command to each device.", Does::BlankPush),
    known("expire-push-certificate", "The target's push certificate expires: the push service lets it in no more.", Does::ExpirePushCertificate),
    known("renew-push-certificate", "The push certificate is renewed.", Does::RenewPushCertificate),
    known("lose-pushes", "From now on this `share` of pushes is accepted and lost; 0 ends it.", Does::LosePushes),
    known("fault-pushes", "From now on a `fault` strikes pushes, with the keys of [[apns.faults]].", Does::FaultPushes),
    known("heal-pushes", "The faults of pushes that were set for the cohort end, while those for all pushes go on; without a cohort all faults end.", Does::HealPushes),
    known("refuse-connect", "The CONNECT proxy refuses every provider, as a firewall would; connections that stand go on.", Does::Service(OfService::Fixed(ServiceChange::RefuseConnect(true)))),
    known("allow-connect", "The CONNECT proxy lets providers through again.", Does::Service(OfService::Fixed(ServiceChange::RefuseConnect(false)))),
    known("push-outage", "The push service is gone: connections are reset, and new ones closed as soon as they are made.", Does::Service(OfService::Fixed(ServiceChange::Out(true)))),
    known("end-push-outage", "The push service is back.", Does::Service(OfService::Fixed(ServiceChange::Out(false)))),
    known("limit-streams", "From now on a provider may have so many `streams` open on one connection.", Does::Service(OfService::Streams)),
    known("throttle-pushes", "From now on one token may be pushed to at this `rate`, then 429 TooManyRequests; without it, any number.", Does::Service(OfService::Rate)),
    known("send-goaway", "Every connection of a provider ends with GOAWAY and a `reason`; new ones are taken.", Does::Service(OfService::GoAway)),
    known("reissue", "The administrator cancels orders that are still open and places them again; `stage` and `request` say which.", Does::Reissue),
];

/// The events, as a scenario names them.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    EVENTS.iter().map(|event| event.name)
}

/// All events.
pub(super) fn all_known() -> impl Iterator<Item = &'static Known> {
    EVENTS.iter()
}

/// The event called `name`.
pub(super) fn find(name: &str) -> Option<&'static Known> {
    EVENTS.iter().find(|event| event.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_condition_that_an_event_begins_another_event_ends() {
        let changes = || {
            EVENTS.iter().flat_map(|event| match event.does {
                Does::Changes(changes) => changes,
                Does::SetClock
                | Does::EndRule
                | Does::BlankPush
                | Does::ExpirePushCertificate
                | Does::RenewPushCertificate
                | Does::LosePushes
                | Does::FaultPushes
                | Does::HealPushes
                | Does::Service(_)
                | Does::Reissue => &[],
            })
        };
        for change in changes() {
            // What is gone does not come back.
            if let Enter(condition) = change
                && *condition != In::Gone
            {
                assert!(
                    changes().any(|other| *other == Leave(*condition)),
                    "{condition:?}"
                );
            }
        }
    }

    #[test]
    fn no_two_events_share_a_name() {
        let mut sorted: Vec<&str> = names().collect();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), EVENTS.len());
    }
}
