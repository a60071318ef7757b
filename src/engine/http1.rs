//! HTTP/1.1 as a device's courier and the operator speak it: one request, one answer, on a
//! connection that stays open.
//!
//! `httparse` reads the head; what is here is framing and limits. It is written by hand so that
//! the first byte out and the first byte in have exact times, and because it costs a quarter less
//! CPU per wake than a general client (docs/adr/0003-http-client.md).

use std::cell::Cell;
use std::io;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use super::clock::Clock;
use super::redirect::is_redirect;
use crate::device::contract::Answer;
use crate::fact::Broken;
use crate::time::SimTime;

/// The most an answer's head may have, in bytes.
pub(super) const HEAD_MAX: usize = 32 * 1024;

/// The most headers an answer may have.
const HEADERS_MAX: usize = 96;

/// The most an answer's body may have, in bytes; a larger one is given up as malformed.
pub(super) const BODY_MAX: usize = crate::protocol::plist::MAX_BODY;

/// The most interim (1xx) answers before the real one.
const INTERIM_MAX: usize = 8;

/// When the steps of one exchange happened, as far as it got.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Times {
    /// Just before the first byte was written.
    pub(super) sent: Option<SimTime>,
    /// The first byte of the answer was there.
    pub(super) first_byte: Option<SimTime>,
    pub(super) heard: Heard,
}

/// What the other side let be known of a request that it did not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Heard {
    /// Nothing: HTTP clients send what may be repeated once more.
    #[default]
    Nothing,
    /// It was not looked at, so that anything may be sent once more (RFC 9113 8.7).
    NotProcessed,
    /// It was given up over there: it is not sent again.
    GivenUp,
}

/// Whether an answer's headers are of use to whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Headers {
    /// They are dropped: a device reads status and body.
    Dropped,
    /// They are kept.
    Kept,
}

/// A whole answer, and whether the connection can carry another request.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) answer: Answer,
    pub(super) keep_alive: bool,
    /// The headers, if they were asked for. Boxed, because most answers have none to carry.
    pub(super) headers: Option<Box<HeaderMap>>,
    /// Where a 3xx says to send the request instead.
    pub(super) location: Option<String>,
}

/// Writes `request` (head and body) and reads the answer. `times` is filled in as it goes, so that
/// it is true for an exchange that breaks or is given up half-way.
pub(super) async fn exchange<S>(
    stream: &mut S,
    clock: Clock,
    request: &[u8],
    buffer: &mut Vec<u8>,
    times: &Cell<Times>,
    headers: Headers,
) -> Result<Received, Broken>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    buffer.clear();
    times.set(Times {
        sent: Some(clock.now()),
        ..Times::default()
    });
    stream.write_all(request).await.map_err(cut)?;
    stream.flush().await.map_err(cut)?;
    read_more(stream, buffer).await?;
    times.set(Times {
        first_byte: Some(clock.now()),
        ..times.get()
    });
    for _ in 0..=INTERIM_MAX {
        let head = read_head(stream, buffer, headers).await?;
        buffer.drain(..head.len);
        if (100..200).contains(&head.status) {
            if buffer.is_empty() {
                read_more(stream, buffer).await?;
            }
            continue;
        }
        let (body, whole) = read_body(stream, buffer, head.framing).await?;
        let answer = Answer {
            status: head.status,
            body,
        };
        return Ok(Received {
            answer,
            keep_alive: head.keep_alive && whole && buffer.is_empty(),
            headers: head.headers,
            location: head.location,
        });
    }
    Err(Broken::Malformed(format!(
        "more than {INTERIM_MAX} interim answers"
    )))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
}

#[derive(Debug)]
struct Head {
    len: usize,
    status: u16,
    framing: Framing,
    keep_alive: bool,
    headers: Option<Box<HeaderMap>>,
    location: Option<String>,
}

async fn read_head<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    headers: Headers,
) -> Result<Head, Broken> {
    loop {
        if let Some(head) = parse_head(buffer, headers)? {
            return Ok(head);
        }
        if buffer.len() > HEAD_MAX {
            return Err(Broken::Malformed(format!(
                "a head of more than {HEAD_MAX} bytes"
            )));
        }
        read_more(stream, buffer).await?;
    }
}

fn parse_head(buffer: &[u8], wanted: Headers) -> Result<Option<Head>, Broken> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut parsed = httparse::Response::new(&mut headers);
    let len = match parsed.parse(buffer) {
        Ok(httparse::Status::Complete(len)) => len,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(Broken::Malformed(format!("no HTTP/1.1 answer: {error}"))),
    };
    let status = parsed.code.unwrap_or(0);
    let mut keep_alive = parsed.version == Some(1);
    let mut length = None;
    let mut chunked = false;
    let mut location = None;
    for header in parsed.headers.iter() {
        let value = std::str::from_utf8(header.value).unwrap_or_default().trim();
        if header.name.eq_ignore_ascii_case("content-length") {
            let bytes: usize = value
                .parse()
                .map_err(|_| Broken::Malformed(format!("content-length is {value:?}")))?;
            if length.is_some_and(|known| known != bytes) {
                return Err(Broken::Malformed("two different content-lengths".into()));
            }
            length = Some(bytes);
        } else if header.name.eq_ignore_ascii_case("transfer-encoding") {
            chunked = value.to_ascii_lowercase().ends_with("chunked");
        } else if header.name.eq_ignore_ascii_case("connection") {
            let value = value.to_ascii_lowercase();
            keep_alive = (keep_alive || value.contains("keep-alive")) && !value.contains("close");
        } else if is_redirect(status) && header.name.eq_ignore_ascii_case("location") {
            location = Some(value.to_owned());
        }
    }
    let framing = match (chunked, length) {
        _ if status < 200 || status == 204 || status == 304 => Framing::Length(0),
        (true, _) => Framing::Chunked,
        (false, Some(bytes)) => Framing::Length(bytes),
        (false, None) => Framing::UntilClose,
    };
    let headers = match wanted {
        Headers::Dropped => None,
        Headers::Kept => Some(Box::new(kept(parsed.headers))),
    };
    Ok(Some(Head {
        len,
        status,
        framing,
        keep_alive,
        headers,
        location,
    }))
}

/// Headers as a map; one that is none is left out.
fn kept(headers: &[httparse::Header<'_>]) -> HeaderMap {
    let pairs = headers.iter().filter_map(|header| {
        let name = HeaderName::from_bytes(header.name.as_bytes()).ok()?;
        Some((name, HeaderValue::from_bytes(header.value).ok()?))
    });
    let mut map = HeaderMap::new();
    for (name, value) in pairs {
        map.append(name, value);
    }
    map
}

/// The body, and whether the connection is at a message boundary after it.
async fn read_body<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
    framing: Framing,
) -> Result<(Vec<u8>, bool), Broken> {
    match framing {
        Framing::Length(0) => Ok((Vec::new(), true)),
        Framing::Length(bytes) if bytes > BODY_MAX => Err(too_large()),
        Framing::Length(bytes) => {
            while buffer.len() < bytes {
                read_more(stream, buffer).await?;
            }
            Ok((buffer.drain(..bytes).collect(), true))
        }
        Framing::UntilClose => {
            while read_some(stream, buffer).await? {
                if buffer.len() > BODY_MAX {
                    return Err(too_large());
                }
            }
            Ok((std::mem::take(buffer), false))
        }
        Framing::Chunked => read_chunks(stream, buffer).await.map(|body| (body, true)),
    }
}

async fn read_chunks<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> Result<Vec<u8>, Broken> {
    let mut body = Vec::new();
    loop {
        let (head, size) = loop {
            match httparse::parse_chunk_size(buffer) {
                Ok(httparse::Status::Complete((head, size))) => break (head, size),
                Ok(httparse::Status::Partial) if buffer.len() <= HEAD_MAX => {
                    read_more(stream, buffer).await?;
                }
                Ok(httparse::Status::Partial) | Err(_) => {
                    return Err(Broken::Malformed("no chunk size where one belongs".into()));
                }
            }
        };
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        if size > BODY_MAX || body.len() + size > BODY_MAX {
            return Err(too_large());
        }
        buffer.drain(..head);
        if size == 0 {
            read_trailers(stream, buffer).await?;
            return Ok(body);
        }
        while buffer.len() < size + 2 {
            read_more(stream, buffer).await?;
        }
        body.extend(buffer.drain(..size));
        if buffer[..2] != *b"\r\n" {
            return Err(Broken::Malformed("a chunk longer than its size".into()));
        }
        buffer.drain(..2);
    }
}

/// Reads and drops the trailer lines up to the empty one.
async fn read_trailers<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> Result<(), Broken> {
    loop {
        if let Some(end) = buffer.windows(2).position(|pair| pair == b"\r\n") {
            buffer.drain(..end + 2);
            if end == 0 {
                return Ok(());
            }
            continue;
        }
        if buffer.len() > HEAD_MAX {
            return Err(Broken::Malformed("trailers without end".into()));
        }
        read_more(stream, buffer).await?;
    }
}

pub(super) fn too_large() -> Broken {
    Broken::TooLarge(format!("a body of more than {BODY_MAX} bytes"))
}

/// Reads at least one byte; an end of the connection is an error.
async fn read_more<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> Result<(), Broken> {
    if read_some(stream, buffer).await? {
        return Ok(());
    }
    Err(Broken::Cut("the other side closed the connection".into()))
}

/// How much room a buffer begins with: a command and its head, and no more than what the C library
/// hands out from its quick lists.
const ROOM: usize = 1000;

/// With less room than this a buffer grows before the next read.
const ROOM_MIN: usize = 256;

/// Reads some bytes; false at the end of the connection.
async fn read_some<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> Result<bool, Broken> {
    if buffer.capacity() - buffer.len() < ROOM_MIN {
        buffer.reserve(ROOM);
    }
    Ok(stream.read_buf(buffer).await.map_err(cut)? > 0)
}

/// An I/O error in the middle of an exchange. A TLS alert of the other side arrives as one: with
/// TLS 1.3 a refused client certificate shows only on the first read.
pub(super) fn cut(error: io::Error) -> Broken {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(tls) => Broken::Tls(tls.to_string()),
        None => Broken::Cut(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn answer(bytes: &[u8]) -> Result<Received, Broken> {
        let (mut ours, mut theirs) = tokio::io::duplex(1 << 20);
        theirs.write_all(bytes).await.unwrap();
        let times = Cell::new(Times::default());
        let exchange = async {
            let mut buffer = Vec::new();
            let (clock, kept) = (Clock::start(), Headers::Kept);
            exchange(&mut ours, clock, b"PUT", &mut buffer, &times, kept).await
        };
        let shut = async move {
            let mut seen = [0; 3];
            theirs.read_exact(&mut seen).await.unwrap();
            drop(theirs);
        };
        tokio::join!(exchange, shut).0
    }

    #[tokio::test]
    async fn a_length_a_chunked_and_an_unframed_body_are_read_whole() {
        let length = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc")
            .await
            .unwrap();
        assert_eq!(
            (length.answer.body.as_slice(), length.keep_alive),
            (&b"abc"[..], true)
        );
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
            2\r\nab\r\n1;x=y\r\nc\r\n0\r\nTrailer: 1\r\n\r\n";
        let chunked = answer(chunked).await.unwrap();
        assert_eq!(
            (chunked.answer.body.as_slice(), chunked.keep_alive),
            (&b"abc"[..], true)
        );
        let unframed = answer(b"HTTP/1.1 200 OK\r\n\r\nabc").await.unwrap();
        assert_eq!(
            (unframed.answer.body.as_slice(), unframed.keep_alive),
            (&b"abc"[..], false)
        );
    }

    #[tokio::test]
    async fn an_interim_answer_is_passed_over() {
        let bytes = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
        assert_eq!(answer(bytes).await.unwrap().answer.status, 200);
    }

    #[tokio::test]
    async fn what_is_not_http_or_too_large_is_malformed_and_a_short_body_is_cut() {
        let not_http = answer(b"SSH-2.0-OpenSSH\r\n\r\n").await.unwrap_err();
        assert!(matches!(not_http, Broken::Malformed(_)), "{not_http:?}");
        let huge = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n").await;
        assert!(matches!(huge, Err(Broken::TooLarge(_))), "{huge:?}");
        let two = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd";
        assert!(matches!(answer(two).await, Err(Broken::Malformed(_))));
        let short = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").await;
        assert!(matches!(short, Err(Broken::Cut(_))), "{short:?}");
        let chunk = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n";
        assert!(matches!(answer(chunk).await, Err(Broken::Malformed(_))));
    }
}
