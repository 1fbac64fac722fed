//! Bodies at the border: the library's request stream becomes a [`put::Body`], a [`get::Body`] becomes its response stream. No byte is copied.

use std::error::Error;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};

use ::http::StatusCode;
use bytes::Bytes;
use futures::{Stream, StreamExt};
use s3s::dto::StreamingBlob;
use s3s::stream::aws_chunked_stream::AwsChunkedStreamError;
use s3s::stream::upload_stream::UploadStreamError;
use s3s::stream::{ByteStream, RemainingLength};
use s3s::{BodySizeLimitExceeded, S3Error, S3ErrorCode, StdError};

use super::error;
use super::form::FormFault;
use crate::get::{self, GetError};
use crate::http::BodyFault;
use crate::put::{self, BodyError, PutError};

/// What S3 says with the one code that the library does not know.
const HASH_MISMATCH: &str =
    "The provided 'x-amz-content-sha256' header does not match what was computed.";

/// Why a body ended early, told more precisely than [`BodyError`] does: what S3 answers. Set by the body, read once the PUT has failed.
#[derive(Clone, Default)]
pub(super) struct Fault(Arc<OnceLock<(S3ErrorCode, StatusCode)>>);

impl Fault {
    /// The answer to a PUT that failed.
    pub(super) fn blame(&self, failed: PutError) -> S3Error {
        let answer = error::put(failed);
        match self.0.get() {
            None => answer,
            Some((code, status)) => {
                let mut answer = S3Error::new(code.clone());
                answer.set_status_code(*status);
                if matches!(code, S3ErrorCode::Custom(_)) {
                    answer.set_message(HASH_MISMATCH);
                }
                answer
            }
        }
    }

    fn set(&self, code: S3ErrorCode, status: StatusCode) {
        // The first fault is the cause; what follows it are its consequences.
        self.0.get_or_init(|| (code, status));
    }
}

/// A request's body, and where it says why it broke off.
pub(super) fn receive(body: Option<StreamingBlob>) -> (put::Body, Fault) {
    let fault = Fault::default();
    let Some(body) = body else { return (futures::stream::empty().boxed(), fault) };
    let told = fault.clone();
    (body.map(move |piece| piece.map_err(|error| judge(error, &told))).boxed(), fault)
}

/// Bytes of an object that are to be stored anew.
pub(super) fn resend(body: get::Body) -> (put::Body, Fault) {
    let fault = Fault::default();
    let told = fault.clone();
    let judge = move |failed: GetError| {
        let text = failed.to_string();
        let answer = error::get(failed);
        told.set(
            answer.code().clone(),
            answer.status_code().unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
        );
        BodyError::Broken(text)
    };
    (body.map(move |piece| piece.map_err(&judge)).boxed(), fault)
}

fn judge(error: StdError, fault: &Fault) -> BodyError {
    let text = error.to_string();
    let bad = StatusCode::BAD_REQUEST;
    if let Some(error) = find::<UploadStreamError>(&*error) {
        match error {
            UploadStreamError::Sha256Mismatch => {
                fault.set(S3ErrorCode::Custom("XAmzContentSHA256Mismatch".into()), bad);
                return BodyError::Forged(text);
            }
            UploadStreamError::LengthMismatch | UploadStreamError::Incomplete => {
                fault.set(S3ErrorCode::IncompleteBody, bad);
            }
            UploadStreamError::Underlying(_) => {}
        }
    }
    if let Some(error) = find::<AwsChunkedStreamError>(&*error)
        && !matches!(error, AwsChunkedStreamError::Underlying(_))
    {
        let code = error.to_s3_error_code();
        let forged = code == S3ErrorCode::SignatureDoesNotMatch;
        fault.set(code, if forged { StatusCode::FORBIDDEN } else { bad });
        return if forged { BodyError::Forged(text) } else { BodyError::Broken(text) };
    }
    if let Some(form) = find::<FormFault>(&*error) {
        fault.set(form.code(), bad);
    }
    if find::<BodySizeLimitExceeded>(&*error).is_some() {
        fault.set(S3ErrorCode::EntityTooLarge, bad);
    }
    match find::<BodyFault>(&*error) {
        Some(BodyFault::Slow(_)) => BodyError::Slow,
        Some(BodyFault::Broken(_)) | None => BodyError::Broken(text),
    }
}

/// The first error of type `E` in the chain that ends with the cause.
pub(super) fn find<'a, E: Error + 'static>(
    error: &'a (dyn Error + Send + Sync + 'static),
) -> Option<&'a E> {
    let mut next: Option<&'a (dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(found) = error.downcast_ref() {
            return Some(found);
        }
        next = error.source();
    }
    None
}

/// A response body of exactly `len` bytes.
pub(super) fn send(body: get::Body, len: u64) -> StreamingBlob {
    StreamingBlob::new(Sending { body: Mutex::new(body), left: len })
}

/// A stream that knows how much is left, which lets the server send `Content-Length` instead of chunks.
///
/// The mutex is never locked: it is there because the library wants streams that are `Sync`, which an unshared stream need not be.
struct Sending {
    body: Mutex<get::Body>,
    left: u64,
}

impl Stream for Sending {
    type Item = Result<Bytes, StdError>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        let body = this.body.get_mut().unwrap_or_else(PoisonError::into_inner);
        Poll::Ready(match ready!(body.as_mut().poll_next(cx)) {
            Some(Ok(bytes)) => {
                this.left = this.left.saturating_sub(bytes.len() as u64);
                Some(Ok(bytes))
            }
            Some(Err(failed)) => {
                // The status line is gone: all that can be done is to break the connection, and to say why in the log.
                tracing::error!(error = %failed, left = this.left, "a response broke off");
                Some(Err(Box::new(failed)))
            }
            None => None,
        })
    }
}

impl ByteStream for Sending {
    fn remaining_length(&self) -> RemainingLength {
        RemainingLength::new_exact(usize::try_from(self.left).unwrap_or(usize::MAX))
    }
}

#[cfg(test)]
mod tests {
    use futures::TryStreamExt;

    use super::*;

    fn blob(pieces: Vec<Result<Bytes, UploadStreamError>>) -> StreamingBlob {
        StreamingBlob::wrap(futures::stream::iter(pieces))
    }

    #[tokio::test]
    async fn a_sent_body_says_how_much_is_left() {
        let pieces = vec![Ok(Bytes::from_static(b"abc")), Ok(Bytes::from_static(b"de"))];
        let mut body = send(futures::stream::iter(pieces).boxed(), 5);
        assert_eq!(body.remaining_length().exact(), Some(5));
        body.next().await.expect("a piece").expect("bytes");
        assert_eq!(body.remaining_length().exact(), Some(2));
    }

    #[tokio::test]
    async fn a_body_that_does_not_match_its_signed_hash_is_told_so() {
        let (body, fault) = receive(Some(blob(vec![Err(UploadStreamError::Sha256Mismatch)])));
        let failed = body.try_collect::<Vec<_>>().await.expect_err("forged");
        assert!(matches!(failed, BodyError::Forged(_)), "{failed}");
        let answer = fault.blame(failed.into());
        assert_eq!(answer.code().as_str(), "XAmzContentSHA256Mismatch");
        assert_eq!(answer.status_code(), Some(StatusCode::BAD_REQUEST));
    }

    #[tokio::test]
    async fn a_silent_client_is_told_that_it_was_too_slow() {
        let slow = BodyFault::Slow(std::time::Duration::from_secs(60));
        let pieces = vec![Err(UploadStreamError::Underlying(Box::new(slow)))];
        let (body, fault) = receive(Some(blob(pieces)));
        let failed = body.try_collect::<Vec<_>>().await.expect_err("slow");
        assert_eq!(*fault.blame(failed.into()).code(), S3ErrorCode::RequestTimeout);
    }
}
