//! HTTP/2 as a device speaks it: one request at a time on a connection that stays open.
//!
//! Whoever makes a request writes it as HTTP/1.1 has it; what goes out here is the same request in
//! HTTP/2's words, so that nobody else has to know which version a target agreed on. A stream that
//! the other side ends, or a connection it takes leave of, counts as a connection that is closed.

use std::cell::Cell;
use std::fmt;
use std::future::{Future, pending, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use bytes::Bytes;
use h2::client::{Builder, Connection, SendRequest};
use h2::{Reason, RecvStream};
use http::header::{CONNECTION, HOST, HeaderName, HeaderValue, LOCATION};
use http::{Method, Request, Uri};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use super::clock::Clock;
use super::http1::{BODY_MAX, HEAD_MAX, Headers, Heard, Received, Times, cut, too_large};
use super::redirect::is_redirect;
use crate::device::contract::Answer;
use crate::fact::Broken;

/// Its name in a TLS handshake (RFC 7301).
pub(super) const ALPN: &[u8] = b"h2";

/// The name of what is spoken otherwise.
pub(super) const ALPN_HTTP1: &[u8] = b"http/1.1";

/// The most headers a request of ours has.
const HEADERS_MAX: usize = 96;

/// A connection. Nothing happens on it but while it is waited for.
pub(super) struct Http2 {
    send: SendRequest<Bytes>,
    connection: Connection<TlsStream<TcpStream>, Bytes>,
    /// Whether it is over; it must not be asked again then.
    has_ended: bool,
}

impl fmt::Debug for Http2 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http2").finish_non_exhaustive()
    }
}

impl Http2 {
    pub(super) async fn begin(stream: TlsStream<TcpStream>) -> Result<Self, Broken> {
        let begun = Builder::new()
            .enable_push(false)
            .max_header_list_size(HEAD_MAX as u32)
            .handshake(stream);
        let (send, connection) = begun.await.map_err(broken)?;
        Ok(Self {
            send,
            connection,
            has_ended: false,
        })
    }

    /// Sends `request`, whose form is that of HTTP/1.1, and reads the answer. `times` is filled in
    /// as it goes; the first byte of an answer is that of its HEADERS.
    pub(super) async fn exchange(
        &mut self,
        clock: Clock,
        request: &[u8],
        times: &Cell<Times>,
        headers: Headers,
    ) -> Result<Received, Broken> {
        let (head, body) = in_its_words(request)?;
        times.set(Times {
            sent: Some(clock.now()),
            ..Times::default()
        });
        let mut send = self.send.clone();
        let work = async {
            poll_fn(|context| send.poll_ready(context)).await?;
            let (answer, mut stream) = send.send_request(head, body.is_empty())?;
            if !body.is_empty() {
                stream.send_data(body, true)?;
            }
            let answer = answer.await?;
            times.set(Times {
                first_byte: Some(clock.now()),
                ..times.get()
            });
            let (parts, body) = answer.into_parts();
            Ok((parts, read(body).await?))
        };
        let done = self.drive(work).await?;
        if let Err(error) = &done {
            let heard = heard(error);
            times.set(Times {
                heard,
                ..times.get()
            });
        }
        let (parts, body) = done.map_err(broken)?;
        let status = parts.status.as_u16();
        let location = parts.headers.get(LOCATION).filter(|_| is_redirect(status));
        let location = location.and_then(|value| value.to_str().ok());
        Ok(Received {
            location: location.map(str::to_owned),
            headers: match headers {
                Headers::Dropped => None,
                Headers::Kept => Some(Box::new(parts.headers)),
            },
            answer: Answer {
                status,
                body: body.ok_or_else(too_large)?,
            },
            keep_alive: !self.has_ended,
        })
    }

    /// Whether the other side has ended it, as far as is known here.
    pub(super) async fn is_over(&mut self) -> bool {
        let _ = self.drive(std::future::ready(())).await;
        self.has_ended
    }

    /// Answers the other side's frames until it ends the connection, and waits for ever then.
    pub(super) async fn tend(&mut self) {
        if !self.has_ended {
            // Why it ended shows when the next request meets it.
            let _ = (&mut self.connection).await;
            self.has_ended = true;
        }
        pending::<()>().await;
    }

    /// Does `work` while the connection is kept going.
    async fn drive<F: Future>(&mut self, work: F) -> Result<F::Output, Broken> {
        let mut work = pin!(work);
        poll_fn(|context| {
            let ended = if self.has_ended {
                Poll::Ready(Ok(()))
            } else {
                Pin::new(&mut self.connection).poll(context)
            };
            self.has_ended |= ended.is_ready();
            // What had arrived before the end still counts.
            if let Poll::Ready(done) = work.as_mut().poll(context) {
                return Poll::Ready(Ok(done));
            }
            match ended {
                Poll::Ready(Ok(())) => {
                    let why = "the other side closed the connection";
                    Poll::Ready(Err(Broken::Cut(why.into())))
                }
                Poll::Ready(Err(error)) => Poll::Ready(Err(broken(error))),
                Poll::Pending => Poll::Pending,
            }
        })
        .await
    }
}

/// The whole body; `None` when it is larger than we take.
async fn read(mut stream: RecvStream) -> Result<Option<Vec<u8>>, h2::Error> {
    let mut body = Vec::new();
    while let Some(data) = stream.data().await {
        let data = data?;
        if body.len() + data.len() > BODY_MAX {
            return Ok(None);
        }
        body.extend_from_slice(&data);
        stream.flow_control().release_capacity(data.len())?;
    }
    Ok(Some(body))
}

/// A request in HTTP/1.1's form, as HTTP/2 has it (RFC 9113 8.2.2, 8.3.1).
fn in_its_words(request: &[u8]) -> Result<(Request<()>, Bytes), Broken> {
    let unusable = |what: String| Broken::Malformed(format!("HTTP/2 cannot carry {what}"));
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Request::new(&mut headers);
    let end = match parsed.parse(request) {
        Ok(httparse::Status::Complete(end)) => end,
        Ok(httparse::Status::Partial) => return Err(unusable("half a request".into())),
        Err(error) => return Err(unusable(format!("the request: {error}"))),
    };
    let method = Method::from_bytes(parsed.method.unwrap_or_default().as_bytes());
    let mut head = Request::new(());
    *head.method_mut() = method.map_err(|error| unusable(format!("the method: {error}")))?;
    let mut authority = None;
    for header in parsed.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes());
        let name = name.map_err(|error| unusable(format!("a header: {error}")))?;
        let value = HeaderValue::from_bytes(header.value);
        let value = value.map_err(|error| unusable(format!("the header {name}: {error}")))?;
        match name {
            HOST => authority = Some(value),
            CONNECTION => {}
            name => drop(head.headers_mut().append(name, value)),
        }
    }
    let uri = Uri::builder()
        .scheme("https")
        .authority(authority.as_ref().map_or(&b""[..], HeaderValue::as_bytes))
        .path_and_query(parsed.path.unwrap_or("/"));
    *head.uri_mut() = uri
        .build()
        .map_err(|error| unusable(format!("the URL: {error}")))?;
    Ok((head, Bytes::copy_from_slice(&request[end..])))
}

/// What an error says about whether the other side looked at the request. A GOAWAY is the error of
/// those streams alone that it does not count in.
fn heard(error: &h2::Error) -> Heard {
    if error.is_go_away() || error.reason() == Some(Reason::REFUSED_STREAM) {
        Heard::NotProcessed
    } else if error.is_reset() {
        Heard::GivenUp
    } else {
        Heard::Nothing
    }
}

/// What an error of the protocol means for a request.
fn broken(error: h2::Error) -> Broken {
    if error.is_io() {
        let error = error.into_io();
        return cut(error.expect("it was just asked whether it is one"));
    }
    // Ours, that is: the other side sent what it must not.
    if error.is_library() && error.reason() != Some(Reason::NO_ERROR) {
        return Broken::Malformed(format!("no HTTP/2 answer: {error}"));
    }
    if error.is_library() || error.is_remote() {
        return Broken::Cut(format!("the other side ended it: {error}"));
    }
    // The library was used in a way that it does not allow.
    Broken::Harness(format!("HTTP/2: {error}"))
}
