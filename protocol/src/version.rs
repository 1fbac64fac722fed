//! The versions of the conversation, and how two ends agree on one.

use serde::{Deserialize, Serialize};

/// A version of the conversation. The discriminant is what hello carries: append only.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u16)]
pub enum Version {
    /// 2026: hello, store, fetch, drop, inventory and status.
    V1 = 1,
}

/// Every version this build speaks, oldest first. Revise, tally and run will come with the versions that bring them.
pub const SPOKEN: [Version; 1] = [Version::V1];

/// The numbers of versions that one end speaks, as hello and join carry them.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Versions(pub Vec<u16>);

impl Versions {
    /// What this build speaks.
    #[must_use]
    pub fn ours() -> Self {
        Self(SPOKEN.iter().map(|version| version.number()).collect())
    }

    /// The newest version that both ends speak.
    ///
    /// # Errors
    /// If there is none; the error says which side must be updated.
    pub fn agree(&self) -> Result<Version, NoCommonVersion> {
        let common = SPOKEN.iter().rev().copied().find(|ours| self.0.contains(&ours.number()));
        common.ok_or_else(|| NoCommonVersion { offered: self.clone() })
    }
}

impl Version {
    /// The number that hello carries.
    #[must_use]
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The version of a number, if this build speaks it.
    #[must_use]
    pub fn of(number: u16) -> Option<Self> {
        SPOKEN.into_iter().find(|version| version.number() == number)
    }
}

/// The two ends have no version in common.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("no common version: this end speaks {ours:?}, the other {:?}; update the {}", .offered.0, older(.offered), ours = Versions::ours().0)]
pub struct NoCommonVersion {
    offered: Versions,
}

fn older(offered: &Versions) -> &'static str {
    let newest = SPOKEN[SPOKEN.len() - 1].number();
    if offered.0.iter().any(|&theirs| theirs > newest) {
        "program at this end"
    } else {
        "program at the other end"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_equal_builds_agree_on_the_newest() {
        assert_eq!(Versions::ours().agree(), Ok(Version::V1));
        assert_eq!(Versions(vec![1, 2, 900]).agree(), Ok(Version::V1));
    }

    #[test]
    fn a_stranger_is_refused_in_words_that_say_who_must_update() {
        let newer = Versions(vec![7, 8]).agree().unwrap_err().to_string();
        assert_eq!(
            newer,
            "no common version: this end speaks [1], the other [7, 8]; update the program at this end"
        );
        let older = Versions(vec![0]).agree().unwrap_err().to_string();
        assert!(older.ends_with("update the program at the other end"), "{older}");
    }
}
