//! The book on all nodes that ever joined: how they have done and when they are awake. Kept in memory; upkeep writes what changed into the
//! catalog every few seconds, so that a crash forgets no more than that.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

use metadata::records::{Rank, Source, Standing, WeekHours};
use types::{NodeId, Timestamp};

use super::availability::{self, Chances};
use super::score::{self, Observation, Outcome, ScoreRules};
use super::vetting::{self, Newcomer, VettingRules};

/// The book. All methods are short and never wait.
#[derive(Default)]
pub(super) struct Book {
    rules: ScoreRules,
    pages: Mutex<Pages>,
}

#[derive(Default)]
struct Pages {
    standings: HashMap<NodeId, Standing>,
    hours: HashMap<NodeId, WeekHours>,
    /// Standings that the catalog has not been told of.
    unwritten: BTreeSet<NodeId>,
}

impl Book {
    /// Takes over what the catalog has. Nobody was watched since.
    pub(super) fn load(
        &self,
        standings: Vec<(NodeId, Standing)>,
        hours: Vec<(NodeId, WeekHours)>,
        now: Timestamp,
    ) {
        let mut pages = self.pages();
        pages.standings.extend(standings);
        pages.hours.extend(hours.into_iter().map(|(id, mut row)| {
            availability::resume(&mut row, now);
            (id, row)
        }));
    }

    pub(super) fn standing(&self, id: NodeId) -> Standing {
        self.pages().standings.get(&id).cloned().unwrap_or_default()
    }

    pub(super) fn rank(&self, id: NodeId) -> Rank {
        self.pages().standings.get(&id).map_or(Rank::Good, |standing| standing.rank)
    }

    pub(super) fn vetted(&self, id: NodeId) -> bool {
        self.pages().standings.get(&id).is_some_and(|standing| standing.vetted.is_some())
    }

    /// Takes an observation into account; the standing if the rank changed.
    pub(super) fn observe(
        &self,
        id: NodeId,
        seen: &Observation,
        now: Timestamp,
    ) -> Option<Standing> {
        let mut pages = self.pages();
        let standing = pages.standings.entry(id).or_default();
        let changed = score::observe(standing, &self.rules, seen, now);
        let changed = changed.map(|_| standing.clone());
        // Nothing is lost with the promptness of the last minutes, and a busy node answers a hundred reads a second.
        if changed.is_some() || seen.source != Source::Read || seen.outcome != Outcome::Right {
            pages.unwritten.insert(id);
        }
        changed
    }

    /// Changes a standing as the operator says; how it is now.
    pub(super) fn change(&self, id: NodeId, change: impl FnOnce(&mut Standing)) -> Standing {
        let mut pages = self.pages();
        let standing = pages.standings.entry(id).or_default();
        change(standing);
        let now = standing.clone();
        pages.unwritten.insert(id);
        now
    }

    /// Vets a node, if it has shown enough; whether that is news.
    pub(super) fn vet(
        &self,
        id: NodeId,
        rules: &VettingRules,
        node: &Newcomer,
        now: Timestamp,
    ) -> bool {
        let mut pages = self.pages();
        let vetted = vetting::vet(pages.standings.entry(id).or_default(), rules, node, now);
        if vetted {
            pages.unwritten.insert(id);
        }
        vetted
    }

    /// Standings that the catalog has not been told of. Whoever takes them and cannot write them puts them back by [`Self::unwritten`].
    pub(super) fn take_unwritten(&self) -> Vec<(NodeId, Standing)> {
        let mut pages = self.pages();
        let ids = std::mem::take(&mut pages.unwritten);
        let row = |id| Some((id, pages.standings.get(&id)?.clone()));
        ids.into_iter().filter_map(row).collect()
    }

    pub(super) fn unwritten(&self, ids: impl IntoIterator<Item = NodeId>) {
        self.pages().unwritten.extend(ids);
    }

    /// Notes for each node whether it was connected since it was last looked at.
    pub(super) fn watch(&self, nodes: impl IntoIterator<Item = (NodeId, bool)>, now: Timestamp) {
        let mut pages = self.pages();
        for (id, online) in nodes {
            match pages.hours.get_mut(&id) {
                Some(row) => availability::watch(row, online, now),
                None => {
                    let mut row = WeekHours::default();
                    availability::resume(&mut row, now);
                    pages.hours.insert(id, row);
                }
            }
        }
    }

    /// What was learned of when nodes are awake.
    pub(super) fn hours(&self) -> Vec<(NodeId, WeekHours)> {
        self.pages().hours.iter().map(|(id, row)| (*id, row.clone())).collect()
    }

    pub(super) fn chances(&self, id: NodeId) -> Chances {
        self.pages().hours.get(&id).map_or_else(Chances::default, Chances::of)
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
