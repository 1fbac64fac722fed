//! The books on real engines.

extern crate drystone_billing as billing;

mod accounts;
mod documents;
mod golden;
mod intake;
mod laws;
mod nodes;
mod payouts;
mod prices;
mod settling;
mod support;
