//! What one door lets in: each limit by name, with what happens at it.

use std::num::NonZeroUsize;
use std::time::Duration;

use types::KIB;

/// Connections to the S3 door at once. At the limit new ones wait in the kernel's queue.
const CONNECTIONS: usize = 4096;
/// S3 requests in work at once, over all connections. One more is answered `503 SlowDown`, which S3 clients retry with backoff. Each may
/// hold a few MiB, so this bounds the memory.
const REQUESTS: usize = 1024;
/// Connections to the admin door at once.
const ADMIN_CONNECTIONS: usize = 128;
/// Admin requests in work at once.
const ADMIN_REQUESTS: usize = 64;
/// Bytes of a request's line and headers. S3 allows 8 KiB of headers; a presigned URL with a session token is longer than that.
const HEAD: usize = 32 * KIB as usize;
/// Bytes a connection reads at once, and may have queued for sending before the body is asked for more. Large enough that a 1 MiB piece
/// of a body costs a handful of system calls, small enough for [`CONNECTIONS`] of them.
const BUFFER: usize = 512 * KIB as usize;
/// How long a connection may be idle between requests, or take to send a request's head. Longer than the 60 s that common clients keep
/// pooled connections, so that it is the client that closes and no request meets a closing door.
const HEAD_WAIT: Duration = Duration::from_secs(75);
/// How long a connection may take to agree on its encryption.
const HANDSHAKE: Duration = Duration::from_secs(5);
/// How long the client may be silent in the middle of a body while we wait for more.
const BODY_SILENCE: Duration = Duration::from_secs(60);
/// How long the client may take no byte of an answer while we have some to send.
const WRITE_STALL: Duration = Duration::from_secs(60);
/// How long requests in flight may still take once a shutdown began.
const DRAIN: Duration = Duration::from_secs(30);
/// As [`DRAIN`], for the admin door.
const ADMIN_DRAIN: Duration = Duration::from_secs(5);

/// How the door words its own refusals, so that a client can parse them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ErrorStyle {
    /// S3's XML.
    S3,
    /// The admin API's `{"code", "message"}`.
    Json,
}

/// The limits of one door.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// The door's name in metrics and logs.
    pub door: &'static str,
    /// How refusals are worded.
    pub errors: ErrorStyle,
    /// Connections at once; more wait in the kernel's queue.
    pub connections: usize,
    /// Requests in work at once; one more is refused with 503.
    pub requests: usize,
    /// Bytes of a request's line and headers; more is refused with 431.
    pub head: usize,
    /// Bytes of each connection's read buffer, and of what it queues to write.
    pub buffer: usize,
    /// How long a connection may be idle or take to send a head; then it is closed.
    pub head_wait: Duration,
    /// How long a TLS handshake may take; then the connection is closed.
    pub handshake: Duration,
    /// How long a request's body may be silent; then reading it fails with [`super::BodyFault::Slow`].
    pub body_silence: Duration,
    /// How long a client may take nothing of an answer; then the connection is cut.
    pub write_stall: Duration,
    /// How long requests may still run when the door closes; then they are cut.
    pub drain: Duration,
}

impl Limits {
    /// Of the S3 door.
    #[must_use]
    pub fn s3() -> Self {
        Self {
            door: "s3",
            errors: ErrorStyle::S3,
            connections: CONNECTIONS,
            requests: REQUESTS,
            head: HEAD,
            buffer: BUFFER,
            head_wait: HEAD_WAIT,
            handshake: HANDSHAKE,
            body_silence: BODY_SILENCE,
            write_stall: WRITE_STALL,
            drain: DRAIN,
        }
    }

    /// The same for so many connections at once.
    #[must_use]
    pub fn with_connections(self, connections: NonZeroUsize) -> Self {
        let connections = connections.get();
        Self { connections, requests: self.requests.min(connections), ..self }
    }

    /// Of the admin door.
    #[must_use]
    pub fn admin() -> Self {
        Self {
            door: "admin",
            errors: ErrorStyle::Json,
            connections: ADMIN_CONNECTIONS,
            requests: ADMIN_REQUESTS,
            drain: ADMIN_DRAIN,
            ..Self::s3()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_head_fits_the_buffer_it_is_read_into() {
        for limits in [Limits::s3(), Limits::admin()] {
            assert!(limits.head <= limits.buffer, "{limits:?}");
        }
    }

    #[test]
    fn all_read_buffers_together_stay_within_two_gibibytes() {
        for limits in [Limits::s3(), Limits::admin()] {
            assert!(limits.connections * limits.buffer <= 2 << 30, "{limits:?}");
        }
    }

    #[test]
    fn a_door_lets_every_request_come_over_a_connection_of_its_own() {
        for limits in [Limits::s3(), Limits::admin()] {
            assert!(limits.requests <= limits.connections, "{limits:?}");
        }
    }
}
