//! A command on a device: refused with NotNow, or executed and answered.

use super::agent::{Agent, Around, News, subject};
use super::contract::{Output, Reply, Wish};
use super::deferrals::Because;
use super::environment::Environment;
use super::execution::{self, Inventory, Outcome, Subject};
use super::misbehaviour;
use super::not_now;
use super::session::{First, Session, Unsent};
use super::timers::Timer;
use super::traits::{FailureRule, Platform, RuleScope};
use crate::fact::{ErrorEnds, FactKind, Got, ResultStatus, WakeReason};
use crate::ids::CommandUuid;
use crate::protocol::access_right::AccessRights;
use crate::protocol::command::Command;
use crate::protocol::error_chain::ErrorItem;
use crate::protocol::request_types;
use crate::protocol::status_report::StatusReport;
use crate::seed::Purpose;
use crate::time::SimTime;

/// A command that can be answered, because it says which it is.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) uuid: CommandUuid,
    pub(super) command: Command,
    /// The error it is answered with whatever else holds.
    pub(super) refused: Option<Box<Outcome>>,
}

impl Work {
    pub(super) fn request_type(&self) -> &str {
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
                let refused = None;
                let work = Work {
                    uuid,
                    command,
                    refused,
                };
                (got, Asked::Work(work))
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

impl Agent {
    pub(super) fn receive_command(
        &mut self,
        around: &Around<'_>,
        mut work: Work,
        out: &mut Vec<Output>,
    ) {
        // What fails for good is not put off (protocol.md 1.6).
        work.refused = refusal(around, &work).map(Box::new);
        if work.refused.is_none()
            && let Some(because) = self.verdict(around, &work)
        {
            return self.refuse(around, work, because, out);
        }
        let spans = &around.traits.reply;
        let dist = spans
            .by_request
            .get(work.request_type())
            .unwrap_or(&spans.usual);
        let event = event_of(around.env, &work.uuid);
        let span = around
            .draw(self.user, Purpose::Execute, event, 0)
            .span(dist);
        self.session = Session::Executing(Box::new(work));
        self.timers.set(Timer::Execute, around.now + span);
    }

    fn refuse(&mut self, around: &Around<'_>, work: Work, because: Because, out: &mut Vec<Output>) {
        let why = match because {
            Because::Condition(condition) => condition.name().to_owned(),
            Because::Rule(number, _) => name_of(around, number),
            Because::Over => String::new(),
        };
        let rare = self.rare();
        if rare.deferrals.holds(&work.uuid, around.now).is_none() {
            let request_type = work.command.request_type.as_deref().unwrap_or_default();
            rare.deferrals.refuse(&work.uuid, request_type, because);
        }
        let next = rare.deferrals.next();
        self.timers.set(Timer::Deferral, next);
        out.push(Output::Note(FactKind::Refused {
            channel: self.channel(around.device),
            uuid: work.uuid.clone(),
            why,
        }));
        self.reply(around, work.uuid, ResultStatus::NotNow, out);
    }

    /// Whether and why the command is refused with NotNow.
    fn verdict(&self, around: &Around<'_>, work: &Work) -> Option<Because> {
        let request_type = work.request_type();
        let deferrals = self.rare.as_deref().map(|rare| &rare.deferrals);
        if let Some(because) = deferrals.and_then(|d| d.holds(&work.uuid, around.now)) {
            return Some(because);
        }
        if let Some(condition) = not_now::reason(&subject(around, self.user), request_type) {
            return Some(Because::Condition(condition));
        }
        let is_ios_like = around.traits.platform != Platform::Mac;
        let rule = around.traits.not_now.iter().find(|rule| {
            let named = is_named(&rule.scope, request_type);
            let all = || !request_types::never_not_now(is_ios_like, request_type);
            !around.is_ended(rule.scope.number) && named.unwrap_or_else(all)
        })?;
        let attempt = deferrals.map_or(0, |d| d.attempts(&work.uuid));
        let event = event_of(around.env, &work.uuid);
        let mut draw = around.draw(self.user, Purpose::NotNow, event, attempt);
        draw.chance(rule.scope.probability).then(|| {
            let until = match &rule.lasts {
                Some(lasts) => around.now + around.env.scaled(draw.span(lasts)),
                None => SimTime::NEVER,
            };
            Because::Rule(rule.scope.number, until)
        })
    }

    pub(super) fn finish_execution(
        &mut self,
        around: &Around<'_>,
        due: SimTime,
        out: &mut Vec<Output>,
    ) {
        let Session::Executing(mut work) = std::mem::replace(&mut self.session, Session::Resting)
        else {
            return;
        };
        let (error, unsent) = self.execute(around, &mut work);
        out.push(Output::Note(FactKind::Executed {
            channel: self.channel(around.device),
            uuid: work.uuid.clone(),
            due,
            error,
        }));
        match misbehaviour::draw(around, self.user, self.sessions, &work) {
            None => {
                self.rare().unsent = Some(unsent);
                self.send_unsent(around, out);
            }
            Some(does) => self.misbehave(around, unsent, does, out),
        }
    }

    /// Executes the command: why it failed, if it did, and the result to send.
    fn execute(&mut self, around: &Around<'_>, work: &mut Work) -> (Option<ErrorEnds>, Unsent) {
        let mut inventory = self
            .rare
            .as_deref_mut()
            .map(|rare| std::mem::take(&mut rare.inventory))
            .unwrap_or_default();
        let subject = Subject {
            id: around.device,
            traits: around.traits,
            os_version: around.os_version(),
            crowd: &around.env.crowd,
            rights: AccessRights(around.env.terms.access_rights),
            awaits_configuration: self.awaits_configuration(around),
            is_user_enrollment: around.env.terms.is_user_enrollment,
            seed: around.env.seed,
            inventory: &inventory,
        };
        let mut outcome = match (work.refused.take(), self.failure(around, work)) {
            (Some(refused), _) => *refused,
            (None, Some(rule)) => Outcome::error(vec![ErrorItem {
                code: rule.code,
                domain: rule.domain.clone().into(),
                localized: rule.description.clone().into(),
                us_english: None,
            }]),
            (None, None) => execution::execute(&work.command, &subject),
        };
        if let Some(effect) = outcome.effect.take() {
            inventory.apply(effect);
        }
        if !inventory.is_empty() {
            self.rare().inventory = inventory;
        }
        let (error, status) = (outcome.error_ends(), outcome.status);
        if status == ResultStatus::Acknowledged {
            self.follow(around, work.request_type());
        }
        let uuid = Some(work.uuid.clone());
        let unsent = Unsent {
            body: outcome
                .into_report(around.enrollee(), self.identity(around), uuid.clone())
                .into(),
            uuid,
            status,
            first: First::Proper,
            then: None,
        };
        (error, unsent)
    }

    /// What an acknowledged command makes the agent do beside its answer.
    fn follow(&mut self, around: &Around<'_>, request_type: &str) {
        match request_type {
            "DeviceConfigured" if self.user == 0 => self.news = Some(News::Configured),
            "DeclarativeManagement" if self.may_wish(around, Wish::Declarations) => {
                self.wishes.add(Wish::Declarations);
                // Once the result is delivered, in a session of its own.
                self.owes.get_or_insert(WakeReason::CheckIn);
            }
            _ => {}
        }
    }

    /// The rule of the scenario by which the command fails.
    fn failure<'a>(&self, around: &Around<'a>, work: &Work) -> Option<&'a FailureRule> {
        let rule = around.traits.failures.iter().find(|rule| {
            !around.is_ended(rule.scope.number)
                && is_named(&rule.scope, work.request_type()).unwrap_or(true)
        })?;
        let event = event_of(around.env, &work.uuid);
        let mut draw = around.draw(self.user, Purpose::Failure, event, self.sessions);
        draw.chance(rule.scope.probability).then_some(rule)
    }

    /// Answers at once, without a payload.
    pub(super) fn reply(
        &mut self,
        around: &Around<'_>,
        uuid: CommandUuid,
        status: ResultStatus,
        out: &mut Vec<Output>,
    ) {
        let report = StatusReport {
            udid: around.enrollee(),
            user: self.identity(around),
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
            first: First::Proper,
            then: None,
        });
        self.send_unsent(around, out);
    }
}

/// The error that comes before any thought of NotNow.
fn refusal(around: &Around<'_>, work: &Work) -> Option<Outcome> {
    let inventory = Inventory::default();
    let subject = Subject {
        id: around.device,
        traits: around.traits,
        os_version: around.os_version(),
        crowd: &around.env.crowd,
        rights: AccessRights(around.env.terms.access_rights),
        awaits_configuration: false,
        is_user_enrollment: around.env.terms.is_user_enrollment,
        seed: around.env.seed,
        inventory: &inventory,
    };
    execution::refusal(&work.command, &subject, around.conditions())
}

/// The event number of a command's draws: its order, so that verdicts are the same in every run;
/// for a command nobody here ordered, a number made from its UUID.
pub(super) fn event_of(env: &Environment, uuid: &CommandUuid) -> u64 {
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

/// Whether a rule that names request types names this one; `None` for a rule about all.
pub(super) fn is_named(scope: &RuleScope, request_type: &str) -> Option<bool> {
    (!scope.requests.is_empty()).then(|| scope.requests.iter().any(|about| about == request_type))
}

/// How a rule of NotNow is called in facts.
fn name_of(around: &Around<'_>, number: u8) -> String {
    let rule = around
        .traits
        .not_now
        .iter()
        .find(|rule| rule.scope.number == number)
        .expect("a command is refused by a rule of its cohort");
    match rule.scope.name.as_str() {
        "" => "a rule of the scenario".to_owned(),
        name => name.to_owned(),
    }
}
