//! Usage in, money out: integers all the way, and nothing is lost or made.
//!
//! ```text
//! UsageEvent ──▶ meter ──▶ (tariff) ──▶ charge ──▶ split ──▶ operator, nodes, carried over
//!               byte·ms                 Money
//! ```
//!
//! - [`money`]: an amount, exact to the micro-unit.
//! - [`meter`]: what an account used, exact to the byte-millisecond.
//! - [`split`]: who gets what of a charge, exact to the last micro-unit.
//!
//! All of it is pure: no clock, no storage, no network. Each module states its laws on top; each law is a property
//! test of the same name. Ledger, tariffs and payouts will stand on these three.

pub mod meter;
pub mod money;
pub mod split;

pub use meter::{ByteMillis, EventId, Meter, MeterError};
pub use money::{Money, MoneyError};
pub use split::{Split, SplitError, split};
