//! A command on a device: refused with NotNow, or executed and answered.

use super::Device;
use super::contract::{Output, Reply};
use super::environment::Environment;
use super::execution::{self, Subject};
use super::session::{Session, Unsent};
use super::timers::Timer;
use super::traits::{NotNowRule, Platform};
use crate::fact::{FactKind, Got, ResultStatus};
use crate::ids::CommandUuid;
use crate::protocol::command::Command;
use crate::protocol::request_types;
use crate::protocol::status_report::StatusReport;
use crate::seed::Purpose;
use crate::time::SimTime;

/// A command that can be answered, because it says which it is.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) uuid: CommandUuid,
    pub(super) command: Command,
}

impl Work {
    fn request_type(&self) -> &str {
        self.command.request_type.as_deref().unwrap_or_default()
    }
}

/// What an answer asks of the device.
#[derive(Debug)]
pub(super) enum Asked {
    /// Nothing: the session is over.
    Nothing,
    /// This.
    Work(Work),
    /// Something that cannot even be answered, for want of a CommandUUID.
    Riddle,
}

/// What an answer means, and what it asks for.
pub(super) fn understand(reply: &Reply) -> (Got, Asked) {
    let answer = match &reply.answer {
        Ok(answer) => answer,
        Err(broken) => return (Got::Lost(broken.clone()), Asked::Nothing),
    };
    if !(200..300).contains(&answer.status) {
        return (Got::Status(answer.status), Asked::Nothing);
    }
    if answer.body.is_empty() {
        return (Got::Empty, Asked::Nothing);
    }
    match Command::decode(&answer.body) {
        Ok(command) => match command.uuid.clone() {
            Some(uuid) => {
                let request_type = command.request_type.clone().unwrap_or_default();
                let got = Got::Command {
                    uuid: uuid.clone(),
                    request_type,
                };
                (got, Asked::Work(Work { uuid, command }))
            }
            None => (
                Got::Unreadable {
                    what: "the command has no CommandUUID".into(),
                },
                Asked::Riddle,
            ),
        },
        Err(error) => (
            Got::Unreadable {
                what: error.to_string(),
            },
            Asked::Riddle,
        ),
    }
}

impl Device {
    pub(super) fn receive_command(
        &mut self,
        env: &Environment,
        now: SimTime,
        work: Work,
        out: &mut Vec<Output>,
    ) {
        let Some(until) = self.verdict(env, now, &work) else {
            let spans = &self.traits(env).reply;
            let dist = spans
                .by_request
                .get(work.request_type())
                .unwrap_or(&spans.usual);
            let event = self.event_of(env, &work.uuid);
            let span = self.draw(env, Purpose::Execute, event, 0).span(dist);
            self.session = Session::Executing(Box::new(work));
            self.timers.set(Timer::Execute, now + span);
            return;
        };
        let rare = self.rare();
        if !rare.deferrals.holds(&work.uuid, now) {
            rare.deferrals.refuse(&work.uuid, until);
        }
        let next = rare.deferrals.next();
        self.timers.set(Timer::Deferral, next);
        self.reply(env, now, work.uuid, ResultStatus::NotNow, out);
    }

    /// Whether the command is refused with NotNow, and until when.
    fn verdict(&self, env: &Environment, now: SimTime, work: &Work) -> Option<SimTime> {
        let deferrals = self.rare.as_deref().map(|rare| &rare.deferrals);
        if deferrals.is_some_and(|d| d.holds(&work.uuid, now)) {
            return Some(now);
        }
        let traits = self.traits(env);
        let rule = traits
            .not_now
            .iter()
            .find(|rule| self.is_about(env, rule, work.request_type()))?;
        let attempt = deferrals.map_or(0, |d| d.attempts(&work.uuid));
        let event = self.event_of(env, &work.uuid);
        let mut draw = self.draw(env, Purpose::NotNow, event, attempt);
        draw.chance(rule.probability)
            .then(|| now + env.scaled(draw.span(&rule.lasts)))
    }

    fn is_about(&self, env: &Environment, rule: &NotNowRule, request_type: &str) -> bool {
        if !rule.requests.is_empty() {
            return rule.requests.iter().any(|about| about == request_type);
        }
        let is_ios_like = self.traits(env).platform != Platform::Mac;
        !request_types::never_not_now(is_ios_like, request_type)
    }

    /// The event number of a command's draws: its order, so that verdicts are the same in every
    /// run; for a command nobody here ordered, a number made from its UUID.
    fn event_of(&self, env: &Environment, uuid: &CommandUuid) -> u64 {
        match env.orders.order(uuid) {
            Some(order) => u64::from(order.0),
            None => {
                let hash = blake3::hash(uuid.0.as_bytes());
                let mut word = [0_u8; 8];
                word.copy_from_slice(&hash.as_bytes()[..8]);
                u64::from_le_bytes(word) | 1 << 63
            }
        }
    }

    pub(super) fn finish_execution(
        &mut self,
        env: &Environment,
        now: SimTime,
        due: SimTime,
        out: &mut Vec<Output>,
    ) {
        let Session::Executing(work) = std::mem::replace(&mut self.session, Session::Resting)
        else {
            return;
        };
        let udid = env.crowd.udid(self.id);
        let serial = env.crowd.serial(self.id);
        let traits = env.traits(self.cohort);
        let mut inventory = self
            .rare
            .as_deref_mut()
            .map(|r| std::mem::take(&mut r.inventory));
        let subject = Subject {
            id: self.id,
            traits,
            udid: &udid,
            serial: &serial,
            seed: env.seed,
            inventory: inventory.get_or_insert_default(),
        };
        let mut outcome = execution::execute(&work.command, &subject);
        let mut inventory = inventory.unwrap_or_default();
        if let Some(effect) = outcome.effect.take() {
            inventory.apply(effect);
        }
        let (uuid, status) = (work.uuid, outcome.status);
        let body = outcome.into_report(&udid, Some(uuid.clone())).into();
        let rare = self.rare();
        rare.inventory = inventory;
        rare.unsent = Some(Unsent {
            uuid: Some(uuid.clone()),
            status,
            body,
        });
        out.push(Output::Note(FactKind::Executed {
            channel: self.channel(),
            uuid,
            due,
        }));
        self.send_unsent(env, now, out);
    }

    /// Answers at once, without a payload.
    pub(super) fn reply(
        &mut self,
        env: &Environment,
        now: SimTime,
        uuid: CommandUuid,
        status: ResultStatus,
        out: &mut Vec<Output>,
    ) {
        let report = StatusReport {
            udid: env.crowd.udid(self.id).into(),
            status: execution::wire_status(status),
            uuid: Some(uuid.clone()),
            error_chain: Vec::new(),
            payload: plist::Dictionary::new(),
        };
        let body = report.encode().into();
        self.rare().unsent = Some(Unsent {
            uuid: Some(uuid),
            status,
            body,
        });
        self.send_unsent(env, now, out);
    }
}
