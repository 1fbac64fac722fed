//! A certificate for the S3 door from a certificate authority that speaks ACME (RFC 8555), such as Let's Encrypt, and its renewal in time.
//!
//! ```text
//! worker (when?) ─▶ order, renewal ─▶ [https] ─▶ the authority
//!    │                └────▶ proof: a certificate at our own door (tls-alpn-01, RFC 8737), or a DNS record (dns-01)
//!    ▼                                  set by a program (hook) or by an update to the name server (dns: RFC 2136, RFC 8945)
//! store (account key, certificate) ─▶ http::Certificate
//! ```
//!
//! A name with `*.` can only be proven by DNS. Until there is a certificate the door shows one that it signed itself, so that the authority
//! can reach it; clients refuse that one.

mod account;
mod dns;
mod hook;
mod https;
mod order;
mod proof;
mod renewal;
mod store;
mod wire;
mod worker;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use account::{BindingError, BindingText};
pub use dns::{DnsError, TsigKeyError, TsigText};
pub use hook::HookError;
pub use worker::AcmeWorker;

use crate::http::CertificateError;
use crate::operator::OperatorError;
use crate::outbound::RootsError;

/// What an operator says of the certificate that is wanted.
#[derive(Clone, Debug)]
pub struct AcmeSettings {
    /// The names it is for.
    pub domains: Vec<String>,
    /// The authority's directory.
    pub directory: String,
    /// Where the authority writes to.
    pub email: Option<String>,
    /// The account elsewhere to which the one with the authority is bound.
    pub binding: Option<BindingText>,
    /// Roots (PEM) that the authority's own certificate is trusted by, instead of the system's.
    pub ca: Option<PathBuf>,
    /// The program that sets DNS records.
    pub dns_exec: Option<PathBuf>,
    /// The name server that takes updates.
    pub dns_server: Option<SocketAddr>,
    /// The key that signs updates.
    pub tsig: Option<TsigText>,
    /// How long after a record was set all name servers have it.
    pub dns_wait: Duration,
}

/// Why there is no certificate, or no new one.
#[derive(Debug, thiserror::Error)]
pub enum AcmeError {
    /// A name no certificate can be for.
    #[error("--acme-domain {0:?} is not a name; write a host's name, or *. and a domain")]
    Name(String),
    /// A wildcard without DNS.
    #[error(
        "--acme-domain {0} needs proof by DNS: give --acme-dns-exec PROGRAM or --acme-dns-server ADDR"
    )]
    Wildcard(String),
    /// Two ways to set a record.
    #[error("--acme-dns-exec and --acme-dns-server exclude each other")]
    TwoWays,
    /// The account elsewhere.
    #[error("--acme-eab: {0}")]
    Binding(#[from] BindingError),
    /// The key of updates.
    #[error("--acme-tsig: {0}")]
    Tsig(#[from] TsigKeyError),
    /// The directory is not a URL that can be asked.
    #[error("--acme-directory {0:?} is not an https:// address")]
    Directory(String),
    /// The roots.
    #[error("--acme-ca {0}")]
    Roots(#[from] RootsError),
    /// The files in the data folder.
    #[error(transparent)]
    Files(#[from] OperatorError),
    /// What is stored cannot be read.
    #[error("{path}: {why}")]
    Stored {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The authority, or the way to it.
    #[error("the certificate authority: {0}")]
    Authority(#[from] instant_acme::Error),
    /// The authority offers no proof that we can give.
    #[error("the certificate authority does not take proof of {name} by {kind}")]
    NoSuchProof {
        /// The name.
        name: String,
        /// How it was to be proven.
        kind: &'static str,
    },
    /// The authority was not convinced.
    #[error("the certificate authority did not accept the proof of {names}")]
    Refused {
        /// The names.
        names: String,
    },
    /// The program.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The name server.
    #[error(transparent)]
    Dns(#[from] DnsError),
    /// A certificate or a request for one cannot be made.
    #[error("a certificate request: {0}")]
    Made(#[from] rcgen::Error),
    /// What the authority issued is no certificate for our key.
    #[error("the new certificate: {0}")]
    Certificate(#[from] CertificateError),
}
