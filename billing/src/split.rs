//! Who gets what of a charge: 5 % to the operator, 95 % to those who did the work.
//!
//! Laws:
//! - *Nothing is lost or made*: charge + carried in = operator + shares + carried out.
//! - *The operator never gets more than five percent*: ⌊5 %⌋ of the charge, so a fraction of a micro-unit falls to the
//!   nodes; and nothing of what was carried in, of which it has had its part.
//! - *A share is what the work is worth, to the micro-unit*: less than one away from pool · weight / total weight.
//! - *No work, no pay*: a weight of zero gets nothing.
//! - *Without work the pool carries over*: all of it, never to the operator.
//! - *Equal work is paid equally over a full turn of the rotation.*

use std::cmp::Reverse;

use crate::money::{Money, MoneyError};

/// The operator's part of a charge, in percent.
const OPERATOR_PERCENT: i128 = 5;
/// The most that all weights may come to, so that the long division of [`long_mul_div`] cannot overflow. In
/// byte-milliseconds it is a whole exabyte held for 10¹¹ years.
const TOTAL_WEIGHT_MAX: u128 = 1 << 126;

/// A charge, divided.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Split {
    /// To the operator.
    pub operator: Money,
    /// To each who did the work, in the order of the weights.
    pub shares: Vec<Money>,
    /// To nobody yet: the pool that found no work to pay for, to be handed to the next split of its kind.
    pub carried: Money,
}

/// Why a charge cannot be divided.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SplitError {
    /// A charge, or what is carried over, below zero: a refund reverses the postings of the split it undoes.
    #[error("only amounts of zero or more are divided, not {0}")]
    Negative(Money),
    /// The weights together are above 2¹²⁶.
    #[error("the metered work is too large to count")]
    TooMuchWork,
    /// The amounts together are too large.
    #[error(transparent)]
    Money(#[from] MoneyError),
}

/// Divides `charge` between the operator and those who did the work, who also get what was `carried` over.
///
/// `weights` is the metered, verified work of each, in any one unit. The micro-units that are left when every share is
/// rounded down go one by one to the largest remainders. Equal remainders take turns: the tie begins at index
/// `rotation` modulo the number of weights, so pass a number that counts the splits up, such as the settlement's.
///
/// # Errors
/// See [`SplitError`].
pub fn split(
    charge: Money,
    carried: Money,
    weights: &[u128],
    rotation: u64,
) -> Result<Split, SplitError> {
    for amount in [charge, carried] {
        if amount.is_negative() {
            return Err(SplitError::Negative(amount));
        }
    }
    let operator = operator_part(charge);
    let pool = charge.minus(operator)?.plus(carried)?;
    let total = weights
        .iter()
        .try_fold(0_u128, |sum, weight| sum.checked_add(*weight))
        .filter(|total| *total <= TOTAL_WEIGHT_MAX)
        .ok_or(SplitError::TooMuchWork)?;
    if total == 0 {
        return Ok(Split { operator, shares: vec![Money::ZERO; weights.len()], carried: pool });
    }
    Ok(Split { operator, shares: apportion(pool, weights, total, rotation)?, carried: Money::ZERO })
}

/// ⌊5 %⌋ of a charge that is not negative, without a product that could overflow.
fn operator_part(charge: Money) -> Money {
    let micros = charge.micros();
    Money::from_micros(micros / 100 * OPERATOR_PERCENT + micros % 100 * OPERATOR_PERCENT / 100)
}

/// The largest-remainder method; `total` is the sum of `weights` and above zero, `pool` is not negative.
fn apportion(
    pool: Money,
    weights: &[u128],
    total: u128,
    rotation: u64,
) -> Result<Vec<Money>, MoneyError> {
    let micros = pool.micros().unsigned_abs();
    let (mut shares, remainders): (Vec<Money>, Vec<u128>) = weights
        .iter()
        .map(|weight| {
            let (quotient, remainder) = mul_div(micros, *weight, total);
            // A weight is at most the total, so a share is at most the pool, which fits.
            (Money::from_micros(quotient.cast_signed()), remainder)
        })
        .unzip();
    let left = pool.minus(Money::total(shares.iter().copied())?)?;
    let left = usize::try_from(left.micros()).map_err(|_| MoneyError::Overflow)?;

    let start =
        usize::try_from(rotation % weights.len() as u64).map_err(|_| MoneyError::Overflow)?;
    // A stable sort: equal remainders stay in the order of the turn.
    let mut order: Vec<usize> = (start..weights.len()).chain(0..start).collect();
    order.sort_by_key(|index| Reverse(remainders[*index]));
    // The remainders add up to `left` totals and each is below one: more than `left` of them are above zero (or all
    // are zero), so no one without work is reached.
    for index in order.into_iter().take(left) {
        shares[index] = shares[index].plus(Money::from_micros(1))?;
    }
    Ok(shares)
}

/// `factor` · `weight` / `total` and what remains, exactly.
fn mul_div(factor: u128, weight: u128, total: u128) -> (u128, u128) {
    match factor.checked_mul(weight) {
        Some(product) => (product / total, product % total),
        None => long_mul_div(factor, weight, total),
    }
}

/// As [`mul_div`], by schoolbook long division, bit by bit, because the product may need 253 bits. Wants `weight` ≤ `total` ≤
/// [`TOTAL_WEIGHT_MAX`], so that 2 · remainder + weight stays below 2¹²⁸.
fn long_mul_div(factor: u128, weight: u128, total: u128) -> (u128, u128) {
    let bits = u128::BITS - factor.leading_zeros();
    (0..bits).rev().fold((0, 0), |(quotient, remainder), bit| {
        let bit_is_set = factor >> bit & 1 == 1;
        let sum = 2 * remainder + if bit_is_set { weight } else { 0 };
        (2 * quotient + sum / total, sum % total)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Small numbers, where rounding shows, and large ones, where overflow would.
    fn amounts() -> impl Strategy<Value = Money> {
        prop_oneof![0..1_000_i128, 0..1_000_000_000_000_000_000_i128, 0..i128::MAX / 2]
            .prop_map(Money::from_micros)
    }

    fn weights() -> impl Strategy<Value = Vec<u128>> {
        let weight = prop_oneof![
            Just(0_u128),
            1..10_u128,
            any::<u64>().prop_map(u128::from),
            0..1_u128 << 120
        ];
        prop::collection::vec(weight, 0..40)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn nothing_is_lost_or_made(
            charge in amounts(), carried in amounts(), weights in weights(), rotation in any::<u64>()
        ) {
            let split = split(charge, carried, &weights, rotation).unwrap();
            prop_assert_eq!(split.shares.len(), weights.len());
            let out = Money::total(split.shares).unwrap().plus(split.operator).unwrap().plus(split.carried);
            prop_assert_eq!(out, charge.plus(carried));
        }

        #[test]
        fn the_operator_never_gets_more_than_five_percent(
            charge in amounts(), carried in amounts(), weights in weights()
        ) {
            let operator = split(charge, carried, &weights, 0).unwrap().operator.micros();
            // operator ≤ charge / 20 < operator + 1
            prop_assert!(operator <= charge.micros() / 20);
            prop_assert!(charge.micros() / 20 < operator + 1);
        }

        #[test]
        fn a_share_is_what_the_work_is_worth_to_the_micro_unit(
            charge in 0..1_000_000_000_000_i128,
            weights in prop::collection::vec(0..1_000_000_000_u128, 1..40),
            rotation in any::<u64>()
        ) {
            let total: u128 = weights.iter().sum();
            prop_assume!(total > 0);
            let split = split(Money::from_micros(charge), Money::ZERO, &weights, rotation).unwrap();
            let pool = (charge - split.operator.micros()).unsigned_abs();
            for (share, weight) in split.shares.iter().zip(&weights) {
                let scaled = share.micros().unsigned_abs() * total;
                prop_assert!(scaled.abs_diff(pool * weight) < total);
            }
        }

        #[test]
        fn no_work_no_pay(charge in amounts(), carried in amounts(), weights in weights(), rotation in any::<u64>()) {
            let split = split(charge, carried, &weights, rotation).unwrap();
            for (share, weight) in split.shares.iter().zip(&weights) {
                prop_assert!(!share.is_negative());
                prop_assert!(*weight > 0 || *share == Money::ZERO);
            }
        }

        #[test]
        fn without_work_the_pool_carries_over(charge in amounts(), carried in amounts(), idle in 0..5_usize) {
            let split = split(charge, carried, &vec![0; idle], 3).unwrap();
            prop_assert_eq!(split.shares, vec![Money::ZERO; idle]);
            prop_assert_eq!(split.carried.minus(carried).unwrap(), charge.minus(split.operator).unwrap());
        }

        #[test]
        fn equal_work_is_paid_equally_over_a_full_turn_of_the_rotation(
            charge in 0..10_000_i128, nodes in 1..30_usize, weight in 1..u128::from(u64::MAX), begin in 0..1_000_u64
        ) {
            let mut earned = vec![Money::ZERO; nodes];
            for rotation in begin..begin + nodes as u64 {
                let split = split(Money::from_micros(charge), Money::ZERO, &vec![weight; nodes], rotation).unwrap();
                for (sum, share) in earned.iter_mut().zip(split.shares) {
                    *sum = sum.plus(share).unwrap();
                }
            }
            prop_assert!(earned.iter().all(|sum| *sum == earned[0]), "{:?}", earned);
        }

        #[test]
        fn long_division_agrees_with_the_machine_where_the_machine_can(
            factor in any::<u64>(), weight in any::<u64>(), more in any::<u32>()
        ) {
            let total = u128::from(weight) + u128::from(more) + 1;
            let product = u128::from(factor) * u128::from(weight);
            prop_assert_eq!(long_mul_div(factor.into(), weight.into(), total), (product / total, product % total));
        }
    }

    fn micros(amounts: &[Money]) -> Vec<i128> {
        amounts.iter().map(|amount| amount.micros()).collect()
    }

    #[test]
    fn a_hundred_micro_units_are_five_for_the_operator_and_ninety_five_for_the_work() {
        let split = split(Money::from_micros(100), Money::ZERO, &[50, 30, 20], 0).unwrap();
        assert_eq!(split.operator, Money::from_micros(5));
        // 47.5, 28.5 and 19: the first of two equal remainders has its turn.
        assert_eq!(micros(&split.shares), [48, 28, 19]);
        assert_eq!(split.carried, Money::ZERO);
    }

    #[test]
    fn the_turn_of_equal_remainders_moves_with_the_rotation() {
        let shares = |rotation| {
            micros(&split(Money::from_micros(1), Money::ZERO, &[7; 3], rotation).unwrap().shares)
        };
        assert_eq!(
            [shares(0), shares(1), shares(2), shares(3)],
            [[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 0, 0]]
        );
    }

    #[test]
    fn a_charge_too_small_to_divide_falls_to_the_work() {
        let split = split(Money::from_micros(19), Money::ZERO, &[1], 0).unwrap();
        assert_eq!((split.operator.micros(), micros(&split.shares)), (0, vec![19]));
    }

    #[test]
    fn what_was_carried_over_pays_no_operator_again() {
        let split = split(Money::ZERO, Money::from_micros(95), &[1, 0], 0).unwrap();
        assert_eq!((split.operator.micros(), micros(&split.shares)), (0, vec![95, 0]));
    }

    #[test]
    fn what_cannot_be_divided_is_refused() {
        let below = Money::from_micros(-1);
        assert_eq!(split(below, Money::ZERO, &[1], 0), Err(SplitError::Negative(below)));
        assert_eq!(split(Money::ZERO, below, &[1], 0), Err(SplitError::Negative(below)));
        for weights in [vec![u128::MAX, 1], vec![TOTAL_WEIGHT_MAX, 1]] {
            assert_eq!(split(Money::ZERO, Money::ZERO, &weights, 0), Err(SplitError::TooMuchWork));
        }
        let most = Money::from_micros(i128::MAX);
        assert_eq!(split(most, most, &[1], 0), Err(SplitError::Money(MoneyError::Overflow)));
        assert!(split(most, Money::ZERO, &[TOTAL_WEIGHT_MAX - 1, 1], 0).is_ok());
    }
}
