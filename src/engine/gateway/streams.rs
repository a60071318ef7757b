//! The streams of one connection: each carries one push and its answer.
//!
//! Nothing is spawned for them. Mostly a push is here whole when its stream is accepted, and is
//! answered on the spot; the others are looked at whenever the connection is.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use h2::server::SendResponse;
use h2::{Reason as Code, RecvStream};
use http::Request;
use http::request::Parts;

use super::Gateway;
use super::answer::{Answer, Asked, Verdict};
use super::connection::{Line, STREAMS_CEILING};
use super::frames::{Frames, Offence, Wire};
use super::lookout::Way;
use crate::apns::admission::PAYLOAD_MAX;
use crate::apns::provider::Provider;
use crate::engine::ports::Undecided;
use crate::protocol::push::Reason;
use crate::time::SimTime;

/// How many streams a client may reset before their payload was here.
pub(super) const RESETS_MAX: usize = 100;

/// What a connection has to do for its streams.
#[derive(Debug)]
pub(super) enum Event {
    /// A worker or the recorder is behind: no push is taken until it is not.
    Behind,
    /// A payload is not here yet.
    Waiting,
    /// The connection is to end before the streams after `last`.
    Goodbye { last: u32, reason: Reason },
    /// The connection is to be reset.
    Reset,
    /// The connection was to end, and everything before its end is answered.
    Over,
    /// The client is gone.
    Ended,
    /// HTTP/2 has failed.
    Failed(h2::Error),
    /// The client does what no client does.
    Offended(Offence),
    /// The client opens streams and resets them.
    TooManyResets,
}

/// The streams of a connection.
pub(super) struct Streams {
    gateway: Rc<Gateway>,
    frames: Rc<RefCell<Frames<Line>>>,
    h2: h2::server::Connection<Wire<Line>, Bytes>,
    /// New streams that nobody has looked at; at most [`STREAMS_CEILING`].
    accepted: VecDeque<(Request<RecvStream>, SendResponse<Bytes>)>,
    provider: Provider,
    /// The topic of its certificate, if that is for one alone.
    topic: Option<Rc<str>>,
    /// Pushes whose payload is not here yet.
    unread: Vec<Unread>,
    is_waiting: bool,
    /// Answers that are given later; each tells its status, or nothing when nobody waits for it.
    slow: Later<Option<u16>>,
    /// Pushes that are never answered: each until its client resets it.
    hung: Later<()>,
    /// Streams after the last that counts.
    ignored: Vec<SendResponse<Bytes>>,
    last: Option<u32>,
    newest: u32,
    last_push: SimTime,
    resets: usize,
    /// How many streams the client may have; but one as long as nobody knows who it is, or after a
    /// rejected push.
    limit: u32,
    is_known: bool,
    is_lowered: bool,
}

type Later<T> = FuturesUnordered<Pin<Box<dyn Future<Output = T>>>>;

/// A push whose payload is not here yet.
struct Unread {
    undecided: Undecided,
    head: Parts,
    body: RecvStream,
    payload: Payload,
    respond: SendResponse<Bytes>,
}

/// What has come of a payload.
#[derive(Debug, Default)]
struct Payload {
    /// Mostly there is one piece, and it is not copied.
    first: Bytes,
    joined: BytesMut,
}

impl Payload {
    fn add(&mut self, piece: Bytes) {
        if self.first.is_empty() {
            self.first = piece;
        } else {
            if self.joined.is_empty() {
                self.joined.extend_from_slice(&self.first);
            }
            self.joined.extend_from_slice(&piece);
        }
    }

    fn bytes(&self) -> &[u8] {
        if self.joined.is_empty() {
            &self.first
        } else {
            &self.joined
        }
    }

    /// Reads on; ready at the end, or when there is more than a payload may have.
    fn poll_read(
        &mut self,
        body: &mut RecvStream,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), h2::Error>> {
        loop {
            if body.is_end_stream() {
                return Poll::Ready(Ok(()));
            }
            match ready!(body.poll_data(cx)) {
                Some(Ok(piece)) => {
                    let length = piece.len();
                    self.add(piece);
                    if self.bytes().len() > PAYLOAD_MAX {
                        return Poll::Ready(Ok(()));
                    }
                    // It fails only for a stream that is over.
                    let _ = body.flow_control().release_capacity(length);
                }
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl Streams {
    pub(super) fn new(
        gateway: Rc<Gateway>,
        frames: Rc<RefCell<Frames<Line>>>,
        h2: h2::server::Connection<Wire<Line>, Bytes>,
        provider: Provider,
    ) -> Self {
        Self {
            last_push: gateway.clock.now(),
            gateway,
            frames,
            h2,
            accepted: VecDeque::new(),
            provider,
            topic: None,
            unread: Vec::new(),
            is_waiting: false,
            slow: Later::new(),
            hung: Later::new(),
            ignored: Vec::new(),
            last: None,
            newest: 0,
            resets: 0,
            limit: 0,
            is_known: false,
            is_lowered: false,
        }
    }

    /// With the topics of its provider's certificate.
    pub(super) fn with_topics(mut self, topics: &[String]) -> Self {
        if let [only] = topics {
            self.topic = Some(only.as_str().into());
        }
        self
    }

    /// With so many streams, or with one until the provider has shown a bearer token that is good.
    pub(super) const fn with_limit(mut self, limit: u32, is_known: bool) -> Self {
        self.limit = limit;
        self.is_known = is_known;
        self
    }

    /// From here on the client may have so many streams.
    pub(super) fn limit(&mut self, limit: u32) {
        self.limit = limit;
        if self.has_all() {
            self.frames.borrow_mut().announce(limit);
        }
    }

    /// Whether the client may have as many streams as there are.
    const fn has_all(&self) -> bool {
        self.is_known && !self.is_lowered
    }

    /// Streams after `last` are not looked at any more.
    pub(super) const fn end_after(&mut self, last: u32) {
        self.last = Some(last);
    }

    /// Nothing that is under way is answered any more.
    pub(super) fn forget(&mut self) {
        let unread = self.unread.drain(..).map(|unread| unread.respond);
        self.ignored.extend(unread);
        self.slow.clear();
    }

    /// The newest stream that was looked at.
    pub(super) const fn newest(&self) -> u32 {
        self.newest
    }

    /// When the last push came, or the connection.
    pub(super) const fn last_push(&self) -> SimTime {
        self.last_push
    }

    /// Whether no push is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.unread.is_empty() && self.slow.is_empty() && self.hung.is_empty()
    }

    /// When the oldest push began whose payload is not here yet.
    pub(super) fn oldest_payload(&mut self) -> Option<SimTime> {
        let oldest = self.unread.iter().map(|it| it.undecided.arrived()).min();
        self.is_waiting = oldest.is_some();
        oldest
    }

    /// Does whatever can be done, until there is something that the connection has to do.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            // HTTP/2 sends what was answered whenever it is asked for another stream. So all that
            // are here are taken first and answered then: their answers leave together.
            let mut end = None;
            while self.accepted.len() < STREAMS_CEILING as usize
                && let Poll::Ready(accepted) = self.h2.poll_accept(cx)
            {
                match accepted {
                    Some(Ok(stream)) => self.accepted.push_back(stream),
                    Some(Err(error)) => end = Some(Event::Failed(error)),
                    None => end = Some(Event::Ended),
                }
                if end.is_some() {
                    break;
                }
            }
            let mut has_answered = false;
            while let Some((request, respond)) = self.accepted.pop_front() {
                has_answered = true;
                if let Some(event) = self.accept(cx, request, respond) {
                    return Poll::Ready(event);
                }
            }
            if let Some(end) = end {
                return Poll::Ready(end);
            }
            while let Poll::Ready(Some(status)) = self.slow.poll_next_unpin(cx) {
                has_answered = true;
                if let Some(status) = status {
                    self.follow(status);
                }
            }
            while let Poll::Ready(Some(())) = self.hung.poll_next_unpin(cx) {}
            let mut at = 0;
            while at < self.unread.len() {
                match self.read_on(cx, at) {
                    Poll::Pending => at += 1,
                    Poll::Ready(None) => has_answered = true,
                    Poll::Ready(Some(event)) => return Poll::Ready(event),
                }
            }
            // What was answered last is not on its way yet.
            if !has_answered {
                break;
            }
        }
        self.rest()
    }

    /// What there is to do once nothing more can be read or sent.
    fn rest(&mut self) -> Poll<Event> {
        if let Some(offence) = self.frames.borrow().offence()
            && self.last.is_none()
        {
            return Poll::Ready(Event::Offended(offence));
        }
        if self.last.is_some() && self.slow.is_empty() && self.frames.borrow().is_flushed() {
            let counts = |unread: &Unread| self.counts(unread.respond.stream_id().as_u32());
            if !self.unread.iter().any(counts) {
                return Poll::Ready(Event::Over);
            }
        }
        if !self.unread.is_empty() && !self.is_waiting {
            self.is_waiting = true;
            return Poll::Ready(Event::Waiting);
        }
        Poll::Pending
    }

    fn counts(&self, stream: u32) -> bool {
        self.last.is_none_or(|last| stream <= last)
    }

    /// Takes a new stream.
    fn accept(
        &mut self,
        cx: &mut Context<'_>,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
    ) -> Option<Event> {
        let stream = respond.stream_id().as_u32();
        if !self.counts(stream) {
            self.ignored.push(respond);
            // It was told to go long ago, and goes on.
            let is_enough = self.ignored.len() > STREAMS_CEILING as usize;
            return is_enough.then_some(Event::Over);
        }
        if self.frames.borrow_mut().is_beyond(stream) {
            respond.send_reset(Code::REFUSED_STREAM);
            return None;
        }
        let arrived = self.gateway.clock.now();
        self.newest = stream;
        self.last_push = arrived;
        let push = self.gateway.ports.next_push();
        let (head, mut body) = request.into_parts();
        let mut payload = Payload::default();
        match payload.poll_read(&mut body, cx) {
            Poll::Ready(Ok(())) => {
                let certificate = self.topic.clone();
                let asked = Asked {
                    push,
                    arrived,
                    now: arrived,
                    door: Way::Tls,
                    head: &head,
                    certificate: certificate.as_deref(),
                    payload: payload.bytes(),
                };
                self.decide(&asked, respond)
            }
            Poll::Ready(Err(_)) => self.was_reset(),
            Poll::Pending => {
                let undecided = self.gateway.ports.undecided(push, arrived);
                self.unread.push(Unread {
                    undecided,
                    head,
                    body,
                    payload,
                    respond,
                });
                None
            }
        }
    }

    /// Reads more of a payload; pending when there is none.
    fn read_on(&mut self, cx: &mut Context<'_>, at: usize) -> Poll<Option<Event>> {
        let Unread { body, payload, .. } = &mut self.unread[at];
        let read = ready!(payload.poll_read(body, cx));
        let Unread {
            undecided,
            head,
            payload,
            respond,
            body,
        } = self.unread.swap_remove(at);
        if !self.counts(respond.stream_id().as_u32()) {
            self.ignored.push(respond);
            return Poll::Ready(None);
        }
        let event = match read {
            Ok(()) => {
                let certificate = self.topic.clone();
                let asked = Asked {
                    push: undecided.push(),
                    arrived: undecided.arrived(),
                    now: self.gateway.clock.now(),
                    door: Way::Tls,
                    head: &head,
                    certificate: certificate.as_deref(),
                    payload: payload.bytes(),
                };
                self.decide(&asked, respond)
            }
            Err(_) => self.was_reset(),
        };
        // It is decided, and its window is free again.
        drop((undecided, body));
        Poll::Ready(event)
    }

    fn was_reset(&mut self) -> Option<Event> {
        self.resets += 1;
        (self.resets > RESETS_MAX && self.last.is_none()).then_some(Event::TooManyResets)
    }

    /// Decides about a push whose payload is here, and answers it.
    fn decide(&mut self, asked: &Asked<'_>, mut respond: SendResponse<Bytes>) -> Option<Event> {
        match self.gateway.judge(asked, &mut self.provider) {
            Verdict::Answer(answer) => {
                self.follow(answer.head.status().as_u16());
                send(&mut respond, answer);
            }
            Verdict::Slow(answer, after) => {
                let until = self.gateway.clock.instant(asked.now + after);
                self.slow.push(Box::pin(async move {
                    tokio::select! {
                        _ = poll_fn(|cx| respond.poll_reset(cx)) => None,
                        () = tokio::time::sleep_until(until) => {
                            let status = answer.head.status().as_u16();
                            send(&mut respond, answer);
                            Some(status)
                        }
                    }
                }));
            }
            Verdict::Hang => self.hung.push(Box::pin(async move {
                let _ = poll_fn(|cx| respond.poll_reset(cx)).await;
            })),
            Verdict::Reset => return Some(Event::Reset),
            Verdict::GoAway(reason) => return Some(self.go_away(respond, reason)),
        }
        self.gateway.is_behind().then_some(Event::Behind)
    }

    /// The connection ends before a stream, unless a later one was looked at already, or its end has
    /// been told: then this one is refused by itself, which a client takes for the same.
    fn go_away(&mut self, mut respond: SendResponse<Bytes>, reason: Reason) -> Event {
        let stream = respond.stream_id().as_u32();
        let last = if stream == self.newest && self.last.is_none() {
            self.ignored.push(respond);
            stream.saturating_sub(2)
        } else {
            respond.send_reset(Code::REFUSED_STREAM);
            self.newest
        };
        Event::Goodbye { last, reason }
    }

    /// A push was answered: how many streams its provider may have now.
    fn follow(&mut self, status: u16) {
        let had_all = self.has_all();
        self.resets = self.resets.saturating_sub(1);
        self.is_known |= self.provider.is_known();
        // 410 is no error of the provider's (Apple).
        let is_error = (400..500).contains(&status) && status != 410;
        if status == 200 {
            self.is_lowered = false;
        } else if is_error && self.gateway.lowers_streams() {
            self.is_lowered = true;
        }
        let mut frames = self.frames.borrow_mut();
        frames.earn();
        let has_all = self.has_all();
        if has_all != had_all {
            frames.announce(if has_all { self.limit } else { 1 });
        }
    }
}

/// Sends an answer; a client that has reset the stream, or is gone, does not get it.
fn send(respond: &mut SendResponse<Bytes>, answer: Answer) {
    let Answer { head, body, .. } = answer;
    let Ok(mut stream) = respond.send_response(head, body.is_empty()) else {
        return;
    };
    if !body.is_empty() {
        let _ = stream.send_data(body, true);
    }
}
