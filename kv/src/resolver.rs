//! Who may commit: optimistic concurrency control, the same for every engine of this process.
//!
//! The resolver remembers which keys were written by which commit, as far back as any running transaction's snapshot
//! reaches. A transaction passes if none of the keys it depends on was written after its snapshot.
//!
//! Keys are remembered as 64-bit fingerprints under a secret hash. Two keys with one fingerprint cost a needless
//! conflict, about once in 10¹² commits; its repetition has a newer snapshot and passes.

use std::collections::hash_map::RandomState;
use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::time::Instant;

use crate::engine::CommitOrder;
use crate::error::KvError;
use crate::scan::Family;
use crate::tx::TRANSACTION_TIME;

/// A key's fingerprint.
pub(crate) type Print = u64;

/// Makes fingerprints; the resolver and the transactions of an engine share one.
#[derive(Clone, Default)]
pub(crate) struct Printer(RandomState);

impl Printer {
    pub(crate) fn print(&self, family: Family, key: &[u8]) -> Print {
        self.0.hash_one((family, key))
    }
}

/// The window of recent writes.
///
/// Invariants: `last[p]` is the newest commit above `floor` that wrote `p`; `order` lists the window's commits in order;
/// a commit at or below `floor` may be forgotten, so a snapshot below `floor` cannot be judged and is refused.
#[derive(Default)]
pub(crate) struct Resolver {
    last: HashMap<Print, u64>,
    order: VecDeque<Commit>,
    floor: u64,
    newest: u64,
}

struct Commit {
    number: u64,
    at: Instant,
    touched: Vec<Print>,
}

impl Resolver {
    /// Judges `order` against everything admitted before it, and if it passes gives the commit its number. The caller
    /// must then write it, or stop for good.
    pub(crate) fn admit(&mut self, order: &mut CommitOrder, now: Instant) -> Result<u64, KvError> {
        let age = now.duration_since(order.began);
        if age > TRANSACTION_TIME {
            return Err(KvError::TooOld { age });
        }
        if let Some(pinned) = &order.lease {
            let since = pinned.lease.since;
            if since < self.floor && !order.checked.is_empty() {
                return Err(KvError::TooOld { age });
            }
            let overtaken = |print| self.last.get(print).is_some_and(|commit| *commit > since);
            if order.checked.iter().any(overtaken) {
                return Err(KvError::Conflict);
            }
        }
        self.newest += 1;
        let touched = std::mem::take(&mut order.touched);
        for print in &touched {
            self.last.insert(*print, self.newest);
        }
        self.order.push_back(Commit { number: self.newest, at: now, touched });
        Ok(self.newest)
    }

    /// Forgets what no transaction can ask about: commits that the oldest snapshot sees, and those older than a
    /// transaction may become.
    pub(crate) fn forget(&mut self, oldest: u64, now: Instant) {
        while let Some(commit) = self.order.front() {
            if commit.number > oldest && now.duration_since(commit.at) <= TRANSACTION_TIME {
                return;
            }
            for print in &commit.touched {
                if self.last.get(print) == Some(&commit.number) {
                    self.last.remove(print);
                }
            }
            self.floor = commit.number;
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use async_trait::async_trait;
    use bytes::Bytes;

    use super::*;
    use crate::engine::{Leases, Pinned, View};
    use crate::scan::Scan;

    struct Nothing;

    #[async_trait]
    impl View for Nothing {
        async fn get(&self, _: Family, _: &[u8]) -> Result<Option<Bytes>, KvError> {
            Ok(None)
        }
        async fn scan(&self, _: Scan) -> Result<Vec<(Bytes, Bytes)>, KvError> {
            Ok(Vec::new())
        }
    }

    fn order(leases: &Arc<Leases>, checked: &[Print], touched: &[Print]) -> CommitOrder {
        CommitOrder {
            began: Instant::now(),
            lease: Some(Arc::new(Pinned { view: Box::new(Nothing), lease: leases.lease() })),
            checked: checked.to_vec(),
            touched: touched.to_vec(),
            writes: BTreeMap::new(),
            bytes: 0,
        }
    }

    #[test]
    fn the_window_is_empty_once_nobody_can_ask() {
        let (mut resolver, leases) = (Resolver::default(), Arc::new(Leases::default()));
        let now = Instant::now();
        let mut held = order(&leases, &[1], &[]);
        for _ in 0..3 {
            let number = resolver.admit(&mut order(&leases, &[], &[1, 2]), now).expect("blind");
            leases.applied(number);
            resolver.forget(leases.oldest(), now);
        }
        assert_eq!(resolver.order.len(), 3);
        assert!(matches!(resolver.admit(&mut held, now), Err(KvError::Conflict)));
        drop(held);
        resolver.forget(leases.oldest(), now);
        assert!(resolver.order.is_empty() && resolver.last.is_empty());
    }

    #[test]
    fn a_forgotten_snapshot_cannot_hold_the_window_and_is_refused() {
        let (mut resolver, leases) = (Resolver::default(), Arc::new(Leases::default()));
        let now = Instant::now();
        let mut held = order(&leases, &[1], &[]);
        leases.applied(resolver.admit(&mut order(&leases, &[], &[2]), now).expect("blind"));
        let later = now + TRANSACTION_TIME * 2;
        resolver.forget(leases.oldest(), later);
        assert!(resolver.order.is_empty());
        held.began = later;
        assert!(matches!(resolver.admit(&mut held, later), Err(KvError::TooOld { .. })));
    }
}
