//! What can go wrong on a node, said so that the reader knows whose fault it is and what to do.

use std::io;
use std::path::PathBuf;

use types::ShardId;

/// Why the store or the program could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The owner's frame leaves no room: nothing was written.
    #[error("no room for {needed} bytes: {reason}")]
    Full {
        /// Bytes that were asked for on disk.
        needed: u64,
        /// Which limit stood in the way.
        reason: FullReason,
    },
    /// The store holds no such shard.
    #[error("shard {0} is not here")]
    NotFound(ShardId),
    /// The shard was here, but its bytes on disk are damaged or unreadable; it needs repair.
    #[error("shard {0} is damaged on disk")]
    Rot(ShardId),
    /// More or fewer bytes came than were announced.
    #[error("{announced} bytes were announced, {received} came")]
    Length {
        /// Bytes of the request.
        announced: u64,
        /// Bytes of the body.
        received: u64,
    },
    /// The shard or its label is larger than any record may be.
    #[error("{what} of {size} bytes is larger than the {limit} bytes that fit")]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its bytes.
        size: u64,
        /// The most bytes.
        limit: u64,
    },
    /// A fetch asks for bytes that the shard does not have, or not on group borders.
    #[error("bytes {offset}+{len} cannot be read from a shard of {shard_len} bytes")]
    Range {
        /// First byte asked for.
        offset: u64,
        /// Bytes asked for.
        len: u64,
        /// Bytes there are.
        shard_len: u64,
    },
    /// The data was written by a newer program.
    #[error(
        "{what} has format {found}, this program knows formats up to {known}: install a newer drystone-node; nothing was changed"
    )]
    Newer {
        /// What was opened.
        what: String,
        /// Its format number.
        found: u32,
        /// The highest format number this program reads.
        known: u32,
    },
    /// The data folder is in use.
    #[error(
        "another process is using {0}: stop it first, a store belongs to one process at a time"
    )]
    Locked(PathBuf),
    /// The data folder is damaged beyond what the store repairs alone.
    #[error("{0}")]
    Damaged(String),
    /// The operating system refused.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: String,
        /// The system's answer.
        source: io::Error,
    },
    /// The index's engine failed.
    #[error("the shard index failed: {0}")]
    Index(#[from] kv::KvError),
    /// An earlier write or sync failed, so that what is on disk is unknown until the store is opened again.
    #[error("the store takes no writes since an earlier failure ({0}); restart the node")]
    Broken(String),
    /// The store is being closed.
    #[error("the store is closing")]
    Closed,
    /// A setting is missing or makes no sense.
    #[error("{0}")]
    Config(String),
    /// The node's key file is no key.
    #[error("{path} is not the key of a node", path = .path.display())]
    Identity {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: protocol::identity::KeyError,
    },
    /// The node's key is gone, and with it the name under which the network knows the node.
    #[error("{} is missing: without it this is no node of any network, whatever else lies in the folder; {}", .0.display(), crate::identity::FIX)]
    IdentityLost(PathBuf),
    /// No gateway of the invite could be asked.
    #[error("no gateway could be reached: {0}")]
    Unreachable(String),
    /// The gateway does not take this node.
    #[error("the gateway refused: {0}")]
    Refused(String),
    /// TLS could not be set up.
    #[error("TLS cannot be set up")]
    Link(#[from] protocol::LinkError),
    /// No node runs on this data folder.
    #[error("no node is running on {0}")]
    NotRunning(PathBuf),
    /// `doctor` found so many things that keep the node from its work.
    #[error("{0} of these findings must be seen to before the node can do its work")]
    Unwell(usize),
    /// The service manager's unit cannot be written, or would not work.
    #[error("{0}")]
    Service(String),
}

/// Which limit of the owner's frame is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FullReason {
    /// The logs fill the lent disk space.
    #[error("the lent disk space is used up")]
    Quota,
    /// The file system must keep some space free.
    #[error("the disk must keep its minimum free space")]
    MinimumFree,
    /// The file system itself is full.
    #[error("the disk is full")]
    Disk,
}

impl Error {
    /// Names the action that an I/O error interrupted; a full disk becomes [`Error::Full`].
    pub(crate) fn io(action: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        move |source| match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::Full { needed: 0, reason: FullReason::Disk }
            }
            _ => Self::Io { action: action.into(), source },
        }
    }
}
