//! A thin layer between TLS and HTTP/2, for what the HTTP/2 library will not do: a GOAWAY with a
//! reason, and a stream limit that changes while the connection stands.
//!
//! It follows the boundaries of frames in both directions without copying them. On a boundary it
//! puts frames of its own between those of the library, and takes out the answers to them.

mod inward;
mod outward;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use inward::Inward;
pub(super) use inward::Offence;
use outward::Outward;

/// The bytes before each frame's payload (RFC 9113, section 4.1).
const HEAD: usize = 9;

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    length: usize,
    kind: u8,
    flags: u8,
    stream: u32,
}

/// Kinds of frames (RFC 9113, section 6).
mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const CONTINUATION: u8 = 9;
}

/// The flag of SETTINGS that answer others.
const ACK: u8 = 1;

/// The flag of DATA and HEADERS that ends a stream.
const END_STREAM: u8 = 1;

impl Head {
    /// Reads the first nine bytes; `None` when there are fewer.
    fn read(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, kind, flags, d, e, f, g] = bytes.first_chunk::<HEAD>()?;
        Some(Self {
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            kind,
            flags,
            stream: u32::from_be_bytes([d & 0x7f, e, f, g]),
        })
    }

    fn is_ack(self) -> bool {
        self.kind == kind::SETTINGS && self.flags & ACK != 0
    }

    /// Whether it ends its sender's half of a stream.
    fn ends(self) -> bool {
        let ends = matches!(self.kind, kind::DATA | kind::HEADERS) && self.flags & END_STREAM != 0;
        ends || self.kind == kind::RST_STREAM
    }
}

/// A connection's bytes in both directions, and what goes in between.
#[derive(Debug)]
pub(super) struct Frames<T> {
    io: T,
    inward: Inward,
    outward: Outward,
}

/// The library's end; the connection keeps the other one to put its own frames in.
#[derive(Debug)]
pub(super) struct Wire<T>(Rc<RefCell<Frames<T>>>);

impl<T> Frames<T> {
    /// Both ends; the library's first SETTINGS will say `streams`, whatever it says itself.
    pub(super) fn new(io: T, streams: u32) -> (Rc<RefCell<Self>>, Wire<T>) {
        let frames = Rc::new(RefCell::new(Self {
            io,
            inward: Inward::new(streams),
            outward: Outward::new(streams),
        }));
        (Rc::clone(&frames), Wire(frames))
    }

    /// What carries the bytes.
    pub(super) const fn io(&self) -> &T {
        &self.io
    }

    /// Gives back what carries the bytes; what was not flushed is gone.
    pub(super) fn into_io(self) -> T {
        self.io
    }

    /// From here on the client may have so many streams; it is told with the next flush, or when it
    /// has answered to the last such change.
    pub(super) fn announce(&mut self, streams: u32) {
        self.outward.want(streams);
        self.tell();
    }

    /// Ends the connection for every stream after `last` (GOAWAY; RFC 9113, section 6.8).
    pub(super) fn say_goodbye(&mut self, last: u32, code: u32, why: &[u8]) {
        self.outward.put_goaway(last, code, why);
    }

    /// Whether nothing waits to be sent.
    pub(super) const fn is_flushed(&self) -> bool {
        self.outward.is_flushed()
    }

    /// What the client has done that no client does, if anything.
    pub(super) const fn offence(&self) -> Option<Offence> {
        self.inward.offence()
    }

    /// A push was answered: the client may send some more of what is no push.
    pub(super) const fn earn(&mut self) {
        self.inward.earn();
    }

    /// Whether a stream was opened beyond the limit that the client has answered to.
    pub(super) fn is_beyond(&mut self, stream: u32) -> bool {
        self.inward.is_beyond(stream)
    }

    fn tell(&mut self) {
        if !self.inward.expects_answer()
            && let Some(streams) = self.outward.put_streams()
        {
            self.inward.expect_answer(streams);
        }
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Wire<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut frames = self.0.borrow_mut();
        let Frames { io, inward, .. } = &mut *frames;
        let read = inward.poll_read(Pin::new(io), cx, buf);
        if inward.take_answered() {
            // There may be a newer limit to tell; h2 flushes before it waits.
            frames.tell();
        }
        read
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Wire<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut frames = self.0.borrow_mut();
        let Frames {
            io,
            outward,
            inward,
        } = &mut *frames;
        outward.poll_write(Pin::new(io), cx, buf, |head| inward.sent(head))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut frames = self.0.borrow_mut();
        let Frames { io, outward, .. } = &mut *frames;
        outward.poll_flush(Pin::new(io), cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut frames = self.0.borrow_mut();
        let Frames { io, outward, .. } = &mut *frames;
        std::task::ready!(outward.poll_flush(Pin::new(io), cx))?;
        Pin::new(io).poll_shutdown(cx)
    }
}
