//! The answer to an administrator, in the shape of NanoMDM's.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::admin::{PushResult, WithPush};
use crate::ids::CommandUuid;

/// What became of a command and its pushes, per enrollment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    command: Option<(CommandUuid, String)>,
    /// Why nobody got the command.
    command_error: Option<String>,
    is_without_push: bool,
    channels: BTreeMap<String, Outcome>,
}

/// What became of one enrollment's share.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Outcome {
    /// The command was not queued, so nothing was pushed.
    CommandError(String),
    /// The command is queued; no push was wanted, or its outcome is not known yet.
    Fine,
    /// The push failed; a command is queued all the same.
    PushError(String),
    /// APNs took the push.
    PushResult(String),
}

impl Answer {
    pub(super) fn of_command(uuid: CommandUuid, request_type: String, push: WithPush) -> Self {
        Self {
            command: Some((uuid, request_type)),
            is_without_push: push == WithPush::No,
            ..Self::default()
        }
    }

    pub(super) fn refused(error: String) -> Self {
        Self {
            command_error: Some(error),
            ..Self::default()
        }
    }

    pub(super) fn names(&self, id: &str) -> bool {
        self.channels.contains_key(id)
    }

    pub(super) fn fine(&mut self, id: &str) {
        self.channels.insert(id.to_owned(), Outcome::Fine);
    }

    pub(super) fn not_queued(&mut self, id: &str, error: String) {
        self.channels
            .insert(id.to_owned(), Outcome::CommandError(error));
    }

    pub(super) fn not_pushed(&mut self, id: &str, error: String) {
        self.channels
            .insert(id.to_owned(), Outcome::PushError(error));
    }

    /// Adds how the push to `id` went.
    pub fn pushed(&mut self, id: &str, result: &PushResult) {
        let outcome = match result {
            PushResult::Accepted { apns_id } => Outcome::PushResult(apns_id.clone()),
            PushResult::Refused(reason) => Outcome::PushError(reason.name().to_owned()),
            PushResult::Failed { why } => Outcome::PushError(why.clone()),
        };
        self.channels.insert(id.to_owned(), outcome);
    }

    /// The HTTP status, as NanoMDM chooses it: 200 when all went well, 207 when some of it did,
    /// 500 when nothing did. A push that failed counts, although its command is queued.
    pub fn status(&self) -> u16 {
        if self.command_error.is_some() {
            return 400;
        }
        let failed = self.channels.values().filter(|outcome| match outcome {
            Outcome::CommandError(_) | Outcome::PushError(_) => true,
            Outcome::Fine | Outcome::PushResult(_) => false,
        });
        match failed.count() {
            0 => 200,
            failures if failures < self.channels.len() => 207,
            _ => 500,
        }
    }

    /// Why `id` did not get the command; `None` when it did.
    pub fn command_error(&self, id: &str) -> Option<&str> {
        let of_id = match self.channels.get(id) {
            Some(Outcome::CommandError(error)) => Some(error.as_str()),
            Some(Outcome::Fine | Outcome::PushError(_) | Outcome::PushResult(_)) | None => None,
        };
        self.command_error.as_deref().or(of_id)
    }

    /// How the push to `id` went: why it failed, if it did; `None` when nothing is known of it.
    pub fn push_outcome(&self, id: &str) -> Option<Result<(), &str>> {
        match self.channels.get(id)? {
            Outcome::PushError(error) => Some(Err(error)),
            Outcome::PushResult(_) => Some(Ok(())),
            Outcome::CommandError(_) | Outcome::Fine => None,
        }
    }

    /// The body: JSON with the keys of NanoMDM's answer.
    pub fn json(&self) -> Vec<u8> {
        let mut root = Map::new();
        let status: Map<String, Value> = self
            .channels
            .iter()
            .filter_map(|(id, outcome)| Some((id.clone(), outcome.json()?)))
            .collect();
        if !status.is_empty() {
            root.insert("status".into(), status.into());
        }
        if self.is_without_push {
            root.insert("no_push".into(), true.into());
        }
        if let Some(error) = &self.command_error {
            root.insert("command_error".into(), error.as_str().into());
        }
        if let Some((uuid, request_type)) = &self.command {
            root.insert("command_uuid".into(), uuid.0.as_ref().into());
            root.insert("request_type".into(), request_type.as_str().into());
        }
        Value::Object(root).to_string().into_bytes()
    }
}

impl Outcome {
    /// `None` when there is nothing to say.
    fn json(&self) -> Option<Value> {
        match self {
            Self::CommandError(error) => Some(json!({ "command_error": error })),
            Self::Fine => None,
            Self::PushError(error) => Some(json!({ "push_error": error })),
            Self::PushResult(apns_id) => Some(json!({ "push_result": apns_id })),
        }
    }
}
