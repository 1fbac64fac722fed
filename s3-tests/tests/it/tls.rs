//! S3 over TLS: a certificate from files, and its successor without a restart.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use drystone_s3_tests::cluster::{Cluster, Options};
use drystone_s3_tests::port::Port;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

/// A certificate for `localhost` in two files.
struct Made {
    cert: PathBuf,
    key: PathBuf,
    der: CertificateDer<'static>,
}

fn make(dir: &Path) -> Made {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    fs::write(&cert, made.cert.pem()).expect("written");
    Made { cert, key, der: made.cert.der().clone() }
}

/// Sends a bare request to a server that must show `trusted`, and gives the whole answer.
async fn ask(
    to: SocketAddr,
    trusted: &CertificateDer<'static>,
    versions: &[&'static SupportedProtocolVersion],
    request: &str,
) -> std::io::Result<String> {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).expect("a certificate");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(to).await?;
    let name = ServerName::try_from("localhost").expect("a name");
    let mut tls = TlsConnector::from(Arc::new(config)).connect(name, stream).await?;
    tls.write_all(request.as_bytes()).await?;
    let mut answer = vec![0; 64 * 1024];
    let read = tls.read(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer[..read]).into_owned())
}

fn list(cluster: &Cluster) -> String {
    cluster.client().get("/").into_raw()
}

#[tokio::test(flavor = "multi_thread")]
async fn s3_is_served_over_tls_and_a_new_certificate_needs_no_restart() {
    let dir = tempfile::tempdir().expect("a folder");
    let old = make(dir.path());
    let (cert, key) = (old.cert.display().to_string(), old.key.display().to_string());
    let website = Port::take();
    let cluster = Options::new()
        .flag("--tls-cert", &cert)
        .flag("--tls-key", &key)
        .flag("--website-addr", &website.address().to_string())
        .up()
        .await;

    let visit = "GET / HTTP/1.1\r\nhost: nobodys-site\r\n\r\n";
    let page = ask(website.address(), &old.der, &[&rustls::version::TLS13], visit).await;
    let page = page.expect("websites are served over TLS, too");
    assert!(page.starts_with("HTTP/1.1 404"), "{page}");
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let answer =
            ask(cluster.s3(), &old.der, &[version], &list(&cluster)).await.expect("an answer");
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("x-amz-request-id"), "{answer}");
    }
    // Unencrypted requests get no answer, and above all no error that repeats them.
    let plain = cluster.client().get("/").try_send().await;
    assert!(plain.is_err(), "{plain:?}");

    let stranger = make(tempfile::tempdir().expect("a folder").path());
    let all = [&rustls::version::TLS13];
    assert!(ask(cluster.s3(), &stranger.der, &all, &list(&cluster)).await.is_err());

    let new = make(dir.path());
    let begun = Instant::now();
    while ask(cluster.s3(), &new.der, &all, &list(&cluster)).await.is_err() {
        assert!(begun.elapsed() < Duration::from_secs(30), "the new certificate is not taken up");
        sleep(Duration::from_millis(200)).await;
    }
    assert!(
        ask(cluster.s3(), &old.der, &all, &list(&cluster)).await.is_err(),
        "the old one is gone"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_is_not_waited_for() {
    let dir = tempfile::tempdir().expect("a folder");
    let made = make(dir.path());
    let (cert, key) = (made.cert.display().to_string(), made.key.display().to_string());
    let cluster = Options::new().flag("--tls-cert", &cert).flag("--tls-key", &key).up().await;
    let mut silent = TcpStream::connect(cluster.s3()).await.expect("a connection");
    let closed = timeout(Duration::from_secs(15), silent.read(&mut [0; 16])).await;
    assert!(matches!(closed, Ok(Ok(0) | Err(_))), "{closed:?}");
}
