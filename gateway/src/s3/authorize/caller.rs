//! Who asks.

use std::sync::{Arc, LazyLock};

use types::AccountId;

use crate::s3::auth::Signer;
use crate::s3::policy::Identity;

/// The id under which what nobody signed is kept: the one AWS uses
/// (<https://docs.aws.amazon.com/AmazonS3/latest/userguide/finding-canonical-user-id.html>). No account can have it.
const ANONYMOUS: &str = "65a011a29cdf8ec533ec3d1ccaae921c";

static NOBODY: LazyLock<AccountId> =
    LazyLock::new(|| ANONYMOUS.parse().expect("thirty-two letters and digits are an id"));

/// Who asks: an access key whose signature was verified, or anybody.
#[derive(Clone)]
pub(in crate::s3) enum Caller {
    /// A key.
    Signed(Arc<Signer>),
    /// Nobody in particular.
    Anonymous,
}

impl Caller {
    /// The account; none of an anonymous caller.
    pub(in crate::s3) fn account(&self) -> Option<&AccountId> {
        match self {
            Self::Signed(signer) => Some(&signer.account),
            Self::Anonymous => None,
        }
    }

    /// The account, or the id that stands for nobody.
    pub(super) fn owner(&self) -> &AccountId {
        self.account().unwrap_or(&NOBODY)
    }

    /// The key; none of an anonymous caller.
    pub(in crate::s3) fn signer(&self) -> Option<&Signer> {
        match self {
            Self::Signed(signer) => Some(signer),
            Self::Anonymous => None,
        }
    }

    /// As policies see it.
    pub(super) fn identity(&self) -> Identity<'_> {
        let signer = self.signer();
        Identity {
            account: signer.map(|signer| signer.account.as_str()),
            arn: signer.and_then(|signer| signer.arn.as_deref()),
            role: signer.and_then(|signer| signer.role.as_deref()),
            service: None,
        }
    }

    /// `aws:PrincipalArn`: of a session the role's, not its own
    /// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html#condition-keys-principalarn>).
    pub(super) fn arn(&self) -> Option<String> {
        let signer = self.signer()?;
        let root = || format!("arn:aws:iam::{}:root", signer.account);
        Some(signer.role.clone().or_else(|| signer.arn.clone()).unwrap_or_else(root))
    }

    /// `aws:PrincipalType`.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Anonymous => "Anonymous",
            Self::Signed(signer) if signer.is_of_role() => "AssumedRole",
            Self::Signed(signer) if signer.arn.is_some() => "User",
            Self::Signed(_) => "Account",
        }
    }

    /// `aws:userid`.
    pub(super) fn user_id(&self) -> Option<String> {
        self.signer().map(Signer::user_id)
    }

    /// `aws:username`: the name of a key that has one.
    pub(super) fn user_name(&self) -> Option<&str> {
        let signer = self.signer()?;
        (signer.arn.is_some() && !signer.is_of_role()).then_some(signer.name.as_str())
    }
}

/// Whether an account may have that id.
pub(crate) fn is_reserved(id: &AccountId) -> bool {
    *id == *NOBODY
}

/// The access key whose signature was verified before this request was handed to a service that verifies none, and the session token that
/// came with it (see [`crate::s3::lenient`]). Extensions cannot come from the network.
#[derive(Clone)]
pub(in crate::s3) struct Vouched {
    pub(in crate::s3) key: String,
    pub(in crate::s3) token: Option<String>,
    /// How it was signed, where conditions may ask for it; a form says nothing.
    pub(in crate::s3) signed: Option<Signed>,
}

/// How a request was signed.
#[derive(Clone)]
pub(in crate::s3) struct Signed {
    /// Whether the signature is in the query.
    pub(in crate::s3) presigned: bool,
    /// `X-Amz-Date` of the query.
    pub(in crate::s3) date: Option<String>,
}
