//! Why a command is pending: the first cause, in a fixed order, that explains the wait it is in.
//!
//! One file per family of causes, each a table of rules; the order is that of [`Cause`]. A rule
//! looks at a `Situation` and gives its evidence, or `None`.

mod course;
mod device;
mod failed;
mod not_now;
mod push;
mod reach;
mod server;
pub(super) mod situation;

use crate::fact::ErrorEnds;
use crate::metric::Owner;

use situation::Situation;

/// Why a command is pending, or has failed (design section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cause {
    /// mdmstorm itself is in the way.
    HarnessSuspect,
    /// The target does not answer.
    TargetUnreachable,
    /// The target took the command and sent no push.
    NeverPushed,
    /// The last push was refused.
    PushRejected,
    /// APNs did not answer the last push.
    PushUnanswered,
    /// APNs takes no pushes, or answers that it is down.
    PushServiceDown,
    /// The target does not get through to APNs.
    PushConnectRefused,
    /// The target cannot push: its push certificate has expired.
    PushCertificateExpired,
    /// The push service took the push and lost it.
    PushLost,
    /// The push was not to be kept, or not for so long, and is gone.
    PushNotStored,
    /// The device has the push and ignores it.
    WrongPush,
    /// The network drops the push service's port.
    PushPortBlocked,
    /// A NAT has forgotten the device's push connection.
    PushDeaf,
    /// The device is switched off.
    DeviceOff,
    /// The device is off the network.
    DeviceOffline,
    /// The device will never come back.
    GhostDevice,
    /// The device is asleep.
    DeviceAsleep,
    /// The system holds the device's management agent back.
    BackgroundThrottled,
    /// The device's management agent does not run.
    AgentStopped,
    /// The device's clock is wrong, and it refuses TLS.
    ClockRefusedTls,
    /// The device's clock is wrong, and the target refuses its signature.
    ClockRefusedSignature,
    /// The device answered NotNow, and its reason holds.
    NotNowWaiting,
    /// The device answered NotNow, its reason is over, it asked, and the target had nothing for it.
    NotNowStarved,
    /// The device answered NotNow, its reason is over, and it waits for the target.
    NotNowNotRepushed,
    /// The target offers a refused command over and over.
    NotNowLoop,
    /// The target does not take the result.
    ResultNotAccepted,
    /// Another command of the channel is served first, or blocks it.
    HeadOfLine,
    /// The device asked, and the target had nothing for it.
    ConnectedButEmpty,
    /// The target answered the device's last request with an error.
    ServerError,
    /// The target takes too long to answer.
    ServerSlow,
    /// The device's last request got lost, and it has yet to try again.
    RequestLost,
    /// Nothing is known to be in the way: it is between two steps of its course.
    UnderWay,
    /// An app without a licence; of failed commands only.
    LicenseMissing,
    /// None of the others.
    Unknown,
}

/// One line of the table: how a cause is called, who owns it, when it holds and what helps.
struct Rule {
    cause: Cause,
    name: &'static str,
    /// `None`: whoever owns the phase the command is in.
    owner: Option<Owner>,
    /// The facts that say so, as a sentence.
    holds: fn(&Situation<'_>) -> Option<String>,
    remedy: &'static str,
}

/// When no other rule holds.
const UNKNOWN: [Rule; 1] = [Rule {
    cause: Cause::Unknown,
    name: "unknown",
    owner: None,
    holds: |situation| Some(situation.summary()),
    remedy: "follow the command in events.ndjson.zst; its phase says who had the next move",
}];

/// All rules; the first that holds wins.
fn rules() -> impl Iterator<Item = &'static Rule> {
    reach::RULES
        .iter()
        .chain(&push::RULES)
        .chain(&device::RULES)
        .chain(&not_now::RULES)
        .chain(&server::RULES)
        .chain(&course::RULES)
        .chain(&failed::RULES)
        .chain(&UNKNOWN)
}

impl Cause {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        self.rule().name
    }

    /// What an administrator would try.
    pub fn remedy(self) -> &'static str {
        self.rule().remedy
    }

    /// The cause of this name.
    pub fn find(name: &str) -> Option<Self> {
        rules()
            .find(|rule| rule.name == name)
            .map(|rule| rule.cause)
    }

    /// All causes, in the order in which they are tried.
    pub fn all() -> impl Iterator<Item = Self> {
        rules().map(|rule| rule.cause)
    }

    /// What a failed command's error says of why; `None` for errors that say enough themselves.
    pub fn of_error(error: &ErrorEnds) -> Option<Self> {
        failed::of_error(error)
    }

    /// Whether it is one of those that follow a NotNow.
    pub const fn is_not_now(self) -> bool {
        matches!(
            self,
            Self::NotNowWaiting | Self::NotNowStarved | Self::NotNowNotRepushed | Self::NotNowLoop
        )
    }

    fn rule(self) -> &'static Rule {
        rules()
            .find(|rule| rule.cause == self)
            .expect("every cause has a line in the table")
    }
}

/// The cause of `situation`, who owns it, and the facts that say so.
pub(super) fn explain(situation: &Situation<'_>) -> (Cause, Owner, String) {
    rules()
        .find_map(|rule| {
            let evidence = (rule.holds)(situation)?;
            Some((rule.cause, rule.owner.unwrap_or(situation.owner), evidence))
        })
        .expect("the last rule always holds")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_stand_in_the_order_of_the_causes() {
        let causes: Vec<Cause> = Cause::all().collect();
        assert!(causes.is_sorted());
        assert_eq!(causes.len(), Cause::Unknown as usize + 1);
        for cause in causes {
            assert_eq!(Cause::find(cause.name()), Some(cause));
        }
    }

    #[test]
    fn every_remedy_is_a_lower_case_fragment() {
        for cause in Cause::all() {
            let remedy = cause.remedy();
            assert!(remedy.starts_with(char::is_lowercase), "{remedy}");
            assert!(!remedy.ends_with('.'), "{remedy}");
            assert!(!remedy.contains("  "), "{remedy}");
        }
    }
}
