//! A volunteer's node: a shard store on lent disk space, and the service that lends it to the gateways.
//!
//! It knows ciphertext only: no key, no object, no bucket. `storage-node` depends on no cipher, TLS aside.
//!
//! ```text
//! dial → serve → handle/{hello, store, fetch, drop, inventory, status} → store → log files and index
//! ```
//!
//! [`Node::start`] runs a node in this process; the binary `drystone-node` is [`Cli`] around it.

mod advice;
mod app;
mod cli;
mod config;
mod crashsafe;
mod dial;
mod error;
mod frame;
mod handle;
mod identity;
mod join;
mod leave;
mod local;
mod page;
mod serve;
pub mod store;
#[cfg(test)]
mod testing;

pub use advice::{DiskSpace, Finding, Severity};
pub use app::{Node, NodeHandle, NodeStatus};
pub use cli::Cli;
pub use config::{NodeConfig, Overrides, Settings};
pub use dial::LinkStatus;
pub use error::{Error, FullReason};
pub use frame::report;
pub use frame::{
    Assignment, BitRate, FrameSettings, Hours, HoursError, Pause, Percent, QuantityError, Span,
    Values,
};
pub use join::join;
pub use leave::Departure;
pub use local::ask as ask_status;
