//! The raw timeline of a channel, in words: what is left to say of a wait that no rule explains.

use crate::time::SimTime;

use super::log::{Answer, Entry, Moment, Request, Says};
use super::phase::Marks;

/// What is still known of a channel up to `at`, and when the command was offered and accepted.
pub(super) fn words(entries: &[Entry], marks: Marks, at: SimTime) -> String {
    let operator = [
        (marks.offered, "it was offered"),
        (marks.accepted, "it was accepted"),
    ];
    let operator = operator
        .into_iter()
        .filter_map(|(mark, what)| Some((mark?, what.to_owned())));
    let channel = entries
        .iter()
        .filter_map(|entry| Some((entry.at, moment(entry.moment)?)));
    let mut lines: Vec<(SimTime, String)> = operator.chain(channel).collect();
    lines.retain(|(when, _)| *when <= at);
    lines.sort_by_key(|(when, _)| *when);
    let lines = lines
        .into_iter()
        .map(|(when, what)| format!("{when} {what}"));
    lines.collect::<Vec<_>>().join("; ")
}

/// What happened; `None` for the moments between the beginning and the end of a request.
fn moment(moment: Moment) -> Option<String> {
    let what = match moment {
        Moment::PushArrived(push) => format!("push {} arrived", push.0),
        Moment::PushDelivered(push) => format!("push {} was delivered", push.0),
        Moment::PushIgnored(push) => format!("push {} was ignored", push.0),
        Moment::PushDiscarded(push) => format!("push {} was discarded", push.0),
        Moment::PushLost(push) => format!("push {} was lost", push.0),
        Moment::Woke => "the device decided to connect".to_owned(),
        Moment::Sent(request) => format!("{} was sent", said(request)),
        Moment::Read(request) => format!("{} was answered with {}", said(request), got(request)),
        Moment::Executed(command) => format!("the answer of command {} was ready", command.0),
        Moment::DeferralEnded(command, _) => {
            format!(
                "the reason for the NotNow of command {} was over",
                command.0
            )
        }
        Moment::SessionEnded => "the session was over".to_owned(),
        Moment::PushDue
        | Moment::WakeDue
        | Moment::Asked(_)
        | Moment::Permitted(_)
        | Moment::Seen(_)
        | Moment::ExecutedDue(_)
        | Moment::DeferralDue(_) => return None,
    };
    Some(what)
}

fn said(request: Request) -> String {
    match request.says {
        Says::CheckIn => "a check-in".to_owned(),
        Says::Idle => "Idle".to_owned(),
        Says::Result(Some(command), status) => format!("{status:?} for command {}", command.0),
        Says::Result(None, status) => format!("{status:?} for an unknown command"),
    }
}

fn got(request: Request) -> String {
    match request.answer {
        Answer::Empty => "nothing more".to_owned(),
        Answer::Command(Some(command)) => format!("command {}", command.0),
        Answer::Command(None) => "an unknown command".to_owned(),
        Answer::Unreadable => "something unreadable".to_owned(),
        Answer::Failed(owner) => format!("a failure of the {}", owner.name()),
    }
}
