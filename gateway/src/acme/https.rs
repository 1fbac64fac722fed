//! The way to the authority: HTTPS, one connection for each request. There are a dozen of them in two months.

use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, USER_AGENT};
use http::{HeaderMap, HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use types::MIB;

use super::AcmeError;
use crate::outbound;

/// How long the authority may take to answer a request.
const PATIENCE: Duration = Duration::from_secs(30);
/// The longest answer, in bytes: a chain of certificates is a few KiB.
const ANSWER_MAX: usize = MIB as usize;

type Boxed = Box<dyn std::error::Error + Send + Sync>;

/// Asks over HTTPS, trusting certain roots.
#[derive(Clone)]
pub(super) struct Https(TlsConnector);

impl Https {
    /// Trusts the roots in a file, or else the system's.
    pub(super) fn new(ca: Option<&Path>) -> Result<Self, AcmeError> {
        Ok(Self(outbound::tls(ca)?))
    }
}

impl Https {
    /// Fetches what anybody may see: its headers and its bytes.
    ///
    /// # Errors
    /// If there is no answer, or another than success.
    pub(super) async fn get(&self, url: &str) -> Result<(HeaderMap, Bytes), Error> {
        let request = Request::builder()
            .uri(url)
            .header(USER_AGENT, "Drystone")
            .body(BodyWrapper::default())?;
        let answer = timeout(PATIENCE, exchange(&self.0, request)).await;
        let answer = answer.map_err(|_| Error::Other("it does not answer".into()))?;
        let (parts, body) = answer.map_err(Error::Other)?.into_parts();
        if !parts.status.is_success() {
            return Err(Error::Other(format!("it answers {} to {url}", parts.status).into()));
        }
        match body.collect().await {
            Ok(body) => Ok((parts.headers, body.to_bytes())),
            Err(never) => match never {},
        }
    }
}

impl HttpClient for Https {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let tls = self.0.clone();
        Box::pin(async move {
            match timeout(PATIENCE, exchange(&tls, request)).await {
                Ok(answer) => answer.map(BytesResponse::from).map_err(Error::Other),
                Err(_) => Err(Error::Other("it does not answer".into())),
            }
        })
    }
}

async fn exchange(
    tls: &TlsConnector,
    mut request: Request<BodyWrapper<Bytes>>,
) -> Result<Response<Full<Bytes>>, Boxed> {
    let uri = request.uri().clone();
    let authority = authority(&uri).ok_or_else(|| format!("{uri} is no https:// address"))?;
    let host = authority.host().trim_matches(['[', ']']).to_owned();
    let stream = TcpStream::connect((host.as_str(), authority.port_u16().unwrap_or(443))).await?;
    let stream = tls.connect(ServerName::try_from(host)?, stream).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).parse::<Uri>()?;
    request.headers_mut().insert(HOST, HeaderValue::from_str(authority.as_str())?);
    *request.uri_mut() = path;
    let answer = async {
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let body = Limited::new(body, ANSWER_MAX).collect().await?.to_bytes();
        Ok(Response::from_parts(parts, Full::new(body)))
    };
    // The connection ends with the answer, or the answer with the connection.
    let mut connection = std::pin::pin!(connection);
    let mut answer = std::pin::pin!(answer);
    tokio::select! {
        answer = &mut answer => answer,
        ended = &mut connection => {
            ended?;
            answer.await
        }
    }
}

/// Where to ask, if it is an address that can be asked.
pub(super) fn authority(uri: &Uri) -> Option<&http::uri::Authority> {
    uri.authority().filter(|_| uri.scheme_str() == Some("https"))
}
