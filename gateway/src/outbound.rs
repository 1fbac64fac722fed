//! Connections to servers elsewhere: `http`, or `https` with a certificate that is checked. Webhooks and other S3 endpoints are reached so.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

/// How long a connection may take to come about, and then its handshake.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// A silent connection is asked this often whether the other end is still there.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// Roots that cannot be trusted because they cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {why}")]
pub struct RootsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// It does not listen, or cannot be reached.
    #[error("it cannot be reached: {0}")]
    Unreachable(Box<dyn std::error::Error + Send + Sync>),
    /// Its certificate will not do, or it speaks no TLS.
    #[error("no encrypted connection comes about: {0}")]
    Tls(io::Error),
    /// It took too long.
    #[error("it does not answer within {} s", CONNECT_MAX.as_secs())]
    Late,
    /// The URL names no host that could have a certificate.
    #[error("the URL names no host")]
    Host,
}

/// TLS that trusts the roots in a file (PEM), or else the system's.
///
/// # Errors
/// [`RootsError`].
pub fn tls(ca: Option<&Path>) -> Result<TlsConnector, RootsError> {
    let roots = match ca {
        Some(path) => roots_in(path)?,
        None => system_roots(),
    };
    trusting(roots)
}

fn trusting(roots: RootCertStore) -> Result<TlsConnector, RootsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| RootsError { path: PathBuf::new(), why: error.to_string() })?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

/// Makes connections. Cheap to clone.
#[derive(Clone)]
pub struct Connector {
    tcp: HttpConnector,
    tls: TlsConnector,
}

impl Connector {
    /// To these URLs. Trusts the roots in a file (PEM), or else the system's, which are read if one of the URLs needs them.
    ///
    /// # Errors
    /// [`RootsError`].
    pub fn new<'a>(
        ca: Option<&Path>,
        urls: impl IntoIterator<Item = &'a Uri>,
    ) -> Result<Self, RootsError> {
        let secure = ca.is_some() || urls.into_iter().any(is_secure);
        let tls = if secure { tls(ca)? } else { trusting(RootCertStore::empty())? };
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(CONNECT_MAX));
        tcp.set_keepalive(Some(KEEPALIVE));
        Ok(Self { tcp, tls })
    }
}

impl Service<Uri> for Connector {
    type Response = Wire;
    type Error = ConnectError;
    type Future = BoxFuture<'static, Result<Wire, ConnectError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), ConnectError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let tls = is_secure(&uri).then(|| self.tls.clone());
        let host = uri.host().map(|host| host.trim_matches(['[', ']']).to_owned());
        let connecting = self.tcp.call(uri);
        Box::pin(async move {
            let stream =
                connecting.await.map_err(|error| ConnectError::Unreachable(error.into()))?;
            let Some(tls) = tls else { return Ok(Wire::Plain(stream)) };
            let name = host.and_then(|host| ServerName::try_from(host).ok());
            let name = name.ok_or(ConnectError::Host)?;
            let shaken = timeout(CONNECT_MAX, tls.connect(name, stream.into_inner())).await;
            let stream = shaken.map_err(|_| ConnectError::Late)?.map_err(ConnectError::Tls)?;
            Ok(Wire::Tls(TokioIo::new(Box::new(stream))))
        })
    }
}

/// A connection.
pub enum Wire {
    /// Unencrypted.
    Plain(TokioIo<TcpStream>),
    /// Encrypted.
    Tls(TokioIo<Box<TlsStream<TcpStream>>>),
}

impl Connection for Wire {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl Write for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(context),
            Self::Tls(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

fn is_secure(uri: &Uri) -> bool {
    uri.scheme_str() == Some("https")
}

fn roots_in(path: &Path) -> Result<RootCertStore, RootsError> {
    let wrong = |why: String| RootsError { path: path.to_owned(), why };
    let text = fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(&text) {
        let certificate = certificate.map_err(|error| wrong(error.to_string()))?;
        roots.add(certificate).map_err(|error| wrong(error.to_string()))?;
    }
    if roots.is_empty() { Err(wrong("no certificate in PEM form".to_owned())) } else { Ok(roots) }
}

fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::warn!(%error, "some of the system's roots cannot be read");
    }
    let (_, unusable) = roots.add_parsable_certificates(found.certs);
    if unusable > 0 {
        tracing::debug!(unusable, "roots were left out");
    }
    roots
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn roots_that_are_none_are_named() {
        let dir = tempfile::tempdir().expect("a folder");
        let missing = dir.path().join("missing.pem");
        let error = Connector::new(Some(&missing), []).err().expect("no such file");
        assert_eq!(error.path, missing);
        let empty = dir.path().join("empty.pem");
        fs::write(&empty, "rubbish").expect("written");
        let error = Connector::new(Some(&empty), []).err().expect("no certificate");
        assert_eq!(error.why, "no certificate in PEM form");
    }
}
