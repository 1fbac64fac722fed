//! Freezes, and what each still allows.

use std::fmt;

use serde::{Deserialize, Serialize};
use types::Timestamp;

/// Why an account is frozen.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FreezeKind {
    /// It owes money.
    Billing,
    /// A court or an authority wants everything to stay as it is.
    Legal,
    /// It harms others.
    Abuse,
}

/// What an account wants to do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// See what there is.
    List,
    /// Get bytes out.
    Read,
    /// Bring bytes in.
    Write,
    /// Release bytes.
    Delete,
    /// Run functions.
    Compute,
    /// Have its nodes earn.
    Earn,
    /// Get money.
    PayOut,
}

impl Action {
    /// Everything an account can want.
    pub const ALL: [Self; 7] = [
        Self::List,
        Self::Read,
        Self::Write,
        Self::Delete,
        Self::Compute,
        Self::Earn,
        Self::PayOut,
    ];
}

impl FreezeKind {
    /// What a freeze still allows.
    ///
    /// | | list | read | write | delete | compute | earn | pay out |
    /// |---|---|---|---|---|---|---|---|
    /// | billing | yes | no | no | yes | no | yes | no |
    /// | legal | yes | no | no | no | no | yes | no |
    /// | abuse | yes | no | no | yes | no | no | no |
    ///
    /// Who owes money can always owe less: by deleting, and by earning. Under a legal freeze nothing may disappear.
    #[must_use]
    pub const fn allows(self, action: Action) -> bool {
        match action {
            Action::List => true,
            Action::Read | Action::Write | Action::Compute | Action::PayOut => false,
            Action::Delete => matches!(self, Self::Billing | Self::Abuse),
            Action::Earn => matches!(self, Self::Billing | Self::Legal),
        }
    }
}

impl fmt::Display for FreezeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Billing => "billing",
            Self::Legal => "legal",
            Self::Abuse => "abuse",
        })
    }
}

/// A freeze in force.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Freeze {
    /// Why, as a kind.
    pub kind: FreezeKind,
    /// Why, in words.
    pub reason: String,
    /// Since when.
    pub since: Timestamp,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_freeze_allows_what_its_row_of_the_table_says() {
        let allowed = |kind: FreezeKind| Action::ALL.map(|action| kind.allows(action));
        let (yes, no) = (true, false);
        assert_eq!(allowed(FreezeKind::Billing), [yes, no, no, yes, no, yes, no]);
        assert_eq!(allowed(FreezeKind::Legal), [yes, no, no, no, no, yes, no]);
        assert_eq!(allowed(FreezeKind::Abuse), [yes, no, no, yes, no, no, no]);
    }
}
