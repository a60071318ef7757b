//! How the ACME library reaches its server: over the errand's own connection, by the device's clock
//! and trust.
//!
//! What the library would stumble over is stopped here: answers that are no ACME at all, and URLs
//! that are none.

use std::future::Future;
use std::pin::{Pin, pin};

use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderName, Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full};
use instant_acme::{
    Account, AccountCredentials, BodyWrapper, BytesResponse, Error, HttpClient, NewAccount,
};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};

use super::{Asked, problem};
use crate::engine::enroll::Enroller;
use crate::engine::enroll::refusal::{Name, Stop};
use crate::engine::fetch::{Fetch, Fetched, Kept};

const NONCE: HeaderName = HeaderName::from_static("replay-nonce");

/// A server that wants to be asked later than in so many seconds is not waited for anyhow.
const RETRY_AFTER_MAX: u64 = 24 * 3600;

/// How many calls may wait: the library makes one after another.
const CALLS_MAX: usize = 1;

/// The line of one errand.
pub(super) struct Line<'a> {
    enroller: &'a Enroller,
    asked: Fetch<'a>,
    calls: mpsc::Receiver<Call>,
    kept: Kept,
}

/// A request of the library, and where its answer goes.
struct Call {
    request: Request<BodyWrapper<Bytes>>,
    answer: oneshot::Sender<BytesResponse>,
}

/// The library's end. It has to be able to go to another thread; what it talks to cannot.
struct Caller(mpsc::Sender<Call>);

impl HttpClient for Caller {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (answer, answered) = oneshot::channel();
        let to = self.0.clone();
        Box::pin(async move {
            let is_sent = to.send(Call { request, answer }).await.is_ok();
            let answered = answered.await.ok().filter(|_| is_sent);
            answered.ok_or(Error::Str("an answer: the errand is over"))
        })
    }
}

/// An account that is being opened.
type Opening = Pin<Box<dyn Future<Output = Result<(Account, AccountCredentials), Error>>>>;

impl<'a> Line<'a> {
    /// A line, and an account to be opened over it.
    pub(super) fn open(enroller: &'a Enroller, asked: &Asked<'a>) -> Result<(Self, Opening), Stop> {
        let directory = asked.payload.directory.clone();
        if !is_url(&directory) {
            let what = format!("DirectoryURL is {directory:?}, which is no URL");
            return Err(Stop::never(Name::ImpossiblePayload, what));
        }
        let (caller, calls) = mpsc::channel(CALLS_MAX);
        let builder = Account::builder_with_http(Box::new(Caller(caller)));
        let opening = Box::pin(async move {
            let account = NewAccount {
                contact: &[],
                terms_of_service_agreed: true,
                only_return_existing: false,
            };
            builder.create(&account, directory, None).await
        });
        let line = Self {
            enroller,
            asked: Fetch {
                ahead_us: asked.bearer.ahead_us,
                trust: asked.trust,
                ours: Some(asked.trail.ours()),
                ..Fetch::get("")
            },
            calls,
            kept: Kept::default(),
        };
        Ok((line, opening))
    }

    /// Does `work`, and answers its calls meanwhile.
    pub(super) async fn during<T>(
        &mut self,
        work: impl Future<Output = Result<T, Stop>>,
    ) -> Result<T, Stop> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                biased;
                done = &mut work => return done,
                Some(call) = self.calls.recv() => {
                    let answer = self.answer(call.request).await?;
                    // Whoever called may have given up meanwhile.
                    drop(call.answer.send(answer));
                }
            }
        }
    }

    async fn answer(
        &mut self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Result<BytesResponse, Stop> {
        let (head, body) = request.into_parts();
        let body = body.collect().await;
        let body = body.expect("a body in memory has no errors").to_bytes();
        let asked = head.uri.to_string();
        if !is_url(&asked) {
            let what = format!(
                "the server leads to {}, which is no URL",
                problem::cut(&asked)
            );
            return Err(Stop::never(Name::AcmeProblem, what));
        }
        let url = self.enroller.way.enrollment.rewritten(&asked);
        let kind = head.headers.get(CONTENT_TYPE).cloned();
        let headers: Vec<_> = kind.map(|kind| (CONTENT_TYPE, kind)).into_iter().collect();
        let fetch = Fetch {
            // A nonce comes by GET as well as by HEAD (RFC 8555 7.2), which nothing else needs here.
            method: match head.method {
                Method::POST => Method::POST,
                _ => Method::GET,
            },
            url: &url,
            headers: &headers,
            body: &body,
            repeats: head.method != Method::POST,
            ahead_us: self.asked.ahead_us,
            trust: self.asked.trust,
            ours: self.asked.ours,
        };
        let fetched = self.enroller.fetcher.fetch_over(&mut self.kept, fetch);
        let mut fetched = fetched.await.map_err(|broken| Stop::broken(&broken))?;
        match head.method {
            Method::POST => is_acme(&asked, &fetched)?,
            Method::HEAD => {
                if fetched.status == 204 {
                    fetched.status = 200;
                }
                is_fine(&asked, &fetched)?;
            }
            _ => {
                is_fine(&asked, &fetched)?;
                is_directory(&fetched)?;
            }
        }
        Ok(answered(fetched))
    }
}

/// Whether there is an answer that the library can read: anything good, or a problem.
fn is_acme(asked: &str, fetched: &Fetched) -> Result<(), Stop> {
    let is_good = (200..300).contains(&fetched.status);
    match is_good || problem::read(&fetched.body).is_some() {
        true => Ok(()),
        false => Err(Stop::status(problem::cut(asked), fetched)),
    }
}

/// Whether the answer to something that nobody has to sign for is a good one.
fn is_fine(asked: &str, fetched: &Fetched) -> Result<(), Stop> {
    if fetched.status == 200 {
        return Ok(());
    }
    Err(match problem::read(&fetched.body) {
        Some(found) => problem::refused(&found, Name::AcmeProblem),
        None => Stop::status(problem::cut(asked), fetched),
    })
}

/// Whether the directory says where everything is. The library takes it at its word.
fn is_directory(fetched: &Fetched) -> Result<(), Stop> {
    let directory: Value = serde_json::from_slice(&fetched.body).unwrap_or_default();
    for name in ["newNonce", "newAccount", "newOrder"] {
        if !directory[name].as_str().is_some_and(is_url) {
            let what = format!("the directory has no URL for {name}");
            return Err(Stop::never(Name::AcmeProblem, what));
        }
    }
    Ok(())
}

fn is_url(text: &str) -> bool {
    let uri = text.parse::<Uri>();
    uri.is_ok_and(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
}

/// The answer in the library's form, with the headers that it reads.
fn answered(fetched: Fetched) -> BytesResponse {
    let mut response = Response::new(Full::new(Bytes::from(fetched.body)));
    *response.status_mut() = http::StatusCode::from_u16(fetched.status)
        .unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    for name in [NONCE, LOCATION] {
        if let Some(value) = fetched.headers.get(&name) {
            response.headers_mut().insert(name, value.clone());
        }
    }
    // The library adds what it finds to the time of day, which overflows.
    let after = fetched.headers.get(RETRY_AFTER);
    if let Some(value) = after
        && let Some(seconds) = value.to_str().ok().and_then(|it| it.trim().parse().ok())
        && let 0..=RETRY_AFTER_MAX = seconds
    {
        response.headers_mut().insert(RETRY_AFTER, value.clone());
    }
    response.into()
}
