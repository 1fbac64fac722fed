//! DNS records set by updates to the name server (RFC 2136), signed with a key that both know (TSIG).

use std::convert::Infallible;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Deserializer};
use tokio::net::UdpSocket;
use tokio::time::timeout;
use types::clock::SharedClock;
use types::entropy::random_bytes;
use zeroize::Zeroizing;

use super::wire::{self, Answer, Change, MESSAGE_MAX, Signing, WireError};

/// How long the server may take to answer; then it is asked again.
const PATIENCE: Duration = Duration::from_secs(3);
/// How often it is asked: messages may get lost.
const TRIES: usize = 3;
/// No answer code at all: the name is not there.
const NO_SUCH_NAME: u16 = 3;

/// Why a record was not set or removed.
#[derive(Debug, thiserror::Error)]
pub enum DnsError {
    /// The network.
    #[error("the name server {server}: {source}")]
    Io {
        /// Which.
        server: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// Silence.
    #[error("the name server {0} does not answer")]
    Silent(SocketAddr),
    /// An answer that does not count.
    #[error("the name server {server}: {source}")]
    Wire {
        /// Which.
        server: SocketAddr,
        /// Why.
        source: WireError,
    },
    /// It will not.
    #[error("the name server {server} refuses: {code}")]
    Refused {
        /// Which.
        server: SocketAddr,
        /// Its reason.
        code: Code,
    },
    /// It knows no zone that the name is in.
    #[error("the name server {server} has no zone for {name}")]
    NoZone {
        /// Which.
        server: SocketAddr,
        /// The name.
        name: String,
    },
}

/// An answer's code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Code(u16);

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("FORMERR"),
            2 => f.write_str("SERVFAIL"),
            4 => f.write_str("NOTIMP"),
            5 => f.write_str("REFUSED"),
            9 => f.write_str("NOTAUTH (does it know the key of --acme-tsig?)"),
            10 => f.write_str("NOTZONE"),
            code => write!(f, "code {code}"),
        }
    }
}

/// The key that signs updates, as an operator gives it: `NAME:BASE64`. Any text at first, so that no parser's message quotes a secret.
#[derive(Clone)]
pub struct TsigText(Zeroizing<String>);

impl TsigText {
    /// The key.
    ///
    /// # Errors
    /// [`TsigKeyError`], if the text is no key.
    pub(super) fn key(&self) -> Result<TsigKey, TsigKeyError> {
        self.0.parse()
    }
}

impl FromStr for TsigText {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(Self(Zeroizing::new(text.to_owned())))
    }
}

impl fmt::Debug for TsigText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TsigText")
    }
}

impl<'de> Deserialize<'de> for TsigText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Zeroizing::new(text)))
    }
}

/// The key that signs updates.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct TsigKey {
    name: String,
    secret: Zeroizing<Vec<u8>>,
}

/// A text that is no such key. The text is a secret and not repeated.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a TSIG key is written NAME:BASE64, as the name server has it")]
pub struct TsigKeyError;

impl FromStr for TsigKey {
    type Err = TsigKeyError;

    fn from_str(text: &str) -> Result<Self, TsigKeyError> {
        let (name, secret) = text.trim().split_once(':').ok_or(TsigKeyError)?;
        let secret = STANDARD.decode(secret).map(Zeroizing::new).map_err(|_| TsigKeyError)?;
        if name.is_empty() || secret.is_empty() || Signing::new(name, &secret).is_err() {
            return Err(TsigKeyError);
        }
        Ok(Self { name: name.to_owned(), secret })
    }
}

impl fmt::Debug for TsigKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TsigKey").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Sets records at one name server.
pub(super) struct Updates {
    server: SocketAddr,
    key: Option<TsigKey>,
    clock: SharedClock,
}

impl Updates {
    pub(super) fn new(server: SocketAddr, key: Option<TsigKey>, clock: SharedClock) -> Self {
        Self { server, key, clock }
    }

    /// Adds a TXT record beside those that the name has.
    pub(super) async fn add(&self, name: &str, value: &str) -> Result<(), DnsError> {
        self.change(Change::Add, name, value).await
    }

    /// Removes the TXT record with this value.
    pub(super) async fn remove(&self, name: &str, value: &str) -> Result<(), DnsError> {
        self.change(Change::Remove, name, value).await
    }

    async fn change(&self, change: Change, name: &str, value: &str) -> Result<(), DnsError> {
        let zone = self.zone_of(name).await?;
        let id = u16::from_be_bytes(random_bytes());
        let mut message = self.fine(wire::update(id, zone, change, name, value))?;
        let signing = self.signing()?;
        let asked = signing.as_ref().map(|key| wire::sign(&mut message, key, self.now()));
        let check = |bytes: &[u8]| {
            let answer = Answer::read(bytes, id)?;
            // Who does not know the key cannot sign that it does not.
            if answer.code == 0
                && let (Some(signing), Some(asked)) = (&signing, &asked)
            {
                answer.verify(bytes, signing, asked, self.now())?;
            }
            Ok(answer)
        };
        match self.ask(&message, check).await?.code {
            0 => Ok(()),
            code => Err(DnsError::Refused { server: self.server, code: Code(code) }),
        }
    }

    /// The zone that a name is in: the longest of its ends that the server knows as the start of one.
    async fn zone_of<'a>(&self, name: &'a str) -> Result<&'a str, DnsError> {
        let mut rest = name;
        loop {
            let id = u16::from_be_bytes(random_bytes());
            let message = self.fine(wire::ask_zone(id, rest))?;
            let answer = self.ask(&message, |bytes| Answer::read(bytes, id)).await?;
            match answer.code {
                0 if answer.zone => return Ok(rest),
                0 | NO_SUCH_NAME => {}
                code => {
                    return Err(DnsError::Refused { server: self.server, code: Code(code) });
                }
            }
            let Some((_, parent)) = rest.split_once('.') else {
                return Err(DnsError::NoZone { server: self.server, name: name.to_owned() });
            };
            rest = parent;
        }
    }

    fn now(&self) -> u64 {
        self.clock.now().seconds()
    }

    fn signing(&self) -> Result<Option<Signing>, DnsError> {
        let signing = |key: &TsigKey| self.fine(Signing::new(&key.name, &key.secret));
        self.key.as_ref().map(signing).transpose()
    }

    /// Sends a message until an answer comes that `check` takes. Others are passed over: anybody can send some.
    async fn ask(
        &self,
        message: &[u8],
        check: impl Fn(&[u8]) -> Result<Answer, WireError>,
    ) -> Result<Answer, DnsError> {
        let server = self.server;
        let io = |source| DnsError::Io { server, source };
        let own = match server {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(own).await.map_err(io)?;
        socket.connect(server).await.map_err(io)?;
        let mut bytes = vec![0; MESSAGE_MAX];
        let mut wrong = None;
        for _ in 0..TRIES {
            socket.send(message).await.map_err(io)?;
            let answered = timeout(PATIENCE, async {
                loop {
                    let read = socket.recv(&mut bytes).await?;
                    match check(&bytes[..read]) {
                        Ok(answer) => return Ok(answer),
                        Err(error) => wrong = Some(error),
                    }
                }
            });
            match answered.await {
                Ok(answer) => return answer.map_err(io),
                Err(_elapsed) => {}
            }
        }
        Err(match wrong {
            Some(source) => DnsError::Wire { server, source },
            None => DnsError::Silent(server),
        })
    }

    fn fine<T>(&self, made: Result<T, WireError>) -> Result<T, DnsError> {
        made.map_err(|source| DnsError::Wire { server: self.server, source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_read_and_never_shown() {
        let key: TsigKey = "acme.example:c2VjcmV0".parse().expect("a key");
        assert_eq!(key.secret.as_slice(), b"secret");
        assert!(!format!("{key:?}").contains("c2Vj") && !format!("{key:?}").contains("115"));
        let text: TsigText = "acme.example:c2VjcmV0".parse().expect("any text");
        assert!(!format!("{text:?}").contains("c2Vj"));
        assert_eq!(text.key(), Ok(key));
        for bad in ["", "name", "name:", ":c2VjcmV0", "name:not base64!", "a b"] {
            assert_eq!(bad.parse::<TsigKey>(), Err(TsigKeyError), "{bad}");
        }
    }
}
