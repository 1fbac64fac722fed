//! What a service that answers wants to be told once its answer has ended.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How an exchange ended.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a> {
    /// Bytes of the answer's body that were handed over.
    pub sent: u64,
    /// Since the request's head was there.
    pub took: Duration,
    /// The answer's `x-amz-id-2`.
    pub long_id: &'a str,
}

/// In the extensions of an answer: called when its last byte was handed over or the client left. Once, by the door.
#[derive(Clone)]
pub struct OnEnd(Arc<dyn Fn(Ended<'_>) + Send + Sync>);

impl OnEnd {
    /// Calls `told` then.
    pub fn new(told: impl Fn(Ended<'_>) + Send + Sync + 'static) -> Self {
        Self(Arc::new(told))
    }

    pub(crate) fn tell(&self, ended: Ended<'_>) {
        (self.0)(ended);
    }
}

impl fmt::Debug for OnEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OnEnd")
    }
}
