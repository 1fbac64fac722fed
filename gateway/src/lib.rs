//! The gateway: plain S3 on one side, encrypted shards on volunteers' nodes on the other.
//!
//! **The story of a PUT.** A connection arrives at [`http`], the request is parsed and authorised in [`s3`], and the operation in `s3::ops`
//! hands a target and a body to [`put`]. *Ingest* reads the body and computes the digests the client or S3 wants; *seal* encrypts it in
//! 64 KiB chunks under a fresh data key and codes rows of chunks; *place* names a placement group for each segment of 32 MiB; *scatter* sends
//! each slot its shard and waits until the write quorum has it on disk; *commit* compares the digests and makes the object visible in one
//! transaction. Before that nothing is visible, after it nothing can be lost.
//!
//! **The story of a GET.** The same door; [`get`] *locates* the extents and keys in one snapshot, *gathers* windows of rows from the k fastest
//! nodes, keeping only what verifies against the stored roots, *opens* each chunk with the stream's key, and *streams* the plaintext at the client's pace.
//!
//! [`upkeep`] keeps both promises while nodes come and go; [`nodes`] knows who is online; [`admin`] is the operator's door; only [`app`] knows everything.

pub mod acme;
pub mod admin;
pub mod app;
pub mod changes;
pub mod compute;
pub mod config;
pub mod configs;
pub mod digest;
pub mod endpoints;
pub mod estimates;
pub mod get;
pub mod http;
pub mod keys;
pub mod logbook;
pub mod metering;
pub mod nodes;
pub mod operator;
pub mod outbound;
pub mod prices;
pub mod put;
pub mod quota;
pub mod rules;
pub mod s3;
pub mod secrets;
pub mod session;
pub mod standing;
pub mod unpack;
pub mod upkeep;
pub mod webhooks;
pub mod website;
