//! Access control lists (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html>).

use serde::{Deserialize, Serialize};
use types::AccountId;

/// Who may do what beside the owner, of a bucket or an object. The default is `private`: nobody.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Acl {
    /// What is granted, in the order given; the owner's own full control is not among it.
    pub grants: Vec<Grant>,
    /// Whether the list was written without the owner's full control: then the owner has only what `grants` says (and may always
    /// read and write the list itself).
    pub without_owner: bool,
}

/// One line of an access control list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Grant {
    /// To whom.
    pub grantee: Grantee,
    /// What.
    pub permission: Permission,
}

/// To whom something is granted. Discriminants are stored: append only.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Grantee {
    /// One account; an e-mail address is resolved before it is stored.
    Account(AccountId),
    /// A group that S3 predefines.
    Group(AclGroup),
}

/// The groups that S3 predefines. Discriminants are stored: append only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum AclGroup {
    /// Anybody, without a signature too.
    AllUsers,
    /// Anybody who signs.
    AuthenticatedUsers,
    /// Server access logging.
    LogDelivery,
}

/// What can be granted. Discriminants are stored: append only.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Permission {
    /// All of the others.
    FullControl,
    /// A bucket: listing it. An object: reading it.
    Read,
    /// A bucket: writing and deleting objects.
    Write,
    /// Reading the access control list.
    ReadAcp,
    /// Writing it.
    WriteAcp,
}
