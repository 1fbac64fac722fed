//! What an owner should do next, in plain words. The running node reads it off its own status ([`advise`]), for its page and for
//! `drystone-node status`; `drystone-node doctor` finds more by trying.

use std::fmt;
use std::time::Duration;

use protocol::standing::{Rank, Report};
use serde::{Deserialize, Serialize};
use types::{GIB, MIB, Timestamp};

use crate::app::NodeStatus;
use crate::dial::LinkStatus;
use crate::frame::report::{FrameReport, Limit, Unit, Why};
use crate::leave::Departure;
use crate::store::StoreStatus;

/// A link that is away for less than this is not worth a word: gateways restart.
const LINK_QUIET: Duration = Duration::from_secs(2 * 60);
/// A link that is away for longer than this costs the node its standing.
const LINK_BAD: Duration = Duration::from_secs(2 * 3600);
/// Milliseconds that the clocks may differ unnoticed.
const CLOCK_QUIET_MS: u64 = 30_000;
/// Milliseconds beyond which certificates are refused ([`protocol::limits::CLOCK_SKEW`]).
const CLOCK_BAD_MS: u64 = protocol::limits::CLOCK_SKEW.as_millis() as u64;
/// Below this much room, in bytes, a node takes no more shards of the usual size.
const ROOM_FULL: u64 = 8 * MIB;
/// How to set the clock right, wherever systemd is.
pub(crate) const FIX_CLOCK: &str = "set the clock by the network: `sudo timedatectl set-ntp true`, then look at `timedatectl status`";

/// How much a finding matters. Later ones matter more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// As it should be.
    Good,
    /// Worth knowing; nothing has to be done.
    Note,
    /// Should be seen to.
    Warning,
    /// The node does not do its work until this is seen to.
    Bad,
}

/// One thing that was found, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What it is about, in a word or two: the same for the same thing in every version.
    pub about: String,
    /// What was found.
    pub words: String,
    /// What to do, if something can be done.
    pub fix: Option<String>,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Good => "good",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Bad => "bad",
        })
    }
}

impl Finding {
    /// Something that is as it should be.
    pub(crate) fn good(about: &str, words: impl Into<String>) -> Self {
        Self { severity: Severity::Good, about: about.to_owned(), words: words.into(), fix: None }
    }

    /// Something worth knowing.
    pub(crate) fn note(about: &str, words: impl Into<String>) -> Self {
        Self { severity: Severity::Note, ..Self::good(about, words) }
    }

    /// Something that should be seen to, and how.
    pub(crate) fn warning(about: &str, words: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, fix: Some(fix.into()), ..Self::good(about, words) }
    }

    /// Something that keeps the node from its work, and how to see to it.
    pub(crate) fn bad(about: &str, words: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { severity: Severity::Bad, ..Self::warning(about, words, fix) }
    }

    /// Adds what can be done about a note.
    pub(crate) fn or_else(self, fix: impl Into<String>) -> Self {
        Self { fix: Some(fix.into()), ..self }
    }
}

/// Room on the file system of the data folder.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct DiskSpace {
    /// Bytes there are.
    pub total: u64,
    /// Bytes this process may still take.
    pub free: u64,
}

impl DiskSpace {
    /// Measures the file system of `dir`.
    pub(crate) fn measure(dir: &std::path::Path) -> std::io::Result<Self> {
        let found = rustix::fs::statvfs(dir)?;
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        Ok(Self { total: bytes(found.f_blocks), free: bytes(found.f_bavail) })
    }

    /// Bytes that may still be taken when the frame's minimum must stay free; if the owner set none, 1 GiB or 1 %, whichever is less.
    pub(crate) fn beyond_minimum(self, min_free: Option<u64>) -> u64 {
        self.free.saturating_sub(min_free.unwrap_or_else(|| GIB.min(self.total / 100)))
    }
}

/// What follows from a status, worst first; a good word before everything else if nothing has to be done.
pub(crate) fn advise(status: &NodeStatus, now: Timestamp) -> Vec<Finding> {
    let mut found = store(&status.store);
    found.extend(status.standing.as_ref().and_then(standing));
    found.extend(status.leaving.map(leaving));
    found.extend(room(status));
    found.extend(frame(&status.frame, now));
    // While the owner's own limits keep the node off the line, that is no news.
    if status.frame.network.allowed {
        found.extend(status.links.iter().filter_map(|link| away(link, now)));
    }
    found.extend(status.clock_ahead_ms.and_then(clock));
    found.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    if found.iter().all(|finding| finding.severity == Severity::Note) {
        found.insert(0, Finding::good("health", "Everything is fine: there is nothing to do."));
    }
    found
}

fn store(store: &StoreStatus) -> Vec<Finding> {
    let broken = store.broken.as_ref().map(|why| {
        Finding::bad(
            "store",
            format!("The store takes no writes since a failure: {why}."),
            "restart the node; if it happens again, look at the disk: `drystone-node doctor`, `dmesg`, `smartctl -a`",
        )
    });
    let rotten = (store.rotten > 0).then(|| {
        let (what, were) = if store.rotten == 1 { ("shard", "was") } else { ("shards", "were") };
        Finding::warning(
            "damage",
            format!(
                "{} {what} {were} found damaged on disk; the network repairs them.",
                store.rotten
            ),
            "if the number grows, the disk is failing: look at `smartctl -a`, and replace it",
        )
    });
    broken.into_iter().chain(rotten).collect()
}

fn room(status: &NodeStatus) -> Option<Finding> {
    let NodeStatus { store, frame, disk, .. } = status;
    let effective = |limit| frame.limit(limit).and_then(|report| report.effective);
    if store.room < ROOM_FULL {
        let words = format!(
            "All disk space that you lend ({}) is in use. What is kept goes on counting.",
            Unit::Bytes.show(effective(Limit::Disk).unwrap_or(store.quota))
        );
        return Some(
            Finding::note("disk", words)
                .or_else("nothing; or lend more: `drystone-node frame set disk=SIZE`"),
        );
    }
    let disk = disk.as_ref()?;
    let left = disk.beyond_minimum(effective(Limit::MinFree));
    let words = |how: &str| {
        format!(
            "The disk is {how}: {} are free, of which the node leaves some alone, and you lend {} more than it holds.",
            size(disk.free),
            size(store.room)
        )
    };
    let fix = "make room on the disk, or lend less: `drystone-node frame set disk=SIZE`";
    if left < ROOM_FULL {
        Some(Finding::bad("disk", words("full"), fix))
    } else if left < store.room / 10 {
        Some(Finding::warning("disk", words("almost full"), fix))
    } else {
        None
    }
}

fn away(link: &LinkStatus, now: Timestamp) -> Option<Finding> {
    let away = now.since(link.since);
    if link.connected || away < LINK_QUIET {
        return None;
    }
    let why = link.trouble.as_ref().map_or_else(String::new, |why| format!(" ({why})"));
    let words = format!("No link to the gateway {} for {}{why}.", link.gateway, lasting(away));
    let fix = "look at this machine's internet connection; `drystone-node doctor` tries every step of the way";
    Some(if away < LINK_BAD {
        Finding::warning("link", words, fix)
    } else {
        Finding::bad("link", words, format!("{fix}. If all is well here, ask the operator"))
    })
}

fn frame(frame: &FrameReport, now: Timestamp) -> Vec<Finding> {
    let overstepped = (frame.violations > 0).then(|| {
        Finding::warning(
            "frame",
            format!("A limit that you set was overstepped {} times, by the node's own measure.", frame.violations),
            "this is a defect of the program: please report it with what `drystone-node frame` shows",
        )
    });
    let trouble = frame.trouble.as_ref().map(|why| {
        let words = format!(
            "The last change of node.toml was not taken: {why}. What held before still holds."
        );
        Finding::warning(
            "frame",
            words,
            "correct node.toml, or set the limit with `drystone-node frame set`",
        )
    });
    let shut = (!frame.network.allowed).then(|| {
        let until = frame.network.until.map(|until| lasting(until.since(now)));
        let until = until.map_or_else(String::new, |span| format!(", for another {span}"));
        let note = Finding::note(
            "frame",
            format!("The node is off the line: {}{until}.", frame.network.why),
        );
        if frame.network.why == Why::Pause {
            note.or_else("go on now: `drystone-node resume`")
        } else {
            note
        }
    });
    overstepped.into_iter().chain(trouble).chain(shut).collect()
}

fn standing(report: &Report) -> Option<Finding> {
    let why = if report.reason.is_empty() { String::new() } else { format!(": {}", report.reason) };
    let look = "`drystone-node standing` has the evidence; look at the disk and the line with `drystone-node doctor`";
    match report.rank {
        Rank::Good => None,
        Rank::Warned => {
            Some(Finding::warning("standing", format!("The network warns this node{why}."), look))
        }
        Rank::Suspended => {
            let words = format!("The network gives this node nothing new for now{why}.");
            Some(Finding::bad("standing", words, look))
        }
        Rank::Disqualified => {
            let words = format!("The network does not trust this node any more{why}.");
            Some(Finding::bad("standing", words, "speak with the operator of the network"))
        }
    }
}

fn leaving(departure: Departure) -> Finding {
    match departure.groups {
        0 => Finding::note("leaving", "The node has left its network: nothing counts on it any more.")
            .or_else("stop it, and remove its data folder when you like"),
        groups => Finding::note(
            "leaving",
            format!("The node is leaving: it gets nothing new, and {groups} placement groups still count on it."),
        )
        .or_else("keep it running until they have been moved; to stay after all: `drystone-node leave --stay`"),
    }
}

/// What a difference between this machine's clock and a gateway's means; nothing, if it is small.
pub(crate) fn clock(ahead_ms: i64) -> Option<Finding> {
    let apart = ahead_ms.unsigned_abs();
    if apart <= CLOCK_QUIET_MS {
        return None;
    }
    let side = if ahead_ms > 0 { "ahead of" } else { "behind" };
    let words = format!(
        "This machine's clock is {} {side} the gateway's. Certificates are judged by it.",
        lasting(Duration::from_millis(apart))
    );
    Some(if apart < CLOCK_BAD_MS {
        Finding::warning("clock", words, FIX_CLOCK)
    } else {
        Finding::bad("clock", words, FIX_CLOCK)
    })
}

/// A time span for people: its largest unit, rounded down; seconds up to two minutes.
pub(crate) fn lasting(span: Duration) -> String {
    let seconds = span.as_secs();
    let (count, unit) = match seconds {
        0..120 => (seconds, "second"),
        120..7200 => (seconds / 60, "minute"),
        7200..172_800 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    if count == 1 { format!("1 {unit}") } else { format!("{count} {unit}s") }
}

/// A size for people: a whole number of gigabytes, megabytes or bytes, rounded down.
pub(crate) fn size(bytes: u64) -> String {
    if bytes < 1_000_000 {
        format!("{bytes} bytes")
    } else if bytes < 10_000_000_000 {
        format!("{}MB", bytes / 1_000_000)
    } else {
        format!("{}GB", bytes / 1_000_000_000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::report::Permission;
    use crate::testing::status;

    const NOW: Timestamp = Timestamp(1_800_000_000_000);
    const MINUTE: Duration = Duration::from_secs(60);

    fn worst(status: &NodeStatus) -> (Severity, String) {
        let first = advise(status, NOW).into_iter().next().unwrap();
        (first.severity, first.about)
    }

    #[test]
    fn a_node_that_is_well_is_told_that_there_is_nothing_to_do() {
        let found = advise(&status(NOW), NOW);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].severity, found[0].about.as_str()), (Severity::Good, "health"));
    }

    #[test]
    fn a_lost_link_is_quiet_for_two_minutes_a_warning_for_two_hours_and_bad_from_then_on() {
        let mut status = status(NOW);
        let mut after = |away: Duration| {
            status.links[0].connected = false;
            status.links[0].since = Timestamp(NOW.0 - away.as_millis() as u64);
            status.links[0].trouble = Some("connection refused".to_owned());
            advise(&status, NOW)
        };
        assert_eq!(after(MINUTE)[0].severity, Severity::Good);
        let warned = after(5 * MINUTE);
        assert_eq!(warned[0].severity, Severity::Warning);
        assert!(warned[0].words.contains("for 5 minutes (connection refused)"), "{warned:?}");
        assert_eq!(after(130 * MINUTE)[0].severity, Severity::Bad);
    }

    #[test]
    fn a_clock_that_is_off_is_told_with_its_side_and_the_command() {
        assert_eq!(clock(29_000), None);
        let behind = clock(-40_000).unwrap();
        assert_eq!(behind.severity, Severity::Warning);
        assert!(behind.words.contains("40 seconds behind"), "{behind:?}");
        assert!(behind.fix.unwrap().contains("timedatectl"));
        assert_eq!(clock(400_000).unwrap().severity, Severity::Bad);
        assert_eq!(clock(i64::MIN).unwrap().severity, Severity::Bad);
    }

    #[test]
    fn a_full_quota_is_no_trouble_but_a_full_disk_is() {
        let mut full = status(NOW);
        full.store.room = 0;
        assert_eq!(worst(&full), (Severity::Good, "health".to_owned()));
        assert!(advise(&full, NOW).iter().any(|finding| finding.about == "disk"));
        let mut disk = status(NOW);
        disk.disk = Some(DiskSpace { total: 1 << 40, free: 1 << 29 });
        assert_eq!(worst(&disk), (Severity::Bad, "disk".to_owned()));
        disk.disk = Some(DiskSpace { total: 1 << 40, free: (1 << 30) + (1 << 27) });
        assert_eq!(worst(&disk), (Severity::Warning, "disk".to_owned()));
    }

    #[test]
    fn what_the_owner_wanted_is_a_note_and_no_lost_link() {
        let mut status = status(NOW);
        status.links[0].connected = false;
        status.links[0].since = Timestamp(NOW.0 - 10_000_000);
        let until = Some(NOW.plus(Duration::from_secs(1800)));
        status.frame.network = Permission { allowed: false, why: Why::Pause, until };
        let found = advise(&status, NOW);
        assert_eq!((found.len(), found[0].severity), (2, Severity::Good), "{found:?}");
        assert!(
            found[1].words.contains("paused by the owner, for another 30 minutes"),
            "{found:?}"
        );
        assert!(found[1].fix.as_ref().is_some_and(|fix| fix.contains("resume")));
        status.frame.violations = 1;
        assert_eq!(worst(&status), (Severity::Warning, "frame".to_owned()));
    }

    #[test]
    fn a_bad_standing_is_told_with_its_reason_and_leaving_is_no_trouble() {
        let mut status = status(NOW);
        status.leaving = Some(Departure { groups: 3, since: Some(NOW) });
        let report = |rank| Report {
            rank,
            since: None,
            reason: "it lost a shard".to_owned(),
            by_operator: false,
            lost: 7_000,
            late: 0,
            available: 900_000,
            audits: 5,
            owned_up: 0,
            wanting: None,
            evidence: Vec::new(),
        };
        status.standing = Some(report(Rank::Good));
        let found = advise(&status, NOW);
        assert_eq!(found[0].severity, Severity::Good);
        assert!(found[1].words.contains("3 placement groups"), "{found:?}");
        status.standing = Some(report(Rank::Suspended));
        let found = advise(&status, NOW);
        assert_eq!(found[0].severity, Severity::Bad);
        assert!(found[0].words.ends_with("for now: it lost a shard."), "{found:?}");
    }

    #[test]
    fn what_is_worst_comes_first() {
        let mut status = status(NOW);
        status.store.rotten = 2;
        status.clock_ahead_ms = Some(-40_000);
        status.store.broken = Some("input/output error".to_owned());
        let found = advise(&status, NOW);
        assert_eq!(found[0].about, "store");
        assert!(found.is_sorted_by(|a, b| a.severity >= b.severity), "{found:?}");
        assert!(found.iter().all(|finding| finding.fix.is_some()), "{found:?}");
    }

    #[test]
    fn sizes_and_times_are_short() {
        assert_eq!(size(999_999), "999999 bytes");
        assert_eq!(size(1_234_567_890), "1234MB");
        assert_eq!(size(51_234_567_890), "51GB");
        assert_eq!(lasting(Duration::from_secs(40)), "40 seconds");
        assert_eq!(lasting(Duration::from_secs(7200)), "2 hours");
        assert_eq!(lasting(Duration::from_secs(172_800)), "2 days");
    }
}
