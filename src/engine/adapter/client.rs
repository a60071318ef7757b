//! HTTP to an admin API: kept connections, exact times, and answers that are read whole.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::time::Duration;

use rustls::ClientConfig;

use crate::device::contract::Answer;
use crate::engine::clock::Clock;
use crate::engine::connection::{Connection, Connector};
use crate::engine::endpoint::{Endpoint, EndpointError};
use crate::engine::http1::{Headers, Times};
use crate::fact::Broken;
use crate::time::SimTime;

/// Why the admin API cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// No answer.
    #[error("{what} at {url}: {why}")]
    NoAnswer {
        /// What was tried.
        what: &'static str,
        /// Where.
        url: String,
        /// What happened.
        why: Broken,
    },
    /// It wants other credentials.
    #[error(
        "{what} at {url}: the target answered {status}, so it does not take this API key; \
         check the environment variable that the scenario names under api-key"
    )]
    Unauthorized {
        /// What was tried.
        what: &'static str,
        /// Where.
        url: String,
        /// The status.
        status: u16,
    },
    /// It answered something else than its API says.
    #[error("{what} at {url}: the target answered {status} with {body}; expected {expected}")]
    Unexpected {
        /// What was tried.
        what: &'static str,
        /// Where.
        url: String,
        /// The status.
        status: u16,
        /// The beginning of the body.
        body: String,
        /// What the API says.
        expected: &'static str,
    },
    /// The push certificate's key is of a kind that the target does not read.
    #[error(
        "the target reads push certificates with an RSA key alone: name another one under \
         push-certificate and push-key, or leave both out"
    )]
    NotRsa,
    /// Its enrolment profile is not for the push certificate that it was given.
    #[error(
        "the enrolment profile at {url} names the topic {named:?}, but the push certificate is for \
         {wanted:?}, so devices would take none of its pushes; it learns the topic of its first push \
         certificate alone: restart it"
    )]
    OtherTopic {
        /// Where the profile is.
        url: String,
        /// What it names.
        named: String,
        /// What the push certificate is for.
        wanted: String,
    },
}

/// How many idle connections are kept.
const IDLE_MAX: usize = 256;

/// A client of one admin API.
#[derive(Debug)]
pub(crate) struct AdminClient {
    clock: Clock,
    connector: Connector,
    tls: Option<Arc<ClientConfig>>,
    timeout: Duration,
    base: String,
    url: String,
    host: String,
    authorization: String,
    idle: RefCell<Vec<Connection>>,
}

impl AdminClient {
    /// A client for the API under `endpoint` with HTTP Basic credentials.
    pub(crate) fn new(
        clock: Clock,
        endpoint: &Endpoint,
        tls: Option<Arc<ClientConfig>>,
        timeout: Duration,
        user: &str,
        key: &str,
    ) -> Result<Self, EndpointError> {
        use base64::Engine as _;
        let credentials = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{key}"));
        let scheme = if endpoint.tls { "https" } else { "http" };
        Ok(Self {
            clock,
            connector: Connector::new(endpoint)?,
            tls,
            timeout,
            base: endpoint.path.trim_end_matches('/').to_owned(),
            url: format!("{scheme}://{}", endpoint.host_header()),
            host: endpoint.host_header(),
            authorization: format!("Basic {credentials}"),
            idle: RefCell::default(),
        })
    }

    /// Where `path` is, for messages.
    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{}{path}", self.url, self.base)
    }

    /// One request. `sent` is told when its first byte is written.
    pub(super) async fn call(
        &self,
        method: &str,
        path: &str,
        body: &[u8],
        sent: &dyn Fn(SimTime),
    ) -> Result<Answer, Broken> {
        let mut bytes = format!(
            "{method} {}{path} HTTP/1.1\r\nHost: {}\r\nUser-Agent: mdmstorm/{}\r\n\
             Authorization: {}\r\nAccept: */*\r\nContent-Length: {}\r\n\r\n",
            self.base,
            self.host,
            env!("CARGO_PKG_VERSION"),
            self.authorization,
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        match tokio::time::timeout(self.timeout, self.send(&bytes, sent)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(Broken::TimedOut),
        }
    }

    /// One request whose answer must not be that we are not let in.
    pub(super) async fn ask(
        &self,
        what: &'static str,
        method: &str,
        path: &str,
        body: &[u8],
    ) -> Result<Answer, AdminError> {
        self.ask_at(what, (method, path), body, &|_| {}).await
    }

    /// The same of a method and a path; `sent` is told when the first byte is written.
    pub(super) async fn ask_at(
        &self,
        what: &'static str,
        (method, path): (&str, &str),
        body: &[u8],
        sent: &dyn Fn(SimTime),
    ) -> Result<Answer, AdminError> {
        let url = self.url(path);
        match self.call(method, path, body, sent).await {
            Ok(Answer {
                status: status @ (401 | 403),
                ..
            }) => Err(AdminError::Unauthorized { what, url, status }),
            Ok(answer) => Ok(answer),
            Err(why) => Err(AdminError::NoAnswer { what, url, why }),
        }
    }

    /// An answer that its API does not say.
    pub(super) fn unexpected(
        &self,
        what: &'static str,
        path: &str,
        answer: &Answer,
        expected: &'static str,
    ) -> AdminError {
        let (url, status, body) = (self.url(path), answer.status, excerpt(&answer.body));
        AdminError::Unexpected {
            what,
            url,
            status,
            body,
            expected,
        }
    }

    async fn send(&self, bytes: &[u8], sent: &dyn Fn(SimTime)) -> Result<Answer, Broken> {
        let kept = self.idle.borrow_mut().pop();
        let reused = kept.is_some();
        let first = self.attempt(kept, bytes, sent).await;
        match first {
            // The target closed an idle connection; nothing of it was read.
            Err((Broken::Cut(_), false)) if reused => {
                self.idle.borrow_mut().clear();
                self.attempt(None, bytes, sent)
                    .await
                    .map_err(|(broken, _)| broken)
            }
            outcome => outcome.map_err(|(broken, _)| broken),
        }
    }

    /// One attempt; an error says whether any of the answer was there.
    async fn attempt(
        &self,
        kept: Option<Connection>,
        bytes: &[u8],
        sent: &dyn Fn(SimTime),
    ) -> Result<Answer, (Broken, bool)> {
        let mut connection = match kept {
            Some(connection) => connection,
            None => self
                .connector
                .connect(self.tls.clone())
                .await
                .map_err(|broken| (broken, false))?,
        };
        let times = Cell::new(Times::default());
        sent(self.clock.now());
        let received = connection
            .exchange(self.clock, bytes, &times, Headers::Dropped)
            .await;
        let received = received.map_err(|broken| (broken, times.get().first_byte.is_some()))?;
        let mut idle = self.idle.borrow_mut();
        if received.keep_alive && idle.len() < IDLE_MAX {
            idle.push(connection);
        }
        Ok(received.answer)
    }
}

/// The beginning of a body, on one line, for messages.
pub(super) fn excerpt(body: &[u8]) -> String {
    const SHOWN: usize = 120;
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * SHOWN)]);
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let html =
        line.trim_start().get(..1) == Some("<") && line.to_ascii_lowercase().contains("<html");
    let shown: String = line.chars().take(SHOWN).collect();
    let more = if shown.len() < line.len() || body.len() > 4 * SHOWN {
        ".."
    } else {
        ""
    };
    match (body.is_empty(), html) {
        (true, _) => "an empty body".into(),
        (false, true) => format!("an HTML page ({shown:?}{more})"),
        (false, false) => format!("{shown:?}{more}"),
    }
}
