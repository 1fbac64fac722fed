//! A body as it comes in: a message, then bare bytes; exactly as many as were declared.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes, BytesMut};
use http::HeaderMap;
use http::header::CONTENT_LENGTH;
use http_body::Body as _;
use hyper::body::Incoming;

use crate::blame::Offence;
use crate::error::{Loss, is_stream_breach};
use crate::message::PREFIX;
use crate::pace::Pace;

/// Empty frames in a row before their sender is cut off: they cost it nine bytes each and us more.
const EMPTY_FRAMES_MAX: u32 = 32;

/// What can be wrong with a body.
#[derive(Debug)]
pub(crate) enum BodyFault {
    /// The stream or connection failed.
    Http(hyper::Error),
    /// The sender is too slow.
    Slow(Loss),
    /// The sender broke the rules.
    Offence(Offence),
}

/// A body and how much of it is still due.
pub(crate) struct Inbound {
    body: Incoming,
    /// Read, but not taken yet.
    head: Bytes,
    declared: u64,
    received: u64,
    empty: u32,
    pace: Option<Pace>,
}

impl Inbound {
    /// # Errors
    /// Unless the headers declare the body's length.
    pub(crate) fn new(
        headers: &HeaderMap,
        body: Incoming,
        pace: Option<Pace>,
    ) -> Result<Self, Offence> {
        let declared =
            headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let declared = declared.ok_or(Offence::Malformed("a body without a declared length"))?;
        Ok(Self { body, head: Bytes::new(), declared, received: 0, empty: 0, pace })
    }

    /// Declared bytes not taken yet.
    pub(crate) fn due(&self) -> u64 {
        self.declared - self.received + self.head.len() as u64
    }

    /// Takes the message at the front, without its prefix. Nothing is allocated for one that is too large.
    pub(crate) async fn message(&mut self, max: usize) -> Result<Bytes, BodyFault> {
        let mut prefix = self.take(PREFIX).await?;
        let len = prefix.get_u32() as usize;
        if len > max {
            return Err(BodyFault::Offence(Offence::Oversized {
                len: len as u64,
                max: max as u64,
            }));
        }
        self.take(len).await
    }

    /// The next bytes as they came, never empty; `None` after exactly as many as were declared.
    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyFault>>> {
        if self.head.is_empty() {
            match ready!(self.poll_body(cx)) {
                Some(Ok(chunk)) => self.head = chunk,
                end => return Poll::Ready(end),
            }
        }
        Poll::Ready(Some(Ok(std::mem::take(&mut self.head))))
    }

    /// Puts back what was too much of a chunk.
    pub(crate) fn put_back(&mut self, rest: Bytes) {
        debug_assert!(self.head.is_empty());
        self.head = rest;
    }

    async fn take(&mut self, len: usize) -> Result<Bytes, BodyFault> {
        if self.due() < len as u64 {
            let offence = Offence::WrongLength {
                declared: self.declared,
                got: self.declared - self.due() + len as u64,
            };
            return Err(BodyFault::Offence(offence));
        }
        if self.head.is_empty() && len > 0 {
            self.refill().await?;
        }
        if self.head.len() >= len {
            return Ok(self.head.split_to(len));
        }
        let mut gathered = BytesMut::with_capacity(len);
        loop {
            let part = self.head.split_to(self.head.len().min(len - gathered.len()));
            gathered.extend_from_slice(&part);
            if gathered.len() == len {
                return Ok(gathered.freeze());
            }
            self.refill().await?;
        }
    }

    async fn refill(&mut self) -> Result<(), BodyFault> {
        match poll_fn(|cx| self.poll_body(cx)).await {
            Some(chunk) => {
                self.head = chunk?;
                Ok(())
            }
            None => Err(self.wrong_length()),
        }
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyFault>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                let Some(pace) = &mut self.pace else { return Poll::Pending };
                return pace.poll_wait(cx).map(|loss| Some(Err(BodyFault::Slow(loss))));
            };
            let chunk = match frame {
                None if self.received == self.declared => return Poll::Ready(None),
                None => return Poll::Ready(Some(Err(self.wrong_length()))),
                // The h2 library counts too, and may see the breach before us.
                Some(Err(error)) if is_stream_breach(&error) => {
                    return Poll::Ready(Some(Err(self.wrong_length())));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(BodyFault::Http(error)))),
                Some(Ok(frame)) => frame.into_data(),
            };
            let Ok(chunk) = chunk else {
                return Poll::Ready(Some(Err(BodyFault::Offence(Offence::Malformed(
                    "trailers after a body",
                )))));
            };
            if let Some(fault) = self.count(chunk.len()) {
                return Poll::Ready(Some(Err(fault)));
            }
            if !chunk.is_empty() {
                return Poll::Ready(Some(Ok(chunk)));
            }
        }
    }

    fn count(&mut self, len: usize) -> Option<BodyFault> {
        self.received += len as u64;
        self.empty = if len == 0 { self.empty + 1 } else { 0 };
        if self.received > self.declared {
            return Some(self.wrong_length());
        }
        if self.empty > EMPTY_FRAMES_MAX {
            return Some(BodyFault::Offence(Offence::Http2("a flood of empty frames".to_owned())));
        }
        self.pace.as_mut()?.progress(len).err().map(BodyFault::Slow)
    }

    fn wrong_length(&self) -> BodyFault {
        BodyFault::Offence(Offence::WrongLength { declared: self.declared, got: self.received })
    }
}
