//! MicroMDM's admin API (its platform/*/server.go).
//!
//! It answers 201 once a command is on its internal bus: a moment later the command is in the queue,
//! and the push, if one is sent, follows from there. So no answer tells what became of a push.

use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::StreamExt as _;
use serde::Deserialize;
use serde_json::json;

use super::client::{AdminClient, AdminError, excerpt};
use super::{Enqueued, View};
use crate::device::contract::Answer;
use crate::engine::authority::{Credential, topic_of};
use crate::fact::{Broken, ServerPush};
use crate::ids::CommandUuid;
use crate::time::SimTime;

/// How many pushes are asked for at once; MicroMDM takes one device per request.
const PUSHES_MAX: usize = 16;
/// How long MicroMDM may take to notice a push certificate that it has stored. It tells nobody.
const NOTICED_MAX: Duration = Duration::from_secs(5);
/// How often it is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// A device that no server has, to ask about.
const NOBODY: &str = "mdmstorm";

/// Speaks to one MicroMDM.
#[derive(Debug)]
pub(crate) struct Micromdm {
    client: AdminClient,
}

/// Every answer that is an error.
#[derive(Deserialize)]
struct Failure {
    error: String,
}

/// What MicroMDM has queued for one device.
#[derive(Debug, Deserialize)]
struct Queue {
    #[serde(default)]
    commands: Vec<Queued>,
}

#[derive(Debug, Deserialize)]
struct Queued {
    uuid: CommandUuid,
}

impl Micromdm {
    pub(crate) const fn new(client: AdminClient) -> Self {
        Self { client }
    }

    pub(super) async fn enqueue(
        &self,
        id: &str,
        command: &[u8],
        offered: &dyn Fn(SimTime),
    ) -> Enqueued {
        let path = format!("/v1/commands/{}", own_id(id));
        match self.client.call("POST", &path, command, offered).await {
            Ok(answer) => understand(&answer),
            Err(broken) => Enqueued::Unknown(broken),
        }
    }

    /// All are asked for, whatever becomes of one; the first error is told.
    pub(super) async fn push(&self, ids: &[String]) -> Result<(), AdminError> {
        let asked = futures_util::stream::iter(ids).map(|id| self.push_one(id));
        let mut done = asked.buffer_unordered(PUSHES_MAX);
        let mut outcome = Ok(());
        while let Some(one) = done.next().await {
            outcome = outcome.and(one);
        }
        outcome
    }

    async fn push_one(&self, id: &str) -> Result<(), AdminError> {
        let what = "asking for a push without a command";
        let path = format!("/v1/push/{}", own_id(id));
        let answer = self.client.ask(what, "POST", &path, b"").await?;
        // A push that failed shows at the gateway.
        if answer.status == 200 || failure(&answer).is_some() {
            return Ok(());
        }
        let expected = "200, or JSON {\"error\": ..}";
        Err(self.client.unexpected(what, &path, &answer, expected))
    }

    /// What MicroMDM has queued for a channel: its list of open commands leaves those out that the
    /// device refused with NotNow, and what is done it keeps to itself.
    pub(super) async fn queue(
        &self,
        id: &str,
        asked: &dyn Fn(SimTime),
    ) -> Result<View, AdminError> {
        let what = "asking for the commands of a device";
        let path = format!("/v1/commands/{}", own_id(id));
        let answer = self.client.ask_at(what, ("GET", &path), b"", asked).await?;
        match serde_json::from_slice::<Queue>(&answer.body) {
            Ok(queue) if answer.status == 200 => Ok(View {
                open: queue.commands.into_iter().map(|it| it.uuid).collect(),
                names_refused: false,
            }),
            Ok(_) | Err(_) => {
                let expected = "200 with JSON {\"commands\": ..}; MicroMDM has an admin API only \
                                when it is started with -api-key";
                Err(self.client.unexpected(what, &path, &answer, expected))
            }
        }
    }

    /// Uploads the push certificate, and waits until MicroMDM's enrolment profile has its topic.
    /// Devices that enrol earlier get no topic, and then no push that they take.
    pub(super) async fn upload_push_certificate(
        &self,
        push: &Credential,
    ) -> Result<(), AdminError> {
        let what = "uploading the push certificate";
        let path = "/v1/config/certificate";
        let push = push.with_pkcs1().ok_or(AdminError::NotRsa)?;
        let body = json!({
            "cert": STANDARD.encode(push.certificates_pem()),
            "key": STANDARD.encode(push.key_pem()),
        });
        let body = body.to_string();
        let answer = self.client.ask(what, "PUT", path, body.as_bytes()).await?;
        if answer.status != 200 {
            return Err(self.client.unexpected(what, path, &answer, "200"));
        }
        let topic = push.chain.first().and_then(|der| topic_of(der));
        self.wait_for_topic(&topic.unwrap_or_default()).await
    }

    async fn wait_for_topic(&self, wanted: &str) -> Result<(), AdminError> {
        let mut named = String::new();
        let seen = tokio::time::timeout(NOTICED_MAX, async {
            loop {
                match self.named_topic().await? {
                    // The administrator's own profile may be signed; what it says is seen later.
                    None => return Ok(()),
                    Some(topic) if topic == wanted => return Ok(()),
                    Some(topic) => named = topic,
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        });
        match seen.await {
            Ok(outcome) => outcome,
            Err(_) => Err(AdminError::OtherTopic {
                url: self.client.url("/mdm/enroll"),
                named,
                wanted: wanted.to_owned(),
            }),
        }
    }

    /// The topic that MicroMDM's enrolment profile names, perhaps empty; `None` when the profile is
    /// not a plain one.
    async fn named_topic(&self) -> Result<Option<String>, AdminError> {
        let what = "asking for the enrolment profile";
        let answer = self.client.ask(what, "GET", "/mdm/enroll", b"").await?;
        Ok(topic_in(&answer.body))
    }

    /// Asks for the version, which MicroMDM tells everybody, and for something that it does not.
    pub(super) async fn version(&self) -> Result<String, AdminError> {
        let what = "asking for the target's version";
        let answer = self.client.ask(what, "GET", "/version", b"").await?;
        let version: Option<BTreeMap<String, serde_json::Value>> =
            serde_json::from_slice(&answer.body).ok();
        let Some(version) = version.as_ref().and_then(|version| version.get("version")) else {
            let expected = "200 with JSON {\"version\": ..}";
            return Err(self.client.unexpected(what, "/version", &answer, expected));
        };
        self.queue(NOBODY, &|_| {}).await?;
        Ok(format!("version {}", version.as_str().unwrap_or("unknown")))
    }
}

/// What MicroMDM calls a channel: a user's by the UserID alone.
fn own_id(id: &str) -> &str {
    id.split_once(':').map_or(id, |(_, user)| user)
}

/// What an enqueue's answer means.
fn understand(answer: &Answer) -> Enqueued {
    let status = answer.status;
    match (status, failure(answer)) {
        (201, _) => Enqueued::Accepted(ServerPush::NotReported),
        (_, Some(reason)) => Enqueued::Rejected { status, reason },
        (400..500, None) => Enqueued::Rejected {
            status,
            reason: excerpt(&answer.body),
        },
        (_, None) => Enqueued::Unknown(Broken::Malformed(format!(
            "the enqueue was answered with {status} and {}, not with MicroMDM's 201",
            excerpt(&answer.body)
        ))),
    }
}

/// What an answer says went wrong, if it is MicroMDM's own and says so.
fn failure(answer: &Answer) -> Option<String> {
    let failure = serde_json::from_slice::<Failure>(&answer.body);
    failure.ok().map(|failure| failure.error)
}

/// The topic in a plain enrolment profile, empty when it names none.
fn topic_in(profile: &[u8]) -> Option<String> {
    let profile = crate::protocol::plist::decode(profile).ok()?;
    let payloads = profile.as_dictionary()?.get("PayloadContent")?.as_array()?;
    let text = |payload: &plist::Value, key: &str| {
        let text = payload.as_dictionary()?.get(key)?.as_string()?;
        Some(text.to_owned())
    };
    let is_mdm =
        |payload: &&plist::Value| text(payload, "PayloadType").as_deref() == Some("com.apple.mdm");
    let mdm = payloads.iter().find(is_mdm)?;
    Some(text(mdm, "Topic").unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enqueued(status: u16, body: &str) -> Enqueued {
        understand(&Answer {
            status,
            body: body.as_bytes().to_vec(),
        })
    }

    #[test]
    fn a_201_is_accepted_and_says_nothing_of_the_push() {
        let accepted = enqueued(201, r#"{"payload":{"command_uuid":"C"}}"#);
        assert!(
            matches!(accepted, Enqueued::Accepted(ServerPush::NotReported)),
            "{accepted:?}"
        );
    }

    #[test]
    fn micromdms_own_error_is_a_rejection_with_its_words() {
        let Enqueued::Rejected { status, reason } =
            enqueued(500, "{\"error\": \"request is malformed\"}")
        else {
            panic!("not rejected")
        };
        assert_eq!((status, reason.as_str()), (500, "request is malformed"));
        assert!(matches!(
            enqueued(404, "404 page not found"),
            Enqueued::Rejected { status: 404, .. }
        ));
    }

    #[test]
    fn an_answer_that_is_not_micromdms_leaves_the_order_unknown() {
        for (status, body) in [(200, "<html>sign in</html>"), (502, "bad gateway")] {
            assert!(
                matches!(enqueued(status, body), Enqueued::Unknown(_)),
                "{status}"
            );
        }
    }

    #[test]
    fn a_users_channel_is_called_by_the_user_alone() {
        assert_eq!(own_id("00008140-1:5D0A"), "5D0A");
        assert_eq!(own_id("00008140-1"), "00008140-1");
    }

    #[test]
    fn the_topic_of_a_profile_is_found_and_its_absence_too() {
        let profile = |topic: &str| {
            format!(
                "<plist version=\"1.0\"><dict><key>PayloadContent</key><array><dict>\
                 <key>PayloadType</key><string>com.apple.security.scep</string></dict><dict>\
                 <key>PayloadType</key><string>com.apple.mdm</string>{topic}</dict></array></dict>\
                 </plist>"
            )
        };
        let named = profile("<key>Topic</key><string>com.apple.mgmt.External.X</string>");
        let topic = topic_in(named.as_bytes());
        assert_eq!(topic.as_deref(), Some("com.apple.mgmt.External.X"));
        assert_eq!(topic_in(profile("").as_bytes()).as_deref(), Some(""));
        assert_eq!(topic_in(b"0\x82\x01\x00signed"), None);
    }
}
