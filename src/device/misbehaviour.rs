//! Breaking the protocol on demand, as devices in the field do now and then: results doubled, late,
//! garbled or missing.

use std::sync::Arc;

use ::plist::Value;

use super::agent::{Agent, Around};
use super::commands::{Work, event_of, is_named};
use super::contract::Output;
use super::session::{First, Unsent};
use super::traits::Misbehaviour;
use crate::ids::CommandUuid;
use crate::protocol::plist;
use crate::seed::Purpose;

/// What the scenario wants the device to do instead of answering `work` properly.
pub(super) fn draw<'a>(
    around: &Around<'a>,
    user: u8,
    session: u32,
    work: &Work,
) -> Option<&'a Misbehaviour> {
    let rule = around.traits.misbehaves.iter().find(|rule| {
        !around.is_ended(rule.scope.number)
            && is_named(&rule.scope, work.request_type()).unwrap_or(true)
    })?;
    let event = event_of(around.env, &work.uuid);
    let mut die = around.draw(user, Purpose::Misbehaviour, event, session);
    die.chance(rule.scope.probability).then_some(&rule.does)
}

impl Agent {
    /// Sends, or does not send, the result that is ready.
    pub(super) fn misbehave(
        &mut self,
        around: &Around<'_>,
        mut unsent: Unsent,
        does: &Misbehaviour,
        out: &mut Vec<Output>,
    ) {
        match does {
            Misbehaviour::Duplicate => {
                let again = unsent.clone();
                unsent.then = Some(Box::new(again));
            }
            Misbehaviour::UnknownCommand => unsent = behind_a_ghost(unsent),
            Misbehaviour::Truncated => {
                let half: Arc<[u8]> = unsent.body[..unsent.body.len() / 2].into();
                unsent.first = First::Mangled(half);
            }
            Misbehaviour::WrongTypes => {
                unsent.first = First::Mangled(with_wrong_types(&unsent.body))
            }
            Misbehaviour::Drops => unsent.first = First::Drops,
            Misbehaviour::Late(span) => {
                let mut die = around.draw(
                    self.user,
                    Purpose::Misbehaviour,
                    u64::from(self.sessions),
                    u32::MAX,
                );
                let span = around.env.scaled(die.span(span));
                self.rare().unsent = Some(unsent);
                return self.retry_after(around, span, out);
            }
            Misbehaviour::Never => {
                self.last_was_not_now = false;
                return self.end_session(around, out);
            }
        }
        self.rare().unsent = Some(unsent);
        self.send_unsent(around, out);
    }
}

/// A result of a command nobody sent, and `unsent` behind it.
fn behind_a_ghost(unsent: Unsent) -> Unsent {
    let Some(real) = unsent.uuid.clone() else {
        return unsent;
    };
    // As long as the real one, and no order's.
    let ghost: String = real.0.chars().rev().collect();
    let text = String::from_utf8_lossy(&unsent.body).replace(&*real.0, &ghost);
    Unsent {
        uuid: Some(CommandUuid(ghost.into())),
        status: unsent.status,
        body: text.into_bytes().into(),
        first: First::Proper,
        then: Some(Box::new(unsent)),
    }
}

/// The report with an integer where its CommandUUID was, and a date for its status.
fn with_wrong_types(body: &[u8]) -> Arc<[u8]> {
    let Ok(Value::Dictionary(mut report)) = plist::decode(body) else {
        return body.into();
    };
    report.insert("CommandUUID".into(), Value::Integer(7.into()));
    report.insert("Status".into(), Value::Array(Vec::new()));
    plist::encode(&report).into()
}
