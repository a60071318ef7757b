//! NanoMDM's admin API (its docs/openapi.yaml), which NanoHUB and the reference server share.
//!
//! The JSON of the answer is what counts, not the status line: an enqueue for one enrolment whose
//! push fails is answered with 500 although the command is queued.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::client::{AdminClient, AdminError, excerpt};
use super::{Enqueued, View};
use crate::device::contract::Answer;
use crate::engine::authority::Credential;
use crate::fact::{Broken, ServerPush};
use crate::ids::CommandUuid;
use crate::time::SimTime;

/// Speaks to one NanoMDM.
#[derive(Debug)]
pub(crate) struct Nanomdm {
    client: AdminClient,
    product: Product,
}

/// Who is at the other end of this API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Product {
    /// NanoMDM or NanoHUB.
    Nanomdm,
    /// The bundled reference server, which can also take a command back.
    Reference,
}

/// The answer to enqueue and push.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ApiResult {
    status: BTreeMap<String, Status>,
    push_error: Option<String>,
    command_error: Option<String>,
    command_uuid: Option<String>,
}

/// What the reference server has queued for one enrolment.
#[derive(Debug, Deserialize)]
struct Queue {
    open: Vec<CommandUuid>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    push_result: Option<String>,
    push_error: Option<String>,
    command_error: Option<String>,
}

impl Nanomdm {
    pub(crate) const fn new(client: AdminClient, product: Product) -> Self {
        Self { client, product }
    }

    pub(super) async fn enqueue(
        &self,
        id: &str,
        command: &[u8],
        offered: &dyn Fn(SimTime),
    ) -> Enqueued {
        let path = format!("/v1/enqueue/{id}");
        match self.client.call("PUT", &path, command, offered).await {
            Ok(answer) => understand(id, &answer),
            Err(broken) => Enqueued::Unknown(broken),
        }
    }

    pub(super) async fn push(&self, ids: &[String]) -> Result<(), AdminError> {
        let what = "asking for pushes without a command";
        let path = format!("/v1/push/{}", ids.join(","));
        let answer = self.client.ask(what, "PUT", &path, b"").await?;
        // Like an enqueue: 207 and 500 are of pushes that failed, which the JSON tells.
        match serde_json::from_slice::<ApiResult>(&answer.body) {
            Ok(_) => Ok(()),
            Err(_) => {
                Err(self
                    .client
                    .unexpected(what, &path, &answer, "JSON with a status for each id"))
            }
        }
    }

    pub(super) async fn cancel(&self, id: &str, uuid: &CommandUuid) -> Result<(), AdminError> {
        if self.product == Product::Nanomdm {
            return Ok(());
        }
        let what = "taking a command back";
        let path = format!("/v1/queue/{id}/{uuid}");
        let answer = self.client.ask(what, "DELETE", &path, b"").await?;
        match answer.status {
            // 404: it has settled meanwhile.
            200 | 404 => Ok(()),
            _ => Err(self.client.unexpected(what, &path, &answer, "200 or 404")),
        }
    }

    /// Whether it tells what is in its queues; NanoMDM has no way to ask.
    pub(super) const fn shows_queues(&self) -> bool {
        match self.product {
            Product::Nanomdm => false,
            Product::Reference => true,
        }
    }

    pub(super) async fn queue(
        &self,
        id: &str,
        asked: &dyn Fn(SimTime),
    ) -> Result<Option<View>, AdminError> {
        if !self.shows_queues() {
            return Ok(None);
        }
        let what = "asking for the queue of a device";
        let path = format!("/v1/queue/{id}");
        let answer = self.client.ask_at(what, ("GET", &path), b"", asked).await?;
        let unexpected = |expected| self.client.unexpected(what, &path, &answer, expected);
        match serde_json::from_slice::<Queue>(&answer.body) {
            Ok(Queue { open }) if answer.status == 200 => Ok(Some(View {
                open,
                names_refused: true,
            })),
            // Nobody has enrolled under this id.
            Ok(_) | Err(_) if answer.status == 404 => Ok(None),
            Ok(_) | Err(_) => Err(unexpected("200 with JSON {\"open\": [..]}, or 404")),
        }
    }

    pub(super) async fn upload_push_certificate(
        &self,
        push: &Credential,
    ) -> Result<(), AdminError> {
        let what = "uploading the push certificate";
        let pem = format!("{}{}", push.certificates_pem(), push.key_pem());
        let answer = self
            .client
            .ask(what, "PUT", "/v1/pushcert", pem.as_bytes())
            .await?;
        if answer.status == 200 {
            return Ok(());
        }
        Err(self.client.unexpected(
            what,
            "/v1/pushcert",
            &answer,
            "200 with the certificate's topic",
        ))
    }

    pub(super) async fn version(&self) -> Result<String, AdminError> {
        let what = "asking for the target's version";
        let answer = self.client.ask(what, "GET", "/version", b"").await?;
        let version: Option<BTreeMap<String, serde_json::Value>> =
            serde_json::from_slice(&answer.body).ok();
        match version.as_ref().and_then(|v| v.get("version")) {
            Some(version) => Ok(format!("version {}", version.as_str().unwrap_or("unknown"))),
            None => Err(self.client.unexpected(
                what,
                "/version",
                &answer,
                "200 with JSON {\"version\": ..}",
            )),
        }
    }
}

/// What an enqueue's answer means for the one enrolment it was about.
fn understand(id: &str, answer: &Answer) -> Enqueued {
    let status = answer.status;
    let reject = |reason: String| Enqueued::Rejected { status, reason };
    let result: ApiResult = match serde_json::from_slice(&answer.body) {
        Ok(result) => result,
        Err(_) if (400..500).contains(&status) => return reject(excerpt(&answer.body)),
        Err(_) => {
            let found = excerpt(&answer.body);
            return Enqueued::Unknown(Broken::Malformed(format!(
                "the enqueue was answered with {status} and {found}, not with NanoMDM's JSON"
            )));
        }
    };
    if let Some(error) = result.command_error {
        return reject(error);
    }
    let of_device = result.status.get(id);
    if let Some(error) = of_device.and_then(|device| device.command_error.clone()) {
        return reject(error);
    }
    if result.command_uuid.is_none() && of_device.is_none() {
        let found = excerpt(&answer.body);
        if (400..500).contains(&status) {
            return reject(found);
        }
        return Enqueued::Unknown(Broken::Malformed(format!(
            "the enqueue was answered with {status} and {found}, which names no command"
        )));
    }
    let push = match of_device {
        Some(Status {
            push_error: Some(error),
            ..
        }) => ServerPush::Failed(error.clone()),
        Some(Status {
            push_result: Some(_),
            ..
        }) => ServerPush::Accepted,
        Some(_) | None => match result.push_error {
            Some(error) => ServerPush::Failed(error),
            None => ServerPush::NotReported,
        },
    };
    Enqueued::Accepted(push)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn enqueued(status: u16, body: &str) -> Enqueued {
        understand(
            "U",
            &Answer {
                status,
                body: body.as_bytes().to_vec(),
            },
        )
    }

    #[test]
    fn a_500_whose_json_says_that_only_the_push_failed_is_accepted() {
        let body = r#"{"status":{"U":{"push_error":"410"}},"command_uuid":"C"}"#;
        let Enqueued::Accepted(ServerPush::Failed(why)) = enqueued(500, body) else {
            panic!("not accepted")
        };
        assert_eq!(why, "410");
    }

    #[test]
    fn a_command_error_is_a_rejection_whatever_the_status_says() {
        for body in [
            r#"{"command_error":"duplicate"}"#,
            r#"{"status":{"U":{"command_error":"no such id"}},"command_uuid":"C"}"#,
        ] {
            assert!(
                matches!(enqueued(200, body), Enqueued::Rejected { .. }),
                "{body}"
            );
        }
    }

    #[test]
    fn a_page_of_html_leaves_the_order_unknown_and_is_named() {
        let Enqueued::Unknown(Broken::Malformed(what)) = enqueued(200, "<html><b>hi</b></html>")
        else {
            panic!("not unknown")
        };
        assert!(what.contains("an HTML page"), "{what}");
    }

    #[test]
    fn a_401_without_json_is_a_rejection() {
        assert!(matches!(
            enqueued(401, "Unauthorized"),
            Enqueued::Rejected { status: 401, .. }
        ));
    }
}
