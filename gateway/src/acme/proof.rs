//! How control of a name is proven to the authority.

use std::path::PathBuf;

use instant_acme::{ChallengeType, KeyAuthorization};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use zeroize::Zeroizing;

use super::dns::Updates;
use super::{AcmeError, hook};
use crate::http::Certificate;

/// A way to prove control.
pub(super) enum Prover {
    /// By a certificate at our own door (tls-alpn-01).
    Door(Certificate),
    /// By a DNS record (dns-01) that a program sets.
    Program(PathBuf),
    /// By a DNS record that the name server takes from us.
    Server(Updates),
}

/// A proof that was put in place, and is to be taken away again.
pub(super) struct Placed {
    /// The host, or the record's name.
    name: String,
    /// The record's value.
    value: String,
}

impl Prover {
    /// How the authority calls it.
    pub(super) fn kind(&self) -> (ChallengeType, &'static str) {
        match self {
            Self::Door(_) => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
            Self::Program(_) | Self::Server(_) => (ChallengeType::Dns01, "dns-01"),
        }
    }

    /// Whether others must learn of it first.
    pub(super) fn spreads(&self) -> bool {
        !matches!(self, Self::Door(_))
    }

    /// Puts a proof of control of a host in place.
    pub(super) async fn place(
        &self,
        host: &str,
        token: &KeyAuthorization,
    ) -> Result<Placed, AcmeError> {
        let placed = match self {
            Self::Door(_) => Placed { name: host.to_owned(), value: String::new() },
            _ => Placed { name: format!("_acme-challenge.{host}"), value: token.dns_value() },
        };
        match self {
            Self::Door(door) => door.prove(host, &proof(host, token.digest().as_ref())?)?,
            Self::Program(program) => {
                hook::run(program, "present", &placed.name, &placed.value).await?;
            }
            Self::Server(server) => server.add(&placed.name, &placed.value).await?,
        }
        Ok(placed)
    }

    /// Takes a proof away.
    pub(super) async fn remove(&self, placed: &Placed) -> Result<(), AcmeError> {
        let Placed { name, value } = placed;
        match self {
            Self::Door(door) => door.unprove(name),
            Self::Program(program) => hook::run(program, "cleanup", name, value).await?,
            Self::Server(server) => server.remove(name, value).await?,
        }
        Ok(())
    }
}

/// A certificate that says what the authority wants to hear (RFC 8737, section 3), and its key.
fn proof(host: &str, digest: &[u8]) -> Result<Zeroizing<Vec<u8>>, AcmeError> {
    let mut params = CertificateParams::new([host.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    Ok(together(&key, &params.self_signed(&key)?.pem()))
}

/// A key and its certificate in one text.
pub(super) fn together(key: &KeyPair, chain: &str) -> Zeroizing<Vec<u8>> {
    let key = Zeroizing::new(key.serialize_pem());
    Zeroizing::new(format!("{}{chain}", *key).into_bytes())
}
