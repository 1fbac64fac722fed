//! Policies: the JSON documents that say who may do what. Pure: knows no bucket, no request, no clock.
//!
//! ```text
//! text ─▶ document (checked, MalformedPolicy) ─▶ Policy ─▶ evaluate(Asked) ─▶ Verdict
//!                                                   └────▶ public: would a stranger get in?
//! ```
//!
//! Grammar: <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html>.
//! What an owner, an ACL or a public access block adds to a verdict is decided by the caller of this folder.

mod actions;
mod condition;
mod context;
mod document;
mod error;
mod evaluate;
mod operand;
mod pattern;
mod principal;
mod public;
mod raw;

pub use context::{Context, Key, Values};
pub use document::{Kind, Policy};
pub use error::{POLICY_MAX, PolicyError};
pub use evaluate::{Asked, Verdict};
pub use principal::Identity;

#[cfg(test)]
mod tests;
