//! HTTPS by hand: which certificate is shown, and what is answered to bytes that the test wrote.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What came back over an encrypted connection.
#[derive(Clone, Debug)]
pub struct Shown {
    /// The server's own certificate.
    pub certificate: CertificateDer<'static>,
    /// The whole answer.
    pub answer: String,
}

/// Sends a request to a server that must prove to be `name`, trusted by the roots in a file, and reads until it closes.
///
/// # Errors
/// If no connection comes about, or it breaks.
///
/// # Panics
/// If the roots cannot be read.
pub async fn ask(to: SocketAddr, name: &str, roots: &Path, request: &[u8]) -> io::Result<Shown> {
    let mut trusted = RootCertStore::empty();
    let root = CertificateDer::from_pem_file(roots).expect("a root");
    trusted.add(root).expect("a root");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(trusted)
        .with_no_client_auth();
    let stream = TcpStream::connect(to).await?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut tls = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    let chain = tls.get_ref().1.peer_certificates().unwrap_or_default();
    let certificate = chain.first().ok_or(io::ErrorKind::InvalidData)?.clone().into_owned();
    tls.write_all(request).await?;
    let mut answer = Vec::new();
    match tls.read_to_end(&mut answer).await {
        // Whoever has said all may close without a word.
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof || answer.is_empty() => {
            return Err(error);
        }
        _ => {}
    }
    Ok(Shown { certificate, answer: String::from_utf8_lossy(&answer).into_owned() })
}
