//! What must hold in every committed state. [`crate::fsck`] checks each by its number.
//!
//! 1. Every version of an object has a detail; an inline one has its bytes and their wrap, another one all its pages. A delete marker has nothing.
//! 2. Every extent of an object or part of an upload has a reference row, a wrap, and a stream that is `Whole`.
//! 3. An extent lies inside its stream: `offset + len ≤ stream.len`. The extents' lengths add up to the object's size.
//! 4. A `Whole` stream has segments 0…n−1 and no others; every segment names a group that exists and has one root for each slot.
//! 5. Every segment is in its group's list, and in the degraded list exactly if it misses slots.
//! 6. Every reference row belongs to an object, an upload, or a release that waits.
//! 7. Every stream has a reference, a check that waits, or a session that has not ended. It is in the list of unfinished ones exactly while it is `Writing`.
//! 8. In a group no node fills two slots, and the group-of-node rows are exactly its members.
//! 9. Every object, upload and configuration is in a bucket that exists; the buckets and their owners' lists agree.
//! 10. Every detail, inline body, page, part and wrap belongs to an object, an upload, or a release that waits.
//! 11. The current version of a key is newer than all its others, which lie under their times; a version's id tells its time.
//! 12. A key has at most one version `null`; if that is not the current one, the key's null row tells its time, and there is no such row otherwise.

/// The number of an invariant above.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Invariant(pub u8);
