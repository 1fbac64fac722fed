//! A request's body that does not wait for ever.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http::header::EXPECT;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep, timeout};

/// Why a body ended early.
#[derive(Debug, thiserror::Error)]
pub enum BodyFault {
    /// The client was silent for this long while we waited for more.
    #[error("the request's body was silent for {} s", .0.as_secs())]
    Slow(Duration),
    /// The client went away, or its framing is broken.
    #[error("the request's body broke off")]
    Broken(#[source] hyper::Error),
}

/// What services get to read: the connection's body under a timer that runs only while we wait for the client.
pub type RequestBody = Timed<Incoming>;

/// After an early answer, the rest of a body is read and thrown away for this long, so that a client that only listens once it
/// has sent everything hears the answer instead of a reset connection.
const LINGER: Duration = Duration::from_secs(5);
/// And at most this many bytes of it.
const LINGER_MAX: u64 = 64 * types::MIB;

/// A client that waits for "100 Continue" before it sends its body (RFC 9110, section 10.1.1). It is sent with the body's first read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Expecting(Arc<AtomicBool>);

impl Expecting {
    fn ask(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the client was told to go on.
    pub(crate) fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// A body that fails with [`BodyFault::Slow`] when it is silent too long.
#[derive(Debug)]
pub struct Timed<B> {
    /// Gone once the rest was left to linger.
    inner: Option<B>,
    /// What becomes of the rest, if this is dropped before the body's end.
    leave: Option<fn(B)>,
    /// Of a client that waits to be asked for its body.
    expecting: Option<Expecting>,
    silence: Duration,
    /// Made at the first wait: most small bodies never wait.
    timer: Option<Pin<Box<Sleep>>>,
    /// Whether the timer runs, that is, the last poll found nothing.
    waiting: bool,
    failed: bool,
    received: Arc<AtomicU64>,
}

impl<B> Timed<B> {
    /// `received` counts the bytes that came.
    pub(crate) fn new(inner: B, silence: Duration, received: Arc<AtomicU64>) -> Self {
        Self {
            inner: Some(inner),
            leave: None,
            expecting: None,
            silence,
            timer: None,
            waiting: false,
            failed: false,
            received,
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let silence = self.silence;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(silence)));
        if !self.waiting {
            timer.as_mut().reset(Instant::now() + silence);
            self.waiting = true;
        }
        timer.as_mut().poll(cx)
    }
}

impl RequestBody {
    /// As a connection's body. A client that waits for "100 Continue" sends nothing before the first read, and is not made to for nothing.
    pub(crate) fn of(
        request: Request<Incoming>,
        silence: Duration,
        received: Arc<AtomicU64>,
    ) -> (Request<Self>, Option<Expecting>) {
        let expecting = request.headers().contains_key(EXPECT).then(Expecting::default);
        let request = request.map(|body| {
            let mut timed = Self::new(body, silence, received);
            timed.leave = Some(linger);
            timed.expecting.clone_from(&expecting);
            timed
        });
        (request, expecting)
    }
}

/// Reads on without keeping anything.
fn linger(mut body: Incoming) {
    if body.is_end_stream() {
        return;
    }
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    runtime.spawn(timeout(LINGER, async move {
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, |data| data.len() as u64);
            if read > LINGER_MAX {
                return;
            }
        }
    }));
}

impl<B> Drop for Timed<B> {
    fn drop(&mut self) {
        let sends = self.expecting.as_ref().is_none_or(Expecting::asked);
        let rest = self.inner.take().filter(|_| sends && !self.failed);
        if let (Some(leave), Some(body)) = (self.leave, rest) {
            leave(body);
        }
    }
}

impl<B> Body for Timed<B>
where
    B: Body<Data = Bytes, Error = hyper::Error> + Unpin,
{
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = self.get_mut();
        if this.failed {
            return Poll::Ready(None);
        }
        if let Some(expecting) = &this.expecting {
            expecting.ask();
        }
        let Some(inner) = &mut this.inner else { return Poll::Ready(None) };
        match Pin::new(inner).poll_frame(cx) {
            Poll::Ready(None) => {
                // Nothing is left to linger for.
                this.inner = None;
                Poll::Ready(None)
            }
            Poll::Ready(frame) => {
                this.waiting = false;
                if let Some(Ok(frame)) = &frame {
                    let len = frame.data_ref().map_or(0, Bytes::len);
                    this.received.fetch_add(len as u64, Ordering::Relaxed);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(BodyFault::Broken)))
            }
            Poll::Pending => {
                ready!(this.poll_timer(cx));
                this.failed = true;
                Poll::Ready(Some(Err(BodyFault::Slow(this.silence))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.failed || self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(SizeHint::default, Body::size_hint)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const SILENCE: Duration = Duration::from_millis(20);

    /// Gives its frames one by one, and then waits for ever.
    struct Dripping(VecDeque<(Duration, Bytes)>, Option<Pin<Box<Sleep>>>);

    impl Body for Dripping {
        type Data = Bytes;
        type Error = hyper::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
            let this = self.get_mut();
            let Some((after, bytes)) = this.0.front().cloned() else { return Poll::Pending };
            ready!(this.1.get_or_insert_with(|| Box::pin(sleep(after))).as_mut().poll(cx));
            this.0.pop_front();
            this.1 = None;
            Poll::Ready(Some(Ok(Frame::data(bytes))))
        }
    }

    /// A body whose frames come after so many milliseconds each; silence is given up after [`SILENCE`].
    fn dripping(frames: &[u64]) -> (Timed<Dripping>, Arc<AtomicU64>) {
        let frames =
            frames.iter().map(|after| (Duration::from_millis(*after), Bytes::from_static(b"abc")));
        let received = Arc::<AtomicU64>::default();
        let body = Dripping(frames.collect(), None);
        (Timed::new(body, SILENCE, Arc::clone(&received)), received)
    }

    #[tokio::test]
    async fn a_body_that_falls_silent_fails_and_then_ends() {
        let (mut body, received) = dripping(&[1, 1, 1]);
        for _ in 0..3 {
            assert!(body.frame().await.expect("a frame").is_ok());
        }
        let began = Instant::now();
        let fault = body.frame().await.expect("a frame").expect_err("silence");
        assert!(matches!(fault, BodyFault::Slow(_)), "{fault}");
        assert!(began.elapsed() >= SILENCE);
        assert!(body.frame().await.is_none());
        assert_eq!(received.load(Ordering::Relaxed), 9);
    }

    #[tokio::test]
    async fn a_reader_that_takes_its_time_is_not_the_clients_fault() {
        let (mut body, _) = dripping(&[1, 1]);
        assert!(body.frame().await.expect("a frame").is_ok());
        sleep(2 * SILENCE).await;
        assert!(body.frame().await.expect("a frame").is_ok());
    }
}
