//! From the library to the client.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BufMut as _, BytesMut};
use tokio::io::AsyncWrite;

use super::{HEAD, Head, kind};

/// The setting SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113, section 6.5.2).
const MAX_CONCURRENT_STREAMS: u16 = 3;

/// What goes to the client.
#[derive(Debug)]
pub(super) struct Outward {
    /// What is left of the frame that the library is writing, in bytes.
    left: usize,
    /// Frames of our own, for the next boundary.
    own: BytesMut,
    is_first: bool,
    is_flushed: bool,
    /// The limit of streams last told, and the one to tell.
    told: u32,
    wanted: u32,
}

impl Outward {
    pub(super) fn new(streams: u32) -> Self {
        Self {
            left: 0,
            own: BytesMut::new(),
            is_first: true,
            is_flushed: true,
            told: streams,
            wanted: streams,
        }
    }

    pub(super) const fn want(&mut self, streams: u32) {
        self.wanted = streams;
    }

    /// Puts SETTINGS on the way if there is a limit to tell, and says which.
    pub(super) fn put_streams(&mut self) -> Option<u32> {
        if self.wanted == self.told {
            return None;
        }
        self.told = self.wanted;
        self.put_head(6, kind::SETTINGS);
        self.own.put_u16(MAX_CONCURRENT_STREAMS);
        self.own.put_u32(self.told);
        Some(self.told)
    }

    pub(super) fn put_goaway(&mut self, last: u32, code: u32, why: &[u8]) {
        self.put_head(8 + why.len(), kind::GOAWAY);
        self.own.put_u32(last);
        self.own.put_u32(code);
        self.own.put_slice(why);
    }

    pub(super) const fn is_flushed(&self) -> bool {
        self.is_flushed
    }

    /// The head of a frame of the connection itself.
    fn put_head(&mut self, length: usize, kind: u8) {
        self.is_flushed = false;
        self.own.put_uint(length as u64, 3);
        self.own.put_slice(&[kind, 0, 0, 0, 0, 0]);
    }

    /// Writes some of `buf`, with our own frames between its frames; `sent` hears of each of them.
    pub(super) fn poll_write(
        &mut self,
        mut io: Pin<&mut impl AsyncWrite>,
        cx: &mut Context<'_>,
        buf: &[u8],
        sent: impl FnMut(Head),
    ) -> Poll<io::Result<usize>> {
        self.is_flushed = false;
        if self.is_first
            && let Some(first) = self.replace_first(buf)
        {
            return Poll::Ready(Ok(first));
        }
        if self.left == 0 {
            ready!(self.poll_own(io.as_mut(), cx))?;
        }
        // With something of our own to send the library gets no further than the next boundary.
        let run = if self.own.is_empty() {
            buf.len()
        } else {
            buf.len().min(self.left)
        };
        let written = ready!(io.poll_write(cx, &buf[..run]))?;
        self.follow(buf, written, sent);
        Poll::Ready(Ok(written))
    }

    pub(super) fn poll_flush(
        &mut self,
        mut io: Pin<&mut impl AsyncWrite>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        if self.left == 0 {
            ready!(self.poll_own(io.as_mut(), cx))?;
        }
        ready!(io.poll_flush(cx))?;
        self.is_flushed = self.own.is_empty();
        Poll::Ready(Ok(()))
    }

    fn poll_own(
        &mut self,
        mut io: Pin<&mut impl AsyncWrite>,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while !self.own.is_empty() {
            let written = ready!(io.as_mut().poll_write(cx, &self.own))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.own.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// The library's first frame, its SETTINGS, goes out with our limit of streams instead of its
    /// own. Says how much of `buf` that was.
    fn replace_first(&mut self, buf: &[u8]) -> Option<usize> {
        self.is_first = false;
        let head = Head::read(buf)?;
        let end = HEAD + head.length;
        if head.kind != kind::SETTINGS || buf.len() < end {
            return None;
        }
        let mut first = BytesMut::from(&buf[..end]);
        for setting in first[HEAD..].chunks_exact_mut(6) {
            if setting[..2] == MAX_CONCURRENT_STREAMS.to_be_bytes() {
                setting[2..].copy_from_slice(&self.told.to_be_bytes());
            }
        }
        // Whatever of our own is waiting already comes after it.
        first.unsplit(self.own.split());
        self.own = first;
        Some(end)
    }

    /// So much of `buf` is written: finds out where in its frames that is. The library hands over
    /// the head of a frame in one piece, however much of it is then taken.
    fn follow(&mut self, buf: &[u8], written: usize, mut sent: impl FnMut(Head)) {
        let mut at = self.left.min(written);
        self.left -= at;
        while at < written {
            let Some(head) = Head::read(&buf[at..]) else {
                // Not as the library writes: from here on nothing of our own goes in between.
                self.left = usize::MAX;
                return;
            };
            sent(head);
            let length = HEAD + head.length;
            let taken = length.min(written - at);
            self.left = length - taken;
            at += taken;
        }
    }
}
