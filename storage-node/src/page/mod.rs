//! The node's own page: what its owner may want to know, on 127.0.0.1 only.
//!
//! ```text
//! listen → guard → answer → { assets, status, history, metrics }
//!                                        sample ↗
//! ```
//!
//! Whoever has an account on the machine can look. A page of somebody else's that the owner has open in the same browser cannot: a
//! foreign `Host` is refused (DNS rebinding), nothing is allowed across origins, and what changes anything wants this page's own token
//! ([`guard`]). Everything shown is in the program itself; the browser may load nothing from elsewhere ([`answer`]).
//!
//! What happened over time is a ring of samples in one file of the data folder ([`history`]), which [`sample`] fills.

mod answer;
mod guard;
mod history;
mod listen;
mod metrics;
mod sample;

pub(crate) use history::History;
pub(crate) use listen::Page;
