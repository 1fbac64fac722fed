//! The door: from a TCP connection to a request with an id, and back.
//!
//! ```text
//! listen ─ accept ─▶ patience ─▶ [TLS] ─▶ HTTP/1.1 ─▶ exchange ─▶ the service
//!            ▲       (stalled              (head and   (id, log, load,
//!          limits     writes)               idle time)  slow bodies)
//!          drain
//! ```
//!
//! HTTP/1.1 only, as on AWS: no S3 client speaks HTTP/2, and with one request at a time on a connection the kernel's socket buffers are
//! the flow control, so a client that stops reading or sending is seen by a timer at the socket. TLS ends here, or at a
//! proxy in front.

mod access_log;
mod body;
mod drain;
mod exchange;
mod limits;
mod listen;
mod on_end;
mod patience;
mod peer;
mod request_id;
mod tls;

pub(crate) use access_log::Redacted;
pub use body::{BodyFault, RequestBody};
pub use exchange::ResponseBody;
pub use limits::{ErrorStyle, Limits};
pub use listen::{BindError, bind, serve};
pub use on_end::{Ended, OnEnd};
pub use peer::Peer;
pub use request_id::RequestId;
pub use tls::{Certificate, CertificateError, Files as CertificateFiles};

#[cfg(test)]
mod tests;
