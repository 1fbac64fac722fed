//! What comes back: a head first, then as much of the body as the test wants.

use std::ops::Range;

use bytes::Bytes;
use futures::{Stream, StreamExt, TryStreamExt};
use http::{HeaderMap, StatusCode};
use http_body_util::{BodyExt, BodyStream};
use hyper::body::Incoming;

use super::ClientError;
use crate::bytes::Content;
use crate::xml;

/// The head of an answer; its body is still to come.
#[derive(Debug)]
pub struct Response {
    what: String,
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    body: Incoming,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub bytes: Bytes,
    /// Its body as text.
    pub text: String,
}

impl Response {
    pub(super) fn new(what: String, parts: &http::response::Parts, body: Incoming) -> Self {
        Self { what, status: parts.status.as_u16(), headers: parts.headers.clone(), body }
    }

    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body, piece by piece.
    pub fn pieces(self) -> impl Stream<Item = Result<Bytes, hyper::Error>> {
        BodyStream::new(self.body).try_filter_map(|frame| async { Ok(frame.into_data().ok()) })
    }

    /// This response, if it is no error.
    ///
    /// # Errors
    /// With the error's body, if it is one.
    pub async fn ok(self) -> Result<Self, ClientError> {
        if self.status < 300 {
            return Ok(self);
        }
        let status = StatusCode::from_u16(self.status).expect("it came as a status");
        Err(ClientError::Status { status, body: self.read().await.text })
    }

    /// Reads the body and checks that it is this range of this content.
    ///
    /// # Errors
    /// If it breaks off or is another.
    pub async fn check(self, content: Content, range: Range<u64>) -> Result<(), ClientError> {
        let mut checker = content.checker(range);
        let mut pieces = std::pin::pin!(self.pieces());
        while let Some(piece) = pieces.next().await {
            let piece = piece
                .map_err(|source| ClientError::BrokenBody { after: checker.seen(), source })?;
            checker.feed(&piece)?;
        }
        checker.finish()?;
        Ok(())
    }

    /// Reads the whole body.
    ///
    /// # Panics
    /// If it breaks off.
    pub async fn read(self) -> Answer {
        let what = self.what;
        let bytes = match self.body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => panic!("{what}: the answer's body broke off: {error}"),
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Answer { status: self.status, headers: self.headers, bytes, text }
    }

    /// Reads the whole body of an answer that must have this status.
    ///
    /// # Panics
    /// If it has another.
    pub async fn expect_status(self, status: u16) -> Answer {
        let what = self.what.clone();
        let answer = self.read().await;
        assert_eq!(answer.status, status, "{what}: {} {:?}", answer.text, answer.headers);
        answer
    }

    /// Reads an answer that must be this S3 error.
    ///
    /// # Panics
    /// If it is not.
    pub async fn expect_error(self, status: u16, code: &str) -> Answer {
        let what = self.what.clone();
        let answer = self.read().await;
        assert_eq!(
            (answer.status, answer.code().as_str()),
            (status, code),
            "{what}: {}",
            answer.text
        );
        answer
    }
}

impl Answer {
    /// A header as text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The S3 error's code, or nothing.
    #[must_use]
    pub fn code(&self) -> String {
        xml::text(&self.text, "Code").unwrap_or_default()
    }

    /// The text of an element of the body.
    #[must_use]
    pub fn xml(&self, name: &str) -> Option<String> {
        xml::text(&self.text, name)
    }

    /// The texts of all elements of that name.
    #[must_use]
    pub fn all(&self, name: &str) -> Vec<String> {
        xml::texts(&self.text, name)
    }
}
