//! Why a node does not do what was asked.

use std::fmt;

use serde::{Deserialize, Serialize};
use types::Epoch;

use crate::limits;

/// Why a node does not do what was asked. The order is on the wire.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Refusal {
    /// Too much to do, or the owner's frame is shut for now.
    Busy {
        /// Milliseconds to wait before asking again.
        retry_after_ms: u32,
    },
    /// The node knows a newer epoch of the group.
    Stale {
        /// The newer epoch.
        epoch: Epoch,
    },
    /// The shard is not here.
    NotFound,
    /// No room.
    Full,
    /// Another shard lies under this id, and the request did not ask to replace it.
    Exists,
    /// No common language.
    Incompatible {
        /// Why; at most [`limits::WORDS_MAX`] bytes.
        words: String,
    },
    /// Not allowed, or nonsense.
    Denied {
        /// Why; at most [`limits::WORDS_MAX`] bytes.
        words: String,
    },
    /// The node's own failure, honestly told.
    Failed {
        /// What; at most [`limits::WORDS_MAX`] bytes.
        words: String,
    },
}

impl Refusal {
    /// [`Refusal::Incompatible`] in the words of an error.
    #[must_use]
    pub fn incompatible(why: &impl fmt::Display) -> Self {
        Self::Incompatible { words: words(why) }
    }

    /// [`Refusal::Denied`] in the words of an error.
    #[must_use]
    pub fn denied(why: &impl fmt::Display) -> Self {
        Self::Denied { words: words(why) }
    }

    /// [`Refusal::Failed`] in the words of an error.
    #[must_use]
    pub fn failed(why: &impl fmt::Display) -> Self {
        Self::Failed { words: words(why) }
    }

    pub(super) fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Incompatible { words } | Self::Denied { words } | Self::Failed { words }
                if words.len() > limits::WORDS_MAX =>
            {
                Err("too many words")
            }
            _ => Ok(()),
        }
    }
}

/// An error as words for the other end, cut to what may be sent.
pub(crate) fn words(why: &impl fmt::Display) -> String {
    let mut words = why.to_string();
    words.truncate(words.floor_char_boundary(limits::WORDS_MAX));
    words
}
