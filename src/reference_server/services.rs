//! What devices ask the server for beside commands, and what it does for them by itself.

use std::sync::Arc;

use ::plist::Dictionary;
use serde::{Deserialize, Serialize};

use super::enrollment::Stage;
use super::{Identity, Reply, Server};
use crate::ids::CommandUuid;
use crate::protocol::checkin::{
    BootstrapToken, CheckOut, DeclarativeManagement, GetBootstrapToken, GetToken, ReturnToService,
    SetBootstrapToken, TokenData, UserAuthenticate, UserChallenge, WayBack,
};
use crate::protocol::command::encode_command;
use crate::time::SimTime;

/// What the server does with network users who log in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkUsers {
    /// 410: they are not managed, as NanoMDM has it.
    #[default]
    Unmanaged,
    /// A challenge of zero length: they are managed without a token.
    ZeroLength,
    /// A challenge, and a token for whatever response.
    Digest,
}

impl NetworkUsers {
    /// The words that name them.
    pub const WORDS: [&str; 3] = ["unmanaged", "zero-length", "digest"];

    /// What `word` names.
    pub fn of_word(word: &str) -> Option<Self> {
        match word {
            "unmanaged" => Some(Self::Unmanaged),
            "zero-length" => Some(Self::ZeroLength),
            "digest" => Some(Self::Digest),
            _ => None,
        }
    }
}

/// A Mac's token is far shorter; what is longer is none.
const BOOTSTRAP_TOKEN_BYTES_MAX: usize = 64 * 1024;

impl Server {
    pub(super) fn check_out(&mut self, identity: Identity, message: &CheckOut) -> Reply {
        let Some(slot) = self.enrolled(identity, &message.udid) else {
            return Reply::NOT_ENROLLED;
        };
        for slot in self.channels_of(slot) {
            self.enrollments[slot as usize].stage = Stage::CheckedOut;
            self.set_alarm(slot, None);
        }
        Reply::EMPTY
    }

    pub(super) fn user_authenticate(
        &self,
        identity: Identity,
        message: &UserAuthenticate,
    ) -> Reply {
        if self.enrolled(identity, &message.udid).is_none() {
            return Reply::NOT_ENROLLED;
        }
        let answer = match (self.settings.network_users, &message.digest_response) {
            (NetworkUsers::Unmanaged, _) => return Reply::GONE,
            (NetworkUsers::ZeroLength, _) => UserChallenge::Digest(String::new()),
            (NetworkUsers::Digest, None) => {
                UserChallenge::Digest(format!("nonce-{}", message.user.id))
            }
            (NetworkUsers::Digest, Some(_)) => {
                UserChallenge::Token(format!("token-{}", message.user.id))
            }
        };
        Reply::with(answer.encode())
    }

    pub(super) fn set_bootstrap_token(
        &mut self,
        identity: Identity,
        message: SetBootstrapToken,
    ) -> Reply {
        let Some(slot) = self.enrolled(identity, &message.udid) else {
            return Reply::NOT_ENROLLED;
        };
        let is_long = |token: &Vec<u8>| token.len() > BOOTSTRAP_TOKEN_BYTES_MAX;
        if message.token.as_ref().is_some_and(is_long) {
            return Reply::BAD_REQUEST;
        }
        self.enrollments[slot as usize].bootstrap_token = message.token.map(Into::into);
        Reply::EMPTY
    }

    pub(super) fn get_bootstrap_token(
        &self,
        identity: Identity,
        message: &GetBootstrapToken,
    ) -> Reply {
        let Some(slot) = self.enrolled(identity, &message.udid) else {
            return Reply::NOT_ENROLLED;
        };
        let token = self.bootstrap_token(slot);
        Reply::with(BootstrapToken { token }.encode())
    }

    /// A token that says whom it is for, and is good for nothing.
    pub(super) fn get_token(&self, identity: Identity, message: &GetToken) -> Reply {
        if self.enrolled(identity, &message.udid).is_none() {
            return Reply::NOT_ENROLLED;
        }
        let token = format!("{} for {}", message.service, message.udid);
        Reply::with(TokenData(token.into_bytes()).encode())
    }

    pub(super) fn return_to_service(&self, identity: Identity, message: &ReturnToService) -> Reply {
        let Some(slot) = self.enrolled(identity, &message.udid) else {
            return Reply::NOT_ENROLLED;
        };
        let back = WayBack {
            enabled: true,
            bootstrap_token: self.bootstrap_token(slot),
            ..WayBack::default()
        };
        Reply::with(back.encode())
    }

    /// There are no declarations: the token of none never changes.
    pub(super) fn declarative_management(
        &self,
        identity: Identity,
        message: &DeclarativeManagement,
    ) -> Reply {
        if self.enrolled(identity, &message.udid).is_none() {
            return Reply::NOT_ENROLLED;
        }
        match message.endpoint.as_str() {
            "tokens" => Reply::with(NO_DECLARATIONS.as_bytes().to_vec()),
            "status" => Reply::EMPTY,
            _ => Reply::NOT_FOUND,
        }
    }

    /// Setup Assistant waits: DeviceConfigured lets it go on.
    pub(super) fn configure(&mut self, now: SimTime, slot: u32) {
        let enrollment = &mut self.enrollments[slot as usize];
        let uuid = format!("configured-{}-{}", enrollment.id, enrollment.epoch);
        let mut command = Dictionary::new();
        command.insert("RequestType".into(), "DeviceConfigured".into());
        let body: Arc<[u8]> = encode_command(&uuid, &command).into();
        // Its number is new with each TokenUpdate, and a queue that is full needs no command more.
        let _ = enrollment.queue.add(now, &CommandUuid(uuid.into()), body);
    }

    fn bootstrap_token(&self, slot: u32) -> Option<Vec<u8>> {
        let token = self.enrollments[slot as usize].bootstrap_token.as_deref();
        token.map(<[u8]>::to_vec)
    }
}

const NO_DECLARATIONS: &str = "{\"SyncTokens\":{\"DeclarationsToken\":\"none\",\
    \"Timestamp\":\"2026-01-01T00:00:00Z\"}}";
