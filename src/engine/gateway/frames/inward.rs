//! From the client to the library.

use std::collections::BTreeSet;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::{AsyncRead, ReadBuf};

use super::super::HEADERS_MAX;
use super::super::connection::STREAMS_CEILING;
use super::{HEAD, Head, kind};

/// What a client sends before its first frame (RFC 9113, section 3.4), in bytes.
const PREFACE: usize = 24;

/// How many frames that are no part of a push a client may send, beside what its pushes allow.
const OTHERS_MAX: u32 = 10_000;

/// How many such frames each answered push allows: window updates, settings and pings.
const OTHERS_EARNED: u32 = 20;

/// How many streams may be open before the library has refused those that it takes no more.
const OPEN_MAX: usize = 4 * STREAMS_CEILING as usize;

/// What no client does, and HTTP/2 allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::engine::gateway) enum Offence {
    /// The headers of one request are too large.
    Headers,
    /// Frames without a push, again and again.
    Flood,
}

/// What comes from the client.
#[derive(Debug)]
pub(super) struct Inward {
    preface_left: usize,
    /// The head of a frame as far as it has come, and how much of it the library has.
    head: [u8; HEAD],
    come: usize,
    passed: usize,
    /// What is left of a frame's payload, in bytes.
    left: usize,
    /// What was read and sifted, and the library had no room for.
    sifted: BytesMut,
    /// The limit that our last SETTINGS told, while there is no answer to them.
    awaited: Option<u32>,
    is_answered: bool,
    has_initial_answer: bool,
    /// The limit of the library's first SETTINGS.
    initial: u32,
    /// The limit in force, once the client has answered to one.
    limit: Option<u32>,
    /// Streams that neither side has ended for good.
    open: BTreeSet<u32>,
    newest: u32,
    beyond: BTreeSet<u32>,
    block: usize,
    others: u32,
    offence: Option<Offence>,
}

impl Inward {
    pub(super) fn new(initial: u32) -> Self {
        Self {
            preface_left: PREFACE,
            head: [0; HEAD],
            come: 0,
            passed: 0,
            left: 0,
            sifted: BytesMut::new(),
            awaited: None,
            is_answered: false,
            has_initial_answer: false,
            initial,
            limit: None,
            open: BTreeSet::new(),
            newest: 0,
            beyond: BTreeSet::new(),
            block: 0,
            others: 0,
            offence: None,
        }
    }

    pub(super) const fn offence(&self) -> Option<Offence> {
        self.offence
    }

    pub(super) const fn earn(&mut self) {
        self.others = self.others.saturating_sub(OTHERS_EARNED);
    }

    pub(super) const fn expects_answer(&self) -> bool {
        self.awaited.is_some()
    }

    pub(super) const fn expect_answer(&mut self, streams: u32) {
        self.awaited = Some(streams);
    }

    /// Whether our SETTINGS have been answered since the last call.
    pub(super) const fn take_answered(&mut self) -> bool {
        std::mem::replace(&mut self.is_answered, false)
    }

    pub(super) fn is_beyond(&mut self, stream: u32) -> bool {
        if self.beyond.is_empty() {
            return false;
        }
        let is_beyond = self.beyond.contains(&stream);
        // Streams come in order; those before are over.
        self.beyond = self.beyond.split_off(&(stream + 1));
        is_beyond
    }

    /// The library has sent a frame.
    pub(super) fn sent(&mut self, head: Head) {
        if head.ends() {
            self.open.remove(&head.stream);
        }
    }

    pub(super) fn poll_read(
        &mut self,
        mut io: Pin<&mut impl AsyncRead>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.sifted.is_empty() {
            self.pass_on(buf);
            return Poll::Ready(Ok(()));
        }
        // As long as a head is held back that may answer our SETTINGS, what follows is sifted too.
        if self.awaited.is_none() && self.come == self.passed {
            let before = buf.filled().len();
            ready!(io.poll_read(cx, buf))?;
            self.follow(&buf.filled()[before..]);
            return Poll::Ready(Ok(()));
        }
        let mut piece = [0; 4096];
        loop {
            let mut piece = ReadBuf::new(&mut piece);
            ready!(io.as_mut().poll_read(cx, &mut piece))?;
            let is_end = piece.filled().is_empty();
            self.sift(piece.filled());
            if is_end || !self.sifted.is_empty() {
                self.pass_on(buf);
                return Poll::Ready(Ok(()));
            }
        }
    }

    fn pass_on(&mut self, buf: &mut ReadBuf<'_>) {
        let length = self.sifted.len().min(buf.remaining());
        buf.put_slice(&self.sifted[..length]);
        self.sifted.advance(length);
    }

    /// Follows bytes that the library has already.
    fn follow(&mut self, bytes: &[u8]) {
        self.walk(bytes, |_| {});
        self.passed = self.come;
    }

    /// Follows bytes, and keeps those that the library is to have.
    fn sift(&mut self, bytes: &[u8]) {
        let mut sifted = std::mem::take(&mut self.sifted);
        self.walk(bytes, |piece| sifted.extend_from_slice(piece));
        self.sifted = sifted;
    }

    /// Goes through `bytes` frame by frame, and gives the library's share of them to `pass`.
    fn walk(&mut self, mut bytes: &[u8], mut pass: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            let payload = self.preface_left + self.left;
            if payload > 0 {
                let taken = payload.min(bytes.len());
                pass(&bytes[..taken]);
                bytes = &bytes[taken..];
                // The preface comes before any frame, so one of the two is zero.
                self.left = self.left.saturating_sub(taken);
                self.preface_left = self.preface_left.saturating_sub(taken);
                continue;
            }
            let taken = (HEAD - self.come).min(bytes.len());
            self.head[self.come..self.come + taken].copy_from_slice(&bytes[..taken]);
            self.come += taken;
            bytes = &bytes[taken..];
            if let Some(head) = (self.come == HEAD)
                .then(|| Head::read(&self.head))
                .flatten()
            {
                self.come = 0;
                let passed = std::mem::replace(&mut self.passed, 0);
                self.left = head.length;
                if !self.is_for_us(head, passed) {
                    pass(&self.head[passed..]);
                }
                self.judge(head);
            }
        }
    }

    /// Whether a frame answers our own SETTINGS. The first such answer is to the library's, and one
    /// of which the library has a part came before ours were sent.
    fn is_for_us(&mut self, head: Head, passed: usize) -> bool {
        if !head.is_ack() {
            return false;
        }
        if !self.has_initial_answer {
            self.has_initial_answer = true;
            self.limit = Some(self.initial);
            return false;
        }
        if passed > 0 || head.length > 0 {
            return false;
        }
        let Some(streams) = self.awaited.take() else {
            return false;
        };
        self.limit = Some(streams);
        self.is_answered = true;
        true
    }

    fn judge(&mut self, head: Head) {
        match head.kind {
            kind::DATA => {}
            kind::HEADERS => {
                self.block = head.length;
                if head.stream > self.newest {
                    self.newest = head.stream;
                    self.open.insert(head.stream);
                    let open = self.open.len();
                    if self.limit.is_some_and(|limit| open > limit as usize) {
                        self.beyond.insert(head.stream);
                    }
                }
            }
            kind::CONTINUATION => self.block += head.length,
            other => {
                if other == kind::RST_STREAM {
                    self.open.remove(&head.stream);
                }
                self.others = self.others.saturating_add(1);
            }
        }
        if self.block > HEADERS_MAX as usize {
            self.offence = Some(Offence::Headers);
        } else if self.others > OTHERS_MAX || self.open.len() > OPEN_MAX {
            self.offence = Some(Offence::Flood);
        }
    }
}
