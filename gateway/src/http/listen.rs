//! Taking a port, and taking connections from it whatever happens.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::Service;

use super::body::RequestBody;
use super::drain::Drain;
use super::exchange::Exchange;
use super::limits::Limits;
use super::patience::Patient;
use super::peer::Peer;
use super::request_id::DoorId;

/// Connections the kernel may hold ready for us; more are turned away by it.
const BACKLOG: u32 = 1024;
/// How long to leave the listener alone when this process or machine has no file descriptor or memory left: meanwhile requests end.
const BREATHER: Duration = Duration::from_millis(100);

/// Why a port could not be taken.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Somebody has it.
    #[error("port {} is taken by another program; choose another with {flag}", .addr.port())]
    Taken {
        /// What was wanted.
        addr: SocketAddr,
        /// The option that changes it.
        flag: &'static str,
    },
    /// It needs privileges.
    #[error("port {} needs privileges that this process lacks; choose one above 1023 with {flag}", .addr.port())]
    Denied {
        /// What was wanted.
        addr: SocketAddr,
        /// The option that changes it.
        flag: &'static str,
    },
    /// It is not this machine's.
    #[error("this machine has no address {}; choose another with {flag}", .addr.ip())]
    NoSuchAddress {
        /// What was wanted.
        addr: SocketAddr,
        /// The option that changes it.
        flag: &'static str,
    },
    /// Anything else.
    #[error("cannot listen on {addr}: {source}")]
    Io {
        /// What was wanted.
        addr: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

/// Takes a port. `flag` is the option that an error names as the way out.
///
/// The address may be used again at once after a restart (`SO_REUSEADDR`), and connections probe peers that vanished without a word (`SO_KEEPALIVE`).
///
/// # Errors
/// [`BindError`]. Must be called on a tokio runtime.
pub fn bind(addr: SocketAddr, flag: &'static str) -> Result<TcpListener, BindError> {
    let listen = || {
        let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.set_reuseaddr(true)?;
        socket.set_keepalive(true)?;
        socket.bind(addr)?;
        socket.listen(BACKLOG)
    };
    listen().map_err(|source| match source.kind() {
        io::ErrorKind::AddrInUse => BindError::Taken { addr, flag },
        io::ErrorKind::PermissionDenied => BindError::Denied { addr, flag },
        io::ErrorKind::AddrNotAvailable => BindError::NoSuchAddress { addr, flag },
        _ => BindError::Io { addr, source },
    })
}

/// Serves every connection until `shutdown`, then lets requests in flight finish for [`Limits::drain`] and cuts the rest.
///
/// With `tls` every connection is encrypted: who does not agree on how within [`Limits::handshake`] is turned away.
///
/// Nothing a client does ends it, nor does a lack of file descriptors: it waits for some.
pub async fn serve<S, B>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    service: S,
    limits: Limits,
    shutdown: CancellationToken,
) where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: fmt::Display + Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let limits = Arc::new(limits);
    let places = Arc::new(Semaphore::new(limits.connections));
    let load = Arc::new(Semaphore::new(limits.requests));
    let door = DoorId::new();
    let http = protocol(&limits);
    let drain = Drain::new(shutdown);
    loop {
        let (stream, peer, place) = tokio::select! {
            biased;
            () = drain.closing() => break,
            accepted = accept(&listener, &places) => accepted,
        };
        let exchange = Exchange {
            service: service.clone(),
            limits: Arc::clone(&limits),
            load: Arc::clone(&load),
            door,
            peer: Peer { address: peer, tls: tls.is_some() },
        };
        drain.admit(greet(http.clone(), stream, tls.clone(), exchange, drain.clone(), place));
    }
    // Closed first, so that a load balancer or a successor sees at once that nobody answers here.
    drop(listener);
    let cut = drain.finish(limits.drain).await;
    if cut > 0 {
        tracing::warn!(
            door = limits.door,
            cut,
            "connections were cut: they did not finish in time"
        );
    }
}

fn protocol(limits: &Limits) -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new())
        .header_read_timeout(limits.head_wait)
        .max_header_size(limits.head)
        .max_buf_size(limits.buffer)
        .writev(true)
        .half_close(false);
    http
}

/// The next connection, once there is a place for it.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let place = Arc::clone(places).acquire_owned().await.expect("the semaphore is never closed");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, place),
            // The client gave up while it waited in the queue; the next is as good.
            Err(error) if of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections for a moment");
                sleep(BREATHER).await;
            }
        }
    }
}

fn of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

/// Prepares a connection, encrypts it if this door does, and serves it.
async fn greet<S, B>(
    http: http1::Builder,
    stream: TcpStream,
    tls: Option<TlsAcceptor>,
    exchange: Exchange<S>,
    drain: Drain,
    _place: OwnedSemaphorePermit,
) where
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: fmt::Display + Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let _open = Open::new(exchange.limits.door);
    // Answers are written whole; waiting to fill a packet would only delay their end.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "no TCP_NODELAY");
    }
    let stream = Patient::new(stream, exchange.limits.write_stall);
    let Some(tls) = tls else { return connection(http, stream, exchange, drain).await };
    // A connection that has said nothing yet is no request to wait for when the door closes.
    let agreed = tokio::select! {
        agreed = timeout(exchange.limits.handshake, tls.accept(stream)) => agreed,
        () = drain.closing() => return,
    };
    match agreed {
        Ok(Ok(stream)) => connection(http, stream, exchange, drain).await,
        Ok(Err(error)) => tracing::debug!(%error, "no agreement on encryption"),
        Err(_) => tracing::debug!("a TLS handshake took too long"),
    }
}

async fn connection<I, S, B>(http: http1::Builder, io: I, exchange: Exchange<S>, drain: Drain)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    S: Service<Request<RequestBody>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: fmt::Display + Send,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut served = pin!(http.serve_connection(TokioIo::new(io), exchange));
    let ended = tokio::select! {
        ended = served.as_mut() => ended,
        () = drain.closing() => {
            served.as_mut().graceful_shutdown();
            served.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Counts itself among the open connections.
struct Open(metrics::Gauge);

impl Open {
    fn new(door: &'static str) -> Self {
        let gauge = metrics::gauge!("drystone_http_connections", "door" => door);
        gauge.increment(1.0);
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}
