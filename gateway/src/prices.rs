//! Prices: those an installation begins with, and the one rule that prices of requests must keep.

use billing::tariff::Overheads;
use billing::{Money, Prices, Tariff};
use types::UNIT;

/// Bytes that prices of egress are for.
const GB: i128 = 1_000_000_000;
/// Requests that prices of requests are for.
const REQUESTS: i128 = 1_000;

/// The tariff of an installation whose operator has set none, so that the first day can be settled. In units of the currency: storage between
/// 5 and 7 a terabyte and month by class, egress 6 a terabyte, writes and listings 5 a million, reads 0.40 a million.
#[must_use]
pub fn first_tariff() -> Tariff {
    let micros = Money::from_micros;
    Tariff {
        prices: Prices {
            storage: [micros(5_000), micros(6_000), micros(7_000)],
            egress: micros(6_000),
            requests: [micros(5_000), micros(400), micros(5_000)],
            compute: micros(20),
        },
        overheads: Overheads { repair: micros(2_000), audit: micros(2_000), percent_max: 20 },
        market: None,
        note: "set by the program, because there was none".to_owned(),
    }
}

/// What is wrong with prices, if something is: a GET of one byte has a volunteer read and send a whole unit, so a read must cost at least as much
/// as the egress of one.
#[must_use]
pub fn unsound(prices: &Prices) -> Option<String> {
    let [_, read, _] = prices.requests;
    // Per thousand requests and per gigabyte: both sides times 10⁹ · 10³.
    let unit = prices.egress.micros().checked_mul(i128::from(UNIT) * REQUESTS)?;
    let read = read.micros().checked_mul(GB)?;
    let least = Money::from_micros(unit.div_euclid(GB) + i128::from(unit.rem_euclid(GB) > 0));
    (read < unit).then(|| {
        format!(
            "a thousand read requests must cost at least {least}: a GET of one byte has a node serve a unit of 64 KiB, which is what that much \
             egress costs"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first prices, with another one for reads.
    fn with(read: i128) -> Prices {
        let mut prices = first_tariff().prices;
        prices.requests[1] = Money::from_micros(read);
        prices
    }

    #[test]
    fn a_read_costs_at_least_the_egress_of_one_unit() {
        let first = first_tariff().prices;
        assert_eq!(unsound(&first), None);
        // 65,536 bytes · 1,000 at 6,000 micro-units a gigabyte are 393.216 micro-units.
        assert_eq!(unsound(&with(394)), None);
        let words = unsound(&with(393)).expect("too cheap");
        assert!(words.contains("0.000394"), "{words}");
        assert_eq!(unsound(&Prices::default()), None, "free is free");
    }
}
