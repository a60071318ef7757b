//! How a network user of a Mac proves who they are: UserAuthenticate, and the server's answers.

use ::plist::Dictionary;

use super::enrollee::{Enrollee, User};
use super::{CheckInError, device, optional, put, reply};
use crate::protocol::plist;

/// A Mac's network user logs in. Not in a user enrolment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserAuthenticate {
    /// `UDID`.
    pub udid: Enrollee,
    /// The user.
    pub user: User,
    /// `DigestResponse`, when it answers a challenge.
    pub digest_response: Option<String>,
}

/// What a server answers to UserAuthenticate, beside 410 for a user it does not manage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserChallenge {
    /// `DigestChallenge`: the user has to prove it. Empty: the user needs no `AuthToken`.
    Digest(String),
    /// `AuthToken`: the user has proved it.
    Token(String),
}

impl UserAuthenticate {
    pub(super) fn write(&self, root: &mut Dictionary) {
        self.udid.put_into(root);
        self.user.put_into(root, &self.udid);
        if let Some(response) = &self.digest_response {
            put(root, "DigestResponse", response.as_str());
        }
    }

    pub(super) fn read(root: &mut Dictionary) -> Result<Self, CheckInError> {
        let user = User::take_from(root).ok_or(CheckInError::Missing { key: "UserID" })?;
        Ok(Self {
            udid: device(root)?,
            user,
            digest_response: optional(root, "DigestResponse"),
        })
    }
}

/// The longest challenge or token of a user, in bytes: each user keeps one.
const TEXT_MAX: usize = 16 * 1024;

const fn too_long(key: &'static str) -> CheckInError {
    CheckInError::TooLong {
        key,
        limit: TEXT_MAX,
    }
}

impl UserChallenge {
    /// Writes the answer.
    pub fn encode(&self) -> Vec<u8> {
        let mut root = Dictionary::new();
        match self {
            Self::Digest(challenge) => put(&mut root, "DigestChallenge", challenge.as_str()),
            Self::Token(token) => put(&mut root, "AuthToken", token.as_str()),
        }
        plist::encode(&root)
    }

    /// Reads an answer. An empty body is an empty challenge, as Apple's text allows both.
    ///
    /// # Errors
    /// When it is no dictionary with one of the two keys, or what it says is too long to keep.
    pub fn decode(body: &[u8]) -> Result<Self, CheckInError> {
        if body.is_empty() {
            return Ok(Self::Digest(String::new()));
        }
        let root = reply(body)?;
        let token = optional(&root, "AuthToken").map(Self::Token);
        let read = token
            .or_else(|| optional(&root, "DigestChallenge").map(Self::Digest))
            .ok_or(CheckInError::Missing {
                key: "DigestChallenge",
            })?;
        match &read {
            Self::Digest(text) if text.len() > TEXT_MAX => Err(too_long("DigestChallenge")),
            Self::Token(text) if text.len() > TEXT_MAX => Err(too_long("AuthToken")),
            Self::Digest(_) | Self::Token(_) => Ok(read),
        }
    }
}
