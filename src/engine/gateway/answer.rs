//! One push: what is wrong with it, whether it is let in, and what its provider is told.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::{HeaderMap, Response, StatusCode};

use super::Gateway;
use super::late::Departure;
use super::lookout;
use crate::apns::admission::{Admitted, Incoming, Refused};
use crate::apns::fault::Fault;
use crate::apns::provider::Provider;
use crate::device::contract::Push;
use crate::fact::{FactKind, Unanswered};
use crate::ids::{Channel, PushId};
use crate::protocol::push::{Reason, Refusal};
use crate::time::SimTime;

/// The header that a push and its answer have in common.
static APNS_ID: HeaderName = HeaderName::from_static("apns-id");

/// The longest `apns-id` that is given back, in bytes; a UUID has 36.
const APNS_ID_MAX: usize = 64;

/// A page as a proxy on the way writes it.
const PAGE: &[u8] = b"<html>\r\n<head><title>Service Temporarily Unavailable</title></head>\r\n\
    <body>\r\n<center><h1>Service Temporarily Unavailable</h1></center>\r\n</body>\r\n</html>\r\n";

/// A push whose payload has been read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) push: PushId,
    /// When its headers were read.
    pub(super) arrived: SimTime,
    /// When its payload was.
    pub(super) now: SimTime,
    /// How its provider came in.
    pub(super) door: lookout::Way,
    pub(super) head: &'a Parts,
    /// The topic of its provider's certificate, if there is one alone.
    pub(super) certificate: Option<&'a str>,
    /// One byte more than a payload may have is enough to refuse it.
    pub(super) payload: &'a [u8],
}

/// What is to be done about a push.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is answered.
    Answer(Answer),
    /// It is answered later by this much.
    Slow(Answer, Duration),
    /// It is never answered.
    Hang,
    /// Its connection is reset.
    Reset,
    /// Its connection ends before it.
    GoAway(Reason),
}

impl Verdict {
    /// The `apns-id` it is answered with.
    pub(super) fn apns_id(&self) -> &str {
        match self {
            Self::Answer(answer) | Self::Slow(answer, _) => {
                answer.head.headers().get(&APNS_ID).map_or("", text)
            }
            Self::Hang | Self::Reset | Self::GoAway(_) => "",
        }
    }

    /// As those who look on see it.
    pub(super) fn seen(&self) -> lookout::Verdict {
        let how = match self {
            Self::Answer(answer) | Self::Slow(answer, _) => {
                return lookout::Verdict::Answered {
                    status: answer.head.status().as_u16(),
                    reason: answer.reason.map(|it| it.name().to_owned()),
                };
            }
            Self::Hang => Unanswered::Hang,
            Self::Reset => Unanswered::Reset,
            Self::GoAway(_) => Unanswered::GoAway,
        };
        lookout::Verdict::Unanswered { how }
    }
}

/// What a provider is told about a push.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) head: Response<()>,
    pub(super) body: Bytes,
    reason: Option<Reason>,
}

impl Answer {
    fn new(status: StatusCode, id: Option<HeaderValue>) -> Self {
        let mut head = Response::new(());
        *head.status_mut() = status;
        if let Some(mut id) = id {
            // Every value is another: in the table of either side it would be of no use.
            id.set_sensitive(true);
            head.headers_mut().insert(&APNS_ID, id);
        }
        Self {
            head,
            body: Bytes::new(),
            reason: None,
        }
    }

    /// Says why a push is refused.
    fn with_reason(mut self, refusal: Refusal) -> Self {
        self.reason = Some(refusal.reason);
        self.body = refusal.encode().into();
        self
    }
}

/// What of a push's headers is looked at.
#[derive(Default)]
pub(super) struct Headers<'a> {
    topic: Option<&'a str>,
    id: Option<&'a HeaderValue>,
    expiration: Option<&'a str>,
    priority: Option<&'a str>,
    push_type: Option<&'a str>,
    collapse_id: Option<&'a str>,
    authorization: Option<&'a str>,
    has_duplicates: bool,
}

impl<'a> Headers<'a> {
    pub(super) fn of(map: &'a HeaderMap) -> Self {
        let mut headers = Self::default();
        let mut others: Vec<&str> = Vec::new();
        for (name, value) in map {
            let text = text(value);
            let was = match name.as_str() {
                "apns-topic" => headers.topic.replace(text).is_some(),
                "apns-id" => headers.id.replace(value).is_some(),
                "apns-expiration" => headers.expiration.replace(text).is_some(),
                "apns-priority" => headers.priority.replace(text).is_some(),
                "apns-push-type" => headers.push_type.replace(text).is_some(),
                "apns-collapse-id" => headers.collapse_id.replace(text).is_some(),
                "authorization" => headers.authorization.replace(text).is_some(),
                other if other.starts_with("apns-") => {
                    let was = others.contains(&other);
                    others.push(other);
                    was
                }
                _ => false,
            };
            headers.has_duplicates |= was;
        }
        headers
    }

    /// The push as it came in.
    pub(super) fn incoming(&self, head: &'a Parts, payload: &'a [u8]) -> Incoming<'a> {
        Incoming {
            method: head.method.as_str(),
            path: head.uri.path(),
            topic: self.topic,
            id: self.id.map(text),
            expiration: self.expiration,
            priority: self.priority,
            push_type: self.push_type,
            collapse_id: self.collapse_id,
            authorization: self.authorization,
            has_duplicates: self.has_duplicates,
            payload,
        }
    }
}

/// A header's value; one that is no text is one that no check lets through.
fn text(value: &HeaderValue) -> &str {
    value.to_str().unwrap_or("\u{fffd}")
}

impl Gateway {
    /// Decides about a push, sends it on its way if it is let in, and notes what happened.
    pub(super) fn judge(self: &Rc<Self>, asked: &Asked<'_>, provider: &mut Provider) -> Verdict {
        let headers = Headers::of(&asked.head.headers);
        let incoming = headers.incoming(asked.head, asked.payload);
        let (fault, channel) = self.fault_of(asked);
        let name = fault.as_ref().map(Fault::name);
        let mut topic = None;
        let verdict = match self.unseen(asked, &headers, fault, channel) {
            Ok(verdict) => verdict,
            Err(fault) => {
                let mut admission = self.admission.borrow_mut();
                let admitted = admission.admit(asked.now, provider, &incoming);
                drop(admission);
                match admitted {
                    Ok(admitted) => {
                        topic = Some(Arc::clone(&admitted.topic));
                        self.accept(asked, &headers, admitted, fault)
                    }
                    Err(refused) => Verdict::Answer(self.refuse(asked, &headers, refused)),
                }
            }
        };
        if let Some(lookout) = self.lookout.get() {
            lookout.saw(lookout::Sight {
                push: asked.push,
                arrived: self.clock.epoch().wall(asked.arrived),
                door: asked.door,
                incoming: &incoming,
                owner: self.admission.borrow().owner(incoming.path),
                topic: topic.as_deref().or(incoming.topic).or(asked.certificate),
                apns_id: verdict.apns_id(),
                verdict: &verdict.seen(),
                fault: name,
            });
        }
        verdict
    }

    /// What goes wrong with a push, and whose it is.
    pub(super) fn fault_of(&self, asked: &Asked<'_>) -> (Option<Fault>, Option<Channel>) {
        let mut faults = self.faults.borrow_mut();
        if faults.is_empty() {
            return (None, None);
        }
        let channel = self.admission.borrow().owner(asked.head.uri.path());
        (faults.decide(asked.push, channel), channel)
    }

    /// Carries out a fault under which the push is not looked at; gives back any other.
    pub(super) fn unseen(
        &self,
        asked: &Asked<'_>,
        headers: &Headers<'_>,
        fault: Option<Fault>,
        channel: Option<Channel>,
    ) -> Result<Verdict, Option<Fault>> {
        let Some(fault) = fault else { return Err(None) };
        let unanswered = |how| FactKind::PushUnanswered {
            push: asked.push,
            channel,
            arrived: asked.arrived,
            how,
        };
        let (fact, verdict) = match fault {
            Fault::Answer { status, reason } => {
                let now_ms = self.clock.epoch().wall(asked.now).unix_micros() / 1_000;
                let mut answer = Answer::new(status_of(status), Some(self.id_of(asked, headers)));
                if let Some(reason) = reason {
                    answer = answer.with_reason(Refusal::at(reason, now_ms));
                }
                let fact = received(asked, channel, status, reason);
                (fact, Verdict::Answer(answer))
            }
            Fault::Garble { status } => {
                let mut answer = Answer::new(status_of(status), None);
                answer.body = Bytes::from_static(PAGE);
                let kind = HeaderValue::from_static("text/html");
                let headers = answer.head.headers_mut();
                headers.insert(http::header::CONTENT_TYPE, kind);
                (
                    received(asked, channel, status, None),
                    Verdict::Answer(answer),
                )
            }
            Fault::Hang => (unanswered(Unanswered::Hang), Verdict::Hang),
            Fault::Reset => (unanswered(Unanswered::Reset), Verdict::Reset),
            Fault::GoAway(reason) => (unanswered(Unanswered::GoAway), Verdict::GoAway(reason)),
            other @ (Fault::Delay(_)
            | Fault::Drop
            | Fault::Duplicate(_)
            | Fault::Reorder(_)
            | Fault::Slow(_)) => return Err(Some(other)),
        };
        let is_accepted = matches!(fact, FactKind::PushReceived { status: 200, .. });
        self.ports.note(asked.now, fact);
        if let (true, Some(channel)) = (is_accepted, channel) {
            let push = asked.push;
            self.ports
                .note(asked.now, FactKind::PushLost { push, channel });
        }
        Ok(verdict)
    }

    /// A push that is let in: what happens to it on its way.
    fn accept(
        self: &Rc<Self>,
        asked: &Asked<'_>,
        headers: &Headers<'_>,
        admitted: Admitted,
        fault: Option<Fault>,
    ) -> Verdict {
        let channel = admitted.channel;
        let push = Push {
            id: asked.push,
            channel,
            topic: admitted.topic,
            magic: admitted.magic,
            urgency: admitted.urgency,
            arrived: asked.arrived,
            due: asked.arrived,
        };
        let mut answered_after = None;
        let mut is_lost = false;
        let departure = match fault {
            None => Departure::AtOnce,
            Some(Fault::Delay(dist)) => Departure::Later(self.span(asked.push, &dist)),
            Some(Fault::Duplicate(dist)) => Departure::Twice(self.span(asked.push, &dist)),
            Some(Fault::Reorder(dist)) => Departure::AfterNext(self.span(asked.push, &dist)),
            Some(Fault::Slow(dist)) => {
                answered_after = Some(self.span(asked.push, &dist));
                Departure::AtOnce
            }
            Some(Fault::Drop) => {
                is_lost = true;
                Departure::Nowhere
            }
            Some(
                Fault::Answer { .. }
                | Fault::Garble { .. }
                | Fault::Hang
                | Fault::Reset
                | Fault::GoAway(_),
            ) => Departure::AtOnce,
        };
        self.set_out(push, admitted.keep, departure);
        let fact = received(asked, Some(channel), 200, None);
        self.ports.note(asked.now, fact);
        if is_lost {
            let push = asked.push;
            self.ports
                .note(asked.now, FactKind::PushLost { push, channel });
        }
        let id = Some(self.id_of(asked, headers));
        let answer = Answer::new(StatusCode::OK, id);
        match answered_after {
            Some(after) => Verdict::Slow(answer, after),
            None => Verdict::Answer(answer),
        }
    }

    fn refuse(&self, asked: &Asked<'_>, headers: &Headers<'_>, refused: Refused) -> Answer {
        let Refused { refusal, channel } = refused;
        let status = refusal.reason.status();
        let fact = received(asked, channel, status, Some(refusal.reason));
        self.ports.note(asked.now, fact);
        let id = Some(self.id_of(asked, headers));
        Answer::new(status_of(status), id).with_reason(refusal)
    }

    /// How long a fault takes for a push. It is real time: `by` is not scaled.
    pub(super) fn span(&self, push: PushId, dist: &crate::seed::Dist) -> Duration {
        self.faults.borrow().span(push, dist)
    }

    /// The push's own `apns-id` as it was written, or another one.
    fn id_of(&self, asked: &Asked<'_>, headers: &Headers<'_>) -> HeaderValue {
        match headers.id {
            Some(id) if id.len() <= APNS_ID_MAX => id.clone(),
            Some(_) | None => self.new_id(asked.push),
        }
    }

    /// An `apns-id` for a push that brought none.
    pub(super) fn new_id(&self, push: PushId) -> HeaderValue {
        let mut written = uuid::Uuid::encode_buffer();
        let id = self.ports.apns_id(push);
        let id = id.hyphenated().encode_upper(&mut written);
        HeaderValue::from_str(id).expect("a UUID is written in ASCII")
    }
}

pub(super) fn received(
    asked: &Asked<'_>,
    channel: Option<Channel>,
    status: u16,
    reason: Option<Reason>,
) -> FactKind {
    FactKind::PushReceived {
        push: asked.push,
        channel,
        arrived: asked.arrived,
        status,
        reason: reason.map(|it| it.name().to_owned()),
    }
}

/// A scenario's status is checked when it is read; another one is the nearest there is.
fn status_of(status: u16) -> StatusCode {
    StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
