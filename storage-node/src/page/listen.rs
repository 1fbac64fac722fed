//! The page's door: on 127.0.0.1 and nowhere else.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use types::SystemClock;

use super::answer::Desk;
use super::history::History;
use super::sample;
use crate::app::View;

/// Ports that are tried, beginning with the one asked for.
const PORTS_TRIED: u16 = 100;
/// Connections at a time; more wait in the listen queue.
const CONNECTIONS_MAX: usize = 32;
/// A request's head takes at most this long, and a connection is kept for the next one as long.
const HEAD_TIMEOUT: Duration = Duration::from_secs(20);
/// A connection lives no longer than this, however slowly its answers are read.
const CONNECTION_MAX: Duration = Duration::from_secs(600);
/// Bytes of a request's head; more are refused.
const HEAD_MAX: usize = 16 << 10;
/// Pause after a failed accept, such as when the process has no file descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// The open page, not served yet.
#[derive(Debug)]
pub(crate) struct Page {
    listener: TcpListener,
    address: SocketAddr,
}

impl Page {
    /// Opens the page on `port` of 127.0.0.1, or on the next free port if that is taken; on any free one if it is 0.
    ///
    /// # Errors
    /// If a hundred ports are taken, or the system refuses for another reason.
    pub(crate) async fn open(port: u16) -> io::Result<Self> {
        let last = port.saturating_add(PORTS_TRIED - 1);
        let mut tried = port;
        let listener = loop {
            match TcpListener::bind((Ipv4Addr::LOCALHOST, tried)).await {
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && tried < last => {
                    tried += 1;
                }
                bound => break bound?,
            }
        };
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it is.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Shows `view` and keeps its history, until `stop`.
    pub(crate) async fn serve(self, view: View, history: History, stop: CancellationToken) {
        view.page_is_at(self.address);
        let history = Arc::new(history);
        let desk = Arc::new(Desk::new(view.clone(), Arc::clone(&history)));
        let sampling = sample::run(view, history, SystemClock, stop.clone());
        tokio::join!(sampling, accept(self.listener, desk, stop));
    }
}

async fn accept(listener: TcpListener, desk: Arc<Desk>, stop: CancellationToken) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let tasks = TaskTracker::new();
    loop {
        let Ok(permit) = Arc::clone(&room).acquire_owned().await else { return };
        let accepted = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                tasks.spawn(connection(stream, Arc::clone(&desk), permit, stop.clone()));
            }
            Err(error) => {
                tracing::debug!(%error, "a connection to the page could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    tasks.close();
    tasks.wait().await;
}

async fn connection(
    stream: TcpStream,
    desk: Arc<Desk>,
    _permit: OwnedSemaphorePermit,
    stop: CancellationToken,
) {
    let service = service_fn(move |request: Request<Incoming>| {
        let desk = Arc::clone(&desk);
        async move { Ok::<_, Infallible>(desk.answer(request).await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX)
        .serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        () = stop.cancelled() => {}
        ended = tokio::time::timeout(CONNECTION_MAX, serving) => {
            if let Ok(Err(error)) = ended {
                tracing::debug!(%error, "a connection to the page ended");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_taken_port_moves_on_to_the_next_free_one() {
        let first = Page::open(0).await.unwrap();
        let second = Page::open(first.address().port()).await.unwrap();
        assert!(second.address().port() > first.address().port());
        assert!(second.address().ip().is_loopback());
    }
}
