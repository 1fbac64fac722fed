//! Black-box proofs: everything here drives the real binaries from outside, as customers, volunteers and misfortune do.
//!
//! The tests are one binary, `tests/it`, with a module per feature group. What they share is here: [`cluster`] starts and
//! mistreats real processes, [`client`] is an S3 client that shows every byte it sends, [`bytes`] makes content that needs no
//! memory to be checked, [`sizes`] names the lengths at which storage systems break, [`hook`] is a webhook that listens, [`hostile`] is a node
//! that lies, [`press`] a gateway that asks too much, [`netns`] a home's network, [`relay`] a long way, [`acme_server`] a certificate authority with its
//! name server.
//!
//! This crate must not link the gateway or the storage node: what they keep in memory proves nothing.

pub mod acme_server;
pub mod bytes;
pub mod checksum;
pub mod client;
pub mod cluster;
pub mod hook;
pub mod hostile;
pub mod netns;
pub mod port;
pub mod press;
pub mod process;
pub mod relay;
pub mod sigv4;
pub mod sizes;
pub mod tls;
pub mod tools;
pub mod xml;

/// Whether the full figures are asked for (`make soak`) instead of those that fit into `make test`.
#[must_use]
pub fn soak() -> bool {
    std::env::var_os("DRYSTONE_SOAK").is_some_and(|value| !value.is_empty() && value != "0")
}

/// `full` under `make soak`, else `scaled`.
#[must_use]
pub fn scaled<T>(scaled: T, full: T) -> T {
    if soak() { full } else { scaled }
}
