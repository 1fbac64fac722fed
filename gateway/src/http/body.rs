//! A request's body that does not wait for ever.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};

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

/// A body that fails with [`BodyFault::Slow`] when it is silent too long.
#[derive(Debug)]
pub struct Timed<B> {
    inner: B,
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
        Self { inner, silence, timer: None, waiting: false, failed: false, received }
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
        match Pin::new(&mut this.inner).poll_frame(cx) {
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
        self.failed || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use http_body_util::BodyExt as _;

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
