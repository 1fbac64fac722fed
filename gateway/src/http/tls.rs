//! TLS at the door: a certificate that can be replaced while connections run.

use std::collections::HashMap;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::{MissedTickBehavior, interval};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// How often the files are looked at. A renewed certificate serves new connections this much later.
const LOOK: Duration = Duration::from_secs(2);
/// What a connection that wants proof of a name's control says it speaks (RFC 8737).
const ACME_TLS: &[u8] = b"acme-tls/1";

/// Why there is no certificate to show.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A file cannot be read.
    #[error("{path}: {source}")]
    Io {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file does not hold what it should.
    #[error("{path} holds no {what} in PEM form: {source}")]
    Pem {
        /// Which.
        path: PathBuf,
        /// What it should hold.
        what: &'static str,
        /// Why it does not.
        source: pem::Error,
    },
    /// The key is of an unknown kind, or not the certificate's.
    #[error("{cert} and {key} do not belong together: {source}")]
    Mismatch {
        /// The certificates' file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// A text does not hold a certificate and its key.
    #[error("no {what} in PEM form: {source}")]
    Text {
        /// What it should hold.
        what: &'static str,
        /// Why it does not.
        source: pem::Error,
    },
    /// TLS itself.
    #[error("TLS: {0}")]
    Tls(#[from] rustls::Error),
}

/// The certificate that a door shows at the moment. Cheap to clone; all clones show the same.
#[derive(Clone)]
pub struct Certificate(Arc<Shown>);

struct Shown {
    certificate: RwLock<Arc<CertifiedKey>>,
    /// Shown instead to who asks for proof of control, by name.
    proofs: RwLock<HashMap<String, Arc<CertifiedKey>>>,
}

impl fmt::Debug for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shown")
    }
}

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if hello.alpn().is_some_and(|mut spoken| spoken.any(|protocol| protocol == ACME_TLS)) {
            let name = hello.server_name()?.to_ascii_lowercase();
            return self.proofs.read().unwrap_or_else(PoisonError::into_inner).get(&name).cloned();
        }
        Some(Arc::clone(&self.certificate.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl Certificate {
    /// From a chain and a key in PEM form.
    ///
    /// # Errors
    /// [`CertificateError::Pem`], [`CertificateError::Mismatch`].
    pub fn new(files: &Files) -> Result<Self, CertificateError> {
        Ok(Self::showing(files.read()?))
    }

    /// From one text in PEM form that holds the chain, the server's own certificate first, and its private key.
    ///
    /// # Errors
    /// [`CertificateError::Text`], [`CertificateError::Tls`].
    pub fn from_pem(text: &[u8]) -> Result<Self, CertificateError> {
        Ok(Self::showing(certified(text)?))
    }

    fn showing(certificate: Arc<CertifiedKey>) -> Self {
        let certificate = RwLock::new(certificate);
        Self(Arc::new(Shown { certificate, proofs: RwLock::default() }))
    }

    /// Shows another certificate from now on, given as for [`Self::from_pem`].
    ///
    /// # Errors
    /// As there; the old one stays in use then.
    pub fn replace(&self, text: &[u8]) -> Result<(), CertificateError> {
        self.put(certified(text)?);
        Ok(())
    }

    fn put(&self, certificate: Arc<CertifiedKey>) {
        *self.0.certificate.write().unwrap_or_else(PoisonError::into_inner) = certificate;
    }

    /// Shows a certificate, given as for [`Self::from_pem`], to who asks for proof that this server controls `name`, until [`Self::unprove`].
    ///
    /// # Errors
    /// As for [`Self::from_pem`].
    pub fn prove(&self, name: &str, text: &[u8]) -> Result<(), CertificateError> {
        let proof = certified(text)?;
        let mut proofs = self.0.proofs.write().unwrap_or_else(PoisonError::into_inner);
        proofs.insert(name.to_ascii_lowercase(), proof);
        Ok(())
    }

    /// Shows no proof of control of `name` any more.
    pub fn unprove(&self, name: &str) {
        let mut proofs = self.0.proofs.write().unwrap_or_else(PoisonError::into_inner);
        proofs.remove(&name.to_ascii_lowercase());
    }

    /// What greets connections: TLS 1.2 and 1.3, HTTP/1.1.
    ///
    /// # Errors
    /// [`CertificateError::Tls`].
    pub fn acceptor(&self) -> Result<TlsAcceptor, CertificateError> {
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.0) as _);
        config.alpn_protocols = vec![b"http/1.1".to_vec(), ACME_TLS.to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    /// Shows what the files hold now, whenever they change, until `stop`. Files that cannot be used leave the old certificate in place.
    pub async fn follow(self, files: Files, stop: CancellationToken) {
        let mut seen = files.state();
        let mut ticks = interval(LOOK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let now = files.state();
            if now == seen {
                continue;
            }
            match files.read() {
                Ok(certificate) => {
                    self.put(certificate);
                    tracing::info!(file = %files.cert.display(), "a new certificate is in use");
                    seen = now;
                }
                // Perhaps only half written: look again.
                Err(error) => tracing::warn!(%error, "the old certificate stays in use"),
            }
        }
    }
}

/// Where a certificate lies.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Files {
    /// The chain in PEM form, the server's own certificate first.
    pub cert: PathBuf,
    /// Its private key in PEM form.
    pub key: PathBuf,
}

/// When a file was written, and how long it is.
type FileState = Option<(SystemTime, u64)>;

impl Files {
    fn read(&self) -> Result<Arc<CertifiedKey>, CertificateError> {
        let pem = |path: &Path, what, source| CertificateError::Pem {
            path: path.to_owned(),
            what,
            source,
        };
        let text = read(&self.cert)?;
        let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(&text)
            .collect::<Result<_, _>>()
            .map_err(|error| pem(&self.cert, "certificate", error))?;
        if chain.is_empty() {
            return Err(pem(&self.cert, "certificate", pem::Error::NoItemsFound));
        }
        let text = zeroize::Zeroizing::new(read(&self.key)?);
        let key = PrivateKeyDer::from_pem_slice(&text)
            .map_err(|error| pem(&self.key, "private key", error))?;
        let certified = CertifiedKey::from_der(chain, key, &provider());
        certified.map(Arc::new).map_err(|source| CertificateError::Mismatch {
            cert: self.cert.clone(),
            key: self.key.clone(),
            source,
        })
    }

    fn state(&self) -> [FileState; 2] {
        let of = |path: &Path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        [of(&self.cert), of(&self.key)]
    }
}

/// A chain and its key from one text.
fn certified(text: &[u8]) -> Result<Arc<CertifiedKey>, CertificateError> {
    let wrong = |what| move |source| CertificateError::Text { what, source };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(text)
        .collect::<Result<_, _>>()
        .map_err(wrong("certificate"))?;
    if chain.is_empty() {
        return Err(wrong("certificate")(pem::Error::NoItemsFound));
    }
    let key = PrivateKeyDer::from_pem_slice(text).map_err(wrong("private key"))?;
    // Not `from_der`: it would read the certificate as a client does, and a proof of tls-alpn-01 has a critical extension no client knows
    // (RFC 8737). Both texts are the authority's and ours, made for each other.
    let key = provider().key_provider.load_private_key(key)?;
    Ok(Arc::new(CertifiedKey::new(chain, key)))
}

fn read(path: &Path) -> Result<Vec<u8>, CertificateError> {
    fs::read(path).map_err(|source| CertificateError::Io { path: path.to_owned(), source })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(dir: &Path, name: &str) -> Files {
        let made = rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate");
        let files = Files { cert: dir.join("cert.pem"), key: dir.join("key.pem") };
        fs::write(&files.cert, made.cert.pem()).expect("written");
        fs::write(&files.key, made.signing_key.serialize_pem()).expect("written");
        files
    }

    fn shown(certificate: &Certificate) -> Vec<u8> {
        certificate.0.certificate.read().expect("unpoisoned").cert[0].to_vec()
    }

    #[test]
    fn a_certificate_and_another_ones_key_are_refused() {
        let (one, two) =
            (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
        let (own, other) = (write(one.path(), "a.test"), write(two.path(), "b.test"));
        assert!(Certificate::new(&own).is_ok());
        let mixed = Files { cert: own.cert.clone(), key: other.key };
        assert!(matches!(Certificate::new(&mixed), Err(CertificateError::Mismatch { .. })));
        let swapped = Files { cert: own.key.clone(), key: own.cert.clone() };
        assert!(matches!(Certificate::new(&swapped), Err(CertificateError::Pem { .. })));
        let none = Files { cert: one.path().join("none"), key: own.key };
        assert!(matches!(Certificate::new(&none), Err(CertificateError::Io { .. })));
    }

    #[tokio::test]
    async fn a_renewed_certificate_is_shown_and_a_broken_one_is_not() {
        let dir = tempfile::tempdir().expect("a folder");
        let files = write(dir.path(), "old.test");
        let certificate = Certificate::new(&files).expect("a certificate");
        let old = shown(&certificate);
        let stop = CancellationToken::new();
        let following = tokio::spawn(certificate.clone().follow(files.clone(), stop.clone()));
        tokio::time::sleep(LOOK / 4).await;
        fs::write(&files.cert, "half").expect("written");
        tokio::time::sleep(LOOK + LOOK / 4).await;
        assert_eq!(shown(&certificate), old);
        write(dir.path(), "new.test");
        tokio::time::sleep(LOOK + LOOK / 4).await;
        assert_ne!(shown(&certificate), old);
        stop.cancel();
        following.await.expect("no panic");
    }
}
