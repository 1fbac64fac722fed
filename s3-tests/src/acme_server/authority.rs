//! The keys of the authority, and what it issues with them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData, SignatureAlgorithm,
};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;
use types::{Clock as _, SystemClock};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::prelude::FromDer as _;

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    root: rcgen::Certificate,
    life: Duration,
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").field("life", &self.life).finish_non_exhaustive()
    }
}

/// The key of a request.
struct Subject(Vec<u8>);

impl PublicKeyData for Subject {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl Authority {
    pub(crate) fn new(life: Duration) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "Drystone's test authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root = params.self_signed(&key).expect("a root");
        Self { issuer: Issuer::new(params, key), root, life }
    }

    pub(crate) fn root_pem(&self) -> String {
        self.root.pem()
    }

    /// TLS for the authority's own door.
    pub(crate) fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().expect("a key");
        let params = CertificateParams::new([name.to_owned()]).expect("a name");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone()];
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(chain, key)
            .expect("a certificate and its key");
        TlsAcceptor::from(Arc::new(config))
    }

    /// Issues what a request asks for, if that is `names` and its key signed it; gives the chain.
    pub(super) fn issue(&self, csr: &[u8], names: &[String]) -> Result<String, String> {
        let (_, request) =
            X509CertificationRequest::from_der(csr).map_err(|error| error.to_string())?;
        let info = &request.certification_request_info;
        let key = info.subject_pki.subject_public_key.data.to_vec();
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &key)
            .verify(info.raw, &request.signature_value.data)
            .map_err(|_| "its signature is wrong".to_owned())?;
        let mut asked = BTreeSet::new();
        for extension in request.requested_extensions().into_iter().flatten() {
            let ParsedExtension::SubjectAlternativeName(found) = extension else { continue };
            for name in &found.general_names {
                let GeneralName::DNSName(name) = name else {
                    return Err(format!("{name} was not ordered"));
                };
                asked.insert((*name).to_owned());
            }
        }
        if asked != names.iter().cloned().collect() {
            return Err(format!("it asks for {asked:?}, ordered were {names:?}"));
        }
        let mut params = CertificateParams::new(names.to_vec()).map_err(|e| e.to_string())?;
        let now = SystemTime::from(SystemClock.now());
        params.not_before = now.into();
        params.not_after = (now + self.life).into();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        let issued = params.signed_by(&Subject(key), &self.issuer).map_err(|e| e.to_string())?;
        Ok(issued.pem() + &self.root.pem())
    }
}
