//! A bucket's door: one request, one caller, one bucket; as many things asked for as the request is about.

use std::sync::Arc;

use metadata::records::{Acl, Ownership};
use metadata::{CatalogError, Located};
use s3s::{S3Error, S3ErrorCode, S3Result};
use types::{AccountId, ObjectKey};

use super::actions::{Action, GetObject, ListBucket, Meta, OfBucket, OfObject, Rule};
use super::audit::Event;
use super::caller::Caller;
use super::envelope::{Envelope, Facts};
use super::proof::{Authorized, Opened, Whence};
use super::rules::{Case, Reason};
use super::said::Said;
use super::{Gate, owner_of, ownership};
use crate::http::RequestId;
use crate::s3::policy::{Asked, Policy, Verdict};
use crate::s3::{describe, error};

/// Nothing but headers and parameters says anything.
pub(super) static NOTHING: Said = Said::NOTHING;

/// An object's key, and the version of it that is named.
pub(in crate::s3) type Which<'a> = (&'a str, Option<&'a str>);

/// What stands between a caller and a bucket.
pub(in crate::s3) struct Door<'r> {
    gate: Gate,
    caller: Caller,
    opened: Arc<Opened>,
    pub(super) envelope: Envelope<'r>,
    id: Option<RequestId>,
}

/// A version, or why there is none.
pub(in crate::s3) type Look = Result<Located, CatalogError>;

/// An object, as far as it matters to who may do what with it.
#[derive(Clone, Copy)]
pub(super) struct Seen<'a> {
    owner: &'a AccountId,
    acl: Option<&'a Acl>,
    tags: &'a [(String, String)],
}

/// One thing that is asked for.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) meta: Meta,
    pub(super) key: Option<&'a str>,
    pub(super) version: Option<&'a str>,
    pub(super) initiator: Option<&'a AccountId>,
    pub(super) said: &'a Said,
}

impl<'a> Wanted<'a> {
    /// On the bucket.
    fn of<A: Action>() -> Self {
        Self { meta: A::META, key: None, version: None, initiator: None, said: &NOTHING }
    }

    /// On an object of it.
    pub(super) fn on<A: Action>((key, version): Which<'a>) -> Self {
        Self { key: Some(key), version, ..Self::of::<A>() }
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
        self.bucket_as(&NOTHING)
    }

    /// As [`Self::bucket`], of a request whose body says that.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(in crate::s3) fn bucket_as<A: OfBucket>(&self, said: &Said) -> S3Result<Authorized<A>> {
        let wanted = Wanted { said, ..Wanted::of::<A>() };
        self.tell_and_check(wanted, self.decide(wanted, None))?;
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
        self.check_object(Wanted::on::<A>((key, version))).await?;
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
        let (allowed, look) = self.find((key, version)).await?;
        Ok((allowed, look.map_err(error::catalog)?))
    }

    /// Lets the caller act on an object of the bucket, and finds it, or why it is not there.
    ///
    /// # Errors
    /// As of [`Self::object`].
    pub(in crate::s3) async fn find<A: OfObject>(
        &self,
        which: Which<'_>,
    ) -> S3Result<(Authorized<A>, Look)> {
        self.find_as(which, &NOTHING).await
    }

    /// As [`Self::find`], of a request whose body says that.
    ///
    /// # Errors
    /// As of [`Self::object`]; that the operator took down what is to be read.
    pub(in crate::s3) async fn find_as<A: OfObject>(
        &self,
        which: Which<'_>,
        said: &Said,
    ) -> S3Result<(Authorized<A>, Look)> {
        let wanted = Wanted { said, ..Wanted::on::<A>(which) };
        let look = match self.check_object(wanted).await? {
            Some(look) => look,
            None => self.look(wanted).await?,
        };
        // Whoever may read it is told that nobody does any more; who may not learns nothing. What is not reading, such as a legal hold on
        // evidence, goes on.
        if wanted.meta.name == GetObject::META.name
            && let Ok(located) = &look
        {
            located.check_not_taken_down().await.map_err(error::catalog)?;
        }
        Ok((self.proof(), look))
    }

    /// Lets the caller do `A`, too, to an object that was found.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(in crate::s3) fn also<A: OfObject>(
        &self,
        which: Which<'_>,
        found: &Located,
    ) -> S3Result<Authorized<A>> {
        let wanted = Wanted::on::<A>(which);
        self.tell_and_check(wanted, self.decide(wanted, Some(self.seen(found))))?;
        Ok(self.proof())
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
        let wanted = Wanted { initiator: initiator.as_ref(), ..Wanted::on::<A>((key, None)) };
        self.tell_and_check(wanted, self.decide(wanted, None))?;
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

    /// Whether the caller may do `A` to an object beside what they do to it. Asked in passing: not told to the audit log.
    ///
    /// # Errors
    /// If the object must be looked at and cannot be.
    pub(in crate::s3) async fn may<A: OfObject>(&self, which: Which<'_>) -> S3Result<bool> {
        let wanted = Wanted::on::<A>(which);
        let look = if self.must_look(false) { Some(self.look(wanted).await?) } else { None };
        let seen = look.as_ref().and_then(|look| look.as_ref().ok());
        Ok(self.decide(wanted, seen.map(|located| self.seen(located))).allows())
    }

    /// The same of an object that was found.
    pub(in crate::s3) fn may_also<A: OfObject>(&self, which: Which<'_>, found: &Located) -> bool {
        self.decide(Wanted::on::<A>(which), Some(self.seen(found))).allows()
    }

    pub(super) fn proof<A>(&self) -> Authorized<A> {
        let from = Whence { address: self.envelope.address(), id: self.id };
        Authorized::new(self.caller.clone(), Arc::clone(&self.opened), from)
    }

    /// Decides about an object; what was found, if the decision had to look.
    pub(super) async fn check_object(&self, wanted: Wanted<'_>) -> S3Result<Option<Look>> {
        let reads = matches!(wanted.meta.rule, Rule::Object(_));
        if !self.must_look(reads) {
            self.tell_and_check(wanted, self.decide(wanted, None))?;
            return Ok(None);
        }
        let look = self.look(wanted).await?;
        let seen = look.as_ref().ok().map(|located| self.seen(located));
        let reason = self.decide(wanted, seen);
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
        let said = Said::prefix(wanted.key.unwrap_or_default());
        let listing = Wanted { said: &said, ..Wanted::of::<ListBucket>() };
        self.decide(listing, None).allows()
    }

    fn key_policies(&self) -> &[Policy] {
        self.caller.signer().map_or(&[], |signer| signer.policies.as_slice())
    }

    pub(super) fn decide(&self, wanted: Wanted<'_>, seen: Option<Seen<'_>>) -> Reason {
        let Opened { row, access, .. } = &*self.opened;
        let facts = Facts {
            envelope: &self.envelope,
            caller: &self.caller,
            now: self.gate.clock.now(),
            region: &self.gate.region,
            owner: Some(&row.owner),
            version: wanted.version,
            tags: seen.map(|seen| seen.tags),
            said: wanted.said,
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

    pub(super) fn tell_and_check(&self, wanted: Wanted<'_>, reason: Reason) -> S3Result<()> {
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
