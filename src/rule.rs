//! The rules a server has to keep, by name, and the limits to judging it; `finding` says what breaks them.

use std::time::Duration;

/// A rule that facts can show broken (design section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// An accepted command was never delivered, and the server said that there was none.
    LostCommand,
    /// A command came again after its result had been taken.
    DuplicateAfterAck,
    /// Commands came in another order than they were accepted in.
    Reordered,
    /// A refused command was offered again and again in one session.
    NotNowSpin,
    /// A refused command waited while newer ones were served.
    NotNowStarved,
    /// A device that does not ask by itself was not pushed after its NotNow.
    NotNowNotRepushed,
    /// One command held back all behind it, session after session.
    HeadOfLineBlocked,
    /// A command was accepted, and its device never pushed.
    NoPush,
    /// A push carried a token, magic or topic that the device does not have any more.
    WrongPush,
    /// The device was pushed before the command could be read.
    EarlyPush,
    /// A device was pushed, asked, and there was nothing for it.
    BlankCheckIn,
    /// A command from before an enrolment was delivered after it.
    StaleAfterReenroll,
    /// A renewed certificate cost the commands that were open.
    LostOnRenewal,
    /// The server does not call a command open any more that its device never answered.
    PhantomDone,
    /// The server calls a command pending whose result it has taken.
    StuckPending,
    /// A device was sent the same request type over and over.
    RepeatStorm,
    /// A device was pushed over and over.
    PushStorm,
    /// Requests that keep the rules were answered with errors.
    HttpErrors,
    /// An event of the server's was missing, late or out of order.
    WebhookGap,
}

impl Rule {
    /// All rules.
    pub const ALL: [Self; 19] = [
        Self::LostCommand,
        Self::DuplicateAfterAck,
        Self::Reordered,
        Self::NotNowSpin,
        Self::NotNowStarved,
        Self::NotNowNotRepushed,
        Self::HeadOfLineBlocked,
        Self::NoPush,
        Self::WrongPush,
        Self::EarlyPush,
        Self::BlankCheckIn,
        Self::StaleAfterReenroll,
        Self::LostOnRenewal,
        Self::PhantomDone,
        Self::StuckPending,
        Self::RepeatStorm,
        Self::PushStorm,
        Self::HttpErrors,
        Self::WebhookGap,
    ];

    /// The name in reports and scenarios.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LostCommand => "lost-command",
            Self::DuplicateAfterAck => "duplicate-after-ack",
            Self::Reordered => "reordered",
            Self::NotNowSpin => "not-now-spin",
            Self::NotNowStarved => "not-now-starved",
            Self::NotNowNotRepushed => "not-now-not-repushed",
            Self::HeadOfLineBlocked => "head-of-line-blocked",
            Self::NoPush => "no-push",
            Self::WrongPush => "wrong-push",
            Self::EarlyPush => "early-push",
            Self::BlankCheckIn => "blank-check-in",
            Self::StaleAfterReenroll => "stale-after-reenroll",
            Self::LostOnRenewal => "lost-on-renewal",
            Self::PhantomDone => "phantom-done",
            Self::StuckPending => "stuck-pending",
            Self::RepeatStorm => "repeat-storm",
            Self::PushStorm => "push-storm",
            Self::HttpErrors => "http-errors",
            Self::WebhookGap => "webhook-gap",
        }
    }

    /// What is wrong, as a sentence.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::LostCommand => {
                "an accepted command never came, and the server said there was none."
            }
            Self::DuplicateAfterAck => "a command came again after its result had been taken.",
            Self::Reordered => "commands came in another order than they were accepted in.",
            Self::NotNowSpin => "a refused command came again at once, over and over.",
            Self::NotNowStarved => "a refused command was passed over after its reason had ended.",
            Self::NotNowNotRepushed => {
                "a device that does not ask by itself was not pushed after its NotNow."
            }
            Self::HeadOfLineBlocked => {
                "one command began session after session, and those behind it never came."
            }
            Self::NoPush => "a command was accepted, and no push came for its device.",
            Self::WrongPush => {
                "a push carried a token, magic or topic that the device had replaced."
            }
            Self::EarlyPush => "a device was pushed before its command could be read.",
            Self::BlankCheckIn => "a device was pushed for nothing, again and again.",
            Self::StaleAfterReenroll => "a command from before an enrolment came after it.",
            Self::LostOnRenewal => "a renewed certificate cost the commands that were open.",
            Self::PhantomDone => {
                "the server holds a command for done that its device never answered."
            }
            Self::StuckPending => "the server calls a command pending whose result it has taken.",
            Self::RepeatStorm => {
                "a channel was sent one request type over and over, and nobody had ordered it."
            }
            Self::PushStorm => "a channel was pushed far more often than there were orders.",
            Self::HttpErrors => "requests that keep the rules were answered with errors.",
            Self::WebhookGap => "events of the server were missing, late or out of order.",
        }
    }

    /// Where the rule is from.
    pub const fn source(self) -> &'static str {
        match self {
            Self::LostCommand | Self::Reordered => {
                "the server's own promise: its API took the commands into a queue"
            }
            Self::DuplicateAfterAck => {
                "Apple, \"Sending MDM commands to a device\": a 2xx takes the result of a CommandUUID"
            }
            Self::NotNowSpin | Self::NotNowStarved | Self::NotNowNotRepushed => {
                "Apple, \"Handling NotNow status responses\""
            }
            Self::HeadOfLineBlocked => {
                "Apple, \"Sending MDM commands to a device\": a status ends a command, whatever it says"
            }
            Self::NoPush | Self::EarlyPush | Self::BlankCheckIn => {
                "Apple, \"Sending MDM commands to a device\": a push tells a device that there is something to fetch"
            }
            Self::WrongPush => {
                "Apple, TokenUpdate: token, PushMagic and topic to push with from then on"
            }
            Self::StaleAfterReenroll => "Apple, Authenticate: it begins a new enrolment",
            Self::LostOnRenewal => {
                "Apple, com.apple.mdm: a renewed identity is an update of the same enrolment"
            }
            Self::PhantomDone | Self::StuckPending => {
                "the server's own view, beside what the device sent and was answered"
            }
            Self::RepeatStorm | Self::PushStorm => {
                "common sense: every push and command costs a wake, and nobody ordered these"
            }
            Self::HttpErrors => {
                "RFC 9110: 4xx blames the request, 5xx the server; these requests keep the rules"
            }
            Self::WebhookGap => {
                "the server's own promise: it tells of each check-in and status once, in order"
            }
        }
    }

    /// The rule of this name.
    pub fn find(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }
}

/// What a server is given before it is said to have broken a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long what a server has taken may need to show. Real time: servers are asynchronous.
    pub settle: Duration,
    /// How long a push for an accepted command may take. Real time.
    pub push_within: Duration,
    /// How long a device that does not come by itself may wait for a push after its NotNow. Real time.
    pub repush_within: Duration,
    /// How long an event may take. Real time.
    pub event_within: Duration,
    /// How many errors of one kind are no accident.
    pub errors: u32,
    /// How much of one kind in a minute is no storm yet: commands or pushes nobody ordered.
    pub per_minute: u32,
}

impl Limits {
    /// Refused commands that may follow a NotNow at once, in one session.
    pub const SPINS: u32 = 3;
    /// Newer commands that may overtake a refused one whose reason is over.
    pub const OVERTAKERS: u32 = 3;
    /// Sessions in which a refused command may be passed over.
    pub const PASSED_OVER: u32 = 2;
    /// Sessions that may begin with the same answered command.
    pub const BLOCKED: u32 = 5;
    /// Pushes to one channel that may be for nothing.
    pub const BLANKS: u32 = 3;
}

impl Limits {
    /// The same for the bundled server in real time: at a `time_scale` of ten it pushes again ten times
    /// as often, and keeps its rules.
    #[must_use]
    pub fn of_bundled_server(self, time_scale: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a float that is cast saturates, and a scale is above 0"
        )]
        let often = time_scale.max(1.0).ceil() as u32;
        let per_minute = self.per_minute.saturating_mul(often);
        Self { per_minute, ..self }
    }

    /// The same on virtual time, which is not scaled: there the bundled server pushes again as late as
    /// it does at a `time_scale` of one.
    #[must_use]
    pub fn on_virtual_time(self, time_scale: f64) -> Self {
        let repush_within = self.repush_within.mul_f64(time_scale);
        Self {
            repush_within,
            ..self
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            settle: Duration::from_secs(5),
            push_within: Duration::from_secs(60),
            repush_within: Duration::from_secs(15 * 60),
            event_within: Duration::from_secs(60),
            errors: 3,
            per_minute: 10,
        }
    }
}
