//! What was used last, within a bound.

use std::collections::HashMap;
use std::hash::Hash;

/// Values by key, the ones used last.
///
/// Two generations: what is used moves to the young one; when that holds half of the bound it becomes the old one, and the old one is forgotten.
#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, (V, usize)>,
    old: HashMap<K, (V, usize)>,
    /// What the young ones weigh.
    weight: usize,
    max: usize,
}

impl<K: Eq + Hash + Copy, V: Clone> Recent<K, V> {
    /// Keeps values that weigh about `max` together at most.
    pub(crate) fn new(max: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), weight: 0, max }
    }

    /// The value of `key`, if it is still here.
    pub(crate) fn get(&mut self, key: K) -> Option<V> {
        if let Some((found, _)) = self.young.get(&key) {
            return Some(found.clone());
        }
        let (found, weight) = self.old.remove(&key)?;
        self.keep(key, found.clone(), weight);
        Some(found)
    }

    /// Keeps a value, in place of an earlier one of its key.
    pub(crate) fn keep(&mut self, key: K, value: V, weight: usize) {
        if self.weight + weight > self.max / 2 {
            self.old = std::mem::take(&mut self.young);
            self.weight = 0;
        }
        self.old.remove(&key);
        if let Some((_, before)) = self.young.insert(key, (value, weight)) {
            self.weight -= before;
        }
        self.weight += weight;
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
        self.weight = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_goes_within_the_bound() {
        let mut recent = Recent::new(100);
        for key in 0..1000_u32 {
            recent.keep(key, key, 1);
            assert_eq!(recent.get(7.min(key)), Some(7.min(key)), "used each time");
            assert!(recent.young.len() + recent.old.len() <= 100);
        }
        assert_eq!(recent.get(500), None);
        recent.keep(7, 8, 1);
        assert_eq!(recent.get(7), Some(8), "the newer value");
        recent.clear();
        assert_eq!((recent.get(7), recent.weight), (None, 0));
    }

    #[test]
    fn a_value_that_was_replaced_does_not_come_back_from_the_old_generation() {
        let mut recent = Recent::new(4);
        recent.keep(1, "first", 1);
        recent.keep(2, "other", 1);
        recent.keep(3, "other", 1);
        recent.keep(1, "second", 1);
        for key in [4, 5] {
            recent.keep(key, "other", 1);
        }
        assert_ne!(recent.get(1), Some("first"));
    }
}
