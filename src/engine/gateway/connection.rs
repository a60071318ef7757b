//! One provider's connection: its streams, and how it ends.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;

use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Sleep, timeout};
use tokio_rustls::server::TlsStream;

use super::frames::{Frames, Offence};
use super::standing::{Standing, Told};
use super::streams::{Event, RESETS_MAX, Streams};
use super::{Gateway, HEADERS_MAX};
use crate::apns::provider::{Certificate, Environment, Provider};
use crate::fact::FactKind;
use crate::protocol::push::Reason;
use crate::time::SimTime;

/// How many streams the HTTP/2 library lets a client have, whatever it is told: what bounds a
/// connection's memory.
pub(super) const STREAMS_CEILING: u32 = 4096;

/// What a stream may send before it is read: a payload and some.
const STREAM_WINDOW: u32 = 16 * 1024;

/// What all streams of a connection may send before it is read: the payloads of a thousand pushes.
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// GOAWAY without an error, and that of a client that asks too much (RFC 9113, section 7).
const NO_ERROR: u32 = 0;
const ENHANCE_YOUR_CALM: u32 = 11;

/// What carries a connection's frames.
pub(super) type Line = TlsStream<TcpStream>;

/// A connection after its TLS handshake.
pub(super) struct Connection {
    gateway: Rc<Gateway>,
    frames: Rc<RefCell<Frames<Line>>>,
    streams: Streams,
    news: watch::Receiver<Standing>,
    known: Standing,
    timer: Pin<Box<Sleep>>,
    /// Until when a connection that is ending may take for what is under way.
    ends_by: Option<SimTime>,
}

/// How a connection is let go.
enum End {
    /// The client is gone, or will not listen.
    Drop,
    /// Everything is sent.
    Close,
    /// With RST.
    Reset,
}

impl Connection {
    /// Begins HTTP/2; `None` when the client does not. Whatever has changed since the standing `known`
    /// it is told first.
    pub(super) async fn open(
        gateway: Rc<Gateway>,
        tls: Line,
        (certificate, environment): (Option<Certificate>, Environment),
        (mut news, known): (watch::Receiver<Standing>, Standing),
    ) -> Option<Self> {
        let full = known.service.streams.min(STREAMS_CEILING);
        // A provider that shows no certificate has one stream until it is known (Apple).
        let has_certificate = certificate.is_some();
        let first = if has_certificate { full } else { full.min(1) };
        let topics = certificate.as_ref().map(|it| it.topics.clone());
        let topics = topics.unwrap_or_default();
        let provider = Provider::new(certificate, environment);
        let (frames, wire) = Frames::new(tls, first);
        let mut builder = h2::server::Builder::new();
        builder
            .max_concurrent_streams(STREAMS_CEILING)
            .max_header_list_size(HEADERS_MAX)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_pending_accept_reset_streams(RESETS_MAX)
            .data_frame_budget(STREAMS_CEILING as usize * 256);
        let within = gateway.settings.patience.handshake;
        let begun = tokio::select! {
            begun = timeout(within, builder.handshake(wire)) => begun,
            () = super::reset(&mut news, &known) => {
                let _ = frames.borrow().io().get_ref().0.set_zero_linger();
                return None;
            }
        };
        let h2 = match begun {
            Ok(Ok(h2)) => h2,
            Ok(Err(error)) => {
                gateway.note_failure(&error);
                return None;
            }
            Err(_) => {
                gateway.cut("it did not begin HTTP/2 in time");
                return None;
            }
        };
        let now = gateway.clock.now();
        let streams = Streams::new(Rc::clone(&gateway), Rc::clone(&frames), h2, provider);
        let streams = streams
            .with_limit(full, has_certificate)
            .with_topics(&topics);
        let idle = gateway.clock.instant(now + gateway.settings.patience.idle);
        Some(Self {
            frames,
            streams,
            news,
            known,
            timer: Box::pin(tokio::time::sleep_until(idle)),
            ends_by: None,
            gateway,
        })
    }

    /// Serves it to its end.
    pub(super) async fn serve(mut self) {
        let end = self.run().await;
        let Self {
            frames, streams, ..
        } = self;
        if matches!(end, End::Reset) {
            let _ = frames.borrow().io().get_ref().0.set_zero_linger();
        }
        drop(streams);
        let Some(frames) = Rc::into_inner(frames) else {
            return;
        };
        if matches!(end, End::Close) {
            let within = self.gateway.settings.patience.goodbye;
            let _ = timeout(within, close(frames.into_inner().into_io())).await;
        }
    }

    async fn run(&mut self) -> End {
        // What has changed during the handshakes.
        if let Some(end) = self.hear() {
            return end;
        }
        loop {
            let streams = &mut self.streams;
            let event = tokio::select! {
                biased;
                // The gateway outlives its connections, so there is always somebody to tell.
                _ = self.news.changed() => None,
                event = std::future::poll_fn(|cx| streams.poll(cx)) => Some(event),
                () = self.timer.as_mut() => {
                    if let Some(end) = self.look_at_clock() {
                        return end;
                    }
                    continue;
                }
            };
            let end = match event {
                None => self.hear(),
                Some(event) => self.happened(event).await,
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    /// Does what all connections have been told.
    fn hear(&mut self) -> Option<End> {
        let news = self.news.borrow_and_update().clone();
        let told = news.since(&self.known);
        self.known = news;
        for told in told {
            match told {
                Told::Reset => return Some(End::Reset),
                Told::Streams(streams) => self.streams.limit(streams.min(STREAMS_CEILING)),
                Told::Goodbye(reason) => self.say_goodbye(self.streams.newest(), reason),
            }
        }
        None
    }

    async fn happened(&mut self, event: Event) -> Option<End> {
        match event {
            Event::Behind => self.gateway.catch_up().await,
            Event::Waiting => self.wake_for_payload(),
            Event::Goodbye { last, reason } => self.say_goodbye(last, reason),
            Event::Reset => return Some(End::Reset),
            Event::Over => return Some(End::Close),
            Event::Ended => return Some(End::Drop),
            Event::Failed(error) => {
                self.gateway.note_failure(&error);
                return Some(End::Drop);
            }
            Event::Offended(offence) => {
                let why = match offence {
                    Offence::Headers => "the headers of a request were too large",
                    Offence::Flood => "it sent frames without a push, again and again",
                };
                self.cut_off(why);
            }
            Event::TooManyResets => self.cut_off("it opened streams and reset them at once"),
        }
        None
    }

    /// Ends the connection before every stream after `last`. Those before it are answered, for as
    /// long as that may take.
    fn say_goodbye(&mut self, last: u32, reason: Reason) {
        if self.ends_by.is_some() {
            return;
        }
        // As Apple's does, and as in the answer to a push.
        let why = format!(r#"{{"reason":"{}"}}"#, reason.name());
        self.end(last, NO_ERROR, why.as_bytes());
    }

    /// Ends a connection whose client does what no client does.
    fn cut_off(&mut self, why: &str) {
        if self.ends_by.is_some() {
            return;
        }
        self.gateway.cut(why);
        self.streams.forget();
        self.end(self.streams.newest(), ENHANCE_YOUR_CALM, &[]);
    }

    fn end(&mut self, last: u32, code: u32, why: &[u8]) {
        self.frames.borrow_mut().say_goodbye(last, code, why);
        self.streams.end_after(last);
        let until = self.gateway.clock.now() + self.gateway.settings.patience.goodbye;
        self.ends_by = Some(until);
        self.wake_at(until);
    }

    /// A payload is not here yet: it may not take for ever.
    fn wake_for_payload(&mut self) {
        let until = self.gateway.clock.now() + self.gateway.settings.patience.payload;
        if self.timer.deadline() > self.gateway.clock.instant(until) {
            self.wake_at(until);
        }
    }

    fn wake_at(&mut self, at: SimTime) {
        self.timer.as_mut().reset(self.gateway.clock.instant(at));
    }

    /// The timer has fired: something may have taken too long.
    fn look_at_clock(&mut self) -> Option<End> {
        let now = self.gateway.clock.now();
        let patience = self.gateway.settings.patience;
        if let Some(until) = self.ends_by {
            self.wake_at(until);
            return (until <= now).then_some(End::Close);
        }
        let idle_at = self.streams.last_push() + patience.idle;
        let Some(since) = self.streams.oldest_payload() else {
            if idle_at <= now && self.streams.is_idle() {
                self.say_goodbye(self.streams.newest(), Reason::IdleTimeout);
            } else {
                // A push that hangs is no idle connection, but nothing tells when it ends.
                self.wake_at(idle_at.max(now + patience.payload));
            }
            return None;
        };
        if since + patience.payload <= now {
            self.cut_off("a payload did not come in time");
        } else {
            self.wake_at(since + patience.payload);
        }
        None
    }
}

/// Closes a connection so that the client reads the last frame: it is told, and what it still sends
/// is read, for a close with something unread is a reset.
async fn close(mut line: Line) {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let _ = line.shutdown().await;
    let (tcp, _) = line.get_mut();
    let mut piece = [0; 4096];
    while tcp.read(&mut piece).await.is_ok_and(|read| read > 0) {}
}

impl Gateway {
    /// HTTP/2 with a client has failed: by its fault, or because it is gone.
    fn note_failure(&self, error: &h2::Error) {
        let is_garbage = |error: &std::io::Error| error.kind() == std::io::ErrorKind::InvalidData;
        if error.is_library() || error.get_io().is_some_and(is_garbage) {
            self.cut(&format!("it broke the rules of HTTP/2: {error}"));
        }
    }

    /// Notes that a client was cut off.
    pub(super) fn cut(&self, why: &str) {
        let why = why.to_owned();
        self.note(FactKind::ProviderCut { why });
    }
}
