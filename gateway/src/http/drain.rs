//! Closing a door without losing whoever is still inside.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Who is inside, and the two words that can be said to them.
///
/// First *close*: finish the request at hand and go. Then, for those who did not in time, *cut*: go.
#[derive(Clone, Debug)]
pub(crate) struct Drain {
    close: CancellationToken,
    cut: CancellationToken,
    inside: TaskTracker,
}

impl Drain {
    /// `close` is the first word.
    pub(crate) fn new(close: CancellationToken) -> Self {
        Self { close, cut: CancellationToken::new(), inside: TaskTracker::new() }
    }

    /// Until the first word is said.
    pub(crate) async fn closing(&self) {
        self.close.cancelled().await;
    }

    /// Lets a connection in, until it ends or is cut.
    pub(crate) fn admit(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let cut = self.cut.clone();
        self.inside.spawn(async move {
            let connection = pin!(connection);
            tokio::select! {
                () = connection => {}
                () = cut.cancelled() => {}
            }
        });
    }

    /// Waits until nobody is inside, at most for `patience`, then cuts. How many were cut.
    pub(crate) async fn finish(self, patience: Duration) -> usize {
        self.inside.close();
        if timeout(patience, self.inside.wait()).await.is_ok() {
            return 0;
        }
        let left = self.inside.len();
        self.cut.cancel();
        self.inside.wait().await;
        left
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test]
    async fn who_finishes_in_time_is_not_cut() {
        let drain = Drain::new(CancellationToken::new());
        drain.admit(sleep(Duration::from_millis(5)));
        assert_eq!(drain.finish(Duration::from_secs(60)).await, 0);
    }

    #[tokio::test]
    async fn who_does_not_finish_is_cut_when_the_time_is_over() {
        let drain = Drain::new(CancellationToken::new());
        drain.admit(std::future::pending());
        let (began, patience) = (Instant::now(), Duration::from_millis(20));
        assert_eq!(drain.finish(patience).await, 1);
        assert!(began.elapsed() >= patience);
    }

    #[tokio::test]
    async fn an_empty_door_closes_at_once() {
        assert_eq!(Drain::new(CancellationToken::new()).finish(Duration::MAX).await, 0);
    }
}
