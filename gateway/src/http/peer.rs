//! Who is at the other end of a connection.

use std::net::SocketAddr;

/// What the door knows of the client. In the extensions of every request it hands on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Where the connection comes from: the client, or the proxy in front.
    pub address: SocketAddr,
    /// Whether the connection is encrypted.
    pub tls: bool,
}
