//! Homes as they are: machines behind a router that translates addresses, on lines that are slow, far, lossy and sometimes cut. Made of network
//! namespaces, so every byte passes a real kernel's TCP.
//!
//! ```text
//! this machine ── dsr<n> ═══ wan │ router │ lan ═══ eth0 │ home        behind a router ([`Net::behind_router`])
//! this machine ── dsr<n> ══════════════════════════ eth0 │ home        on a plain wire ([`Net::on_a_wire`])
//! ```
//!
//! Needs root, `ip` (iproute2) and, for the router, `nft` (nftables). Segmentation offload is off at both ends of the wire, so that interfaces count
//! what a real line would carry: every header of every segment.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::port::Port;
use crate::process::Process;

/// How often interface counters are read.
const SAMPLE: Duration = Duration::from_millis(50);

/// Whether such homes can be made here. If not, says so, loudly.
#[must_use]
pub fn can_run(test: &str) -> bool {
    let lacking = if !rustix::process::geteuid().is_root() {
        "root"
    } else if !there("ip") {
        "ip (iproute2)"
    } else if !there("nft") {
        "nft (nftables)"
    } else if !run_quietly("ip", &["netns", "list"]) {
        "network namespaces"
    } else {
        return true;
    };
    eprintln!(
        "\n=== DID NOT RUN: {test}\n=== It needs {lacking}, which is not here; CI runs it.\n"
    );
    false
}

fn there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut dirs = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]);
    dirs.any(|dir| dir.join(program).exists())
}

fn run_quietly(program: &str, args: &[&str]) -> bool {
    Command::new(program).args(args).output().is_ok_and(|output| output.status.success())
}

/// Runs a program that must succeed.
///
/// # Panics
/// With what it said, if it does not.
fn run(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output();
    let output = output.unwrap_or_else(|error| panic!("{program} does not start: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program} {}: {said}", args.join(" "));
}

fn ip(args: &str) {
    run("ip", &args.split_whitespace().collect::<Vec<_>>());
}

/// A home and its line to this machine; gone when dropped.
#[derive(Debug)]
pub struct Net {
    number: u32,
    home: String,
    router: Option<String>,
    port: Port,
    address: u32,
}

impl Net {
    /// A home on a plain wire.
    #[must_use]
    pub fn on_a_wire() -> Self {
        let net = Self::new(None);
        let (home, wire) = (&net.home, net.wire());
        ip(&format!("link add {wire} type veth peer name eth0 netns {home}"));
        net.plug(home, "eth0");
        net
    }

    /// A home behind a router that translates addresses: nothing can come in that was not called out.
    #[must_use]
    pub fn behind_router() -> Self {
        let net = Self::new(Some(()));
        let (home, router, wire) = (&net.home, net.router_name(), net.wire());
        ip(&format!("link add {wire} type veth peer name wan netns {router}"));
        net.plug(router, "wan");
        ip(&format!("-n {router} link add lan type veth peer name eth0 netns {home}"));
        ip(&format!("-n {router} addr add 192.168.77.1/24 dev lan"));
        ip(&format!("-n {router} link set lan gso_max_segs 1 up"));
        ip(&format!("-n {home} addr add 192.168.77.2/24 dev eth0"));
        ip(&format!("-n {home} link set eth0 gso_max_segs 1 up"));
        ip(&format!("-n {home} route add default via 192.168.77.1"));
        net.in_router("echo 1 > /proc/sys/net/ipv4/ip_forward");
        net.nft(
            "add table ip nat
            add chain ip nat out { type nat hook postrouting priority 100; }
            add rule ip nat out oifname \"wan\" masquerade",
        );
        net
    }

    fn new(router: Option<()>) -> Self {
        let port = Port::take();
        // A port is ours alone, and so are names and addresses made of it.
        let number = u32::from(port.address().port());
        let (home, router) =
            (format!("ds-home-{number}"), router.map(|()| format!("ds-router-{number}")));
        for name in std::iter::once(&home).chain(&router) {
            // Left over by a test that was killed.
            run_quietly("ip", &["netns", "del", name]);
            ip(&format!("netns add {name}"));
            ip(&format!("-n {name} link set lo up"));
        }
        let net = Self { number, home, router, port, address: 2 };
        run_quietly("ip", &["link", "del", &net.wire()]);
        net
    }

    /// Gives the wire's two ends their addresses.
    fn plug(&self, far: &str, name: &str) {
        let (wire, near, theirs) = (self.wire(), self.ip_of(1), self.ip_of(self.address));
        ip(&format!("addr add {near}/29 dev {wire}"));
        ip(&format!("link set {wire} gso_max_segs 1 up"));
        ip(&format!("-n {far} addr add {theirs}/29 dev {name}"));
        ip(&format!("-n {far} link set {name} gso_max_segs 1 up"));
        ip(&format!("-n {far} route add default via {near}"));
    }

    /// Of 10.192.0.0/12, eight addresses for each net.
    fn ip_of(&self, host: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 192, 0, 0)) + self.number * 8 + host)
    }

    fn wire(&self) -> String {
        format!("dsr{}", self.number)
    }

    fn router_name(&self) -> &str {
        self.router.as_deref().expect("a net with a router")
    }

    /// Where this machine can be reached from the home, on a port of the net's own.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddrV4::new(self.ip_of(1), self.port.address().port()).into()
    }

    /// A program at home, as [`Process::new`].
    #[must_use]
    pub fn process(&self, name: &str, program: &Path, args: Vec<String>, logs: &Path) -> Process {
        let mut all = vec!["netns".to_owned(), "exec".to_owned(), self.home.clone()];
        all.push(program.display().to_string());
        all.extend(args);
        Process::new(name, Path::new("ip"), all, Vec::new(), logs)
    }

    /// Bytes that the wire has carried from the home and to it, Ethernet headers included.
    #[must_use]
    pub fn carried(&self) -> (u64, u64) {
        let read = |name: &str| {
            let path = format!("/sys/class/net/{}/statistics/{name}", self.wire());
            fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
        };
        (read("rx_bytes"), read("tx_bytes"))
    }

    /// Limits the line in both directions, such as `20mbit`: what is too much waits, and then is lost, as in a home's modem.
    pub fn slow(&self, rate: &str) {
        let shape = format!("root tbf rate {rate} burst 32kbit latency 300ms");
        ip_tc(&format!("qdisc add dev {} {shape}", self.wire()));
        let (far, name) = match &self.router {
            Some(router) => (router, "wan"),
            None => (&self.home, "eth0"),
        };
        ip_tc(&format!("-n {far} qdisc add dev {name} {shape}"));
    }

    /// Loses packets at random: so many of a thousand.
    pub fn lose(&self, per_mille: u32) {
        self.nft(&format!(
            "add table ip lossy
            add chain ip lossy through {{ type filter hook forward priority 0; }}
            add rule ip lossy through numgen random mod 1000 < {per_mille} drop"
        ));
    }

    /// Cuts the line without a word to either end.
    pub fn cut(&self) {
        self.nft(
            "add table ip cut
            add chain ip cut through { type filter hook forward priority -10; policy drop; }",
        );
    }

    /// Mends it.
    pub fn mend(&self) {
        self.nft("delete table ip cut");
    }

    /// The provider gives the router another address, as many do every night.
    pub fn change_address(&mut self) {
        let (old, near) = (self.ip_of(self.address), self.ip_of(1));
        self.address += 1;
        let (new, router) = (self.ip_of(self.address), self.router_name());
        ip(&format!("-n {router} addr del {old}/29 dev wan"));
        ip(&format!("-n {router} addr add {new}/29 dev wan"));
        ip(&format!("-n {router} route replace default via {near}"));
    }

    /// The home's machine moves to another place in its own network.
    pub fn move_machine(&self) {
        let home = &self.home;
        ip(&format!("-n {home} addr del 192.168.77.2/24 dev eth0"));
        ip(&format!("-n {home} addr add 192.168.77.3/24 dev eth0"));
        ip(&format!("-n {home} route replace default via 192.168.77.1"));
    }

    /// Gives the router these rules, one a line: all of them, or none.
    fn nft(&self, rules: &str) {
        run("ip", &["netns", "exec", self.router_name(), "nft", rules]);
    }

    fn in_router(&self, script: &str) {
        run("ip", &["netns", "exec", self.router_name(), "sh", "-c", script]);
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        run_quietly("ip", &["link", "del", &self.wire()]);
        for name in std::iter::once(&self.home).chain(&self.router) {
            run_quietly("ip", &["netns", "del", name]);
        }
    }
}

fn ip_tc(args: &str) {
    run("tc", &args.split_whitespace().collect::<Vec<_>>());
}

/// Reads the wire's counters many times a second, in a thread of its own so that a busy test does not miss a window.
#[derive(Debug)]
pub struct WireMeter {
    stop: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<Vec<Reading>>,
}

/// The counters at a moment since the measurement began: bytes from the home and to it.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    at: Duration,
    up: u64,
    down: u64,
}

impl WireMeter {
    /// Begins to measure.
    #[must_use]
    pub fn start(net: &Net) -> Self {
        let wire = net.wire();
        let (stop, stopped) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let read = |name: &str| {
                let path = format!("/sys/class/net/{wire}/statistics/{name}");
                fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
            };
            let begun = Instant::now();
            let mut readings = Vec::new();
            loop {
                readings.push(Reading {
                    at: begun.elapsed(),
                    up: read("rx_bytes"),
                    down: read("tx_bytes"),
                });
                match stopped.recv_timeout(SAMPLE) {
                    Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                    _ => return readings,
                }
            }
        });
        Self { stop, thread }
    }

    /// Ends the measurement.
    #[must_use]
    pub fn stop(self) -> Rates {
        let _ = self.stop.send(());
        Rates(self.thread.join().expect("measuring does not panic"))
    }
}

/// What was measured.
#[derive(Clone, Debug)]
pub struct Rates(Vec<Reading>);

/// Bits per second from the home and to it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct UpDown {
    /// From the home.
    pub up: f64,
    /// To the home.
    pub down: f64,
}

impl Rates {
    /// The most in any window of this length that begins after `after`.
    #[must_use]
    pub fn highest(&self, window: Duration, after: Duration) -> UpDown {
        let mut highest = UpDown { up: 0.0, down: 0.0 };
        let mut end = 0;
        for (index, first) in self.0.iter().enumerate().filter(|(_, first)| first.at >= after) {
            end = end.max(index);
            while end + 1 < self.0.len() && self.0[end].at - first.at < window {
                end += 1;
            }
            let last = &self.0[end];
            if last.at - first.at >= window {
                let rates = between(first, last);
                highest.up = highest.up.max(rates.up);
                highest.down = highest.down.max(rates.down);
            }
        }
        highest
    }

    /// The average from `after` on.
    #[must_use]
    pub fn average(&self, after: Duration) -> UpDown {
        let first = self.0.iter().find(|reading| reading.at >= after);
        match (first, self.0.last()) {
            (Some(first), Some(last)) if last.at > first.at => between(first, last),
            _ => UpDown { up: 0.0, down: 0.0 },
        }
    }
}

fn between(first: &Reading, last: &Reading) -> UpDown {
    let seconds = (last.at - first.at).as_secs_f64();
    let rate = |from: u64, to: u64| (to - from) as f64 * 8.0 / seconds;
    UpDown { up: rate(first.up, last.up), down: rate(first.down, last.down) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_window_and_the_average_are_those_of_the_counters() {
        let readings = (0..=100).map(|tenth: u64| Reading {
            at: Duration::from_millis(tenth * 100),
            up: tenth * 1000 + if tenth >= 50 { 5000 } else { 0 },
            down: 0,
        });
        let rates = Rates(readings.collect());
        let average = rates.average(Duration::ZERO);
        assert!((average.up - 84_000.0).abs() < 1.0, "{average:?}");
        let highest = rates.highest(Duration::from_secs(5), Duration::ZERO);
        assert!((highest.up - 88_000.0).abs() < 1.0, "{highest:?}");
        let later = rates.highest(Duration::from_secs(5), Duration::from_secs(5));
        assert!((later.up - 80_000.0).abs() < 1.0, "{later:?}");
    }
}
