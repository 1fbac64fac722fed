//! Looking whether somebody controls a name.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls13_signature_with_raw_key};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::name_server;

/// How long a check may take, and how long it waits until somebody says where to look.
const PATIENCE: Duration = Duration::from_secs(60);
const POLL: Duration = Duration::from_millis(50);
/// id-pe-acmeIdentifier (RFC 8737).
const ACME_IDENTIFIER: &str = "1.3.6.1.5.5.7.1.31";
const PROTOCOL: &[u8] = b"acme-tls/1";

/// What is to be found.
#[derive(Debug)]
pub(super) enum Asked {
    /// A TXT record.
    Dns { name: String, value: String },
    /// A certificate for this connection alone.
    Tls { host: String, proof: [u8; 32] },
}

#[derive(Debug)]
pub(super) struct Checks {
    names: SocketAddr,
    door: Mutex<Option<SocketAddr>>,
}

impl Checks {
    pub(super) fn new(names: SocketAddr) -> Self {
        Self { names, door: Mutex::default() }
    }

    pub(super) fn look_at(&self, address: SocketAddr) {
        *self.door.lock().expect("no check panicked") = Some(address);
    }

    pub(super) async fn check(&self, asked: &Asked) -> Result<(), String> {
        let check = async {
            match asked {
                Asked::Dns { name, value } => {
                    let found = name_server::ask(self.names, name).await?;
                    if found.contains(value) {
                        Ok(())
                    } else {
                        Err(format!("{name} has {found:?}, not {value}"))
                    }
                }
                Asked::Tls { host, proof } => self.tls(host, proof).await,
            }
        };
        timeout(PATIENCE, check).await.map_err(|_| "it took too long".to_owned())?
    }

    async fn tls(&self, host: &str, proof: &[u8; 32]) -> Result<(), String> {
        let door = loop {
            let door = *self.door.lock().expect("no check panicked");
            match door {
                Some(door) => break door,
                None => sleep(POLL).await,
            }
        };
        let stream = TcpStream::connect(door).await.map_err(|error| error.to_string())?;
        let name = ServerName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("versions")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Anything(provider)))
            .with_no_client_auth();
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        let tls = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        let tls = tls.map_err(|error| format!("{host}: {error}"))?;
        let (_, session) = tls.get_ref();
        if session.alpn_protocol() != Some(PROTOCOL) {
            return Err("it speaks something else".to_owned());
        }
        let shown = session.peer_certificates().and_then(|chain| chain.first());
        proves(shown.ok_or("no certificate")?, host, proof)
    }
}

/// RFC 8737, section 3: exactly this name, and a critical extension with the proof.
fn proves(shown: &CertificateDer<'_>, host: &str, proof: &[u8; 32]) -> Result<(), String> {
    let (_, shown) = X509Certificate::from_der(shown).map_err(|error| error.to_string())?;
    let names = shown.subject_alternative_name().map_err(|error| error.to_string())?;
    let names = names.ok_or("no names")?.value.general_names.clone();
    if names != [GeneralName::DNSName(host)] {
        return Err(format!("it names {names:?}"));
    }
    let extension = shown
        .extensions()
        .iter()
        .find(|extension| extension.oid.to_id_string() == ACME_IDENTIFIER)
        .ok_or("no proof in it")?;
    if !extension.critical || extension.value != [&[4, 32], &proof[..]].concat() {
        return Err("the proof is wrong".to_owned());
    }
    Ok(())
}

/// Takes any certificate, but only with its key.
#[derive(Debug)]
struct Anything(Arc<CryptoProvider>);

impl ServerCertVerifier for Anything {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("only TLS 1.3 is spoken".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        // By the bare key: the certificate has a critical extension that no client knows.
        let (_, shown) = X509Certificate::from_der(cert)
            .map_err(|error| Error::General(format!("the certificate: {error}")))?;
        let key = SubjectPublicKeyInfoDer::from(shown.public_key().raw);
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &key, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
