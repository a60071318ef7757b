//! The timeline: what may happen at a set time, to devices, to pushes, or by the operator's hand.

use std::time::Duration;

use super::cohort::Names;
use super::error::Problems;
use super::found::Found;
use super::resolve::Resolving;
use super::{Stage, StageCommand};
use crate::condition::Condition;
use crate::device::contract::Change;
use crate::ids::CohortId;
use crate::seed::Dist;

/// Something that happens to devices.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// When, from the end of enrolment, in scenario time.
    pub at: Duration,
    /// The cohort it happens to; `None` for all devices.
    pub to: Option<CohortId>,
    /// What happens to each device, in this order.
    pub changes: Vec<Change>,
    /// The share of the devices it happens to, 0 to 1, drawn by seed.
    pub share: f64,
    /// How much later than `at` it happens to each device.
    pub spread: Dist,
    /// Its place in the file's timeline, from 0: what its draws are made of.
    pub number: u32,
}

/// Something at a set time that is done to pushes or by the operator, not to a device.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Happening {
    /// When, in scenario time from time zero.
    pub at: Duration,
    /// What.
    pub what: Deed,
}

/// What is done to pushes, or by the operator.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Deed {
    /// The operator has the target send a push without a command to each device of the cohort.
    BlankPush(Option<CohortId>),
    /// The push certificate expires: the gateway ends every provider's TLS handshake with the alert
    /// `certificate_expired`, and closes connections that stand.
    ExpirePushCertificate,
    /// The push certificate is renewed: providers are let in again.
    RenewPushCertificate,
    /// From now on this share of pushes, 0 to 1, is answered with 200 and lost, for a cohort or all.
    LosePushes {
        /// Whose.
        of: Option<CohortId>,
        /// Which share.
        share: f64,
    },
}

/// Orders that are cancelled and placed again if they are open at a set time.
#[derive(Clone, Debug, PartialEq)]
pub struct Reissue {
    /// When, in scenario time from time zero.
    pub at: Duration,
    /// How much later than `at` for each order.
    pub spread: Dist,
    /// The cohort whose orders; `None` for all.
    pub to: Option<CohortId>,
    /// Which commands, indexes of [`super::Scenario::commands`].
    pub commands: Vec<u16>,
    /// Its place in the file's timeline, from 0: what its draws are made of.
    pub number: u32,
}

/// What the timeline of a scenario says, each part in the order of the file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Timeline {
    /// What happens to devices.
    pub events: Vec<Event>,
    /// What is done to pushes and by the operator.
    pub happenings: Vec<Happening>,
    /// What is ordered again.
    pub reissues: Vec<Reissue>,
}

/// One word of `do`.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) name: &'static str,
    pub(super) about: &'static str,
    does: Does,
}

#[derive(Clone, Copy, Debug)]
enum Does {
    /// Changes devices.
    Changes(&'static [Change]),
    SetClock,
    EndRule,
    BlankPush,
    ExpirePushCertificate,
    RenewPushCertificate,
    LosePushes,
    Reissue,
}

impl Does {
    /// The keys beside `at` and `do`, and whether they must be there.
    const fn takes(self) -> &'static [(&'static str, bool)] {
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
const PARTICULAR: [(&str, &str); 7] = [
    ("to", "to = \"cohort\""),
    ("spread", "spread = \"0s..2m\""),
    ("share", "share = 0.3"),
    ("ahead", "ahead = \"-11m\""),
    ("rule", "rule = \"name\""),
    ("stage", "stage = \"name\""),
    ("request", "request = \"InstallProfile\""),
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
static EVENTS: [Known; 41] = [
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
    known("blank-push", "The administrator sends a push without a command to each device.", Does::BlankPush),
    known("expire-push-certificate", "The target's push certificate expires: the push service lets it in no more.", Does::ExpirePushCertificate),
    known("renew-push-certificate", "The push certificate is renewed.", Does::RenewPushCertificate),
    known("lose-pushes", "From now on this `share` of pushes is accepted and lost; 0 ends it.", Does::LosePushes),
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

/// The whole timeline.
pub(super) fn timeline(
    found: &Found,
    names: &Names<'_>,
    stages: &[Stage],
    resolving: &mut Resolving,
) -> Timeline {
    let mut timeline = Timeline::default();
    for (table, number) in found.tables("timeline").iter().zip(0..) {
        let reading = Reading {
            table,
            names,
            stages,
            number,
        };
        reading.add_to(&mut timeline, &mut resolving.problems);
        if changes(&timeline, names) + reissued(&timeline, names, stages) > TIMELINE_MAX {
            resolving.problems.add(
                table.place_of("do"),
                "the timeline up to here changes devices, or places orders again, too often",
                format!("at most {TIMELINE_MAX:.0} times, all devices and orders together"),
            );
            break;
        }
    }
    timeline
}

/// No plan has more entries in its timeline: at 32 bytes each they are as large as all its orders.
const TIMELINE_MAX: f64 = 20e6;

/// How often the timeline changes one device.
fn changes(timeline: &Timeline, names: &Names<'_>) -> f64 {
    let of = |event: &Event| names.devices(event.to) * event.share * event.changes.len() as f64;
    timeline.events.iter().map(of).sum()
}

/// How many orders the timeline places again at most.
fn reissued(timeline: &Timeline, names: &Names<'_>, stages: &[Stage]) -> f64 {
    let commands = stages.iter().flat_map(|stage| {
        let of = move |command| names.orders(command, stage.duration);
        stage.commands.iter().map(of)
    });
    timeline.reissues.len() as f64 * commands.sum::<f64>()
}

/// One event while it is read.
struct Reading<'a> {
    table: &'a Found,
    names: &'a Names<'a>,
    stages: &'a [Stage],
    number: u32,
}

impl Reading<'_> {
    fn add_to(&self, timeline: &mut Timeline, problems: &mut Problems) {
        let table = self.table;
        let at = table.span("at").copied().unwrap_or_default();
        let to = self.names.find(table, "to", problems);
        let Some(event) = table.text("do").and_then(|name| find(name)) else {
            return;
        };
        self.particular_keys(event, problems);
        let share = table.number("share").copied();
        let happening = |what| Happening { at, what };
        let changes = match event.does {
            Does::Changes(changes) => changes.to_vec(),
            Does::SetClock => match table.offset("ahead") {
                Some(ahead) => vec![Change::SetClock(*ahead)],
                None => return,
            },
            Does::EndRule => match self.rule(to, problems) {
                Some(number) => vec![Change::EndRule(number)],
                None => return,
            },
            Does::BlankPush => {
                timeline.happenings.push(happening(Deed::BlankPush(to)));
                return;
            }
            Does::ExpirePushCertificate => {
                let what = Deed::ExpirePushCertificate;
                timeline.happenings.push(happening(what));
                return;
            }
            Does::RenewPushCertificate => {
                let what = Deed::RenewPushCertificate;
                timeline.happenings.push(happening(what));
                return;
            }
            Does::LosePushes => {
                let share = share.unwrap_or_default();
                let what = Deed::LosePushes { of: to, share };
                timeline.happenings.push(happening(what));
                return;
            }
            Does::Reissue => {
                timeline.reissues.push(Reissue {
                    at,
                    spread: self.spread(),
                    to,
                    commands: self.commands(problems),
                    number: self.number,
                });
                return;
            }
        };
        timeline.events.push(Event {
            at,
            to,
            changes,
            share: share.unwrap_or(1.0),
            spread: self.spread(),
            number: self.number,
        });
    }

    fn spread(&self) -> Dist {
        self.table.dist("spread").cloned().unwrap_or(Dist::ZERO)
    }

    /// Keys that do not belong to this event, and those it lacks.
    fn particular_keys(&self, event: &Known, problems: &mut Problems) {
        let takes = event.does.takes();
        for (key, example) in PARTICULAR {
            let taken = takes.iter().find(|(taken, _)| *taken == key);
            match (taken, self.table.is_given(key)) {
                (None, true) => problems.add(
                    self.table.place_of(key),
                    format!("{key} does not fit do = \"{}\"", event.name),
                    "leave it out",
                ),
                (Some((_, true)), false) if !self.table.is_present(key) => problems.add(
                    self.table.place_of("do"),
                    format!("{} has no \"{key}\"", event.name),
                    format!("add {example}"),
                ),
                (Some(_) | None, _) => {}
            }
        }
    }

    /// The number of the rule that an event ends.
    fn rule(&self, to: Option<CohortId>, problems: &mut Problems) -> Option<u8> {
        let name = self.table.text("rule")?;
        // A cohort that is not there is noted already.
        if to.is_none() && self.table.is_present("to") {
            return None;
        }
        let Some(to) = to.or_else(|| self.names.only()) else {
            problems.add(
                self.table.place_of("rule"),
                format!("\"{name}\" is a rule of one cohort, and this event is for all"),
                "add to = \"cohort\"",
            );
            return None;
        };
        self.names
            .rule(to, name)
            .map_err(|right| {
                let cohort = self.names.name(to);
                problems.add(
                    self.table.place_of("rule"),
                    format!("\"{cohort}\" has no rule called \"{name}\""),
                    right,
                );
            })
            .ok()
    }

    /// Which commands are ordered again.
    fn commands(&self, problems: &mut Problems) -> Vec<u16> {
        let stage = self.table.text("stage");
        let request = self.table.text("request");
        if let Some(name) = stage
            && !self.stages.iter().any(|stage| stage.name == *name)
        {
            let known = self.stages.iter().map(|stage| stage.name.as_str());
            problems.add(
                self.table.place_of("stage"),
                format!("there is no stage \"{name}\""),
                super::error::suggest(name, known),
            );
            return Vec::new();
        }
        let matches = |of: &Stage, command: &StageCommand| {
            stage.is_none_or(|name| of.name == *name)
                && request.is_none_or(|name| command.source.request() == Some(name))
        };
        let commands: Vec<u16> = self
            .stages
            .iter()
            .flat_map(|stage| stage.commands.iter().map(move |command| (stage, command)))
            .zip(0..)
            .filter_map(|((stage, command), at)| matches(stage, command).then_some(at))
            .collect();
        let is_wrong = self.table.is_present("request") && request.is_none();
        if commands.is_empty() && !is_wrong {
            let key = if request.is_some() { "request" } else { "do" };
            problems.add(
                self.table.place_of(key),
                "no command of the stages matches, so nothing is ordered again",
                "a request that a stage orders",
            );
        }
        commands
    }
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
