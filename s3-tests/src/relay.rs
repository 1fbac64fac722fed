//! A long way for bytes: what goes in at one end comes out at the other some time later, unless the relay has gone quiet.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until};

/// Bytes read at a time.
const CHUNK: usize = 16 << 10;
/// Chunks of one direction that are on their way: with chunks that are full, 4 MiB.
const CHUNKS: usize = 256;

/// A listening relay; gone when dropped, with every connection through it.
#[derive(Debug)]
pub struct Relay {
    /// Connections of an older generation move no more bytes, and are not closed either.
    generation: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Relay {
    /// Listens on `from` and connects to `to`; every byte takes `delay` each way.
    ///
    /// # Panics
    /// If it cannot listen.
    pub async fn start(from: SocketAddr, to: SocketAddr, delay: Duration) -> Self {
        let listener = TcpListener::bind(from).await.expect("the relay's address is free");
        let generation = Arc::new(AtomicU64::new(0));
        let current = Arc::clone(&generation);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                let born = current.load(Ordering::Relaxed);
                let current = Arc::clone(&current);
                connections.spawn(async move {
                    let Ok(far) = TcpStream::connect(to).await else { return };
                    let _ = (near.set_nodelay(true), far.set_nodelay(true));
                    let ((near_in, near_out), (far_in, far_out)) =
                        (near.into_split(), far.into_split());
                    let quiet = || {
                        let current = Arc::clone(&current);
                        move || current.load(Ordering::Relaxed) != born
                    };
                    tokio::join!(
                        carry(near_in, far_out, delay, quiet()),
                        carry(far_in, near_out, delay, quiet()),
                    );
                });
            }
        });
        Self { generation, task }
    }

    /// Connections that stand go quiet for ever, half-open: neither end hears that. New ones work.
    pub fn go_quiet(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    delay: Duration,
    quiet: impl Fn() -> bool,
) {
    let (sender, mut chunks) = mpsc::channel::<(Instant, Bytes)>(CHUNKS);
    let reading = async {
        let mut buf = vec![0; CHUNK];
        loop {
            let read = from.read(&mut buf).await.unwrap_or(0);
            let due = Instant::now() + delay;
            if read == 0 || sender.send((due, Bytes::copy_from_slice(&buf[..read]))).await.is_err()
            {
                break;
            }
        }
        drop(sender);
    };
    let writing = async {
        while let Some((due, chunk)) = chunks.recv().await {
            sleep_until(due).await;
            if quiet() {
                continue;
            }
            if to.write_all(&chunk).await.is_err() {
                return;
            }
        }
        if quiet() {
            // Its end is not told either.
            std::future::pending::<()>().await;
        }
        let _ = to.shutdown().await;
    };
    tokio::join!(reading, writing);
}
