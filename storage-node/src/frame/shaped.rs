//! The thin shell between the sockets and the [`Shaper`]: below TLS, so that every byte that leaves or enters passes here.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use async_trait::async_trait;
use protocol::dial::{Address, BoxIo, Dial, Io};
use protocol::limits::DIAL_TIMEOUT;
use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, lookup_host};
use tokio::time::{Sleep, sleep, timeout};

use crate::frame::shaper::{Buffers, Carrier, Shaper, Way};

/// Bytes read at a time under a limit.
const READ_MAX: usize = 16 << 10;
/// How often a link's own address is looked for.
const ADDRESS_INTERVAL: Duration = Duration::from_secs(5);

/// Opens streams to gateways that keep to the frame. One for each link.
pub(crate) struct ShapedDial {
    shaper: Arc<Shaper>,
    /// Another way than TCP, for simulations.
    other: Option<Arc<dyn Dial>>,
    /// This machine's address of the stream that was opened last.
    local: Mutex<Option<IpAddr>>,
}

impl ShapedDial {
    pub(crate) fn new(shaper: Arc<Shaper>, other: Option<Arc<dyn Dial>>) -> Self {
        Self { shaper, other, local: Mutex::new(None) }
    }

    /// Resolves once this machine has lost the address that the last stream was opened from: it moved to another network, and nothing will
    /// ever come over that stream again. Without this, only the silence would tell, most of a minute later.
    pub(crate) async fn moved(&self) {
        loop {
            sleep(ADDRESS_INTERVAL).await;
            let local = *self.local.lock().unwrap_or_else(PoisonError::into_inner);
            if local.is_some_and(|address| !is_ours(address)) {
                return;
            }
        }
    }
}

/// Whether this machine has the address now: only then can a socket have it.
fn is_ours(address: IpAddr) -> bool {
    match UdpSocket::bind(SocketAddr::new(address, 0)) {
        Err(error) => error.kind() != io::ErrorKind::AddrNotAvailable,
        Ok(_) => true,
    }
}

#[async_trait]
impl Dial for ShapedDial {
    async fn dial(&self, address: &Address) -> io::Result<BoxIo> {
        if let Some(other) = &self.other {
            let inner = other.dial(address).await?;
            return Ok(Box::new(Shaped::new(inner, Arc::clone(&self.shaper))));
        }
        let buffers = self.shaper.shape().buffers();
        let stream = timeout(DIAL_TIMEOUT, connect(address, buffers))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
        // HTTP/2 gathers its own frames; waiting for more only adds a round trip to every small answer.
        stream.set_nodelay(true)?;
        let local = stream.local_addr().map(|address| address.ip()).ok();
        // A link-local address needs its interface to be asked for; it is left to the silence.
        let local =
            local.filter(|local| !matches!(local, IpAddr::V6(v6) if v6.is_unicast_link_local()));
        *self.local.lock().unwrap_or_else(PoisonError::into_inner) = local;
        Ok(Box::new(Shaped::new(stream, Arc::clone(&self.shaper))))
    }
}

/// The buffers are set before the connection is made: its window scale follows from them.
async fn connect(address: &Address, buffers: Buffers) -> io::Result<TcpStream> {
    let mut failure = io::Error::from(io::ErrorKind::NotFound);
    for address in lookup_host(address.as_str()).await? {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        if let Some(bytes) = buffers.receive {
            socket.set_recv_buffer_size(u32::try_from(bytes).unwrap_or(u32::MAX))?;
        }
        if let Some(bytes) = buffers.send {
            socket.set_send_buffer_size(u32::try_from(bytes).unwrap_or(u32::MAX))?;
        }
        match socket.connect(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

/// What can be told to hold less.
trait Socket: Io {
    fn resize(&self, buffers: Buffers) -> io::Result<()>;

    /// What carries its bytes.
    fn carrier(&self) -> Carrier {
        Carrier::V6
    }
}

impl Socket for TcpStream {
    fn resize(&self, buffers: Buffers) -> io::Result<()> {
        if let Some(bytes) = buffers.receive {
            sockopt::set_socket_recv_buffer_size(
                self,
                usize::try_from(bytes).unwrap_or(usize::MAX),
            )?;
        }
        if let Some(bytes) = buffers.send {
            sockopt::set_socket_send_buffer_size(
                self,
                usize::try_from(bytes).unwrap_or(usize::MAX),
            )?;
        }
        Ok(())
    }

    fn carrier(&self) -> Carrier {
        // An IPv4 address in IPv6's clothes is taken for what it looks like: the larger headers.
        match self.peer_addr() {
            Ok(SocketAddr::V4(_)) => Carrier::V4,
            _ => Carrier::V6,
        }
    }
}

impl Socket for BoxIo {
    fn resize(&self, _: Buffers) -> io::Result<()> {
        Ok(())
    }
}

/// A stream that moves bytes as the frame allows. Without a limit it costs one comparison for each read and write, and two counters.
struct Shaped<S> {
    inner: S,
    shaper: Arc<Shaper>,
    carrier: Carrier,
    /// The shaper's epoch when it was last asked.
    epoch: u32,
    /// Whether there was nothing to enforce then.
    free: bool,
    reading: Lane,
    writing: Lane,
    /// Where bytes are read to under a limit; empty without one.
    scratch: Vec<u8>,
}

/// One direction's wait for its turn.
#[derive(Default)]
struct Lane {
    wait: Option<Pin<Box<Sleep>>>,
}

impl Lane {
    /// Resolves with bytes set aside.
    fn poll_grant(
        &mut self,
        shaper: &Shaper,
        way: Way,
        want: usize,
        carrier: Carrier,
        cx: &mut Context<'_>,
    ) -> Poll<usize> {
        loop {
            if let Some(wait) = &mut self.wait {
                ready!(wait.as_mut().poll(cx));
                self.wait = None;
            }
            match shaper.grant(way, want, carrier) {
                Ok(bytes) => return Poll::Ready(bytes),
                Err(wait) => self.wait = Some(Box::pin(sleep(wait))),
            }
        }
    }
}

impl<S: Socket> Shaped<S> {
    fn new(inner: S, shaper: Arc<Shaper>) -> Self {
        // The first read or write learns what holds.
        let (epoch, free, carrier) = (0, false, inner.carrier());
        let (reading, writing) = (Lane::default(), Lane::default());
        Self { inner, shaper, carrier, epoch, free, reading, writing, scratch: Vec::new() }
    }

    /// Whether there is nothing to enforce.
    fn is_free(&mut self) -> bool {
        if self.shaper.epoch() != self.epoch {
            self.renew();
        }
        self.free
    }

    #[cold]
    fn renew(&mut self) {
        self.epoch = self.shaper.epoch();
        self.free = self.shaper.is_free();
        self.scratch = if self.free { Vec::new() } else { vec![0; READ_MAX] };
        if let Err(error) = self.inner.resize(self.shaper.shape().buffers()) {
            tracing::warn!(%error, "a socket keeps its buffers");
        }
    }

    fn poll_read_limited(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { inner, shaper, carrier, reading, scratch, .. } = self;
        let want = buf.remaining().min(scratch.len());
        let granted = ready!(reading.poll_grant(shaper, Way::Down, want, *carrier, cx));
        let mut part = ReadBuf::new(scratch.get_mut(..granted).unwrap_or_default());
        let polled = Pin::new(inner).poll_read(cx, &mut part);
        let read = part.filled();
        shaper.settle(Way::Down, granted, read.len(), *carrier);
        buf.put_slice(read);
        polled
    }

    fn poll_write_limited(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Self { inner, shaper, carrier, writing, .. } = self;
        let granted = ready!(writing.poll_grant(shaper, Way::Up, bytes.len(), *carrier, cx));
        let part = bytes.get(..granted).unwrap_or(bytes);
        let polled = Pin::new(inner).poll_write(cx, part);
        let written = if let Poll::Ready(Ok(written)) = polled { written } else { 0 };
        shaper.settle(Way::Up, granted, written, *carrier);
        polled
    }
}

impl<S: Socket> AsyncRead for Shaped<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.is_free() {
            return self.poll_read_limited(cx, buf);
        }
        let before = buf.filled().len();
        let polled = Pin::new(&mut self.inner).poll_read(cx, buf);
        let read = buf.filled().len() - before;
        if read > 0 {
            self.shaper.count(Way::Down, read, self.carrier);
        }
        polled
    }
}

impl<S: Socket> AsyncWrite for Shaped<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if !self.is_free() && !bytes.is_empty() {
            return self.poll_write_limited(cx, bytes);
        }
        let polled = Pin::new(&mut self.inner).poll_write(cx, bytes);
        if let Poll::Ready(Ok(written @ 1..)) = polled {
            self.shaper.count(Way::Up, written, self.carrier);
        }
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if !self.is_free() {
            let first = bufs.iter().find(|buf| !buf.is_empty());
            return match first {
                Some(first) => self.poll_write_limited(cx, first),
                None => Poll::Ready(Ok(0)),
            };
        }
        let polled = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(written @ 1..)) = polled {
            self.shaper.count(Way::Up, written, self.carrier);
        }
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::shaper::Shape;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    async fn pair(shaper: &Arc<Shaper>) -> (BoxIo, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().into();
        let dial = ShapedDial::new(Arc::clone(shaper), None);
        let (ours, theirs) = tokio::join!(dial.dial(&address), listener.accept());
        (ours.unwrap(), theirs.unwrap().0)
    }

    #[tokio::test]
    async fn bytes_pass_unchanged_with_and_without_limits_and_are_counted() {
        for shape in [Shape::default(), Shape { up: Some(80_000_000), ..Shape::default() }] {
            let shaper = Arc::new(Shaper::new());
            shaper.set(shape);
            let (mut ours, mut theirs) = pair(&shaper).await;
            let sent: Vec<u8> = (0..300_000_u32).map(|n| (n % 251) as u8).collect();
            let mut got = vec![0; sent.len()];
            let (write, read) = tokio::join!(ours.write_all(&sent), theirs.read_exact(&mut got));
            write.unwrap();
            read.unwrap();
            assert_eq!(got, sent);
            got.fill(0);
            let (write, read) = tokio::join!(theirs.write_all(&sent), ours.read_exact(&mut got));
            write.unwrap();
            read.unwrap();
            assert_eq!(got, sent);
            let (up, down) = shaper.moved();
            assert!((300_000..400_000).contains(&up) && (300_000..400_000).contains(&down));
        }
    }

    #[tokio::test]
    async fn a_limit_that_comes_later_holds_for_a_stream_that_stands() {
        let shaper = Arc::new(Shaper::new());
        let (mut ours, mut theirs) = pair(&shaper).await;
        ours.write_all(&[1; 1000]).await.unwrap();
        shaper.set(Shape { up: Some(4_000_000), ..Shape::default() });
        let reader = tokio::spawn(async move {
            let mut got = vec![0; 251_000];
            theirs.read_exact(&mut got).await.unwrap();
        });
        let begun = Instant::now();
        ours.write_all(&vec![2; 250_000]).await.unwrap();
        // 250 kB at 0.5 MB/s, less what the headers take.
        assert!(begun.elapsed() > Duration::from_millis(450), "{:?}", begun.elapsed());
        reader.await.unwrap();
    }

    #[test]
    fn an_address_that_this_machine_lost_is_known() {
        assert!(is_ours([127, 0, 0, 1].into()));
        // TEST-NET-1 (RFC 5737) belongs to nobody.
        assert!(!is_ours([192, 0, 2, 1].into()));
    }
}
