//! Who gets what of a day's pots.
//!
//! | pot | pays | by |
//! |---|---|---|
//! | storage | repair and audits | their worth by the tariff, up to its share of the pot |
//! | storage | the rest: storage | proven byte-milliseconds |
//! | egress | serving | bytes served and verified |
//! | compute | running | validated fuel |
//!
//! Laws:
//! - *Nothing is lost or made*: what the nodes get and what is carried over is what was in the pots.
//! - *Overheads stay within their share* of the storage pot.
//! - *No work, no pay.*

use serde::{Deserialize, Serialize};

use super::ByPool;
use crate::error::BillingError;
use crate::money::Money;
use crate::quantity::{GB, Pool, Work};
use crate::split::split;
use crate::tariff::Overheads;

/// What a node earned, by kind of work.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Earnings {
    /// For proven byte-hours.
    pub storage: Money,
    /// For repair.
    pub repair: Money,
    /// For audits.
    pub audit: Money,
    /// For bytes served.
    pub egress: Money,
    /// For validated fuel.
    pub compute: Money,
}

impl Earnings {
    /// All of it.
    ///
    /// # Errors
    /// [`MoneyError::Overflow`](crate::MoneyError::Overflow)
    pub fn total(&self) -> Result<Money, crate::MoneyError> {
        Money::total([self.storage, self.repair, self.audit, self.egress, self.compute])
    }

    /// What of it came out of each pool.
    ///
    /// # Errors
    /// As [`Self::total`].
    pub fn by_pool(&self) -> Result<ByPool, crate::MoneyError> {
        let mut pools = ByPool::default();
        pools[Pool::Storage as usize] = Money::total([self.storage, self.repair, self.audit])?;
        pools[Pool::Egress as usize] = self.egress;
        pools[Pool::Compute as usize] = self.compute;
        Ok(pools)
    }
}

/// Divides `pots` among those who did `works`, in their order. Remainders of less than a micro-unit go by turns that move with
/// `rotation`.
pub(super) fn shares(
    pots: &ByPool,
    works: &[Work],
    overheads: &Overheads,
    rotation: u64,
) -> Result<Vec<Earnings>, BillingError> {
    let by = |pot: Money, weight: fn(&Work) -> u128| -> Result<Vec<Money>, BillingError> {
        let weights: Vec<u128> = works.iter().map(weight).collect();
        // Carried in: the operator has had its part.
        Ok(split(Money::ZERO, pot, &weights, rotation)?.shares)
    };
    let pot = pots[Pool::Storage as usize];
    let [repair, audit] = overhead_pots(pot, works, overheads)?;
    let rest = pot.minus(repair)?.minus(audit)?;
    let columns = [
        by(rest, Work::proven)?,
        by(repair, |work| work.repair.into())?,
        by(audit, |work| work.audit.into())?,
        by(pots[Pool::Egress as usize], |work| work.served.into())?,
        by(pots[Pool::Compute as usize], |work| work.fuel.into())?,
    ];
    let row = |index: usize| {
        let [storage, repair, audit, egress, compute] = columns.each_ref().map(|part| part[index]);
        Earnings { storage, repair, audit, egress, compute }
    };
    Ok((0..works.len()).map(row).collect())
}

/// What repair and audits get: their worth, or if that is too much, their parts of what there may be.
fn overhead_pots(
    pot: Money,
    works: &[Work],
    overheads: &Overheads,
) -> Result<[Money; 2], BillingError> {
    let full = || BillingError::Overflow("overhead");
    let bytes = |of: fn(&Work) -> u64| works.iter().map(|work| i128::from(of(work))).sum::<i128>();
    let worth = |bytes: i128, price: Money| {
        bytes.checked_mul(price.micros()).map(|worth| worth / i128::from(GB)).ok_or_else(full)
    };
    let worths = [
        worth(bytes(|work| work.repair), overheads.repair)?,
        worth(bytes(|work| work.audit), overheads.audit)?,
    ];
    let all = worths[0].checked_add(worths[1]).ok_or_else(full)?;
    let percent = i128::from(overheads.percent_max);
    let most = pot.micros().checked_mul(percent).ok_or_else(full)? / 100;
    if all <= most {
        return Ok(worths.map(Money::from_micros));
    }
    let weights = worths.map(i128::unsigned_abs);
    let parts = split(Money::ZERO, Money::from_micros(most), &weights, 0)?.shares;
    Ok([parts[0], parts[1]])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn work() -> impl Strategy<Value = Work> {
        let counts = (0..1_u64 << 40, 0..1_u64 << 40, 0..1_u64 << 40, 0..1_u64 << 40);
        let held = prop_oneof![Just(0_i128), 0..1_i128 << 70];
        (held, 0..1_i128 << 60, counts).prop_map(
            |(held, unproven, (served, repair, audit, fuel))| Work {
                held,
                unproven,
                served,
                repair,
                audit,
                fuel,
            },
        )
    }

    fn pots() -> impl Strategy<Value = ByPool> {
        prop::array::uniform3((0..1_i128 << 60).prop_map(Money::from_micros))
    }

    fn overheads() -> impl Strategy<Value = Overheads> {
        (0..100_000_i128, 0..100_000_i128, 0..=100_u8).prop_map(|(repair, audit, percent_max)| {
            Overheads {
                repair: Money::from_micros(repair),
                audit: Money::from_micros(audit),
                percent_max,
            }
        })
    }

    proptest! {
        #[test]
        fn nothing_is_lost_or_made(
            pots in pots(), works in prop::collection::vec(work(), 0..40), overheads in overheads(), rotation in any::<u64>()
        ) {
            let shares = shares(&pots, &works, &overheads, rotation).unwrap();
            for pool in Pool::ALL {
                let out = shares.iter().map(|row| row.by_pool().unwrap()[pool as usize]);
                let out = Money::total(out).unwrap();
                let pot = pots[pool as usize];
                prop_assert!(out <= pot);
                let worked = works.iter().any(|work| match pool {
                    Pool::Storage => work.proven() > 0,
                    Pool::Egress => work.served > 0,
                    Pool::Compute => work.fuel > 0,
                });
                prop_assert!(!worked || out == pot, "{}: {} of {}", pool, out, pot);
            }
        }

        #[test]
        fn overheads_stay_within_their_share(
            pots in pots(), works in prop::collection::vec(work(), 0..40), overheads in overheads()
        ) {
            let shares = shares(&pots, &works, &overheads, 0).unwrap();
            let out = Money::total(shares.iter().flat_map(|row| [row.repair, row.audit])).unwrap();
            let pot = pots[Pool::Storage as usize].micros();
            prop_assert!(out.micros() * 100 <= pot * i128::from(overheads.percent_max));
        }

        #[test]
        fn no_work_no_pay(
            pots in pots(), works in prop::collection::vec(work(), 0..40), overheads in overheads(), rotation in any::<u64>()
        ) {
            let shares = shares(&pots, &works, &overheads, rotation).unwrap();
            for (work, row) in works.iter().zip(shares) {
                prop_assert!(work.proven() > 0 || row.storage == Money::ZERO);
                prop_assert!(work.repair > 0 || row.repair == Money::ZERO);
                prop_assert!(work.audit > 0 || row.audit == Money::ZERO);
                prop_assert!(work.served > 0 || row.egress == Money::ZERO);
                prop_assert!(work.fuel > 0 || row.compute == Money::ZERO);
            }
        }
    }

    #[test]
    fn repair_and_audits_are_paid_what_they_are_worth_out_of_the_storage_pot() {
        let overheads = Overheads {
            repair: Money::from_micros(2_000),
            audit: Money::from_micros(1_000),
            percent_max: 20,
        };
        let works = [
            Work { held: 100, repair: 3 * GB, ..Work::default() },
            Work { held: 100, audit: GB, ..Work::default() },
        ];
        let mut pots = ByPool::default();
        pots[Pool::Storage as usize] = Money::from_micros(1_000_000);
        let shares = shares(&pots, &works, &overheads, 0).unwrap();
        let micros = |money: Money| money.micros();
        assert_eq!((micros(shares[0].repair), micros(shares[1].audit)), (6_000, 1_000));
        assert_eq!((micros(shares[0].storage), micros(shares[1].storage)), (496_500, 496_500));
    }
}
