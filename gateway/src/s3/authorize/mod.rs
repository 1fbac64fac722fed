//! Who may do what: the one place that decides, and the proof that it did.
//!
//! ```text
//! request ─▶ caller ─▶ bucket, its access configuration ─▶ Door ─▶ facts ─▶ policies ─▶ rules ─▶ Authorized<Action>
//!            (auth)     (access: policy, public block)              (envelope)  (pure)     (pure)    (proof)
//! ```
//!
//! An operation's work takes an [`Authorized`] of its action, and only [`Gate`] and [`Door`] can make one. Every decision is told to the audit log.

mod access;
mod account;
mod actions;
mod audit;
mod caller;
mod consent;
mod door;
mod envelope;
mod probe;
mod proof;
mod rules;
mod said;
mod service;
mod writing;

use std::sync::Arc;

use metadata::records::Ownership;
use metadata::{Bucket, Catalog, Located};
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};
use types::clock::SharedClock;
use types::{AccountId, BucketId, BucketName};

pub(super) use access::{PublicAccessBlock, REQUESTER};
pub(super) use actions::*;
pub(crate) use caller::is_reserved;
pub(super) use caller::{Caller, Signed, Vouched};
pub use consent::{Consent, Replicating};
pub(super) use door::{Door, Which};
pub use probe::Probe;
pub(super) use proof::Authorized;
use proof::Opened;
pub(super) use said::Said;
pub use service::Targets;
pub(crate) use service::{Actor, Deed, Leave};

use self::access::Accesses;
use self::envelope::Envelope;
use super::auth::{AccessKeys, Signer};
use super::error;
use super::logged::{Noted, Trail};
use super::metered::Bill;
use crate::http::RequestId;
use crate::metering::Payer;
use crate::standing::Standings;

/// The header and parameter in which a temporary key's token comes.
pub(super) const TOKEN: &str = "x-amz-security-token";
/// The header and parameter by which a requester agrees to pay.
const PAYER: &str = "x-amz-request-payer";

/// Decides, and knows what it takes to decide. Cheap to clone.
#[derive(Clone)]
pub(super) struct Gate {
    catalog: Catalog,
    keys: Arc<AccessKeys>,
    accesses: Arc<Accesses>,
    standings: Arc<Standings>,
    clock: SharedClock,
    region: Arc<str>,
}

impl Gate {
    pub(super) fn new(
        catalog: Catalog,
        keys: Arc<AccessKeys>,
        targets: &Targets,
        standings: Arc<Standings>,
        clock: SharedClock,
        region: &str,
    ) -> Self {
        let accesses = targets.accesses();
        Self { catalog, keys, accesses, standings, clock, region: region.into() }
    }

    /// Lets a caller act on a bucket, which must belong to `expected` if the client says so.
    ///
    /// # Errors
    /// `NoSuchBucket`, `AccessDenied`, and what is wrong with the key.
    pub(super) async fn bucket<A: OfBucket, T>(
        &self,
        request: &S3Request<T>,
        name: &str,
        expected: Option<&str>,
    ) -> S3Result<Authorized<A>> {
        self.open(request, name, expected).await?.bucket()
    }

    /// Lets a caller act on an object, in the version that is named. A reader who may not know whether the object is there learns nothing
    /// of it.
    ///
    /// # Errors
    /// As for a bucket; `NoSuchKey` or `NoSuchVersion` for readers who may list.
    pub(super) async fn object<A: OfObject, T>(
        &self,
        request: &S3Request<T>,
        (bucket, key): (&str, &str),
        version: Option<&str>,
        expected: Option<&str>,
    ) -> S3Result<Authorized<A>> {
        self.open(request, bucket, expected).await?.object(key, version).await
    }

    /// Lets a caller read an object, in the version that is named, and finds it.
    ///
    /// # Errors
    /// As for a bucket; that there is no such object, or that it is a delete marker.
    pub(super) async fn read<A: OfObject, T>(
        &self,
        request: &S3Request<T>,
        (bucket, key): (&str, &str),
        version: Option<&str>,
        expected: Option<&str>,
    ) -> S3Result<(Authorized<A>, Located)> {
        self.open(request, bucket, expected).await?.read(key, version).await
    }

    /// Opens a bucket's door, through which several things can be asked for.
    ///
    /// # Errors
    /// `NoSuchBucket`, `AccessDenied`, and what is wrong with the key.
    pub(super) async fn open<'r, T>(
        &self,
        request: &'r S3Request<T>,
        name: &str,
        expected: Option<&str>,
    ) -> S3Result<Door<'r>> {
        let caller = self.caller(request).await?;
        let name: BucketName = name.parse().map_err(error::name)?;
        let row = self.catalog.bucket(&name).await.map_err(error::catalog)?;
        if let Some(trail) = request.extensions.get::<Trail>() {
            trail.note(noted(&caller, &name, &row));
        }
        if expected.is_some_and(|owner| owner != row.owner.as_str()) {
            return Err(S3Error::new(S3ErrorCode::AccessDenied));
        }
        let access = self.accesses.of(&name, row.id).await.map_err(error::catalog)?;
        let envelope = Envelope::of(request);
        let foreign = caller.account() != Some(&row.owner);
        if access.requester_pays && foreign && !agrees_to_pay(&caller, &envelope) {
            return Err(S3Error::new(S3ErrorCode::AccessDenied));
        }
        if let Some(bill) = request.extensions.get::<Bill>() {
            let payer = payer(&caller, &row, access.requester_pays);
            bill.charge(payer, foreign, &self.standings).await?;
        }
        let id = request.extensions.get::<RequestId>().copied();
        Ok(Door::new(self.clone(), caller, Opened { name, row, access }, envelope, id))
    }

    /// What is said of access to a bucket is looked up anew at the next request: it was changed.
    pub(super) fn forget_bucket(&self, id: BucketId) {
        self.accesses.forget(id);
    }

    /// What buckets let this system do by itself.
    pub(super) fn targets(&self) -> Targets {
        Targets::over(Arc::clone(&self.accesses))
    }

    /// Where payers stand.
    pub(super) fn standings(&self) -> &Standings {
        &self.standings
    }

    /// The time.
    pub(super) fn now(&self) -> types::Timestamp {
        self.clock.now()
    }

    /// Who asks.
    ///
    /// # Errors
    /// What is wrong with the key.
    pub(super) async fn caller<T>(&self, request: &S3Request<T>) -> S3Result<Caller> {
        self.caller_of(request, "s3").await
    }

    /// Who asks the service of that name.
    ///
    /// # Errors
    /// What is wrong with the key.
    pub(super) async fn caller_of<T>(
        &self,
        request: &S3Request<T>,
        service: &'static str,
    ) -> S3Result<Caller> {
        let envelope = Envelope::of(request);
        let token =
            || envelope.header(TOKEN).or_else(|| envelope.parameter("X-Amz-Security-Token"));
        if let Some(credentials) = &request.credentials {
            // A signature for another service here is none for this one.
            if request.service.as_deref().is_some_and(|signed| signed != service) {
                return Err(S3Error::new(S3ErrorCode::SignatureDoesNotMatch));
            }
            let signer = self.keys.signer(&credentials.access_key, token().as_deref()).await?;
            return Ok(Caller::Signed(signer));
        }
        match request.extensions.get::<Vouched>() {
            Some(Vouched { key, token, .. }) => {
                Ok(Caller::Signed(self.keys.signer(key, token.as_deref()).await?))
            }
            None => Ok(Caller::Anonymous),
        }
    }
}

/// What the log of a bucket is told of a request.
fn noted(caller: &Caller, name: &BucketName, row: &Bucket) -> Noted {
    let arn = caller.signer().and_then(|signer| signer.arn.clone());
    let requester = arn.or_else(|| caller.account().map(AccountId::to_string));
    Noted { bucket: name.clone(), id: row.id, owner: row.owner.clone(), requester }
}

/// Who pays for a request: the bucket's owner, or who asks where the bucket says so. Keys are told apart on their own account's bill; not
/// temporary ones, which come and go by the thousand.
fn payer(caller: &Caller, row: &Bucket, requester_pays: bool) -> Payer {
    let requester = caller.account().filter(|_| requester_pays);
    let account = requester.unwrap_or(&row.owner).clone();
    let own = |signer: &&Signer| signer.account == account && !signer.temporary;
    let key = caller.signer().filter(own).map(|signer| signer.id.clone());
    Payer { account, bucket: row.id, key }
}

fn agrees_to_pay(caller: &Caller, envelope: &Envelope<'_>) -> bool {
    let payer = envelope.header(PAYER).or_else(|| envelope.parameter(PAYER));
    caller.account().is_some() && payer.is_some_and(|payer| payer == "requester")
}

/// Who owns what others write. A bucket that says nothing of it leaves it to the writer, as AWS's did before 2023.
pub(super) fn ownership(bucket: &Bucket) -> Ownership {
    bucket.ownership.unwrap_or(Ownership::ObjectWriter)
}

/// The owner of an object in a bucket: where lists are off, everything is the bucket's owner's.
pub(super) fn owner_of<'a>(bucket: &'a Bucket, writer: Option<&'a AccountId>) -> &'a AccountId {
    match ownership(bucket) {
        Ownership::BucketOwnerEnforced => &bucket.owner,
        Ownership::BucketOwnerPreferred | Ownership::ObjectWriter => {
            writer.unwrap_or(&bucket.owner)
        }
    }
}
