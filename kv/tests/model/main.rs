//! One suite, every engine: what the crate's page promises, as a model and as named sentences.

mod disk;
mod engines;
mod promises;
mod script;
