//! The timeline: what may happen at a set time, to devices, to pushes, or by the operator's hand.

use std::time::Duration;

use super::cohort::Names;
use super::error::Problems;
use super::fault::{self, PushFault};
use super::found::Found;
use super::resolve::Resolving;
use super::word::{self, Does, Known, OfService, PARTICULAR};
use super::{Stage, StageCommand};
use crate::apns::fault::{Fault, Strikes};
use crate::apns::service::ServiceChange;
use crate::device::contract::Change;
use crate::ids::CohortId;
use crate::protocol::push::Reason;
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
#[derive(Clone, Debug, PartialEq)]
pub struct Happening {
    /// When, in scenario time from time zero.
    pub at: Duration,
    /// What.
    pub what: Deed,
}

/// What is done to pushes, or by the operator.
#[derive(Clone, Debug, PartialEq)]
pub enum Deed {
    /// The operator has the target send a push without a command to each device of the cohort.
    BlankPush(Option<CohortId>),
    /// The push certificate expires: the gateway ends every provider's TLS handshake with the alert
    /// `certificate_expired`, and closes connections that stand.
    ExpirePushCertificate,
    /// The push certificate is renewed: providers are let in again.
    RenewPushCertificate,
    /// From now on this goes wrong with pushes.
    FaultPushes(PushFault),
    /// From now on no fault that was for the cohort strikes, or none at all.
    HealPushes(Option<CohortId>),
    /// The push service changes for every provider.
    Service(ServiceChange),
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
        let Some(event) = table.text("do").and_then(|name| word::find(name)) else {
            return;
        };
        self.particular_keys(event, problems);
        let share = table.number("share").copied();
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
            Does::BlankPush
            | Does::ExpirePushCertificate
            | Does::RenewPushCertificate
            | Does::LosePushes
            | Does::FaultPushes
            | Does::HealPushes
            | Does::Service(_) => {
                let what = self.deed(event.does, to, problems);
                let happening = what.map(|what| Happening { at, what });
                timeline.happenings.extend(happening);
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

    /// What is done to pushes or by the operator; `None` when a key of it was wrong, or it is about
    /// devices.
    fn deed(&self, does: Does, to: Option<CohortId>, problems: &mut Problems) -> Option<Deed> {
        let table = self.table;
        match does {
            Does::BlankPush => Some(Deed::BlankPush(to)),
            Does::ExpirePushCertificate => Some(Deed::ExpirePushCertificate),
            Does::RenewPushCertificate => Some(Deed::RenewPushCertificate),
            Does::LosePushes => Some(Deed::FaultPushes(PushFault {
                of: to,
                strikes: Strikes::Share(table.number("share").copied().unwrap_or_default()),
                fault: Fault::Drop,
            })),
            Does::FaultPushes => fault::read(table, self.names, problems).map(Deed::FaultPushes),
            Does::HealPushes => Some(Deed::HealPushes(to)),
            Does::Service(of) => service_change(of, table).map(Deed::Service),
            Does::Changes(_) | Does::SetClock | Does::EndRule | Does::Reissue => None,
        }
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

/// What an event makes of the push service; `None` when a key of it was wrong.
fn service_change(of: OfService, table: &Found) -> Option<ServiceChange> {
    match of {
        OfService::Fixed(change) => Some(change),
        OfService::Streams => table.count("streams").copied().map(ServiceChange::Streams),
        OfService::Rate => Some(ServiceChange::Rate(table.push_rate("rate").copied())),
        OfService::GoAway => {
            let reason = fault::reason(table).unwrap_or(Reason::Shutdown);
            Some(ServiceChange::GoAway(reason))
        }
    }
}
