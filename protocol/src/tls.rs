//! TLS 1.3 between a node, which dials, and a gateway, which listens: both show a certificate of an Ed25519 key.
//!
//! The certificates carry no trust of their own; they are self-signed leaves, because TLS wants some. A gateway's holds the
//! root's [`SignedGrant`] for its key in an extension, and the node checks that. A node's says only which key it is; what that
//! node may do is for the gateway to know.

use std::sync::Arc;

use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::crypto::ring::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::NoServerSessionStorage;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName as TlsName,
    OtherError, PeerMisbehaved, ServerConfig, SignatureScheme,
};
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use types::NodeId;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::dial::Io;
use crate::error::LinkError;
use crate::identity::{
    GrantedKey, NodeIdentity, PublicKey, Role, SecretKey, SignedGrant, Trust, TrustError,
};
use crate::limits::{HANDSHAKE_TIMEOUT, MESSAGE_MAX};
use crate::message::decode_exactly;

/// The gateway's end of an encrypted stream.
pub type GatewayStream<S> = tokio_rustls::server::TlsStream<S>;
/// The node's end of an encrypted stream.
pub type NodeStream<S> = tokio_rustls::client::TlsStream<S>;

/// What a connection is for; its name is agreed on in the handshake (ALPN, RFC 7301).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Purpose {
    /// The working conversation of a known node.
    Link,
    /// A stranger with an invite.
    Join,
    /// A known node whose owner wants it to leave, or to stay.
    Leave,
    /// A known node whose owner wants to know what is thought of it.
    Standing,
}

impl Purpose {
    const ALL: [Self; 4] = [Self::Link, Self::Join, Self::Leave, Self::Standing];

    /// The protocol's name.
    #[must_use]
    pub const fn alpn(self) -> &'static [u8] {
        match self {
            Self::Link => b"drystone/1",
            Self::Join => b"drystone-join/1",
            Self::Leave => b"drystone-leave/1",
            Self::Standing => b"drystone-standing/1",
        }
    }
}

/// The extension with the grant. Arc 2.25 is open to all; the number was drawn at random. Not critical: only our verifier reads it.
const GRANT_OID: [u64; 3] = [2, 25, 8_431_207_650_713_948_322];
/// Ed25519 as a key's algorithm (RFC 8410).
const ED25519_OID: [u64; 4] = [1, 3, 101, 112];
/// Sent in no handshake and checked by nobody: names prove nothing here.
const SERVER_NAME: &str = "gateway.drystone.internal";

/// The node's side of TLS: shows its key, and trusts gateways with the pinned root's grant.
#[derive(Clone)]
pub struct NodeTls {
    link: TlsConnector,
    join: TlsConnector,
    leave: TlsConnector,
    standing: TlsConnector,
}

impl NodeTls {
    /// For this identity and this trust; a floor that `trust` learns later holds for later connections.
    ///
    /// # Errors
    /// If the certificate cannot be made.
    pub fn new(identity: &NodeIdentity, trust: Arc<Trust>) -> Result<Self, LinkError> {
        let (chain, key) = certificate(identity.key(), None)?;
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(LinkError::Tls)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(GatewayVerifier(trust)))
            .with_client_auth_cert(chain, key)
            .map_err(LinkError::Tls)?;
        config.resumption = Resumption::disabled();
        config.enable_sni = false;
        let connector = |purpose: Purpose| {
            let mut config = config.clone();
            config.alpn_protocols = vec![purpose.alpn().to_vec()];
            TlsConnector::from(Arc::new(config))
        };
        Ok(Self {
            link: connector(Purpose::Link),
            join: connector(Purpose::Join),
            leave: connector(Purpose::Leave),
            standing: connector(Purpose::Standing),
        })
    }

    /// Encrypts a dialled stream, once the gateway at its other end has proven itself.
    ///
    /// # Errors
    /// [`LinkError::Untrusted`] if it could not, and what else can go wrong with a stream.
    pub async fn connect<S: Io>(
        &self,
        io: S,
        purpose: Purpose,
    ) -> Result<NodeStream<S>, LinkError> {
        let connector = match purpose {
            Purpose::Link => &self.link,
            Purpose::Join => &self.join,
            Purpose::Leave => &self.leave,
            Purpose::Standing => &self.standing,
        };
        let name = ServerName::try_from(SERVER_NAME).expect("a literal DNS name");
        let stream = within("the TLS handshake", connector.connect(name, io)).await?;
        if stream.get_ref().1.alpn_protocol() == Some(purpose.alpn()) {
            Ok(stream)
        } else {
            Err(LinkError::UnknownProtocol)
        }
    }
}

/// The gateway's side of TLS: shows its link key with the root's grant, and learns who dials.
#[derive(Clone)]
pub struct GatewayTls(TlsAcceptor);

/// A peer that proved a key. What it may do is not decided yet.
#[derive(Debug)]
pub struct Arrival<S> {
    /// Its key.
    pub key: PublicKey,
    /// The node that has this key.
    pub node: NodeId,
    /// What it wants.
    pub purpose: Purpose,
    /// The encrypted stream.
    pub io: GatewayStream<S>,
}

impl GatewayTls {
    /// For this link key. Make a new one when the grant is renewed; connections that stand are not affected.
    ///
    /// # Errors
    /// If the certificate cannot be made.
    pub fn new(link: &GrantedKey) -> Result<Self, LinkError> {
        let (chain, key) = certificate(&link.key, Some(&link.grant))?;
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(LinkError::Tls)?
            .with_client_cert_verifier(Arc::new(NodeVerifier))
            .with_single_cert(chain, key)
            .map_err(LinkError::Tls)?;
        config.alpn_protocols =
            Purpose::ALL.iter().map(|purpose| purpose.alpn().to_vec()).collect();
        // A link lives for hours: tickets would only be one more secret to keep.
        config.send_tls13_tickets = 0;
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self(TlsAcceptor::from(Arc::new(config))))
    }

    /// Encrypts an accepted stream and learns the key of its other end.
    ///
    /// # Errors
    /// If the handshake fails or takes too long.
    pub async fn accept<S: Io>(&self, io: S) -> Result<Arrival<S>, LinkError> {
        let io = within("the TLS handshake", self.0.accept(io)).await?;
        let session = io.get_ref().1;
        let purpose = Purpose::ALL
            .into_iter()
            .find(|purpose| session.alpn_protocol() == Some(purpose.alpn()));
        let purpose = purpose.ok_or(LinkError::UnknownProtocol)?;
        let leaf = session.peer_certificates().and_then(<[_]>::first);
        let key =
            leaf.ok_or(TrustError::BadCertificate).and_then(|leaf| Ok(Leaf::parse(leaf)?.key));
        let key = key.map_err(LinkError::Untrusted)?;
        Ok(Arrival { key, node: key.node_id(), purpose, io })
    }
}

async fn within<T>(
    what: &'static str,
    handshake: impl Future<Output = std::io::Result<T>>,
) -> Result<T, LinkError> {
    timeout(HANDSHAKE_TIMEOUT, handshake)
        .await
        .map_err(|_| LinkError::Timeout { what, after: HANDSHAKE_TIMEOUT })?
        .map_err(LinkError::from_handshake)
}

/// AES-128 first: every node of the last ten years has instructions for it, and the data is sealed already.
fn provider() -> Arc<CryptoProvider> {
    let cipher_suites =
        vec![TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256];
    Arc::new(CryptoProvider { cipher_suites, ..rustls::crypto::ring::default_provider() })
}

type Certificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn certificate(key: &SecretKey, grant: Option<&SignedGrant>) -> Result<Certificate, LinkError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "drystone");
    if let Some(grant) = grant {
        let content =
            postcard::to_stdvec(grant).expect("a grant has no part that postcard cannot write");
        params.custom_extensions.push(CustomExtension::from_oid_content(&GRANT_OID, content));
    }
    let leaf = params.self_signed(&LeafKey(key, key.public())).map_err(LinkError::Certificate)?;
    let secret = PrivatePkcs8KeyDer::from(key.pkcs8().to_vec());
    Ok((vec![leaf.into()], secret.into()))
}

/// A key as the certificate maker wants it.
struct LeafKey<'a>(&'a SecretKey, PublicKey);

impl rcgen::PublicKeyData for LeafKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.1.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl rcgen::SigningKey for LeafKey<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        Ok(self.0.sign_raw(message).to_vec())
    }
}

/// What matters in a peer's certificate.
struct Leaf {
    key: PublicKey,
    grant: Option<SignedGrant>,
}

impl Leaf {
    fn parse(der: &CertificateDer<'_>) -> Result<Self, TrustError> {
        let (rest, certificate) =
            X509Certificate::from_der(der).map_err(|_| TrustError::BadCertificate)?;
        let spki = certificate.public_key();
        let key: [u8; 32] = spki
            .subject_public_key
            .data
            .as_ref()
            .try_into()
            .map_err(|_| TrustError::BadCertificate)?;
        let algorithm = spki.algorithm.algorithm.iter().is_some_and(|arcs| arcs.eq(ED25519_OID));
        if !rest.is_empty() || !algorithm {
            return Err(TrustError::BadCertificate);
        }
        let is_grant = |oid: &x509_parser::der_parser::oid::Oid<'_>| {
            oid.iter().is_some_and(|arcs| arcs.eq(GRANT_OID))
        };
        let mut grants =
            certificate.extensions().iter().filter(|extension| is_grant(&extension.oid));
        let grant = match (grants.next(), grants.next()) {
            (None, _) => None,
            (Some(extension), None) if extension.value.len() <= MESSAGE_MAX => {
                Some(decode_exactly(extension.value).ok_or(TrustError::BadCertificate)?)
            }
            _ => return Err(TrustError::BadCertificate),
        };
        Ok(Self { key: PublicKey(key), grant })
    }

    /// The same parser finds the key for the identity and for the handshake's signature: they cannot disagree.
    fn verify_handshake(
        der: &CertificateDer<'_>,
        message: &[u8],
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        if signed.scheme != SignatureScheme::ED25519 {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        if Self::parse(der).map_err(distrust)?.key.signed_raw(message, signed.signature()) {
            Ok(HandshakeSignatureValid::assertion())
        } else {
            Err(CertificateError::BadSignature.into())
        }
    }
}

fn distrust(error: TrustError) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(error))).into()
}

/// TLS 1.2 is not offered, so nobody can get here.
fn no_tls12() -> rustls::Error {
    PeerMisbehaved::AttemptedDowngradeToTls12WhenTls13IsSupported.into()
}

/// The node's check of a gateway.
#[derive(Debug)]
struct GatewayVerifier(Arc<Trust>);

impl ServerCertVerifier for GatewayVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let leaf = Leaf::parse(end_entity).map_err(distrust)?;
        let grant = leaf.grant.ok_or_else(|| distrust(TrustError::NoGrant))?;
        self.0.check(&grant, Role::Link).map_err(distrust)?;
        if grant.grant.key != leaf.key {
            return Err(distrust(TrustError::OtherKey));
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Leaf::verify_handshake(cert, message, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// The gateway's check of a node: any Ed25519 key, of which possession is proven.
#[derive(Debug)]
struct NodeVerifier;

impl ClientCertVerifier for NodeVerifier {
    fn root_hint_subjects(&self) -> &[TlsName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        Leaf::parse(end_entity).map_err(distrust)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Leaf::verify_handshake(cert, message, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}
