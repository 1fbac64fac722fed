//! A bucket's door: one request, one caller, one bucket; as many things asked for as the request is about.

use std::sync::Arc;

use metadata::records::{Acl, Ownership};
use metadata::{CatalogError, Located};
use s3s::{S3Error, S3ErrorCode, S3Result};
use types::{AccountId, ObjectKey};

use super::actions::{
    Action, ListBucket, Meta, OfBucket, OfObject, PutObject, PutObjectAcl, PutObjectLegalHold,
    PutObjectRetention, PutObjectTagging, Rule,
};
use super::audit::Event;
use super::caller::Caller;
use super::envelope::{Envelope, Facts};
use super::proof::{Authorized, Opened, Whence};
use super::rules::{Case, Reason};
use super::{Gate, owner_of, ownership};
use crate::http::RequestId;
use crate::s3::policy::{Asked, Policy, Verdict};
use crate::s3::{describe, error};

/// Headers that ask for a list.
const GRANTS: [&str; 5] = [
    "x-amz-grant-read",
    "x-amz-grant-write",
    "x-amz-grant-read-acp",
    "x-amz-grant-write-acp",
    "x-amz-grant-full-control",
];

/// What stands between a caller and a bucket.
pub(in crate::s3) struct Door<'r> {
    gate: Gate,
    caller: Caller,
    opened: Arc<Opened>,
    envelope: Envelope<'r>,
    id: Option<RequestId>,
}

/// A version, or why there is none.
type Look = Result<Located, CatalogError>;

/// An object, as far as it matters to who may do what with it.
#[derive(Clone, Copy)]
struct Seen<'a> {
    owner: &'a AccountId,
    acl: Option<&'a Acl>,
    tags: &'a [(String, String)],
}

/// One thing that is asked for.
#[derive(Clone, Copy)]
struct Wanted<'a> {
    meta: Meta,
    key: Option<&'a str>,
    version: Option<&'a str>,
    initiator: Option<&'a AccountId>,
}

impl<'a> Wanted<'a> {
    fn of<A: Action>(initiator: Option<&'a AccountId>) -> Self {
        Self { meta: A::META, key: None, version: None, initiator }
    }
}

impl<'r> Door<'r> {
    pub(super) fn new(
        gate: Gate,
        caller: Caller,
        opened: Opened,
        envelope: Envelope<'r>,
        id: Option<RequestId>,
    ) -> Self {
        Self { gate, caller, opened: Arc::new(opened), envelope, id }
    }

    /// The same door for a request whose parts go separate ways.
    pub(in crate::s3) fn into_owned(self) -> Door<'static> {
        let Self { gate, caller, opened, envelope, id } = self;
        Door { gate, caller, opened, envelope: envelope.into_owned(), id }
    }

    /// Lets the caller act on the bucket.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(in crate::s3) fn bucket<A: OfBucket>(&self) -> S3Result<Authorized<A>> {
        let wanted = Wanted { meta: A::META, key: None, version: None, initiator: None };
        self.tell_and_check(wanted, self.decide(wanted, None, &[]))?;
        Ok(self.proof())
    }

    /// Lets the caller act on an object of the bucket.
    ///
    /// # Errors
    /// `AccessDenied`; `NoSuchKey` or `NoSuchVersion` for readers who may list the bucket.
    pub(in crate::s3) async fn object<A: OfObject>(
        &self,
        key: &str,
        version: Option<&str>,
    ) -> S3Result<Authorized<A>> {
        let wanted = Wanted { meta: A::META, key: Some(key), version, initiator: None };
        self.check_object(wanted).await?;
        Ok(self.proof())
    }

    /// Lets the caller read an object of the bucket, and finds it: what the decision was about is what is read.
    ///
    /// # Errors
    /// `AccessDenied`; that there is no such object, or that it is a delete marker.
    pub(in crate::s3) async fn read<A: OfObject>(
        &self,
        key: &str,
        version: Option<&str>,
    ) -> S3Result<(Authorized<A>, Located)> {
        let wanted = Wanted { meta: A::META, key: Some(key), version, initiator: None };
        let look = match self.check_object(wanted).await? {
            Some(look) => look,
            None => self.look(wanted).await?,
        };
        Ok((self.proof(), look.map_err(error::catalog)?))
    }

    /// Lets the caller act on an upload under way. Who began it may look after it.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(in crate::s3) async fn upload<A: OfObject>(
        &self,
        key: &str,
        upload: &str,
    ) -> S3Result<Authorized<A>> {
        let initiator = self.initiator(key, upload).await?;
        let wanted = Wanted { key: Some(key), ..Wanted::of::<A>(initiator.as_ref()) };
        self.tell_and_check(wanted, self.decide(wanted, None, &[]))?;
        Ok(self.proof())
    }

    async fn initiator(&self, key: &str, upload: &str) -> S3Result<Option<AccountId>> {
        let row = &self.opened.row;
        let Ok(id) = upload.parse() else { return Ok(None) };
        match self.gate.catalog.upload(&(row.id, describe::key(key)?, id)).await {
            Ok(upload) => Ok(Some(upload.owner.unwrap_or_else(|| row.owner.clone()))),
            // Those who may act on uploads are told that there is none; the others are not.
            Err(CatalogError::NoSuchUpload) => Ok(None),
            Err(failed) => Err(error::catalog(failed)),
        }
    }

    /// Lets the caller write an object, with everything that the request's headers ask for along with it.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(in crate::s3) async fn write(&self, key: &str) -> S3Result<Authorized<PutObject>> {
        let allowed = self.object(key, None).await?;
        let asks = |name: &str| self.envelope.header(name).is_some();
        if asks("x-amz-tagging") {
            self.while_writing::<PutObjectTagging>(key)?;
        }
        if asks("x-amz-object-lock-mode") || asks("x-amz-object-lock-retain-until-date") {
            self.ask::<PutObjectRetention>(key)?;
        }
        if asks("x-amz-object-lock-legal-hold") {
            self.ask::<PutObjectLegalHold>(key)?;
        }
        if asks("x-amz-acl") || GRANTS.into_iter().any(asks) {
            self.not_denied::<PutObjectAcl>(key)?;
        }
        Ok(allowed)
    }

    /// Lets the caller do `A` to an object in the act of writing it: who may write by the bucket's list may do that too.
    fn while_writing<A: OfObject>(&self, key: &str) -> S3Result<()> {
        let meta = Meta { rule: PutObject::META.rule, ..A::META };
        let wanted = Wanted { meta, key: Some(key), version: None, initiator: None };
        self.tell_and_check(wanted, self.decide(wanted, None, &[]))
    }

    /// Lets the caller do `A` to an object that is about to be written. A lock binds the bucket's owner too: a grant to write is not enough.
    fn ask<A: OfObject>(&self, key: &str) -> S3Result<()> {
        let wanted = Wanted { meta: A::META, key: Some(key), version: None, initiator: None };
        self.tell_and_check(wanted, self.decide(wanted, None, &[]))
    }

    /// Whether no policy forbids the caller to do `A` to an object that is about to be theirs.
    fn not_denied<A: OfObject>(&self, key: &str) -> S3Result<()> {
        let wanted = Wanted { meta: A::META, key: Some(key), version: None, initiator: None };
        match self.decide(wanted, None, &[]) {
            reason @ (Reason::ExplicitDeny | Reason::KeyPolicy) => {
                self.tell_and_check(wanted, reason)
            }
            _ => Ok(()),
        }
    }

    /// Whether the caller may do `A` to an object beside what they do to it. Asked in passing: not told to the audit log.
    pub(in crate::s3) fn may<A: OfObject>(&self, key: &str, version: Option<&str>) -> bool {
        let wanted = Wanted { meta: A::META, key: Some(key), version, initiator: None };
        self.decide(wanted, None, &[]).allows()
    }

    fn proof<A>(&self) -> Authorized<A> {
        let from = Whence { address: self.envelope.address(), id: self.id };
        Authorized::new(self.caller.clone(), Arc::clone(&self.opened), from)
    }

    /// Decides about an object; what was found, if the decision had to look.
    async fn check_object(&self, wanted: Wanted<'_>) -> S3Result<Option<Look>> {
        let reads = matches!(wanted.meta.rule, Rule::Object(_));
        if !self.must_look(reads) {
            self.tell_and_check(wanted, self.decide(wanted, None, &[]))?;
            return Ok(None);
        }
        let look = self.look(wanted).await?;
        let seen = look.as_ref().ok().map(|located| self.seen(located));
        let reason = self.decide(wanted, seen, &[]);
        let missing = seen.is_none() && reads;
        if missing && !self.may_know(wanted) {
            let reason = if reason.allows() { Reason::Nothing } else { reason };
            self.tell_and_check(wanted, reason)?;
        } else if missing && !reason.allows() {
            return Err(S3Error::new(match wanted.version {
                Some(_) => S3ErrorCode::NoSuchVersion,
                None => S3ErrorCode::NoSuchKey,
            }));
        } else {
            self.tell_and_check(wanted, reason)?;
        }
        Ok(Some(look))
    }

    /// Whether the decision may depend on the object that is there.
    fn must_look(&self, reads: bool) -> bool {
        let asks = |policy: &Policy| policy.asks_for_object_tags();
        let key_policies = self.key_policies();
        let bucket_policy = self.opened.access.policy.as_ref();
        if key_policies.iter().any(asks) || bucket_policy.is_some_and(asks) {
            return true;
        }
        let own = self.caller.account() == Some(&self.opened.row.owner);
        let enforced = ownership(&self.opened.row) == Ownership::BucketOwnerEnforced;
        // An owner of everything, whom no policy binds, may do and know everything.
        reads && !(own && enforced && key_policies.is_empty() && bucket_policy.is_none())
    }

    async fn look(&self, wanted: Wanted<'_>) -> S3Result<Look> {
        let key: ObjectKey = describe::key(wanted.key.unwrap_or_default())?;
        let version = describe::version(wanted.version)?;
        match self.gate.catalog.locate_version(self.opened.row.id, &key, version).await {
            Err(
                missing @ (CatalogError::NoSuchKey
                | CatalogError::NoSuchVersion
                | CatalogError::DeleteMarker { .. }),
            ) => Ok(Err(missing)),
            Err(failed) => Err(error::catalog(failed)),
            Ok(located) => Ok(Ok(located)),
        }
    }

    fn seen<'a>(&'a self, located: &'a Located) -> Seen<'a> {
        Seen {
            owner: owner_of(&self.opened.row, located.entry.owner.as_ref()),
            acl: located.detail.acl.as_ref(),
            tags: &located.detail.tags,
        }
    }

    /// Whether the caller may know that an object is not there: whoever may list it
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html>).
    fn may_know(&self, wanted: Wanted<'_>) -> bool {
        let listing = Wanted { meta: ListBucket::META, key: None, version: None, initiator: None };
        let notes = [("s3:prefix", wanted.key.unwrap_or_default().to_owned())];
        self.decide(listing, None, &notes).allows()
    }

    fn key_policies(&self) -> &[Policy] {
        self.caller.signer().map_or(&[], |signer| signer.policies.as_slice())
    }

    fn decide(
        &self,
        wanted: Wanted<'_>,
        seen: Option<Seen<'_>>,
        notes: &[(&'static str, String)],
    ) -> Reason {
        let Opened { row, access, .. } = &*self.opened;
        let facts = Facts {
            envelope: &self.envelope,
            caller: &self.caller,
            now: self.gate.clock.now(),
            region: &self.gate.region,
            owner: Some(&row.owner),
            version: wanted.version,
            tags: seen.map(|seen| seen.tags),
            notes,
        };
        let resource = self.resource(wanted);
        let asked = Asked {
            who: self.caller.identity(),
            action: wanted.meta.name_for(wanted.version.is_some()),
            resource: &resource,
            context: &facts,
        };
        // A grant to write does not reach back: old versions are their bucket's owner's to delete.
        let rule = match (wanted.meta.of_version, wanted.version) {
            (Some("s3:DeleteObjectVersion"), Some(_)) => Rule::Bucket(None),
            _ => wanted.meta.rule,
        };
        let case = Case {
            rule,
            rescue: wanted.meta.rescue,
            caller: self.caller.account(),
            of_key: self.caller.signer().and_then(|signer| signer.says(&asked)),
            of_bucket: access
                .policy
                .as_ref()
                .map_or(Verdict::Silent, |policy| policy.evaluate(&asked)),
            owner: &row.owner,
            ownership: ownership(row),
            bucket_acl: &row.acl,
            object: seen.map(|seen| (seen.owner, seen.acl)),
            initiator: wanted.initiator,
            ignore_public_acls: access.block.ignore_acls,
            restricted: access.block.restrict_buckets && access.policy_is_public,
        };
        case.decide()
    }

    fn resource(&self, wanted: Wanted<'_>) -> String {
        match wanted.key {
            Some(key) => format!("arn:aws:s3:::{}/{key}", self.opened.name),
            None => format!("arn:aws:s3:::{}", self.opened.name),
        }
    }

    fn tell_and_check(&self, wanted: Wanted<'_>, reason: Reason) -> S3Result<()> {
        let event = Event {
            id: self.id,
            caller: &self.caller,
            envelope: &self.envelope,
            action: wanted.meta.name_for(wanted.version.is_some()),
            resource: &|| self.resource(wanted),
            effect: wanted.meta.effect,
            reason,
        };
        event.tell();
        if reason.allows() { Ok(()) } else { Err(S3Error::new(S3ErrorCode::AccessDenied)) }
    }
}
