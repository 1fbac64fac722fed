//! The proofs from outside, in one binary: real processes, real sockets, real clients. A module per feature group; most tests gather many
//! assertions of one theme, because each starts a cluster of its own.

mod access;
mod acme;
mod append;
mod buckets;
mod checksums;
mod clients;
mod cors;
mod encryption;
mod extract;
mod hard_to_fool;
mod hostile;
mod house;
mod lifecycle;
mod listings;
mod logging;
mod memory;
mod multipart;
mod notifications;
mod object_lock;
mod objects;
mod operations;
mod post_object;
mod quota;
mod rename;
mod replication;
mod restore;
mod rubbish;
mod secrecy;
mod signatures;
mod ssec;
mod survival;
mod tagging;
mod tls;
mod versioning;
mod website;
