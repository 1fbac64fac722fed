//! Every limit of the conversation: its name, its unit, and what happens at it.
//!
//! Both ends enforce all of them. A limit that a peer may choose to break is checked before memory is allocated for what
//! breaks it.

use std::time::Duration;

use codec::hash::GROUP;
use types::{KIB, MIB, SEGMENT_MAX};

/// Bytes of one HTTP/2 stream that may be under way unread. Throughput of a stream is at most this per round trip.
pub const STREAM_WINDOW: u32 = 8 << 20;
/// Bytes of all streams of one connection that may be under way unread: the most memory a connection can pin at its receiver.
pub const CONNECTION_WINDOW: u32 = 32 << 20;
/// Payload bytes of one HTTP/2 frame; a peer that sends a larger one is disconnected before it is read.
pub const FRAME_MAX: u32 = 256 << 10;
/// Bytes of one decoded header list, as RFC 9113 counts them; a larger one resets its stream.
pub const HEADER_LIST_MAX: u32 = 8 << 10;
/// Requests of one connection at a time; more wait at the gateway.
pub const CONCURRENT_STREAMS: u32 = 256;
/// Bytes of one stream that the sender queues below HTTP/2 before it asks for more: two frames.
pub const SEND_BUFFER: usize = 2 * FRAME_MAX as usize;
/// Streams that the peer opened and reset before they were looked at; one more ends the connection ("rapid reset").
pub const PENDING_RESETS: usize = 32;
/// Streams reset because of the peer's errors; one more ends the connection.
pub const ERROR_RESETS: usize = 128;
/// A node that refused a shard takes and throws away for so long what of it is still on its way; then it resets the stream.
pub const LINGER: Duration = Duration::from_secs(5);

/// A TLS handshake, and after it the HTTP/2 handshake and hello, take at most this long each; then the connection is closed.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A whole join conversation takes at most this long.
pub const JOIN_TIMEOUT: Duration = Duration::from_secs(15);
/// Opening a TCP connection takes at most this long.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Silence after which a PING is sent. Home routers forget a quiet TCP connection after a few minutes at the earliest.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(20);
/// A PING unanswered this long closes the connection.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(20);
/// How long the gateway waits for a node in one answer before the minimum rate counts.
pub const ANSWER_GRACE: Duration = Duration::from_secs(15);
/// Bytes per second a node must move, after the grace, while the gateway waits for it; a slower answer is cut.
/// Low, because sixteen answers may share a home's upstream.
pub const ANSWER_RATE_MIN: u64 = 8 * KIB;

/// Bytes of a request's message unless its verb says otherwise. The same holds for answers and for each message of a join.
pub const MESSAGE_MAX: usize = 4 << 10;
/// Bytes of a hello: it may name [`EPOCHS_MAX`] groups.
pub const HELLO_MAX: usize = 32 << 10;
/// Groups whose epochs one hello can tell.
pub const EPOCHS_MAX: usize = 1024;
/// Bytes of a drop's request and of its answer: [`DROPS_MAX`] shard ids.
pub const DROP_MAX: usize = 256 << 10;
/// Shards one revision can drop.
pub const DROPS_MAX: usize = 4096;
/// Bytes of an inventory's answer: [`INVENTORY_MAX`] entries.
pub const INVENTORY_ANSWER_MAX: usize = 1 << 20;
/// Entries (shards or group fingerprints) of one inventory page.
pub const INVENTORY_MAX: u32 = 8192;
/// Bytes of a status answer: [`ROT_MAX`] shard ids.
pub const STATUS_ANSWER_MAX: usize = 32 << 10;
/// Rotten shards one status answer can report; the rest follows in the next.
pub const ROT_MAX: usize = 512;

/// Bytes of one shard. A geometry with one data shard would make them as large as its segment.
pub const SHARD_MAX: u64 = SEGMENT_MAX;
/// Bytes of a shard's sealed label.
pub const LABEL_MAX: usize = 512;
/// Bytes of a group of the hash tree: fetches begin and end on its multiples, or at the shard's end.
pub const HASH_GROUP: u64 = GROUP;
/// Bytes of one step of a fetch: what the gateway must hold before it can verify.
pub const STEP_MAX: u64 = 4 * MIB;
/// Bytes of a name that an owner gives a node.
pub const NAME_MAX: usize = 64;
/// Bytes of the words in a refusal; longer words are cut.
pub const WORDS_MAX: usize = 512;
/// Findings in a standing; the newest are told.
pub const EVIDENCE_MAX: usize = 8;
/// Bytes of a finding's words, and of the reason of a rank.
pub const EVIDENCE_WORDS_MAX: usize = 200;
/// Gateways in an invite or a welcome.
pub const GATEWAYS_MAX: usize = 12;
/// Bytes of a gateway's address: a DNS name of 253 bytes, a colon and a port.
pub const ADDRESS_MAX: usize = 260;
/// Entries under one signature. More would make the proofs longer than they save signing.
pub const RECEIPT_BATCH_MAX: usize = 64;
/// Batch roots whose signature a gateway remembers per connection.
pub const RECEIPTS_REMEMBERED: usize = 64;
/// How far a peer's clock may lag behind the root's when a grant begins.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

const _: () = assert!(GATEWAYS_MAX * (ADDRESS_MAX + 2) + 64 <= MESSAGE_MAX);
const _: () = assert!(STREAM_WINDOW <= CONNECTION_WINDOW && FRAME_MAX <= STREAM_WINDOW);
const _: () = assert!(STEP_MAX.is_multiple_of(HASH_GROUP) && STEP_MAX <= SHARD_MAX);
/// The longest postcard form of a shard id: varints of 10, 10, 10 and 5 bytes and a slot.
const SHARD_ID_MAX: usize = 36;
const _: () = assert!(
    EVIDENCE_MAX * (10 + 1 + 1 + SHARD_ID_MAX + 2 + EVIDENCE_WORDS_MAX) + EVIDENCE_WORDS_MAX + 128
        <= MESSAGE_MAX
);
const _: () = assert!(DROPS_MAX * (SHARD_ID_MAX + 1) + MESSAGE_MAX <= DROP_MAX);
const _: () = assert!(
    INVENTORY_MAX as usize * (SHARD_ID_MAX + 10 + 32) + MESSAGE_MAX <= INVENTORY_ANSWER_MAX
);
const _: () = assert!(ROT_MAX * SHARD_ID_MAX + MESSAGE_MAX <= STATUS_ANSWER_MAX);

/// The limits that one deployment, or one slow line, may set differently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkSettings {
    /// Bytes; see [`STREAM_WINDOW`]. Under a rate limit: at most 0.1 s of it, and at least 64 KiB.
    pub stream_window: u32,
    /// Bytes; see [`CONNECTION_WINDOW`].
    pub connection_window: u32,
    /// Requests at a time; see [`CONCURRENT_STREAMS`].
    pub concurrent_streams: u32,
    /// See [`HANDSHAKE_TIMEOUT`].
    pub handshake_timeout: Duration,
    /// See [`KEEP_ALIVE_INTERVAL`].
    pub keep_alive_interval: Duration,
    /// See [`KEEP_ALIVE_TIMEOUT`].
    pub keep_alive_timeout: Duration,
    /// See [`ANSWER_GRACE`].
    pub answer_grace: Duration,
    /// Bytes per second; see [`ANSWER_RATE_MIN`].
    pub answer_rate_min: u64,
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self {
            stream_window: STREAM_WINDOW,
            connection_window: CONNECTION_WINDOW,
            concurrent_streams: CONCURRENT_STREAMS,
            handshake_timeout: HANDSHAKE_TIMEOUT,
            keep_alive_interval: KEEP_ALIVE_INTERVAL,
            keep_alive_timeout: KEEP_ALIVE_TIMEOUT,
            answer_grace: ANSWER_GRACE,
            answer_rate_min: ANSWER_RATE_MIN,
        }
    }
}
