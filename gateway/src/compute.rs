//! Where hashing, encryption and coding run: off the async threads, no more at a time than the machine has cores to spare.

use std::sync::{Arc, LazyLock};

use tokio::sync::Semaphore;

/// Jobs that run at once: twice the cores, so that one that waits for memory does not idle a core.
static SLOTS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(2, std::num::NonZero::get);
    Arc::new(Semaphore::new(2 * cores))
});

/// Runs `job` on a thread for computing.
///
/// # Panics
/// If `job` panics, or the runtime is shutting down.
pub async fn run<T: Send + 'static>(job: impl FnOnce() -> T + Send + 'static) -> T {
    let permit = Arc::clone(&SLOTS).acquire_owned().await.expect("the semaphore is never closed");
    let task = tokio::task::spawn_blocking(move || {
        let result = job();
        drop(permit);
        result
    });
    match task.await {
        Ok(result) => result,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => panic!("a computing job was cancelled: {error}"),
        },
    }
}
