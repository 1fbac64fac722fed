//! The conversation between gateways and nodes, over any two-way byte stream.
//!
//! A node sits behind somebody's home router, so **the node dials**: TCP, TLS 1.3, protocol `drystone/1`. Both show an Ed25519 key:
//! the node its own, whose hash is its name; the gateway one that carries the pinned root's grant ([`tls`], [`identity`]). Then
//! the roles turn: the gateway is the HTTP/2 client and the node the server ([`link`]), for it is the gateway that asks.
//!
//! The first request is *hello*; it agrees on a [`version`]. After that the gateway stores, fetches, drops, takes inventory and asks
//! for the status ([`message`]), many requests at a time. A shard's bytes go in bare behind the request; what comes back is a
//! [`receipt`], which means fsynced. A fetched range comes out in steps ([`steps`]), each preceded by the hashes that
//! prove it against the shard's root; only verified slices leave [`client::NodeClient::fetch`]. Shards are let go only
//! by a signed [`revision`].
//!
//! A stranger becomes a node by an [`invite`] and one exchange under the protocol `drystone-join/1` ([`join`]); an owner lets a node
//! go by another under `drystone-leave/1` ([`leave`]), and learns
//! what the network thinks of it by a third ([`standing`]).
//!
//! **Goals.** The line is the bottleneck: bytes are copied once, at the receiver, where a step must be in one piece to be verified.
//! Every limit has a name ([`limits`]); nothing is allocated on a peer's word. An [`error`] says whose fault it is, and only what no
//! honest node does is [`blame`]d.
//!
//! **Not goals.** What the bytes mean: this crate knows neither the encryption of data nor S3. Who may be a node, which
//! shard lies where, reconnecting: its users decide.

pub mod blame;
pub mod client;
pub mod dial;
pub mod error;
pub mod identity;
mod inbound;
pub mod invite;
pub mod join;
pub mod leave;
pub mod limits;
mod link;
pub mod message;
mod outbound;
mod pace;
pub mod receipt;
pub mod revision;
pub mod server;
pub mod standing;
pub mod steps;
pub mod tls;
pub mod version;

pub use blame::{Evidence, Offence};
pub use client::{NodeClient, SliceStream};
pub use error::{BodyError, LinkError, Loss, NodeError};
pub use outbound::Piece;
pub use server::{FetchReply, NodeService, ShardBody, serve};
