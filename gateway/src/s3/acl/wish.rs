//! The list a request asks for: by one word (`x-amz-acl`), by headers (`x-amz-grant-…`), or as an XML body. Only one of the three.

use ::http::HeaderMap;
use metadata::Catalog;
use metadata::records::{Acl, AclGroup, Grant, Grantee, Ownership, Permission};
use s3s::{S3Error, S3ErrorCode, S3Result, dto};
use types::AccountId;

use crate::s3::authorize::Authorized;
use crate::s3::error;

/// The groups' names.
pub(super) const ALL_USERS: &str = "http://acs.amazonaws.com/groups/global/AllUsers";
pub(super) const AUTHENTICATED_USERS: &str =
    "http://acs.amazonaws.com/groups/global/AuthenticatedUsers";
pub(super) const LOG_DELIVERY: &str = "http://acs.amazonaws.com/groups/s3/LogDelivery";
/// The most lines of a list.
const GRANTS_MAX: usize = 100;
/// The canned list that leaves an object to the bucket's owner.
const OWNER_FULL_CONTROL: &str = "bucket-owner-full-control";
/// Headers that grant, in the order in which lists show them.
const GRANT_HEADERS: [(&str, Permission); 5] = [
    ("x-amz-grant-read", Permission::Read),
    ("x-amz-grant-write", Permission::Write),
    ("x-amz-grant-read-acp", Permission::ReadAcp),
    ("x-amz-grant-write-acp", Permission::WriteAcp),
    ("x-amz-grant-full-control", Permission::FullControl),
];

/// What a request says of a list, before anything is looked up.
#[derive(Clone, Default)]
pub(in crate::s3) struct Wish {
    canned: Option<String>,
    granted: Vec<(Permission, String)>,
    body: Option<dto::AccessControlPolicy>,
}

impl Wish {
    /// What the headers of a request say.
    pub(in crate::s3) fn of(headers: &HeaderMap) -> Self {
        let text = |name: &str| {
            headers.get(name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        };
        let granted = GRANT_HEADERS
            .into_iter()
            .filter_map(|(name, permission)| Some((permission, text(name)?)))
            .collect();
        Self { canned: text("x-amz-acl"), granted, body: None }
    }

    /// The same with an XML body.
    pub(in crate::s3) fn with_body(self, body: Option<dto::AccessControlPolicy>) -> Self {
        Self { body, ..self }
    }

    /// Whether it asks for any list.
    pub(in crate::s3) fn is_some(&self) -> bool {
        self.canned.is_some() || !self.granted.is_empty() || self.body.is_some()
    }

    fn is_canned(&self, word: &str) -> bool {
        self.canned.as_deref() == Some(word) && self.granted.is_empty() && self.body.is_none()
    }

    /// The list; `None` if the request asks for none.
    async fn list(
        self,
        catalog: &Catalog,
        owner: &AccountId,
        canned: impl FnOnce(&str) -> Option<Vec<Grant>>,
    ) -> S3Result<Option<Acl>> {
        let ways = [self.canned.is_some(), !self.granted.is_empty(), self.body.is_some()];
        if ways.iter().filter(|way| **way).count() > 1 {
            let message = "Specifying both Canned ACLs and Header Grants is not allowed";
            return Err(error::refuse(S3ErrorCode::InvalidRequest, message));
        }
        if let Some(word) = &self.canned {
            let grants = canned(word).ok_or_else(|| S3Error::new(S3ErrorCode::InvalidArgument))?;
            return Ok(Some(Acl { grants, without_owner: false }));
        }
        if let Some(body) = self.body {
            return of_body(catalog, owner, body).await.map(Some);
        }
        if self.granted.is_empty() {
            return Ok(None);
        }
        let mut grants = Vec::new();
        for (permission, text) in &self.granted {
            for grantee in read_header(catalog, text).await? {
                grants.push(Grant { grantee, permission: *permission });
            }
        }
        Ok(Some(normal(owner, grants)?))
    }
}

/// The list for a new bucket.
///
/// # Errors
/// `InvalidArgument`, `UnresolvableGrantByEmailAddress`; `InvalidBucketAclWithObjectOwnership` if lists would be off.
pub(in crate::s3) async fn of_new_bucket(
    catalog: &Catalog,
    owner: &AccountId,
    ownership: Option<Ownership>,
    wish: Wish,
) -> S3Result<Acl> {
    let acl = wish.list(catalog, owner, canned_of_bucket).await?.unwrap_or_default();
    if ownership == Some(Ownership::BucketOwnerEnforced) && acl != Acl::default() {
        return Err(error::refuse(
            S3ErrorCode::InvalidBucketAclWithObjectOwnership,
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        ));
    }
    Ok(acl)
}

/// The list for a bucket that is there.
///
/// # Errors
/// As for a new one; `AccessControlListNotSupported` if lists are off, `AccessDenied` if public ones are blocked.
pub(in crate::s3) async fn of_bucket<A>(
    catalog: &Catalog,
    allowed: &Authorized<A>,
    wish: Wish,
) -> S3Result<Acl> {
    check_on(allowed)?;
    let owner = &allowed.bucket().owner;
    let acl = wish.list(catalog, owner, canned_of_bucket).await?.ok_or_else(nothing)?;
    check_public(allowed, &acl)?;
    Ok(acl)
}

/// The list for an object that is there.
///
/// # Errors
/// As for a bucket.
pub(in crate::s3) async fn of_object<A>(
    catalog: &Catalog,
    allowed: &Authorized<A>,
    owner: &AccountId,
    wish: Wish,
) -> S3Result<Acl> {
    check_on(allowed)?;
    let bucket_owner = &allowed.bucket().owner;
    let canned = |word: &str| canned_of_object(word, owner, bucket_owner);
    let acl = wish.list(catalog, owner, canned).await?.ok_or_else(nothing)?;
    check_public(allowed, &acl)?;
    Ok(acl)
}

/// Who owns an object that is written now (`None`: the bucket's owner), and its list.
///
/// # Errors
/// As for a bucket. Where lists are off, `bucket-owner-full-control` and its equivalent are no lists.
pub(in crate::s3) async fn of_new_object<A>(
    catalog: &Catalog,
    allowed: &Authorized<A>,
    wish: Wish,
) -> S3Result<(Option<AccountId>, Option<Acl>)> {
    let bucket_owner = allowed.bucket().owner.clone();
    match allowed.ownership() {
        Ownership::BucketOwnerEnforced => {
            if wish.is_some() && !leaves_to(&wish, &bucket_owner) {
                return Err(off());
            }
            return Ok((None, None));
        }
        Ownership::BucketOwnerPreferred if wish.is_canned(OWNER_FULL_CONTROL) => {
            return Ok((None, None));
        }
        Ownership::BucketOwnerPreferred | Ownership::ObjectWriter => {}
    }
    let owner = allowed.writer();
    let own = owner.as_ref().unwrap_or(&bucket_owner);
    let acl = wish.list(catalog, own, |word| canned_of_object(word, own, &bucket_owner)).await?;
    let acl = acl.filter(|acl| *acl != Acl::default());
    if let Some(acl) = &acl {
        check_public(allowed, acl)?;
    }
    Ok((owner, acl))
}

/// Whether a wish says no more than that the bucket's owner has full control.
fn leaves_to(wish: &Wish, owner: &AccountId) -> bool {
    if wish.is_canned(OWNER_FULL_CONTROL) {
        return true;
    }
    let id = format!("id={owner}");
    let quoted = format!("id=\"{owner}\"");
    wish.canned.is_none()
        && wish.body.is_none()
        && wish.granted.iter().all(|(permission, text)| {
            *permission == Permission::FullControl && (*text == id || *text == quoted)
        })
}

fn check_on<A>(allowed: &Authorized<A>) -> S3Result<()> {
    if allowed.ownership() == Ownership::BucketOwnerEnforced { Err(off()) } else { Ok(()) }
}

fn check_public<A>(allowed: &Authorized<A>, acl: &Acl) -> S3Result<()> {
    if allowed.blocks_public_acls() && super::is_public(acl) {
        return Err(error::refuse(
            S3ErrorCode::AccessDenied,
            "Access Denied: public access control lists are blocked by the bucket's public access block (BlockPublicAcls)",
        ));
    }
    Ok(())
}

fn off() -> S3Error {
    error::refuse(S3ErrorCode::AccessControlListNotSupported, "The bucket does not allow ACLs")
}

fn nothing() -> S3Error {
    error::refuse(
        S3ErrorCode::MissingSecurityHeader,
        "Your request was missing a required header: x-amz-acl, x-amz-grant-*, or a body",
    )
}

fn canned_of_bucket(word: &str) -> Option<Vec<Grant>> {
    let group = |group, permission| Grant { grantee: Grantee::Group(group), permission };
    Some(match word {
        "private" => Vec::new(),
        "public-read" => vec![group(AclGroup::AllUsers, Permission::Read)],
        "public-read-write" => vec![
            group(AclGroup::AllUsers, Permission::Read),
            group(AclGroup::AllUsers, Permission::Write),
        ],
        "authenticated-read" => vec![group(AclGroup::AuthenticatedUsers, Permission::Read)],
        "log-delivery-write" => vec![
            group(AclGroup::LogDelivery, Permission::Write),
            group(AclGroup::LogDelivery, Permission::ReadAcp),
        ],
        // Words that say nothing of buckets and are ignored there.
        "bucket-owner-read" | OWNER_FULL_CONTROL | "aws-exec-read" => Vec::new(),
        _ => return None,
    })
}

fn canned_of_object(word: &str, owner: &AccountId, bucket_owner: &AccountId) -> Option<Vec<Grant>> {
    let to_bucket_owner = |permission| {
        let grant = Grant { grantee: Grantee::Account(bucket_owner.clone()), permission };
        // Of their own object they have everything anyway.
        if owner == bucket_owner { Vec::new() } else { vec![grant] }
    };
    match word {
        "bucket-owner-read" => Some(to_bucket_owner(Permission::Read)),
        OWNER_FULL_CONTROL => Some(to_bucket_owner(Permission::FullControl)),
        "log-delivery-write" => None,
        other => canned_of_bucket(other),
    }
}

/// The grantees of a header: `id="…", uri="…", emailAddress="…"`.
async fn read_header(catalog: &Catalog, text: &str) -> S3Result<Vec<Grantee>> {
    let mut all = Vec::new();
    for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
        let (kind, value) = part.split_once('=').ok_or_else(malformed)?;
        let value = value.trim().trim_matches('"');
        all.push(match kind.trim() {
            kind if kind.eq_ignore_ascii_case("id") => by_id(catalog, value).await?,
            kind if kind.eq_ignore_ascii_case("uri") => by_uri(value)?,
            kind if kind.eq_ignore_ascii_case("emailAddress") => by_email(catalog, value).await?,
            _ => return Err(malformed()),
        });
    }
    Ok(all)
}

async fn of_body(
    catalog: &Catalog,
    owner: &AccountId,
    body: dto::AccessControlPolicy,
) -> S3Result<Acl> {
    let named = body.owner.and_then(|owner| owner.id).ok_or_else(malformed)?;
    // A list does not hand things over.
    if named != owner.as_str() {
        return Err(S3Error::new(S3ErrorCode::AccessDenied));
    }
    let mut grants = Vec::new();
    for grant in body.grants.unwrap_or_default() {
        let (grantee, permission) = grant.grantee.zip(grant.permission).ok_or_else(malformed)?;
        let permission = match permission.as_str() {
            dto::Permission::FULL_CONTROL => Permission::FullControl,
            dto::Permission::READ => Permission::Read,
            dto::Permission::WRITE => Permission::Write,
            dto::Permission::READ_ACP => Permission::ReadAcp,
            dto::Permission::WRITE_ACP => Permission::WriteAcp,
            _ => return Err(malformed()),
        };
        let grantee = match (grantee.id, grantee.uri, grantee.email_address) {
            (Some(id), None, None) => by_id(catalog, &id).await?,
            (None, Some(uri), None) => by_uri(&uri)?,
            (None, None, Some(email)) => by_email(catalog, &email).await?,
            _ => return Err(malformed()),
        };
        grants.push(Grant { grantee, permission });
    }
    normal(owner, grants)
}

/// The form in which lists are kept: the owner's full control is not written, its lack is.
fn normal(owner: &AccountId, mut grants: Vec<Grant>) -> S3Result<Acl> {
    if grants.len() > GRANTS_MAX {
        return Err(malformed());
    }
    let of_owner = |grant: &Grant| {
        grant.permission == Permission::FullControl
            && matches!(&grant.grantee, Grantee::Account(id) if id == owner)
    };
    let before = grants.len();
    grants.retain(|grant| !of_owner(grant));
    Ok(Acl { without_owner: grants.len() == before, grants })
}

async fn by_id(catalog: &Catalog, text: &str) -> S3Result<Grantee> {
    let invalid = || error::refuse(S3ErrorCode::InvalidArgument, "Invalid id");
    let id: AccountId = text.parse().map_err(|_| invalid())?;
    match catalog.account(&id).await.map_err(error::catalog)? {
        Some(_) => Ok(Grantee::Account(id)),
        None => Err(invalid()),
    }
}

async fn by_email(catalog: &Catalog, email: &str) -> S3Result<Grantee> {
    let accounts = catalog.accounts().await.map_err(error::catalog)?;
    let mut found =
        accounts.into_iter().filter(|(_, account)| account.email.eq_ignore_ascii_case(email));
    match (found.next(), found.next()) {
        (Some((id, _)), None) => Ok(Grantee::Account(id)),
        (Some(_), Some(_)) => Err(S3Error::new(S3ErrorCode::AmbiguousGrantByEmailAddress)),
        (None, _) => Err(S3Error::new(S3ErrorCode::UnresolvableGrantByEmailAddress)),
    }
}

fn by_uri(uri: &str) -> S3Result<Grantee> {
    Ok(Grantee::Group(match uri {
        ALL_USERS => AclGroup::AllUsers,
        AUTHENTICATED_USERS => AclGroup::AuthenticatedUsers,
        LOG_DELIVERY => AclGroup::LogDelivery,
        _ => return Err(error::refuse(S3ErrorCode::InvalidArgument, "Invalid group uri")),
    }))
}

fn malformed() -> S3Error {
    S3Error::new(S3ErrorCode::MalformedACLError)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(text: &str) -> AccountId {
        text.parse().expect("an id")
    }

    #[test]
    fn the_owner_s_full_control_goes_without_saying_and_its_lack_does_not() {
        let (ann, bob) = (id("ann"), id("bob"));
        let grant = |id: &AccountId, permission| Grant {
            grantee: Grantee::Account(id.clone()),
            permission,
        };
        let both = vec![grant(&ann, Permission::FullControl), grant(&bob, Permission::Read)];
        let acl = normal(&ann, both).expect("a list");
        assert_eq!(acl, Acl { grants: vec![grant(&bob, Permission::Read)], without_owner: false });
        let less = normal(&ann, vec![grant(&ann, Permission::Read)]).expect("a list");
        assert!(less.without_owner && less.grants.len() == 1);
        assert!(normal(&ann, Vec::new()).expect("a list").without_owner);
        let many = vec![grant(&bob, Permission::Read); GRANTS_MAX + 1];
        assert_eq!(
            *normal(&ann, many).expect_err("too many").code(),
            S3ErrorCode::MalformedACLError
        );
    }

    #[test]
    fn canned_lists_are_aws_s() {
        let (ann, bob) = (id("ann"), id("bob"));
        let count = |word| canned_of_object(word, &ann, &bob).map(|grants| grants.len());
        assert_eq!(count("private"), Some(0));
        assert_eq!(count("public-read-write"), Some(2));
        assert_eq!(count("bucket-owner-read"), Some(1));
        assert_eq!(count("log-delivery-write"), None);
        assert_eq!(count("public-ready"), None);
        assert_eq!(canned_of_object(OWNER_FULL_CONTROL, &bob, &bob), Some(Vec::new()));
        assert_eq!(canned_of_bucket("log-delivery-write").map(|grants| grants.len()), Some(2));
    }
}
