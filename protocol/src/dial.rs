//! The port through which a node reaches a gateway. Real nodes dial TCP; simulations dial whatever they like.

use std::fmt;
use std::io;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::limits::{ADDRESS_MAX, DIAL_TIMEOUT};

/// A two-way byte stream.
pub trait Io: AsyncRead + AsyncWrite + Unpin + Send + 'static {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send + 'static> Io for T {}

/// Any byte stream.
pub type BoxIo = Box<dyn Io>;

/// A gateway's `host:port`; an IPv6 host stands in brackets. At most [`ADDRESS_MAX`] bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Address(String);

/// A text that is no address.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0:?} is not an address; write host:port, such as gateway.example:9100")]
pub struct AddressError(String);

impl Address {
    /// The address as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let fail = || AddressError(text.chars().take(ADDRESS_MAX).collect());
        let (host, port) = text.rsplit_once(':').ok_or_else(fail)?;
        let bracketed = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let host_fine = match bracketed {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                !host.is_empty()
                    && host
                        .bytes()
                        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
            }
        };
        let port_fine = port.bytes().all(|b| b.is_ascii_digit())
            && port.parse::<u16>().is_ok_and(|port| port != 0);
        if text.len() <= ADDRESS_MAX && host_fine && port_fine {
            Ok(Self(text.to_owned()))
        } else {
            Err(fail())
        }
    }
}

impl TryFrom<String> for Address {
    type Error = AddressError;

    fn try_from(text: String) -> Result<Self, AddressError> {
        text.parse()
    }
}

impl From<std::net::SocketAddr> for Address {
    fn from(address: std::net::SocketAddr) -> Self {
        Self(address.to_string())
    }
}

impl From<Address> for String {
    fn from(address: Address) -> Self {
        address.0
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Opens byte streams to gateways.
#[async_trait]
pub trait Dial: Send + Sync + 'static {
    /// A new stream to `address`.
    ///
    /// # Errors
    /// If it cannot be opened, or not within [`DIAL_TIMEOUT`].
    async fn dial(&self, address: &Address) -> io::Result<BoxIo>;
}

/// Dials TCP.
#[derive(Clone, Copy, Default, Debug)]
pub struct TcpDial;

#[async_trait]
impl Dial for TcpDial {
    async fn dial(&self, address: &Address) -> io::Result<BoxIo> {
        let stream = tokio::time::timeout(DIAL_TIMEOUT, TcpStream::connect(address.as_str()))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        // HTTP/2 gathers its own frames; waiting for more only adds a round trip to every small answer.
        stream.set_nodelay(true)?;
        Ok(Box::new(stream))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in ["a:1", "gw.example.org:9100", "127.0.0.1:65535", "[::1]:9100"] {
            assert!(good.parse::<Address>().is_ok(), "{good}");
        }
        for bad in
            ["", "a", ":1", "a:", "a:0", "a:65536", "a:+1", "::1:9100", "a b:1", "a/b:1", "[x]:1"]
        {
            assert!(bad.parse::<Address>().is_err(), "{bad}");
        }
    }
}
