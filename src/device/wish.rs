//! What an agent has to say or ask beside commands: check-in messages that an event, a command or an
//! enrolment gives rise to.

use std::sync::Arc;

use super::agent::{Agent, Around, Enrollment};
use super::contract::{Output, Reply, Wish};
use super::session::Asking;
use super::traits::Platform;
use crate::fact::{Got, Said, WakeReason};
use crate::ids::{Crowd, DeviceId};
use crate::protocol::checkin::{
    BootstrapToken, CheckIn, CheckInError, DeclarativeManagement, GetBootstrapToken, GetToken,
    ReturnToService, SetBootstrapToken, TokenData, UserChallenge, WayBack,
};
use crate::protocol::request_types::version;

/// The wishes of one agent that no request has carried yet; each at most once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wishes {
    wanted: u8,
    /// How often in a row one came to nothing.
    losses: u8,
}

/// How often a wish may come to nothing before it is dropped.
const LOSSES_MAX: u8 = 3;

impl Wishes {
    const ALL: [Wish; 5] = [
        Wish::SetBootstrapToken,
        Wish::GetBootstrapToken,
        Wish::GetToken,
        Wish::ReturnToService,
        Wish::Declarations,
    ];

    pub(super) fn add(&mut self, wish: Wish) {
        self.wanted |= 1 << wish as u8;
    }

    pub(super) fn remove(&mut self, wish: Wish) {
        self.wanted &= !(1 << wish as u8);
        self.losses = 0;
    }

    /// It came to nothing. It waits behind the commands from now on, and is dropped in the end.
    pub(super) fn lose(&mut self, wish: Wish) {
        self.losses += 1;
        if self.losses >= LOSSES_MAX {
            self.remove(wish);
        }
    }

    /// The one that comes before commands.
    pub(super) fn ahead(self) -> Option<Wish> {
        self.first().filter(|_| self.losses == 0)
    }

    /// The one that comes behind commands, because it came to nothing before.
    pub(super) fn behind(self) -> Option<Wish> {
        self.first().filter(|_| self.losses > 0)
    }

    /// The one that comes first.
    pub(super) fn first(self) -> Option<Wish> {
        Self::ALL
            .into_iter()
            .find(|wish| self.wanted & 1 << *wish as u8 != 0)
    }
}

/// The bootstrap token that a device makes in its `epoch`.
pub(super) fn bootstrap_token(crowd: &Crowd, device: DeviceId, epoch: u32) -> Vec<u8> {
    crowd
        .derive("bootstrap token", device, epoch.into())
        .to_vec()
}

impl Agent {
    /// Wishes for something, and connects for it as soon as it can. What the device cannot ask for
    /// under the terms of its enrolment it does not ask for.
    pub(super) fn wish(&mut self, around: &Around<'_>, wish: Wish) {
        if self.may_wish(around, wish) {
            self.wishes.add(wish);
            self.wants(around, WakeReason::CheckIn);
        }
    }

    /// A Mac gives its token to the server that it has just enrolled with.
    pub(super) fn escrow(&mut self, around: &Around<'_>) {
        if self.may_wish(around, Wish::SetBootstrapToken) {
            self.wishes.add(Wish::SetBootstrapToken);
        }
    }

    /// Whether Apple's schema lets this agent send the message (protocol.md 3).
    pub(super) fn may_wish(&self, around: &Around<'_>, wish: Wish) -> bool {
        let (terms, traits) = (&around.env.terms, around.traits);
        let has_version = |since: Option<u32>| {
            since.is_some_and(|since| version(around.os_version()) >= [since, 0, 0])
        };
        let is_supervised_device = self.user == 0 && traits.supervised && !terms.is_user_enrollment;
        match wish {
            Wish::SetBootstrapToken | Wish::GetBootstrapToken => {
                is_supervised_device && traits.platform == Platform::Mac && terms.bootstrap_token
            }
            Wish::GetToken => {
                let since = match traits.platform {
                    Platform::Ipad | Platform::Iphone => Some(17),
                    Platform::Mac => Some(14),
                    Platform::AppleTv => None,
                };
                terms.get_token && has_version(since)
            }
            Wish::ReturnToService => {
                let since = match traits.platform {
                    Platform::Ipad | Platform::Iphone => Some(26),
                    Platform::Mac | Platform::AppleTv => None,
                };
                is_supervised_device && terms.awaits_configuration && has_version(since)
            }
            Wish::Declarations => true,
        }
    }

    pub(super) fn wish_said(wish: Wish) -> Said {
        match wish {
            Wish::SetBootstrapToken => Said::SetBootstrapToken,
            Wish::GetBootstrapToken => Said::GetBootstrapToken,
            Wish::GetToken => Said::GetToken,
            Wish::ReturnToService => Said::ReturnToService,
            Wish::Declarations => Said::DeclarativeManagement {
                endpoint: TOKENS.to_owned(),
            },
        }
    }

    pub(super) fn wish_body(&self, around: &Around<'_>, wish: Wish) -> Arc<[u8]> {
        let udid = around.enrollee();
        let awaiting_configuration = self.awaits_configuration(around);
        let message = match wish {
            Wish::SetBootstrapToken => CheckIn::SetBootstrapToken(SetBootstrapToken {
                udid,
                token: Some(bootstrap_token(
                    &around.env.crowd,
                    around.device,
                    self.token_epoch,
                )),
                awaiting_configuration,
            }),
            Wish::GetBootstrapToken => CheckIn::GetBootstrapToken(GetBootstrapToken {
                udid,
                awaiting_configuration,
            }),
            Wish::GetToken => CheckIn::GetToken(GetToken {
                udid,
                user: self.identity(around),
                service: GetToken::MAID.to_owned(),
                parameters: None,
            }),
            Wish::ReturnToService => CheckIn::ReturnToService(ReturnToService { udid }),
            Wish::Declarations => CheckIn::DeclarativeManagement(DeclarativeManagement {
                udid,
                user: self.identity(around),
                endpoint: TOKENS.to_owned(),
                data: None,
            }),
        };
        message.encode().into()
    }
}

impl Agent {
    /// What an answer to a check-in message brought.
    pub(super) fn content(&self, asking: Asking, reply: &Reply) -> Got {
        let answer = match &reply.answer {
            Ok(answer) => answer,
            Err(broken) => return Got::Lost(broken.clone()),
        };
        if !(200..300).contains(&answer.status) {
            return Got::Status(answer.status);
        }
        match asking {
            Asking::Wish(wish) => content(wish, &answer.body),
            Asking::UserAuthenticate => match UserChallenge::decode(&answer.body) {
                Ok(_) => received(&answer.body),
                Err(error) => unreadable(&error),
            },
            Asking::Authenticate
            | Asking::TokenUpdate
            | Asking::CheckOut
            | Asking::Idle
            | Asking::Result => received(&answer.body),
        }
    }

    /// A wish was taken; the next may follow on the same connection.
    pub(super) fn wish_granted(&mut self, around: &Around<'_>, wish: Wish, out: &mut Vec<Output>) {
        self.wishes.remove(wish);
        if wish == Wish::SetBootstrapToken {
            self.has_escrowed = true;
        }
        match self.wishes.first() {
            Some(next) => self.ask(around, Asking::Wish(next), out),
            None => self.end_session(around, out),
        }
    }

    /// The server has answered a network user: with a challenge, or with a token, or with neither.
    pub(super) fn user_authenticated(
        &mut self,
        around: &Around<'_>,
        reply: &Reply,
        out: &mut Vec<Output>,
    ) {
        let body = reply.answer.as_ref().map(|answer| answer.body.as_slice());
        let answered = self.rare().challenge.take().is_some();
        match UserChallenge::decode(body.unwrap_or_default()) {
            Ok(UserChallenge::Token(token)) => self.rare().auth_token = Some(token),
            // A challenge of zero length: this user needs no token.
            Ok(UserChallenge::Digest(challenge)) if challenge.is_empty() => {}
            Ok(UserChallenge::Digest(challenge)) if !answered => {
                self.rare().challenge = Some(challenge);
                return self.ask(around, Asking::UserAuthenticate, out);
            }
            // Its response was not taken, or it cannot read what is wanted.
            Ok(UserChallenge::Digest(_)) | Err(_) => return self.back_off(around, out),
        }
        self.enrollment = Enrollment::Authenticated;
        self.ask(around, Asking::TokenUpdate, out);
    }
}

const TOKENS: &str = "tokens";

/// What a 2xx to a check-in message brought: what was asked for, or something unreadable.
fn content(wish: Wish, body: &[u8]) -> Got {
    let read = match wish {
        Wish::SetBootstrapToken => Ok(()),
        // A server without declarations may say nothing at all.
        Wish::Declarations if body.is_empty() => Ok(()),
        Wish::GetBootstrapToken => BootstrapToken::decode(body).map(drop),
        Wish::GetToken => TokenData::decode(body).map(drop),
        Wish::ReturnToService => WayBack::decode(body).map(drop),
        Wish::Declarations => {
            let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(body);
            return match is_json {
                Ok(_) => received(body),
                Err(error) => Got::Unreadable {
                    what: format!("the answer to {TOKENS} is no JSON: {error}"),
                },
            };
        }
    };
    read.map_or_else(|error| unreadable(&error), |()| received(body))
}

/// A body that is taken as it is.
fn received(body: &[u8]) -> Got {
    if body.is_empty() {
        return Got::Empty;
    }
    Got::Content {
        bytes: body.len() as u64,
    }
}

fn unreadable(error: &CheckInError) -> Got {
    Got::Unreadable {
        what: error.to_string(),
    }
}
