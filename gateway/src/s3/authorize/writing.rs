//! What a write asks for beside itself: the tags, locks and lists that come with it.
//!
//! <https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html>

use s3s::S3Result;

use super::actions::{
    Action as _, OfObject, PutObject, PutObjectAcl, PutObjectLegalHold, PutObjectRetention,
    PutObjectTagging,
};
use super::door::{Door, NOTHING, Wanted};
use super::envelope::Envelope;
use super::proof::Authorized;
use super::rules::Reason;
use super::said::Said;

/// Headers that ask for a list.
const LISTS: [&str; 6] = [
    "x-amz-acl",
    "x-amz-grant-read",
    "x-amz-grant-write",
    "x-amz-grant-read-acp",
    "x-amz-grant-write-acp",
    "x-amz-grant-full-control",
];

impl Envelope<'_> {
    /// Whether a header is there.
    pub(super) fn asks(&self, name: &str) -> bool {
        self.header(name).is_some()
    }

    /// Whether an access control list is asked for.
    pub(super) fn asks_for_a_list(&self) -> bool {
        LISTS.into_iter().any(|name| self.asks(name))
    }
}

impl Door<'_> {
    /// Lets the caller write an object, with everything that the request's headers ask for along with it.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(in crate::s3) async fn write(&self, key: &str) -> S3Result<Authorized<PutObject>> {
        self.write_as(key, &NOTHING).await
    }

    /// As [`Self::write`], of an object that gets what is said, whatever the headers say of it.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(in crate::s3) async fn write_as(
        &self,
        key: &str,
        said: &Said,
    ) -> S3Result<Authorized<PutObject>> {
        self.check_object(Wanted { said, ..Wanted::on::<PutObject>((key, None)) }).await?;
        let asks = |name: &str| self.envelope.asks(name);
        let tags = if said.tells_tags() { said.has_tags() } else { asks("x-amz-tagging") };
        if tags {
            self.while_writing::<PutObjectTagging>(key, said)?;
        }
        if asks("x-amz-object-lock-mode") || asks("x-amz-object-lock-retain-until-date") {
            self.below::<PutObjectRetention>(key)?;
        }
        if asks("x-amz-object-lock-legal-hold") {
            self.below::<PutObjectLegalHold>(key)?;
        }
        if self.envelope.asks_for_a_list() {
            self.not_denied::<PutObjectAcl>(key)?;
        }
        Ok(self.proof())
    }

    /// Lets the caller do `A` to objects that are not there yet and whose keys begin so, or to the one that is about to be written. A lock
    /// binds the bucket's owner too: a grant to write is not enough.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(in crate::s3) fn below<A: OfObject>(&self, key: &str) -> S3Result<()> {
        let wanted = Wanted::on::<A>((key, None));
        self.tell_and_check(wanted, self.decide(wanted, None))
    }

    /// Lets the caller do `A` to an object in the act of writing it: who may write by the bucket's list may do that too.
    fn while_writing<A: OfObject>(&self, key: &str, said: &Said) -> S3Result<()> {
        let meta = super::actions::Meta { rule: PutObject::META.rule, ..A::META };
        let wanted = Wanted { meta, said, ..Wanted::on::<A>((key, None)) };
        self.tell_and_check(wanted, self.decide(wanted, None))
    }

    /// Whether no policy forbids the caller to do `A` to an object that is about to be theirs.
    fn not_denied<A: OfObject>(&self, key: &str) -> S3Result<()> {
        let wanted = Wanted::on::<A>((key, None));
        match self.decide(wanted, None) {
            reason @ (Reason::ExplicitDeny | Reason::KeyPolicy) => {
                self.tell_and_check(wanted, reason)
            }
            _ => Ok(()),
        }
    }
}
