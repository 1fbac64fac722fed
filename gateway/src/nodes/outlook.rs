//! Outlook: how safe a group's data is, by the model. Pure.
//!
//! Two questions that are often mixed up. *Can it be read tonight?* depends on who sleeps ([`super::availability`]). *Will it still be
//! there in a year?* depends on how fast members vanish for ever and how fast repair follows. The model: each member vanishes at a rate that
//! is measured over the whole network (one node and a year are added to what was measured, so that a new network does not claim
//! perfection); a vanished one is noticed and its shards are rebuilt within a *window*, the time a node may be away before it counts as lost. Data is
//! lost if more than `survivors − k` members vanish within one window. Members vanish independently in the model; placement sees to it that they do.

use std::time::Duration;

use types::Geometry;

use super::availability::fewer_than;

/// Hours of a year.
const YEAR: f64 = 8766.0;
/// More nines than these are not shown: the model is not that good.
const NINES_MAX: f64 = 15.0;
/// A window is no shorter than this, in hours: rebuilding takes time, too.
const WINDOW_MIN: f64 = 1.0;

/// What is known of how nodes vanish.
#[derive(Clone, Copy, Debug)]
pub struct Model {
    /// Nodes that vanish, for each node and hour.
    rate: f64,
    /// Hours until a vanished node's shards are elsewhere.
    window: f64,
}

impl Model {
    /// From what was measured: nodes lost or disqualified, in how many hours of all nodes together; and how long a node may be away.
    #[must_use]
    pub fn measured(vanished: usize, node_hours: f64, lost_after: Duration) -> Self {
        let rate = (vanished as f64 + 1.0) / (node_hours.max(0.0) + YEAR);
        Self { rate, window: (lost_after.as_secs_f64() / 3600.0).max(WINDOW_MIN) }
    }

    /// The chance that one member vanishes within a window.
    #[must_use]
    pub fn vanishes(&self) -> f64 {
        1.0 - (-self.rate * self.window).exp()
    }

    /// The chance that fewer than `k` of `survivors` are left at the end of a window.
    #[must_use]
    pub fn loss(&self, k: usize, survivors: usize) -> f64 {
        if survivors < k {
            return 1.0;
        }
        fewer_than(k, std::iter::repeat_n(1.0 - self.vanishes(), survivors)).min(1.0)
    }

    /// How many nines the data has for a year: −log₁₀ of the chance that it is lost in it.
    #[must_use]
    pub fn nines(&self, k: usize, survivors: usize) -> f64 {
        let year = (self.loss(k, survivors) * (YEAR / self.window).max(1.0)).min(1.0);
        (-year.log10()).clamp(0.0, NINES_MAX)
    }

    /// Hours until fewer than r of the group's members are left, on average, if nothing is repaired before; 0 if repair has work now.
    #[must_use]
    pub fn hours_until_repair(&self, geometry: &Geometry, survivors: usize) -> f64 {
        (geometry.r..=survivors).fold(0.0, |sum, left| sum + 1.0 / (left as f64 * self.rate))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert, proptest};
    use types::GeometryName::{Home, Local, Wide};

    use super::*;

    const WEEK: Duration = Duration::from_secs(7 * 24 * 3600);

    #[test]
    fn a_new_network_claims_what_a_year_of_one_node_allows() {
        let model = Model::measured(0, 0.0, WEEK);
        assert!((model.vanishes() - 0.019).abs() < 0.001, "{}", model.vanishes());
        let nines = |name: types::GeometryName| {
            let geometry = name.geometry();
            model.nines(geometry.k, geometry.n)
        };
        assert!((2.0..2.5).contains(&nines(Local)), "{}", nines(Local));
        assert!(nines(Home) > 12.0 && nines(Wide) >= NINES_MAX, "{} {}", nines(Home), nines(Wide));
    }

    #[test]
    fn repair_is_due_at_once_below_r_and_later_the_more_survive() {
        let (model, geometry) = (Model::measured(3, 50_000.0, WEEK), Home.geometry());
        assert_eq!(
            model.hours_until_repair(&geometry, geometry.r - 1).to_bits(),
            0.0_f64.to_bits()
        );
        let hours: Vec<f64> = (geometry.r..=geometry.n)
            .map(|survivors| model.hours_until_repair(&geometry, survivors))
            .collect();
        assert!(hours[0] > 0.0 && hours.is_sorted(), "{hours:?}");
    }

    #[test]
    fn what_cannot_be_read_any_more_has_no_nines() {
        let model = Model::measured(0, 1e6, WEEK);
        assert!(model.nines(10, 9) < 1e-9 && model.loss(10, 9) > 0.999_999);
    }

    proptest! {
        #[test]
        fn more_survivors_and_fewer_losses_are_never_worse(k in 1_usize..40, more in 0_usize..40, vanished in 0_usize..50, hours in 0.0_f64..1e7) {
            let model = Model::measured(vanished, hours, WEEK);
            let worse = Model::measured(vanished + 1, hours, WEEK);
            let survivors = k + more;
            prop_assert!(model.loss(k, survivors + 1) <= model.loss(k, survivors) + 1e-12);
            prop_assert!(model.loss(k, survivors) <= worse.loss(k, survivors) + 1e-12);
            prop_assert!((0.0..=NINES_MAX).contains(&model.nines(k, survivors)));
        }
    }
}
