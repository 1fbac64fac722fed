//! A webhook that keeps what it is sent, and can refuse it; over TLS too.

use std::convert::Infallible;
use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};

use crate::acme_server::authority::Authority;

/// How long a message may take to come.
const PATIENCE: Duration = Duration::from_secs(15);

/// A webhook that listens until the test ends.
#[derive(Clone, Debug)]
pub struct Hook {
    scheme: &'static str,
    address: SocketAddr,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    messages: Mutex<Vec<Value>>,
    refuses: AtomicBool,
}

impl Hook {
    /// Listens on a free port.
    ///
    /// # Panics
    /// If there is none.
    pub async fn listen() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let hook = Self { scheme: "http", address, state: Arc::default() };
        let state = Arc::clone(&hook.state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&state)));
            }
        });
        hook
    }

    /// Listens on a free port over TLS, as `localhost`. The root of its certificate is written into a file.
    ///
    /// # Panics
    /// If there is no port, or the file cannot be written.
    pub async fn listen_secure(root: &Path) -> Self {
        let authority = Authority::new(Duration::from_secs(24 * 3600));
        fs::write(root, authority.root_pem()).expect("written");
        let tls = authority.acceptor("localhost");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("an address");
        let hook = Self { scheme: "https", address, state: Arc::default() };
        let state = Arc::clone(&hook.state);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (tls, state) = (tls.clone(), Arc::clone(&state));
                tokio::spawn(async move {
                    // A client that trusts another root goes away.
                    if let Ok(stream) = tls.accept(stream).await {
                        serve(stream, state).await;
                    }
                });
            }
        });
        hook
    }

    /// Its URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("{}://localhost:{}/events", self.scheme, self.address.port())
    }

    /// From now on answers 503, or takes messages again.
    pub fn refuse(&self, refuses: bool) {
        self.state.refuses.store(refuses, Ordering::SeqCst);
    }

    /// What it has taken, in order.
    #[must_use]
    pub fn taken(&self) -> Vec<Value> {
        self.state.messages.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What it has taken, once there are so many messages.
    ///
    /// # Panics
    /// If they do not come.
    pub async fn wait_for(&self, count: usize) -> Vec<Value> {
        let end = Instant::now() + PATIENCE;
        loop {
            let taken = self.taken();
            if taken.len() >= count {
                return taken;
            }
            assert!(Instant::now() < end, "{} of {count} messages: {taken:#?}", taken.len());
            sleep(Duration::from_millis(50)).await;
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, state: Arc<State>) {
    let service = service_fn(move |request| take(Arc::clone(&state), request));
    // A client that goes away is no failure.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn take(
    state: Arc<State>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let mut answer = Response::new(Full::default());
    let body = request.into_body().collect().await;
    let message = body.ok().and_then(|body| serde_json::from_slice(&body.to_bytes()).ok());
    match message {
        Some(message) if !state.refuses.load(Ordering::SeqCst) => {
            state.messages.lock().unwrap_or_else(PoisonError::into_inner).push(message);
        }
        _ => *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE,
    }
    Ok(answer)
}
