//! What the service manager is told: that the node is ready, how it is, that it still lives, that it stops (sd_notify(3): one
//! datagram to `$NOTIFY_SOCKET` each). Without a manager nothing happens.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::advice::size;
use crate::app::{NodeStatus, View};

/// How often the manager is told how things are, if it has no watchdog.
const TELL_INTERVAL: Duration = Duration::from_secs(30);
/// Signs of life in each of the watchdog's periods: one may come late and one be lost.
const SIGNS_PER_PERIOD: u32 = 3;

/// The service manager, if there is one.
pub(crate) struct Manager {
    line: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl Manager {
    /// The one that started this process, by its environment.
    pub(crate) fn of_environment() -> Self {
        let line = std::env::var_os("NOTIFY_SOCKET").and_then(|name| {
            open(name.as_bytes())
                .inspect_err(|error| tracing::warn!(%error, "NOTIFY_SOCKET cannot be used"))
                .ok()
        });
        let number = |name: &str| std::env::var(name).ok()?.parse::<u64>().ok();
        let ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let period = number("WATCHDOG_USEC").filter(|period| ours && *period > 0);
        Self { line, watchdog: period.map(Duration::from_micros) }
    }

    /// The node serves.
    pub(crate) fn ready(&self, status: &NodeStatus) {
        self.tell(&format!("READY=1\nSTATUS={}", words(status)));
    }

    /// The node has begun to stop.
    pub(crate) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=finishing what is under way");
    }

    /// Goes on telling how the node is and that it lives, until `stop`.
    ///
    /// A sign of life is given only if the status can be taken on the pool of threads that wait for the disk: a deadlock, or a
    /// pool that never gets free, must let the watchdog bite.
    pub(crate) async fn keep_telling(&self, view: View, stop: CancellationToken) {
        let period =
            self.watchdog.map_or(TELL_INTERVAL, |period| (period / SIGNS_PER_PERIOD).max(MIN));
        let mut ticks = interval(period);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            let view = view.clone();
            let asked = tokio::task::spawn_blocking(move || view.status());
            if let Ok(Ok(status)) = timeout(period, asked).await {
                let sign = if self.watchdog.is_some() { "WATCHDOG=1\n" } else { "" };
                self.tell(&format!("{sign}STATUS={}", words(&status)));
            }
        }
    }

    fn tell(&self, state: &str) {
        if let Some((socket, manager)) = &self.line
            && let Err(error) = socket.send_to_addr(state.as_bytes(), manager)
        {
            tracing::debug!(%error, "the service manager could not be told");
        }
    }
}

/// The shortest time between two signs of life.
const MIN: Duration = Duration::from_millis(100);

/// A name that begins with `@` is an abstract one, any other a path.
fn open(name: &[u8]) -> io::Result<(UnixDatagram, SocketAddr)> {
    let address = match name.split_first() {
        Some((b'@', name)) => SocketAddr::from_abstract_name(name)?,
        _ => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
    };
    let socket = UnixDatagram::unbound()?;
    // A manager that does not read must not stop the node.
    socket.set_nonblocking(true)?;
    Ok((socket, address))
}

/// The node's state in one line.
fn words(status: &NodeStatus) -> String {
    let linked = status.links.iter().filter(|link| link.connected).count();
    format!(
        "linked to {linked} of {} gateways; {} of {} in use",
        status.links.len(),
        size(status.store.allocated),
        size(status.store.quota)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manager_is_told_by_path_and_by_abstract_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let hidden = format!("drystone-test-{}", std::process::id());
        let by_path = UnixDatagram::bind(&path).unwrap();
        let address = SocketAddr::from_abstract_name(&hidden).unwrap();
        let by_name = UnixDatagram::bind_addr(&address).unwrap();
        for (listener, name) in [
            (by_path, path.into_os_string().into_encoded_bytes()),
            (by_name, format!("@{hidden}").into_bytes()),
        ] {
            let manager = Manager { line: Some(open(&name).unwrap()), watchdog: None };
            manager.stopping();
            let mut heard = [0; 100];
            let len = listener.recv(&mut heard).unwrap();
            assert!(heard[..len].starts_with(b"STOPPING=1\n"));
        }
    }
}
