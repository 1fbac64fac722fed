//! The conversation from outside: honest ends over real TCP and TLS, and hostile ones over a pipe.

extern crate drystone_protocol as protocol;

mod conversation;
mod hostile;
mod joining;
mod leaving;
mod standing;
mod trust;
mod world;
