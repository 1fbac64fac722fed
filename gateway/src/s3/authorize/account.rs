//! What an account may do with what is its own, and with what will be: only its keys' policies narrow that.

use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};

use super::Gate;
use super::actions::{
    Action, CreateBucket, Effect, OfAccount, PutBucketAcl, PutBucketObjectLockConfiguration,
    PutBucketOwnershipControls, PutBucketVersioning,
};
use super::audit::Event;
use super::caller::Caller;
use super::door::NOTHING;
use super::envelope::{Envelope, Facts};
use super::proof::{Authorized, Whence};
use super::rules::Reason;
use super::said::Said;
use crate::http::RequestId;
use crate::s3::policy::{Asked, Verdict};

/// One request about an account's own things.
struct Own<'r> {
    gate: &'r Gate,
    caller: Caller,
    envelope: Envelope<'r>,
    id: Option<RequestId>,
    /// The bucket that is to be there, or any.
    resource: String,
    said: &'r Said,
}

impl Gate {
    /// Lets an account act on what is its own.
    ///
    /// # Errors
    /// `AccessDenied`, and what is wrong with the key.
    pub(in crate::s3) async fn account<A: OfAccount, T>(
        &self,
        request: &S3Request<T>,
    ) -> S3Result<Authorized<A, ()>> {
        let own = self.own(request, "*", &NOTHING).await?;
        own.ask::<A>()?;
        Ok(Authorized::new(own.caller, (), Whence::default()))
    }

    /// Lets an account make a bucket, with everything that the request's headers ask for along with it
    /// (<https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html>).
    ///
    /// # Errors
    /// As of [`Self::account`].
    pub(in crate::s3) async fn create<T>(
        &self,
        request: &S3Request<T>,
        bucket: &str,
        said: &Said,
    ) -> S3Result<Authorized<CreateBucket, ()>> {
        let own = self.own(request, bucket, said).await?;
        own.ask::<CreateBucket>()?;
        if own.envelope.asks_for_a_list() {
            own.ask::<PutBucketAcl>()?;
        }
        if own.envelope.asks("x-amz-object-ownership") {
            own.ask::<PutBucketOwnershipControls>()?;
        }
        let lock = own.envelope.header("x-amz-bucket-object-lock-enabled");
        if lock.is_some_and(|lock| lock.eq_ignore_ascii_case("true")) {
            own.ask::<PutBucketObjectLockConfiguration>()?;
            own.ask::<PutBucketVersioning>()?;
        }
        Ok(Authorized::new(own.caller, (), Whence::default()))
    }

    async fn own<'r, T>(
        &'r self,
        request: &'r S3Request<T>,
        bucket: &str,
        said: &'r Said,
    ) -> S3Result<Own<'r>> {
        Ok(Own {
            gate: self,
            caller: self.caller(request).await?,
            envelope: Envelope::of(request),
            id: request.extensions.get::<RequestId>().copied(),
            resource: format!("arn:aws:s3:::{bucket}"),
            said,
        })
    }
}

impl Own<'_> {
    fn ask<A: Action>(&self) -> S3Result<()> {
        let reason = self.decide::<A>();
        let event = Event {
            id: self.id,
            caller: &self.caller,
            envelope: &self.envelope,
            action: A::META.name,
            resource: &|| self.resource.clone(),
            effect: A::META.effect,
            reason,
        };
        event.tell();
        if reason.allows() { Ok(()) } else { Err(S3Error::new(S3ErrorCode::AccessDenied)) }
    }

    fn decide<A: Action>(&self) -> Reason {
        let facts = Facts {
            envelope: &self.envelope,
            caller: &self.caller,
            now: self.gate.clock.now(),
            region: &self.gate.region,
            owner: self.caller.account(),
            version: None,
            tags: None,
            said: self.said,
        };
        let asked = Asked {
            who: self.caller.identity(),
            action: A::META.name,
            resource: &self.resource,
            context: &facts,
        };
        let says = self.caller.signer().and_then(|signer| signer.says(&asked));
        // Nobody in particular has no buckets, which they may list.
        let nobody = self.caller.account().is_none() && A::META.effect != Effect::Read;
        match says {
            Some(Verdict::Deny | Verdict::Silent) => Reason::KeyPolicy,
            _ if nobody => Reason::Nothing,
            Some(Verdict::Allow) | None => Reason::Owner,
        }
    }
}
