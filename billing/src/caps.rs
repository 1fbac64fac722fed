//! What an account may still do: freezes, the limits of its tier, its own spend caps and price ceilings, all in one answer.
//!
//! A gateway reads a [`Standing`] once a second or so for each account, bucket and key that is busy, and asks it before each request
//! without touching the store again: [`Standing::take`] counts what it allowed. A cap can so be overspent by at most what
//! other gateways allow in that second.

use std::collections::BTreeMap;
use std::fmt;

use kv::{KeyCodec, KeyPrefix, KvError, Reads, Span, Tx, transact};
use serde::{Deserialize, Serialize};
use types::{AccountId, BucketId, Timestamp};

use crate::Billing;
use crate::account::{Action, Limits, Profile, limits, profile};
use crate::calendar::{Day, Hour};
use crate::error::BillingError;
use crate::money::Money;
use crate::quantity::{Item, Usage};
use crate::schema::{CAPS, CEILINGS, CLOSING, OPEN_FROM, OPEN_USAGE, SPENDING, USAGE_LEVELS};
use crate::tariff::{Prices, prices};

/// What a cap is on. The numbers of the variants are stored in keys: append only.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Everything the account pays for.
    Account,
    /// What happens in one bucket.
    Bucket(BucketId),
    /// What one access key asks for.
    Key(String),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Account => f.write_str("this account"),
            Self::Bucket(bucket) => write!(f, "bucket {bucket}"),
            Self::Key(key) => write!(f, "access key {key}"),
        }
    }
}

impl KeyCodec for Scope {
    fn encode_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Account => out.push(0),
            Self::Bucket(bucket) => {
                out.push(1);
                bucket.encode_to(out);
            }
            Self::Key(key) => {
                out.push(2);
                key.encode_to(out);
            }
        }
    }

    fn decode_from(input: &mut &[u8]) -> Result<Self, KvError> {
        match u8::decode_from(input)? {
            0 => Ok(Self::Account),
            1 => BucketId::decode_from(input).map(Self::Bucket),
            2 => String::decode_from(input).map(Self::Key),
            _ => Err(KvError::MalformedKey { expected: "scope" }),
        }
    }
}

/// The most that is to be spent in a calendar month, tax not counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cap {
    /// The amount.
    pub per_month: Money,
}

/// What a request would take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ask {
    /// What is done.
    pub action: Action,
    /// Bytes that come to rest.
    pub stored_bytes: u64,
    /// Everything else that is paid for. Leave [`Usage::stored`] at zero: time has not passed yet.
    pub usage: Usage,
}

/// A cap and what is spent of it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Spent {
    /// On what.
    pub scope: Scope,
    /// The cap.
    pub cap: Money,
    /// Spent since the month began.
    pub spent: Money,
}

/// Where an account stands, at one moment.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Standing {
    /// Whose.
    pub account: AccountId,
    /// Tier and freezes.
    pub profile: Profile,
    /// The tier's limits.
    pub limits: Limits,
    /// Bytes at rest now.
    pub stored_bytes: u64,
    /// What was sent, asked and burnt today.
    pub today: Usage,
    /// Caps that apply.
    pub caps: Vec<Spent>,
    /// Today's prices; nothing costs anything before the first tariff.
    pub prices: Prices,
    /// The most the account wants to pay for each thing.
    pub ceilings: Option<Prices>,
}

impl Standing {
    /// Whether `ask` is allowed; counts it if it is.
    ///
    /// # Errors
    /// [`BillingError::Frozen`], [`BillingError::TierLimit`], [`BillingError::TooDear`], [`BillingError::SpendCap`].
    pub fn take(&mut self, ask: &Ask) -> Result<(), BillingError> {
        self.profile.check(&self.account, ask.action)?;
        let today = self.today.plus(&ask.usage).ok_or(BillingError::Overflow("usage"))?;
        let stored = self.stored_bytes.saturating_add(ask.stored_bytes);
        self.check_limits(ask, stored, &today)?;
        self.check_prices(ask)?;
        let cost = self.prices.quote(&ask.usage)?;
        for Spent { scope, cap, spent } in &self.caps {
            // Reading what is there, and deleting it, stays possible for nothing.
            let costs = cost > Money::ZERO || ask.stored_bytes > 0;
            if costs && spent.plus(cost)? > *cap {
                let (scope, cap, spent) = (scope.to_string(), *cap, *spent);
                return Err(BillingError::SpendCap { scope, cap, spent, cost });
            }
        }
        for cap in &mut self.caps {
            cap.spent = cap.spent.plus(cost)?;
        }
        (self.stored_bytes, self.today) = (stored, today);
        Ok(())
    }

    fn check_limits(&self, ask: &Ask, stored: u64, today: &Usage) -> Result<(), BillingError> {
        let limits = &self.limits;
        let checks = [
            (ask.stored_bytes > 0, stored, limits.stored_bytes, "bytes at rest"),
            (ask.usage.egress > 0, today.egress, limits.egress_per_day, "bytes of egress a day"),
            (ask.usage.fuel > 0, today.fuel, limits.fuel_per_day, "units of fuel a day"),
        ];
        for (wanted, sum, limit, what) in checks {
            if wanted && sum > limit {
                return Err(BillingError::TierLimit { tier: self.profile.tier, limit, what });
            }
        }
        Ok(())
    }

    fn check_prices(&self, ask: &Ask) -> Result<(), BillingError> {
        let Some(ceilings) = &self.ceilings else { return Ok(()) };
        for item in Item::ALL {
            // The class of new bytes is not in the question: the dearest one that is above its ceiling counts.
            let wanted = ask.usage.of(item) > 0
                || (ask.stored_bytes > 0 && matches!(item, Item::Storage(_)));
            let (price, ceiling) = (self.prices.of(item), ceilings.of(item));
            if wanted && price > ceiling {
                return Err(BillingError::TooDear { item: item.name(), price, ceiling });
            }
        }
        Ok(())
    }
}

impl Billing {
    /// Sets or lifts the cap on `scope` of `account`.
    ///
    /// # Errors
    /// [`BillingError::NotPositive`] for one below zero.
    pub async fn set_cap(
        &self,
        account: &AccountId,
        scope: &Scope,
        cap: Option<Cap>,
    ) -> Result<(), BillingError> {
        if let Some(cap) = cap.filter(|cap| cap.per_month.is_negative()) {
            return Err(BillingError::NotPositive(cap.per_month));
        }
        transact(&*self.kv, |tx: Tx| async move {
            let key = (account.clone(), scope.clone());
            match cap {
                Some(cap) => CAPS.put(&tx, &key, &cap),
                None => CAPS.delete(&tx, &key),
            }
            Ok(())
        })
        .await
    }

    /// The caps of `account`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn caps(&self, account: &AccountId) -> Result<Vec<(Scope, Cap)>, BillingError> {
        let snap = self.kv.snapshot().await?;
        let rows = CAPS.scan(&snap, &KeyPrefix::of(account), usize::MAX).await?;
        Ok(rows.into_iter().map(|((_, scope), cap)| (scope, cap)).collect())
    }

    /// Where `account` stands, for requests to `bucket` by `key`.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn standing(
        &self,
        account: &AccountId,
        bucket: Option<BucketId>,
        key: Option<&str>,
        now: Timestamp,
    ) -> Result<Standing, BillingError> {
        let snap = self.kv.snapshot().await?;
        let day = Day::of(now);
        let scopes = [
            Some(Scope::Account),
            bucket.map(Scope::Bucket),
            key.map(|key| Scope::Key(key.to_owned())),
        ];
        let mut caps = Vec::new();
        for scope in scopes.into_iter().flatten() {
            if let Some(cap) = CAPS.get(&snap, &(account.clone(), scope.clone())).await? {
                let spent = spent(&snap, account, &scope, day).await?;
                caps.push(Spent { scope, cap: cap.per_month, spent });
            }
        }
        let profile = profile(&snap, account).await?;
        Ok(Standing {
            account: account.clone(),
            limits: limits(&snap, profile.tier).await?,
            profile,
            stored_bytes: stored_bytes(&snap, account, now).await?,
            today: by_day(&snap, account, &Scope::Account, day, day)
                .await?
                .remove(&day)
                .unwrap_or_default(),
            caps,
            prices: known_prices(&snap, day).await?,
            ceilings: CEILINGS.get(&snap, account).await?,
        })
    }
}

/// What was spent on `scope` from the beginning of the month of `day` until now.
async fn spent<R: Reads + ?Sized>(
    reads: &R,
    account: &AccountId,
    scope: &Scope,
    day: Day,
) -> Result<Money, BillingError> {
    let mut sum = Money::ZERO;
    for (day, usage) in by_day(reads, account, scope, day.month().first(), day).await? {
        // Rounded up: a cap is rather reached early than late.
        sum = sum.plus(known_prices(reads, day).await?.quote(&usage)?)?;
    }
    Ok(sum)
}

/// What was used from day `from` to day `to`, all sources together.
async fn by_day<R: Reads + ?Sized>(
    reads: &R,
    account: &AccountId,
    scope: &Scope,
    from: Day,
    to: Day,
) -> Result<BTreeMap<Day, Usage>, BillingError> {
    let prefix = KeyPrefix::of(account).then(scope);
    let span = Span::of(&prefix)
        .from_prefix(&prefix.clone().then(&from))
        .before_prefix(&prefix.then(&to.next()));
    let mut days: BTreeMap<Day, Usage> = BTreeMap::new();
    for ((_, _, day, _), usage) in SPENDING.scan(reads, span, usize::MAX).await? {
        let sum = days.entry(day).or_default();
        *sum = sum.plus(&usage).ok_or(BillingError::Overflow("usage"))?;
    }
    Ok(days)
}

async fn known_prices<R: Reads + ?Sized>(reads: &R, day: Day) -> Result<Prices, BillingError> {
    match prices(reads, day).await {
        Err(BillingError::NoTariff(_)) => Ok(Prices::default()),
        answer => answer,
    }
}

/// The bytes that `account` holds: what it held when the last hour was closed, and all steps since.
async fn stored_bytes<R: Reads + ?Sized>(
    reads: &R,
    account: &AccountId,
    now: Timestamp,
) -> Result<u64, BillingError> {
    let levels = USAGE_LEVELS.scan(reads, &KeyPrefix::of(account), usize::MAX).await?;
    let mut bytes: i128 = levels.iter().flat_map(|(_, classes)| classes).sum();
    let open = OPEN_FROM.get(reads, &()).await?;
    let first = CLOSING.get(reads, &()).await?.map(|closing| closing.hour).or(open);
    let Some(first) = first else { return Ok(0) };
    // Events of a fast clock may lie in the hour after this one.
    let last = Hour::of(now).max(first).next();
    for hour in (first.0..=last.0).map(Hour) {
        let prefix = KeyPrefix::of(&hour).then(account);
        let rows = OPEN_USAGE.scan(reads, &prefix, usize::MAX).await?;
        bytes += rows.iter().flat_map(|(_, row)| row.steps).map(|steps| steps.bytes).sum::<i128>();
    }
    Ok(u64::try_from(bytes.max(0)).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::account::{Freeze, FreezeKind, Tier};

    fn standing(caps: Vec<Spent>) -> Standing {
        Standing {
            account: "alice".parse().unwrap(),
            profile: Profile::default(),
            limits: Tier::Email.default_limits(),
            stored_bytes: 0,
            today: Usage::default(),
            caps,
            prices: Prices { egress: Money::from_micros(10_000), ..Prices::default() },
            ceilings: None,
        }
    }

    fn read(bytes: u64) -> Ask {
        let usage = Usage { egress: bytes, ..Usage::default() };
        Ask { action: Action::Read, stored_bytes: 0, usage }
    }

    #[test]
    fn a_cap_refuses_before_it_is_overspent() {
        let cap = Money::from_micros(25_000);
        let mut standing = standing(vec![Spent { scope: Scope::Account, cap, spent: Money::ZERO }]);
        standing.take(&read(2_000_000_000)).unwrap();
        let refused = standing.take(&read(1_000_000_000));
        assert!(matches!(refused, Err(BillingError::SpendCap { .. })), "{refused:?}");
        standing.take(&read(500_000_000)).unwrap();
        assert_eq!(standing.caps[0].spent, cap);
    }

    #[test]
    fn a_spent_cap_stops_new_bytes_and_lets_old_ones_go() {
        let cap = Money::ZERO;
        let spent = Money::from_micros(1);
        let mut standing = standing(vec![Spent { scope: Scope::Account, cap, spent }]);
        let put = Ask { action: Action::Write, stored_bytes: 1, usage: Usage::default() };
        assert!(matches!(standing.take(&put), Err(BillingError::SpendCap { .. })));
        let delete = Ask { action: Action::Delete, stored_bytes: 0, usage: Usage::default() };
        standing.take(&delete).unwrap();
    }

    #[test]
    fn a_tier_limits_what_is_held_and_what_is_sent_in_a_day() {
        let mut standing = standing(Vec::new());
        let limits = standing.limits;
        standing.take(&read(limits.egress_per_day)).unwrap();
        assert!(matches!(standing.take(&read(1)), Err(BillingError::TierLimit { .. })));
        let put = Ask {
            action: Action::Write,
            stored_bytes: limits.stored_bytes + 1,
            usage: Usage::default(),
        };
        assert!(matches!(standing.take(&put), Err(BillingError::TierLimit { .. })));
    }

    #[test]
    fn a_frozen_account_is_told_why() {
        let mut standing = standing(Vec::new());
        let reason = "unpaid since March".to_owned();
        let since = Timestamp(0);
        standing.profile.freezes.push(Freeze { kind: FreezeKind::Billing, reason, since });
        let words = standing.take(&read(1)).unwrap_err().to_string();
        assert!(words.contains("unpaid since March"), "{words}");
    }

    #[test]
    fn a_ceiling_refuses_what_has_become_too_dear() {
        let mut standing = standing(Vec::new());
        let egress = Money::from_micros(9_999);
        standing.ceilings = Some(Prices { egress, ..Prices::default() });
        assert!(matches!(standing.take(&read(1)), Err(BillingError::TooDear { .. })));
        let list = Ask { action: Action::List, stored_bytes: 0, usage: Usage::default() };
        standing.take(&list).unwrap();
    }
}
