//! Ctrl-C and SIGTERM: the first asks to stop in order, the second stops.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::CliError;

/// Exit status after a second signal, as shells report Ctrl-C.
const CUT: i32 = 130;

/// The two signals. Made before anything slow starts, so that none is missed.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    pub(crate) fn watch() -> Result<Self, CliError> {
        let watch = |kind| signal(kind).map_err(CliError::io("signals"));
        Ok(Self {
            interrupt: watch(SignalKind::interrupt())?,
            terminate: watch(SignalKind::terminate())?,
        })
    }

    /// Until one comes.
    pub(crate) async fn asked_to_stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }

    /// Runs `stopping` to its end, unless another signal comes: then the process ends at once. Nothing acknowledged is lost by that.
    pub(crate) async fn or_cut<T>(&mut self, stopping: impl Future<Output = T>) -> T {
        tokio::select! {
            done = stopping => done,
            () = self.asked_to_stop() => {
                eprintln!("drystone: stopped at once");
                std::process::exit(CUT);
            }
        }
    }
}
