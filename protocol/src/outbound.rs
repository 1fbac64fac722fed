//! Bodies as they go out. Bytes pass through uncopied, and the length is always declared.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::Stream;
use futures::stream::BoxStream;
use http_body::{Body, Frame, SizeHint};

use crate::steps::Steps;

/// Why a body ends before its length: the HTTP/2 stream is reset then, and the other end drops what it has.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutboundError {
    /// The source of the bytes ended early or was told to stop.
    #[error("the sender gave up")]
    GaveUp,
    /// The source has more or other bytes than it announced.
    #[error("the source of the bytes does not keep to what it announced")]
    Inconsistent,
    /// The source failed.
    #[error("the bytes cannot be read")]
    Read(#[source] std::io::Error),
}

/// What a watcher can see of a body under way.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    sent: AtomicU64,
    source_is_slow: AtomicBool,
    gave_up: AtomicBool,
    stop: AtomicBool,
}

impl Progress {
    /// Bytes handed to the connection.
    pub(crate) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Acquire)
    }

    /// Whether the connection waits for the source, not for the peer.
    pub(crate) fn source_is_slow(&self) -> bool {
        self.source_is_slow.load(Ordering::Acquire)
    }

    /// Whether the source ended early.
    pub(crate) fn gave_up(&self) -> bool {
        self.gave_up.load(Ordering::Acquire)
    }

    /// Sends no more.
    pub(crate) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
    }
}

/// A body: a message, and what follows it.
pub(crate) struct Outbound {
    head: Option<Bytes>,
    /// Bytes still to come, head included.
    left: u64,
    rest: Rest,
}

enum Rest {
    Nothing,
    /// The bytes of a shard, from a gateway.
    Shard(Pin<Box<dyn Stream<Item = Bytes> + Send>>, Arc<Progress>),
    /// The proven steps of a shard, from a node.
    Steps {
        steps: Steps,
        pieces: BoxStream<'static, std::io::Result<Piece>>,
        bytes: Option<Bytes>,
    },
}

/// One step of a fetch as a node reads it from its disk.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// Proves the bytes.
    pub proof: codec::SliceProof,
    /// The bytes.
    pub bytes: Bytes,
}

impl Outbound {
    pub(crate) fn message(head: Bytes) -> Self {
        Self { left: head.len() as u64, head: Some(head), rest: Rest::Nothing }
    }

    pub(crate) fn shard(
        head: Bytes,
        len: u64,
        bytes: impl Stream<Item = Bytes> + Send + 'static,
        progress: Arc<Progress>,
    ) -> Self {
        Self {
            left: head.len() as u64 + len,
            head: Some(head),
            rest: Rest::Shard(Box::pin(bytes), progress),
        }
    }

    pub(crate) fn steps(
        head: Bytes,
        steps: Steps,
        pieces: BoxStream<'static, std::io::Result<Piece>>,
    ) -> Self {
        let left = head.len() as u64 + steps.wire_len();
        Self { left, head: Some(head), rest: Rest::Steps { steps, pieces, bytes: None } }
    }

    /// The whole length, before anything was sent.
    pub(crate) fn len(&self) -> u64 {
        self.left
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, OutboundError>> {
        match &mut self.rest {
            Rest::Nothing => Poll::Ready(Err(OutboundError::Inconsistent)),
            Rest::Shard(bytes, progress) => poll_shard(bytes, progress, cx),
            Rest::Steps { steps, pieces, bytes } => poll_step(steps, pieces, bytes, cx),
        }
    }
}

fn poll_shard(
    bytes: &mut Pin<Box<dyn Stream<Item = Bytes> + Send>>,
    progress: &Progress,
    cx: &mut Context<'_>,
) -> Poll<Result<Bytes, OutboundError>> {
    if progress.stop.load(Ordering::Acquire) {
        return Poll::Ready(Err(OutboundError::GaveUp));
    }
    let Poll::Ready(next) = bytes.as_mut().poll_next(cx) else {
        progress.source_is_slow.store(true, Ordering::Release);
        return Poll::Pending;
    };
    progress.source_is_slow.store(false, Ordering::Release);
    let Some(chunk) = next else {
        progress.gave_up.store(true, Ordering::Release);
        return Poll::Ready(Err(OutboundError::GaveUp));
    };
    progress.sent.fetch_add(chunk.len() as u64, Ordering::AcqRel);
    Poll::Ready(Ok(chunk))
}

fn poll_step(
    steps: &mut Steps,
    pieces: &mut BoxStream<'static, std::io::Result<Piece>>,
    bytes: &mut Option<Bytes>,
    cx: &mut Context<'_>,
) -> Poll<Result<Bytes, OutboundError>> {
    if let Some(bytes) = bytes.take() {
        return Poll::Ready(Ok(bytes));
    }
    let piece = match ready!(pieces.as_mut().poll_next(cx)) {
        Some(piece) => piece.map_err(OutboundError::Read)?,
        None => return Poll::Ready(Err(OutboundError::GaveUp)),
    };
    let step = steps.next().ok_or(OutboundError::Inconsistent)?;
    let proof = piece.proof.as_bytes();
    if proof.len() as u64 != step.proof_len || piece.bytes.len() as u64 != step.len {
        return Poll::Ready(Err(OutboundError::Inconsistent));
    }
    if proof.is_empty() {
        return Poll::Ready(Ok(piece.bytes));
    }
    *bytes = Some(piece.bytes);
    Poll::Ready(Ok(Bytes::copy_from_slice(proof)))
}

impl Body for Outbound {
    type Data = Bytes;
    type Error = OutboundError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, OutboundError>>> {
        let this = &mut *self;
        if this.left == 0 {
            return Poll::Ready(None);
        }
        loop {
            let chunk = match this.head.take() {
                Some(head) => head,
                None => ready!(this.poll_rest(cx))?,
            };
            if chunk.is_empty() {
                continue;
            }
            let left = this.left.checked_sub(chunk.len() as u64);
            this.left = left.ok_or(OutboundError::Inconsistent)?;
            return Poll::Ready(Some(Ok(Frame::data(chunk))));
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
