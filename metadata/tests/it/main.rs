//! The catalog from outside: its formats, its promises under concurrency and crashes, and its limits.

extern crate drystone_metadata as metadata;

mod configs;
mod crash;
mod golden;
mod groups;
mod holdings;
mod keys;
mod listing;
mod model;
mod nodes;
mod outbox;
mod queue;
mod races;
mod reshape;
mod sessions;
mod support;
mod takedowns;
mod versions;
mod widest;
mod wraps;
