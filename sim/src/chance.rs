//! Chance: the one generator that everything random in a simulation comes from.

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014): eight bytes of state, every seed is as good as every
/// other. Not for secrets.
#[derive(Clone, Debug)]
pub struct Chance(u64);

impl Chance {
    /// From a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A uniform number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A uniform number in (0, 1].
    pub fn unit(&mut self) -> f64 {
        ((self.number() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// Whether something happens that happens with this chance.
    pub fn happens(&mut self, chance: f64) -> bool {
        self.unit() <= chance
    }

    /// A uniform number below `bound`; 0 for a bound of 0.
    pub fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.number()) * bound as u128) >> 64) as usize
    }

    /// Exponential with this mean: the time until something that has no memory happens.
    pub fn wait(&mut self, mean: f64) -> f64 {
        -self.unit().ln() * mean
    }

    /// Normal with mean 0 and deviation 1 (Box and Muller, 1958).
    pub fn normal(&mut self) -> f64 {
        (-2.0 * self.unit().ln()).sqrt() * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// One of several, by weight; the last if the weights are used up.
    pub fn pick<'a, T>(&mut self, choices: &'a [(f64, T)]) -> Option<&'a T> {
        let mut at = self.unit() * choices.iter().map(|(weight, _)| weight).sum::<f64>();
        let found = choices.iter().find(|(weight, _)| {
            at -= weight;
            at <= 0.0
        });
        found.or(choices.last()).map(|(_, choice)| choice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chances_come_true_as_often_as_they_say() {
        let mut chance = Chance::new(1);
        let runs = 100_000;
        let hits = (0..runs).filter(|_| chance.happens(0.25)).count();
        assert!((24_000..26_000).contains(&hits), "{hits}");
        let waited: f64 = (0..runs).map(|_| chance.wait(3.0)).sum::<f64>() / f64::from(runs);
        assert!((2.9..3.1).contains(&waited), "{waited}");
        let square: f64 = (0..runs).map(|_| chance.normal().powi(2)).sum::<f64>() / f64::from(runs);
        assert!((0.95..1.05).contains(&square), "{square}");
        let choices = [(1.0, 'a'), (3.0, 'b')];
        let of_b = (0..runs).filter(|_| chance.pick(&choices) == Some(&'b')).count();
        assert!((73_000..77_000).contains(&of_b), "{of_b}");
        assert!((0..1000).all(|_| chance.below(7) < 7) && chance.below(0) == 0);
    }
}
