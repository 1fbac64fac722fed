//! Ports that no two tests share.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener};
use std::ops::Range;

/// Ports that the kernel does not give to outgoing connections, so that a restarted gateway finds its own free.
const PORTS: Range<u16> = 12_000..30_000;

/// A port that no other test takes for as long as this lives.
#[derive(Debug)]
pub struct Port {
    port: u16,
    _lock: File,
}

impl Port {
    /// A free one.
    ///
    /// # Panics
    /// If there is none.
    #[must_use]
    pub fn take() -> Self {
        let locks = std::env::temp_dir().join("drystone-test-ports");
        fs::create_dir_all(&locks).expect("a folder for locks");
        // Tests that start together begin to look at different places.
        let begin = PORTS.start + (std::process::id() % u32::from(PORTS.end - PORTS.start)) as u16;
        for port in (begin..PORTS.end).chain(PORTS.start..begin) {
            let Ok(lock) =
                File::options().create(true).append(true).open(locks.join(port.to_string()))
            else {
                continue;
            };
            if lock.try_lock().is_ok() && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
                return Self { port, _lock: lock };
            }
        }
        panic!("no port between {} and {} is free", PORTS.start, PORTS.end);
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddrV4::new(Ipv4Addr::LOCALHOST, self.port).into()
    }
}
