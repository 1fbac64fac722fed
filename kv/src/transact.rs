//! Run, commit, and on conflict run again.

use std::future::Future;
use std::time::Duration;

use types::entropy::random_below;

use crate::Kv;
use crate::error::KvError;
use crate::tx::Tx;

/// How often a body is run before its caller is told [`KvError::Contended`].
const ATTEMPTS_MAX: u32 = 40;
/// How often a body that takes too long is run before its caller is told [`KvError::TooOld`].
const OVERDUE_MAX: u32 = 2;
/// The pause after the second conflict is random below this; it doubles with each further one.
const PAUSE_FIRST: Duration = Duration::from_millis(1);
/// The pause is random below this at most.
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// Runs `body` in a transaction and commits it. On conflict the body is run again in a fresh one, after a random pause
/// that grows: it must not do anything that may not be done twice.
///
/// An `Err` of the body ends the transaction without a trace and is returned, unless the transaction itself had failed in
/// a way that another run may cure.
///
/// # Errors
/// The body's own. [`KvError::Contended`] if the conflicts do not end; every other error of
/// [`Kv::begin`] and [`Tx::commit`].
///
/// # Examples
/// ```
/// # use kv::{Family, Kv, KvError, Reads, Tx, memory::Memory, transact};
/// # async fn count(kv: &dyn Kv) -> Result<(), KvError> {
/// transact(kv, |tx: Tx| async move {
///     let count = tx.get_for_update(Family::MAIN, b"count").await?.map_or(0, |bytes| bytes[0]);
///     tx.put(Family::MAIN, &b"count"[..], vec![count + 1]);
///     Ok(())
/// })
/// .await
/// # }
/// ```
pub async fn transact<T, E, F, Fut>(kv: &dyn Kv, body: F) -> Result<T, E>
where
    F: Fn(Tx) -> Fut,
    Fut: Future<Output = Result<T, E>> + Send,
    E: From<KvError>,
{
    let (mut conflicts, mut overdue) = (0, 0);
    loop {
        let tx = kv.begin().await?;
        let failure = match body(tx.clone()).await {
            Ok(value) => match tx.commit().await {
                Ok(()) => return Ok(value),
                Err(failure) if failure.is_retryable() => failure.into(),
                Err(failure) => return Err(failure.into()),
            },
            Err(failure) if tx.wants_repeat() => Failure::Overdue(failure),
            Err(failure) => return Err(failure),
        };
        match failure {
            Failure::Conflict => conflicts += 1,
            Failure::Overdue(error) => {
                overdue += 1;
                if overdue == OVERDUE_MAX {
                    return Err(error);
                }
            }
        }
        if conflicts == ATTEMPTS_MAX {
            tracing::warn!(
                attempts = conflicts,
                "a transaction met only conflicts and was given up"
            );
            return Err(KvError::Contended { attempts: conflicts }.into());
        }
        pause(conflicts).await;
    }
}

/// Why the body is to be run again.
enum Failure<E> {
    Conflict,
    Overdue(E),
}

impl<E: From<KvError>> From<KvError> for Failure<E> {
    fn from(error: KvError) -> Self {
        if matches!(error, KvError::Conflict) {
            Self::Conflict
        } else {
            Self::Overdue(error.into())
        }
    }
}

/// The first repetition comes at once: most conflicts are met once.
async fn pause(conflicts: u32) {
    if conflicts < 2 {
        return;
    }
    let longest = PAUSE_FIRST.saturating_mul(1 << (conflicts - 2).min(16)).min(PAUSE_MAX);
    let micros = u64::try_from(longest.as_micros()).unwrap_or(u64::MAX);
    tokio::time::sleep(Duration::from_micros(random_below(micros))).await;
}
