//! Where accounts stand: freezes, spend caps, price ceilings and the limits of tiers, asked before a request is served.
//!
//! It is a courtesy that spares customers a surprise: the truth is what settlement adds up. What the books say of a payer is remembered for
//! [`BELIEVED`], and what is allowed meanwhile is counted on top; so a cap can be overspent by what is under way and by what the last two or
//! three seconds brought, never by more.
//!
//! Price: one look into a table; once a second for each busy payer a few rows of the books.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use billing::account::Action;
use billing::caps::{Ask, Standing};
use billing::{Billing, BillingError, Limits, Usage};
use metadata::AccountingClock;
use types::clock::SharedClock;

use crate::metering::Payer;

/// How long what the books say is believed.
const BELIEVED: Duration = Duration::from_secs(1);
/// Payers remembered at once; at the limit all are forgotten and looked up anew.
const REMEMBERED: usize = 16_384;

/// Nothing is limited.
const UNLIMITED: Limits = Limits {
    stored_bytes: u64::MAX,
    egress_per_day: u64::MAX,
    requests_per_second: u64::MAX,
    fuel_per_day: u64::MAX,
    nodes_per_job: u64::MAX,
};

/// Why a request is not served.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// The books say no.
    #[error(transparent)]
    Billing(#[from] BillingError),
    /// More requests than the account's tier may make in a second.
    #[error("accounts of this tier may make {0} requests a second")]
    TooMany(u64),
}

/// What is known of payers.
pub struct Standings {
    billing: Billing,
    clock: SharedClock,
    accounting: AccountingClock,
    /// Whether tiers limit anybody.
    tiers: bool,
    known: Mutex<HashMap<Arc<Payer>, Arc<Mutex<Known>>>>,
}

/// What is known of one payer.
struct Known {
    standing: Standing,
    /// Nothing is forbidden, capped or limited.
    free: bool,
    loaded: Instant,
    /// Requests since `second` began.
    requests: u64,
    second: Instant,
}

impl Standings {
    /// Asks these books. Without `tiers` only freezes, caps and ceilings count.
    #[must_use]
    pub fn new(
        billing: Billing,
        clock: SharedClock,
        accounting: AccountingClock,
        tiers: bool,
    ) -> Self {
        Self { billing, clock, accounting, tiers, known: Mutex::default() }
    }

    /// Lets a request begin that does `action`, is of this class of requests, and brings so many bytes.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn admit(
        &self,
        payer: &Arc<Payer>,
        action: Action,
        usage: Usage,
        stored_bytes: u64,
    ) -> Result<(), Refused> {
        let known = self.of(payer).await?;
        let mut known = lock(&known);
        if known.free {
            return Ok(());
        }
        known.count_request()?;
        Ok(known.standing.take(&Ask { action, stored_bytes, usage })?)
    }

    /// Lets so many bytes go out.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn admit_egress(&self, payer: &Arc<Payer>, bytes: u64) -> Result<(), Refused> {
        let known = self.of(payer).await?;
        let mut known = lock(&known);
        if known.free {
            return Ok(());
        }
        let usage = Usage { egress: bytes, ..Usage::default() };
        Ok(known.standing.take(&Ask { action: Action::Read, stored_bytes: 0, usage })?)
    }

    /// Looks payers up anew: something was changed.
    pub fn forget(&self) {
        lock(&self.known).clear();
    }

    async fn of(&self, payer: &Arc<Payer>) -> Result<Arc<Mutex<Known>>, BillingError> {
        let remembered = lock(&self.known).get(payer).cloned();
        if let Some(known) = remembered {
            if lock(&known).is_stale() {
                let fresh = self.load(payer).await?;
                let mut stale = lock(&known);
                (stale.standing, stale.free) = (fresh.standing, fresh.free);
            }
            return Ok(known);
        }
        let known = Arc::new(Mutex::new(self.load(payer).await?));
        let mut all = lock(&self.known);
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(Arc::clone(payer), Arc::clone(&known));
        Ok(known)
    }

    async fn load(&self, payer: &Payer) -> Result<Known, BillingError> {
        let now = self.accounting.at(self.clock.now());
        let Payer { account, bucket, key } = payer;
        let mut standing =
            self.billing.standing(account, Some(*bucket), key.as_deref(), now).await?;
        if !self.tiers {
            standing.limits = UNLIMITED;
        }
        let free = standing.profile.freezes.is_empty()
            && standing.caps.is_empty()
            && standing.ceilings.is_none()
            && standing.limits == UNLIMITED;
        let loaded = Instant::now();
        Ok(Known { standing, free, loaded, requests: 0, second: loaded })
    }
}

impl Known {
    /// Whether it is to be looked up anew. Said to one request; the others go on with what is known.
    fn is_stale(&mut self) -> bool {
        let stale = self.loaded.elapsed() >= BELIEVED;
        if stale {
            self.loaded = Instant::now();
        }
        stale
    }

    fn count_request(&mut self) -> Result<(), Refused> {
        let now = Instant::now();
        if now.duration_since(self.second) >= Duration::from_secs(1) {
            (self.second, self.requests) = (now, 0);
        }
        let limit = self.standing.limits.requests_per_second;
        if self.requests >= limit {
            return Err(Refused::TooMany(limit));
        }
        self.requests += 1;
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change under these locks is whole at each step that could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
