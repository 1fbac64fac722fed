//! The file of a form: streamed, although only its end tells how long it is.

use std::ops::RangeInclusive;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::bytes;
use futures::{Stream, StreamExt as _};
use s3s::dto::StreamingBlob;
use s3s::{S3Error, S3ErrorCode, S3Result};
use s3s_multipart::{Error as FormError, PartDataStream};
use types::KIB;

use super::fields::broken;

/// A form's body on its way through the parser.
pub(super) type Bytes = Pin<Box<dyn Stream<Item = Result<bytes::Bytes, FormError>> + Send + Sync>>;

/// What may follow the file, in bytes: a button or two. The file may be this much shorter than the form lets expect.
const AFTER_MAX: u64 = 64 * KIB;
/// A file of at most this many bytes is read before it is stored, so that small objects are stored at their exact length.
const SMALL: u64 = 2 * AFTER_MAX;

/// How many of the bytes announced may not come, because what follows a form's file cannot be told from it before its end. A request's
/// extension.
#[derive(Clone, Copy, Debug)]
pub(in crate::s3) struct Slack(pub(in crate::s3) u64);

/// Why a form's file is not stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(in crate::s3) enum FormFault {
    /// More than the policy allows.
    #[error("the file is longer than the policy allows")]
    TooLarge,
    /// Less than the policy asks for.
    #[error("the file is shorter than the policy asks for")]
    TooSmall,
    /// Too much follows the file.
    #[error("more than 64 KiB follow the file")]
    NotLast,
    /// The form has no end.
    #[error("the form has no end")]
    Malformed,
}

impl FormFault {
    /// What S3 answers.
    pub(in crate::s3) fn code(self) -> S3ErrorCode {
        match self {
            Self::TooLarge => S3ErrorCode::EntityTooLarge,
            Self::TooSmall => S3ErrorCode::EntityTooSmall,
            Self::NotLast | Self::Malformed => S3ErrorCode::MalformedPOSTRequest,
        }
    }
}

/// The file, its name known and its bytes still to come.
pub(super) struct File {
    /// As the user calls it; empty if it has no name.
    pub(super) name: String,
    data: PartDataStream<Bytes>,
    /// Its length if nothing follows it; else it is shorter.
    most: u64,
}

/// A file ready to be stored: a body, how long it is at most, and how much shorter it may be.
pub(super) struct Opened {
    pub(super) body: StreamingBlob,
    pub(super) len: u64,
    pub(super) slack: Slack,
}

impl File {
    /// `total` is the length of the form.
    pub(super) fn new(
        data: PartDataStream<Bytes>,
        total: u64,
        boundary: usize,
        name: String,
    ) -> S3Result<Self> {
        // What ends a form whose file is its last field: \r\n--boundary--\r\n
        let end = boundary as u64 + 8;
        let most = total.checked_sub(data.multipart_consumed() + end);
        let most = most.ok_or_else(|| S3Error::new(S3ErrorCode::IncompleteBody))?;
        Ok(Self { name, data, most })
    }

    /// Begins to read; the file's length must lie in `range`.
    ///
    /// # Errors
    /// If it certainly does not.
    pub(super) async fn open(self, range: RangeInclusive<u64>) -> S3Result<Opened> {
        let least = self.most.saturating_sub(AFTER_MAX);
        if least > *range.end() {
            return Err(S3Error::new(FormFault::TooLarge.code()));
        }
        if self.most < *range.start() {
            return Err(S3Error::new(FormFault::TooSmall.code()));
        }
        let stream = Counted { data: self.data, range, least, seen: 0, over: false };
        if self.most > SMALL {
            let slack = Slack(AFTER_MAX);
            return Ok(Opened { body: StreamingBlob::wrap(stream), len: self.most, slack });
        }
        let whole = read(stream).await?;
        let len = whole.len() as u64;
        let body = StreamingBlob::wrap(futures::stream::iter([Ok::<_, FormFault>(whole)]));
        Ok(Opened { body, len, slack: Slack(0) })
    }
}

/// The last component of a path: some browsers send all of it.
pub(super) fn base_name(path: &str) -> &str {
    path.rsplit(['/', '\\']).next().unwrap_or(path)
}

async fn read(mut stream: Counted) -> S3Result<bytes::Bytes> {
    let mut whole = Vec::new();
    while let Some(piece) = stream.next().await {
        match piece {
            Ok(piece) => whole.extend_from_slice(&piece),
            Err(Fault::Form(fault)) => return Err(S3Error::new(fault.code())),
            Err(Fault::Read(error)) => return Err(broken(error)),
        }
    }
    Ok(whole.into())
}

/// The file's bytes, held to the policy's range.
struct Counted {
    data: PartDataStream<Bytes>,
    range: RangeInclusive<u64>,
    least: u64,
    seen: u64,
    over: bool,
}

/// Why a file broke off.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the form's file is refused")]
    Form(#[source] FormFault),
    #[error("the form broke off")]
    Read(#[source] FormError),
}

impl Counted {
    fn step(
        &mut self,
        piece: Option<Result<bytes::Bytes, FormError>>,
    ) -> Option<Result<bytes::Bytes, Fault>> {
        let fault = match piece {
            Some(Ok(piece)) => {
                self.seen += piece.len() as u64;
                if self.seen <= *self.range.end() {
                    return Some(Ok(piece));
                }
                FormFault::TooLarge
            }
            Some(Err(error @ FormError::StreamReadFailed(_))) => {
                return Some(Err(Fault::Read(error)));
            }
            Some(Err(_)) => FormFault::Malformed,
            None if self.seen < *self.range.start() => FormFault::TooSmall,
            None if self.seen < self.least => FormFault::NotLast,
            None => return None,
        };
        Some(Err(Fault::Form(fault)))
    }
}

impl Stream for Counted {
    type Item = Result<bytes::Bytes, Fault>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if this.over {
            return Poll::Ready(None);
        }
        let piece = ready!(Pin::new(&mut this.data).poll_next(cx));
        let item = this.step(piece);
        this.over = !matches!(item, Some(Ok(_)));
        Poll::Ready(item)
    }
}

#[cfg(test)]
mod tests {
    use s3s_multipart::{Boundary, Multipart};

    use super::*;

    async fn file(len: usize, after: &str) -> File {
        let body = format!(
            "--b\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n{}\r\n{after}",
            "x".repeat(len)
        );
        let total = body.len() as u64;
        let pieces: Vec<_> = body
            .into_bytes()
            .chunks(1000)
            .map(|piece| Ok(bytes::Bytes::copy_from_slice(piece)))
            .collect();
        let body: Bytes = Box::pin(futures::stream::iter(pieces));
        let mut parts = Multipart::new(body, &Boundary::new(b"b").expect("a boundary"), 4096);
        let mut part = parts.next_part().await.expect("a part").expect("a part");
        while part.next_header().await.expect("a header").is_some() {}
        let data = part.take_data_stream().expect("data");
        File::new(data, total, 1, String::new()).expect("long enough")
    }

    async fn drain(opened: Opened) -> Result<u64, FormFault> {
        let mut body = opened.body;
        let mut len = 0;
        while let Some(piece) = body.next().await {
            len += piece
                .map_err(|error| *crate::s3::body::find::<FormFault>(&*error).expect("a fault"))?
                .len() as u64;
        }
        Ok(len)
    }

    #[tokio::test]
    async fn what_follows_the_file_is_not_of_it() {
        let button =
            "--b\r\nContent-Disposition: form-data; name=\"submit\"\r\n\r\nUpload\r\n--b--\r\n";
        for len in [0, 5, 300_000] {
            for after in ["--b--\r\n", button] {
                let opened = file(len, after).await.open(0..=1 << 20).await.expect("opens");
                let (most, slack) = (opened.len, opened.slack.0);
                let got = drain(opened).await.expect("whole");
                assert_eq!(got, len as u64);
                assert!(most - got <= slack, "{len} bytes and {after:?}");
            }
        }
    }

    #[tokio::test]
    async fn the_length_is_held_to_the_policy() {
        let end = "--b--\r\n";
        let code = |opened: S3Result<Opened>| opened.err().map(|error| error.code().clone());
        assert_eq!(code(file(3, end).await.open(0..=2).await), Some(S3ErrorCode::EntityTooLarge));
        assert_eq!(code(file(3, end).await.open(4..=9).await), Some(S3ErrorCode::EntityTooSmall));
        assert_eq!(code(file(3, end).await.open(3..=3).await), None);
        let long = file(300_000, end).await.open(0..=299_999).await.expect("may be shorter");
        assert_eq!(drain(long).await, Err(FormFault::TooLarge));
        let after = format!("--b\r\n\r\n{}\r\n--b--\r\n", "y".repeat(200_000));
        let early = file(300_000, &after).await.open(0..=1 << 20).await.expect("opens");
        assert_eq!(drain(early).await, Err(FormFault::NotLast));
        let endless = file(300_000, "").await.open(0..=1 << 20).await.expect("opens");
        assert_eq!(drain(endless).await, Err(FormFault::Malformed));
    }

    #[test]
    fn a_path_is_not_a_name() {
        assert_eq!(base_name("C:\\Program Files\\a.txt"), "a.txt");
        assert_eq!(base_name("/home/me/a.txt"), "a.txt");
        assert_eq!(base_name("a.txt"), "a.txt");
    }
}
