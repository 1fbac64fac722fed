//! Report: what is counted while it runs, and what is told at the end.

use std::fmt::{self, Write as _};

use gateway::nodes::availability::fewer_than;
use metadata::records::Rank;
use serde::Serialize;
use types::{GIB, Timestamp};

use crate::checkers::{Destroyed, Loss};
use crate::plan::Plan;
use crate::volunteer::{HOURS, Nature};
use crate::world::{Node, World};

/// Losses that are told one by one.
const LOSSES_SHOWN: usize = 20;
/// Shares of rubbish below this are small lies.
const SMALL_LIE: f64 = 0.1;
const DAY_MS: f64 = 86_400_000.0;

/// Why something was repaired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cause {
    /// Nobody was there for it when it was written.
    Unwritten,
    /// It was lost: rot, lies.
    Missing,
    /// Its slot changed hands.
    Refill,
}

/// What repair moved for one cause.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Moved {
    /// Segments that were gathered.
    pub gathers: u64,
    /// Bytes read.
    pub read: u64,
    /// Bytes written.
    pub written: u64,
}

/// What is counted.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is told in the report under the name it has here")]
pub struct Tally {
    pub reads: [u64; HOURS],
    pub reads_failed: [u64; HOURS],
    /// The worst single hour: reads and those that failed.
    pub worst_single: (u64, u64),
    pub node_hours: u64,
    pub online_hours: u64,
    pub written: u64,
    pub shards_written: u64,
    pub writes_waited: u64,
    pub writes_failed: u64,
    pub groups_refused: u64,
    pub groups_at_risk: u64,
    pub worst_promise: f64,
    pub vanished: u64,
    pub left_politely: u64,
    pub declared_lost: u64,
    pub declared_wrongly: u64,
    pub came_back: u64,
    pub rotted: u64,
    pub vetted: u64,
    pub handed_over: u64,
    pub slots_waiting_most: u64,
    pub audits: u64,
    pub audits_failed: u64,
    pub honest_suspended: u64,
    pub honest_disqualified: u64,
    /// Liars who keep little: how many were suspended, and after how many days.
    pub great_liars_suspended: (u64, f64),
    /// Liars who keep most.
    pub small_liars_suspended: (u64, f64),
    pub liars_disqualified: u64,
    /// By [`Cause`].
    pub moved: [Moved; 3],
    pub ticks_full: u64,
    pub backlog_most: u64,
    pub stuck_most: u64,
    pub waiting: u64,
    pub stuck: u64,
    pub least_shards: usize,
    pub segment_hours_below_r: u64,
    pub losses: Vec<Loss>,
    pub destroyed: Option<Destroyed>,
    /// When the scenario struck.
    pub struck: Timestamp,
    history: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            reads: [0; HOURS],
            reads_failed: [0; HOURS],
            worst_single: (0, 0),
            node_hours: 0,
            online_hours: 0,
            written: 0,
            shards_written: 0,
            writes_waited: 0,
            writes_failed: 0,
            groups_refused: 0,
            groups_at_risk: 0,
            worst_promise: 0.0,
            vanished: 0,
            left_politely: 0,
            declared_lost: 0,
            declared_wrongly: 0,
            came_back: 0,
            rotted: 0,
            vetted: 0,
            handed_over: 0,
            slots_waiting_most: 0,
            audits: 0,
            audits_failed: 0,
            honest_suspended: 0,
            honest_disqualified: 0,
            great_liars_suspended: (0, 0.0),
            small_liars_suspended: (0, 0.0),
            liars_disqualified: 0,
            moved: [Moved::default(); 3],
            ticks_full: 0,
            backlog_most: 0,
            stuck_most: 0,
            waiting: 0,
            stuck: 0,
            least_shards: usize::MAX,
            segment_hours_below_r: 0,
            losses: Vec::new(),
            destroyed: None,
            struck: Timestamp(0),
            // FNV-1a's beginning.
            history: 0xcbf2_9ce4_8422_2325,
        }
    }
}

impl Tally {
    /// Adds to the history: what happened when, and to whom.
    pub fn note(&mut self, at: Timestamp, what: &str, whom: u64) {
        let bytes = at.0.to_le_bytes().into_iter().chain(whom.to_le_bytes()).chain(what.bytes());
        for byte in bytes {
            self.history = (self.history ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    /// An hour's reads of everything.
    pub fn looked(&mut self, hour: usize, reads: u64, failed: u64) {
        self.reads[hour] += reads;
        self.reads_failed[hour] += failed;
        let (most, of) = (self.worst_single.1, self.worst_single.0);
        if u128::from(failed) * u128::from(of.max(1)) > u128::from(most) * u128::from(reads) {
            self.worst_single = (reads, failed);
        }
        self.note(Timestamp(hour as u64), "read", reads << 32 | failed);
    }

    /// A rebuilt segment.
    pub fn repaired(&mut self, cause: Cause, read: u64, written: u64) {
        let moved = &mut self.moved[cause as usize];
        moved.gathers += 1;
        moved.read += read;
        moved.written += written;
    }

    /// A node's rank changed.
    pub fn ranked(&mut self, node: &Node, rank: Rank, now: Timestamp) {
        let count = |(count, days): &mut (u64, f64)| {
            *count += 1;
            *days += now.since(node.joined).as_millis() as f64 / DAY_MS;
        };
        match (node.volunteer.nature, rank) {
            (Nature::Honest, Rank::Suspended) => self.honest_suspended += 1,
            (Nature::Honest, Rank::Disqualified) => self.honest_disqualified += 1,
            (Nature::Liar(share), Rank::Suspended) if share < SMALL_LIE => {
                count(&mut self.small_liars_suspended);
            }
            (Nature::Liar(_), Rank::Suspended) => count(&mut self.great_liars_suspended),
            (Nature::Liar(_), Rank::Disqualified) => self.liars_disqualified += 1,
            (_, Rank::Good | Rank::Warned) => {}
        }
    }
}

/// Why groups that are open have the members they need, by the binomial distribution.
#[derive(Clone, Debug, Serialize)]
pub struct Prediction {
    /// The chance that at least w of n members are awake, so that a write finds a quorum.
    pub quorum: f64,
    /// The chance that fewer than k of r members are awake.
    pub unreadable: f64,
    /// The chance that fewer than k of r shards are left of a third, and of a half, destroyed.
    pub third: f64,
    /// The same of a half.
    pub half: f64,
}

/// What came of it. Days count from when data began to be stored.
#[derive(Clone, Debug, Serialize)]
#[expect(missing_docs, reason = "the names are what the JSON has, and the table has sentences")]
pub struct Report {
    pub plan: Plan,
    pub k: usize,
    pub n: usize,
    pub w: usize,
    pub r: usize,
    /// A hash over all that happened, in order.
    pub history: String,
    pub nodes_ever: usize,
    pub nodes_at_end: usize,
    pub availability: f64,
    pub segments: u64,
    pub segments_lost: usize,
    pub losses: Vec<Loss>,
    pub least_shards: usize,
    pub segment_hours_below_r: f64,
    pub reads_ok: f64,
    pub worst_hour_of_week: usize,
    pub worst_hour_ok: f64,
    pub worst_single_hour_ok: f64,
    pub shards_per_write: f64,
    pub writes_waited: u64,
    pub writes_failed: u64,
    pub writes_pending: usize,
    pub groups: usize,
    pub groups_refused: u64,
    pub groups_at_risk: u64,
    pub worst_promise: f64,
    pub vanished: u64,
    pub left_politely: u64,
    pub declared_lost: u64,
    pub declared_wrongly: u64,
    pub came_back: u64,
    pub rotted: u64,
    pub vetted: u64,
    pub handed_over: u64,
    pub slots_waiting_most: u64,
    pub slots_filling: u32,
    pub audits: u64,
    pub audits_failed: u64,
    pub honest_suspended: u64,
    pub honest_disqualified: u64,
    pub great_liars: usize,
    pub great_liars_suspended: u64,
    pub great_liars_days: f64,
    pub small_liars: usize,
    pub small_liars_suspended: u64,
    pub small_liars_days: f64,
    pub liars_disqualified: u64,
    pub moved_unwritten: Moved,
    pub moved_missing: Moved,
    pub moved_refill: Moved,
    /// Bytes on all disks at the end.
    pub stored: u64,
    /// Bytes that repair moved, for each byte on disk and year.
    pub repair_per_stored_byte_year: f64,
    /// Bytes that repair moved, for each node that is there, and day.
    pub repair_per_node_day: f64,
    pub ticks_full: u64,
    pub backlog_most: u64,
    pub backlog_at_end: u64,
    pub stuck_most: u64,
    pub stuck_at_end: u64,
    pub destroyed: Option<Destroyed>,
    pub prediction: Prediction,
}

impl Report {
    /// Of a world that has been lived through.
    #[must_use]
    pub fn of(world: &World) -> Self {
        let (tally, geometry, plan) = (&world.tally, world.geometry, &world.plan);
        let hours = (0..HOURS).filter(|hour| tally.reads[*hour] > 0);
        let failed = |hour: usize| share(tally.reads_failed[hour], tally.reads[hour]);
        let worst = hours.max_by(|one, other| failed(*one).total_cmp(&failed(*other))).unwrap_or(0);
        let availability = share(tally.online_hours, tally.node_hours);
        let [unwritten, missing, refill] = tally.moved;
        let moved: u64 = tally.moved.iter().map(|moved| moved.read + moved.written).sum();
        let shards: u64 = world
            .groups
            .iter()
            .flat_map(|group| group.segments.iter().map(|row| u64::from(row.has.count_ones())))
            .sum();
        let stored = shards * plan.shard_bytes();
        let nodes_at_end = world.nodes.iter().filter(|node| !node.gone).count();
        let liars = |small: bool| {
            let is = |node: &&Node| matches!(node.volunteer.nature, Nature::Liar(share) if (share < SMALL_LIE) == small);
            world.nodes.iter().filter(is).count()
        };
        let (great, small) = (tally.great_liars_suspended, tally.small_liars_suspended);
        let days = plan.days as f64;
        let below = |k, of, chance| fewer_than(k, std::iter::repeat_n(chance, of));
        let (k, n, w, r) = (geometry.k, geometry.n, geometry.w, geometry.r);
        Self {
            k,
            n,
            w,
            r,
            history: format!("{:016x}", tally.history),
            nodes_ever: world.nodes.len(),
            nodes_at_end,
            availability,
            segments: tally.written,
            segments_lost: tally.losses.len(),
            losses: tally.losses.clone(),
            least_shards: if tally.written == 0 { 0 } else { tally.least_shards },
            segment_hours_below_r: share(tally.segment_hours_below_r, tally.reads.iter().sum()),
            reads_ok: 1.0 - share(tally.reads_failed.iter().sum(), tally.reads.iter().sum()),
            worst_hour_of_week: worst,
            worst_hour_ok: 1.0 - failed(worst),
            worst_single_hour_ok: 1.0 - share(tally.worst_single.1, tally.worst_single.0),
            shards_per_write: share(tally.shards_written, tally.written),
            writes_waited: tally.writes_waited,
            writes_failed: tally.writes_failed,
            writes_pending: world.pending,
            groups: world.groups.len(),
            groups_refused: tally.groups_refused,
            groups_at_risk: tally.groups_at_risk,
            worst_promise: tally.worst_promise,
            vanished: tally.vanished,
            left_politely: tally.left_politely,
            declared_lost: tally.declared_lost,
            declared_wrongly: tally.declared_wrongly,
            came_back: tally.came_back,
            rotted: tally.rotted,
            vetted: tally.vetted,
            handed_over: tally.handed_over,
            slots_waiting_most: tally.slots_waiting_most,
            slots_filling: world.groups.iter().map(|group| group.filling.count_ones()).sum(),
            audits: tally.audits,
            audits_failed: tally.audits_failed,
            honest_suspended: tally.honest_suspended,
            honest_disqualified: tally.honest_disqualified,
            great_liars: liars(false),
            great_liars_suspended: great.0,
            great_liars_days: great.1 / great.0.max(1) as f64,
            small_liars: liars(true),
            small_liars_suspended: small.0,
            small_liars_days: small.1 / small.0.max(1) as f64,
            liars_disqualified: tally.liars_disqualified,
            moved_unwritten: unwritten,
            moved_missing: missing,
            moved_refill: refill,
            stored,
            repair_per_stored_byte_year: share(moved, stored) * 365.0 / days,
            repair_per_node_day: share(moved, nodes_at_end as u64) / days,
            ticks_full: tally.ticks_full,
            backlog_most: tally.backlog_most,
            backlog_at_end: tally.waiting,
            stuck_most: tally.stuck_most,
            stuck_at_end: tally.stuck,
            destroyed: tally.destroyed.clone(),
            prediction: Prediction {
                quorum: 1.0 - below(w, n, availability),
                unreadable: below(k, r, availability),
                third: below(k, r, 2.0 / 3.0),
                half: below(k, r, 0.5),
            },
            plan: plan.clone(),
        }
    }

    fn reads(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hour = self.worst_hour_of_week;
        let day = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"][hour / 24 % 7];
        line(f, "segments written", &self.segments)?;
        line(f, "segments LOST", &self.segments_lost)?;
        line(f, "reads that succeed", &percent(self.reads_ok))?;
        let worst = format!("{} ({day} {:02}:00 UTC)", percent(self.worst_hour_ok), hour % 24);
        line(f, "  in the worst hour of the week", &worst)?;
        line(f, "  in the worst single hour", &percent(self.worst_single_hour_ok))?;
        let below = percent(self.segment_hours_below_r);
        line(f, "time that segments have fewer than r shards", &below)?;
        line(f, "shards of the weakest segment ever", &self.least_shards)
    }

    fn writes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(
            f,
            "shards stored by a write",
            &format!("{:.1} of {}", self.shards_per_write, self.n),
        )?;
        let waited = format!(
            "{} waited (segment-hours), {} failed, {} still wait",
            self.writes_waited, self.writes_failed, self.writes_pending
        );
        line(f, "writes without a group", &waited)?;
        let groups = format!(
            "{}; {} hours without a new one, {} formed above the target, worst promise {:.1e}",
            self.groups, self.groups_refused, self.groups_at_risk, self.worst_promise
        );
        line(f, "groups", &groups)?;
        let quorum = percent(self.prediction.quorum);
        line(f, "  chance that w of n are awake (binomial)", &quorum)?;
        let unreadable = format!("{:.1e}", self.prediction.unreadable);
        line(f, "  chance that fewer than k of r are awake (binomial)", &unreadable)
    }

    fn nodes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ever = format!("{} at the end, {} ever", self.nodes_at_end, self.nodes_ever);
        line(f, "nodes", &ever)?;
        line(f, "availability", &percent(self.availability))?;
        let left = format!(
            "{} (of {} who said so); {} disks rotted or crashed",
            self.vanished, self.left_politely, self.rotted
        );
        line(f, "gone for ever", &left)?;
        let lost = format!(
            "{}, {} of them only away; {} came back",
            self.declared_lost, self.declared_wrongly, self.came_back
        );
        line(f, "declared lost", &lost)?;
        let slots = format!(
            "{}; at most {} waited for a spare node; {} are being filled at the end",
            self.handed_over, self.slots_waiting_most, self.slots_filling
        );
        line(f, "slots handed over", &slots)?;
        let audits = format!("{}, {} met a loss", self.audits, self.audits_failed);
        line(f, "audits", &audits)?;
        let honest = format!(
            "{} suspended, {} disqualified",
            self.honest_suspended, self.honest_disqualified
        );
        line(f, "honest nodes", &honest)?;
        let great = format!(
            "{}, {} suspensions, {:.1} days after joining",
            self.great_liars, self.great_liars_suspended, self.great_liars_days
        );
        line(f, "liars who keep four fifths or nothing", &great)?;
        let small = format!(
            "{}, {} suspensions, {:.1} days after joining; {} liars disqualified",
            self.small_liars,
            self.small_liars_suspended,
            self.small_liars_days,
            self.liars_disqualified
        );
        line(f, "liars who keep all but a fiftieth", &small)
    }

    fn repair(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        line(f, "stored at the end", &gib(self.stored))?;
        for (name, moved) in [
            ("repaired: nobody there at the write", self.moved_unwritten),
            ("repaired: rot and lies", self.moved_missing),
            ("repaired: slots that changed hands", self.moved_refill),
        ] {
            let words = format!(
                "{} gathered, {} read, {} written",
                moved.gathers,
                gib(moved.read),
                gib(moved.written)
            );
            line(f, name, &words)?;
        }
        let traffic = format!(
            "{:.2} bytes for each stored byte and year; {:.1} MiB for each node and day",
            self.repair_per_stored_byte_year,
            self.repair_per_node_day / (1 << 20) as f64
        );
        line(f, "repair traffic", &traffic)?;
        let queue = format!(
            "{} at most, {} at the end; {} quarters of an hour used up; stuck: {} at most, {} at the end",
            self.backlog_most,
            self.backlog_at_end,
            self.ticks_full,
            self.stuck_most,
            self.stuck_at_end
        );
        line(f, "repair queue", &queue)
    }

    fn destruction(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(hit) = &self.destroyed else { return Ok(()) };
        writeln!(
            f,
            "\non day {} the scenario struck {} segments in {} groups",
            hit.day, hit.segments, hit.groups
        )?;
        let whole = format!("{} lost of {}", hit.whole_lost, hit.whole);
        line(f, "segments that had r shards or more", &whole)?;
        let others = format!("{} lost of {}", hit.others_lost, hit.segments - hit.whole);
        line(f, "segments that had fewer", &others)?;
        line(f, "groups that lost segments", &hit.groups_lost)?;
        line(f, "the binomial distribution says lost", &format!("{:.2} segments", hit.predicted))?;
        line(f, "not readable right after", &hit.unreadable)?;
        line(f, "shards of the weakest segment right after", &hit.least)?;
        let healed = hit
            .hours_to_r
            .map_or_else(|| "not in this time".to_owned(), |hours| format!("{hours} hours"));
        line(f, "until no more had fewer than r than before", &healed)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { geometry, days, seed, scenario, .. } = &self.plan;
        writeln!(
            f,
            "{geometry} (k {}, n {}, w {}, r {}), {days} days, seed {seed}, {scenario:?}, history {}\n",
            self.k, self.n, self.w, self.r, self.history
        )?;
        self.reads(f)?;
        f.write_char('\n')?;
        self.writes(f)?;
        f.write_char('\n')?;
        self.nodes(f)?;
        f.write_char('\n')?;
        self.repair(f)?;
        self.destruction(f)?;
        for loss in self.losses.iter().take(LOSSES_SHOWN) {
            writeln!(
                f,
                "lost on day {}: segment {} of group {}: {} shards exist, {} holders gone for ever, {} without it",
                loss.day, loss.segment, loss.group, loss.shards, loss.gone, loss.empty
            )?;
        }
        let more = self.losses.len().saturating_sub(LOSSES_SHOWN);
        if more > 0 {
            writeln!(f, "… and {more} more")?;
        }
        Ok(())
    }
}

fn line(f: &mut fmt::Formatter<'_>, name: &str, value: &dyn fmt::Display) -> fmt::Result {
    writeln!(f, "{name:<54} {value}")
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

fn percent(share: f64) -> String {
    format!("{:.4} %", share * 100.0)
}

fn gib(bytes: u64) -> String {
    format!("{:.1} GiB", bytes as f64 / GIB as f64)
}
