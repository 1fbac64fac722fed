//! Who a statement speaks of.
//!
//! <https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html>

use super::error::PolicyError;

/// Who asks. Anonymous: everything `None`.
#[derive(Clone, Copy, Default, Debug)]
pub struct Identity<'a> {
    /// The account's id.
    pub account: Option<&'a str>,
    /// The ARN of the key: `arn:aws:iam::ACCOUNT:user/NAME`, or of the role's session. The account itself has none.
    pub arn: Option<&'a str>,
    /// The ARN of the role whose session the key is: `arn:aws:iam::ACCOUNT:role/ROLE`. Who names a role means all its sessions.
    pub role: Option<&'a str>,
    /// A part of this system that acts by itself, by the name AWS gives it: `logging.s3.amazonaws.com`.
    pub service: Option<&'a str>,
}

/// One entry of a `Principal`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Principal {
    /// `*`: everybody, signed or not.
    Everyone,
    /// Everybody in an account: its id, or `arn:aws:iam::ID:root`.
    Account(Box<str>),
    /// One user, role session or role, by ARN.
    Arn(Box<str>),
    /// An account by its canonical id, which here is its id.
    Canonical(Box<str>),
    /// A service.
    Service(Box<str>),
    /// Somebody whom another identity provider vouches for; nobody is, here.
    Federated(Box<str>),
}

impl Principal {
    /// Reads one value of `{kind: value}`.
    pub(super) fn read(kind: &str, value: &str) -> Result<Self, PolicyError> {
        if value.is_empty() {
            return Err(PolicyError::Principal(value.to_owned()));
        }
        match kind {
            "AWS" => Self::read_aws(value),
            "CanonicalUser" => Ok(Self::Canonical(value.into())),
            "Service" => Ok(Self::Service(value.into())),
            "Federated" => Ok(Self::Federated(value.into())),
            _ => Err(PolicyError::Principal(kind.to_owned())),
        }
    }

    fn read_aws(value: &str) -> Result<Self, PolicyError> {
        if value == "*" {
            return Ok(Self::Everyone);
        }
        let refused = || PolicyError::Principal(value.to_owned());
        // Wildcards for parts of names do not exist in principals.
        if value.contains(['*', '?']) {
            return Err(refused());
        }
        let Some(rest) = value.strip_prefix("arn:") else {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            return if value.bytes().all(plain) {
                Ok(Self::Account(value.into()))
            } else {
                Err(refused())
            };
        };
        let mut parts = rest.splitn(5, ':');
        let mut next = || parts.next();
        match (next(), next(), next(), next(), next()) {
            (Some(_), Some("iam"), Some(""), Some(account), Some("root")) => {
                Ok(Self::Account(account.into()))
            }
            (Some(_), Some("iam" | "sts"), Some(""), Some(account), Some(name))
                if !account.is_empty() && name.contains('/') =>
            {
                Ok(Self::Arn(value.into()))
            }
            _ => Err(refused()),
        }
    }

    pub(super) fn is(&self, who: &Identity<'_>) -> bool {
        match self {
            Self::Everyone => true,
            Self::Account(id) | Self::Canonical(id) => who.account == Some(&**id),
            Self::Arn(arn) => who.arn == Some(&**arn) || who.role == Some(&**arn),
            Self::Service(name) => who.service == Some(&**name),
            Self::Federated(_) => false,
        }
    }
}
