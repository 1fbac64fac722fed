//! PutObject.

use metadata::records::{Checksum, Detail, ReplicationStatus};
use metadata::{Catalog, Sequel};
use s3s::dto::{PutObjectInput, PutObjectOutput};
use s3s::stream::ByteStream as _;
use s3s::{S3Error, S3ErrorCode, S3Request, S3Result};
use types::Timestamp;

use super::append_object;
use super::extract::{self, Unpack};
use crate::changes::Changes;
use crate::configs::Configs;
use crate::put::{Incoming, PUT_MAX, Target, Writer};
use crate::rules::notification::Event;
use crate::s3::authorize::{Authorized, Gate, PutObject, ReplicateObject};
use crate::s3::body::Fault;
use crate::s3::checksum::{self, Claims};
use crate::s3::encryption::{self, Wish};
use crate::s3::form::Slack;
use crate::s3::{
    S3Settings, acl, body, conditions, describe, error, expiration, follow, protection, replica,
    tags,
};

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    configs: &Configs,
    changes: &Changes,
    writer: &Writer,
    settings: &S3Settings,
    request: S3Request<PutObjectInput>,
) -> S3Result<PutObjectOutput> {
    let input = &request.input;
    let expected = input.expected_bucket_owner.as_deref();
    let door = gate.open(&request, &input.bucket, expected).await?;
    let allowed = door.write(&input.key).await?;
    let unpack = Unpack::asked(input, &request.headers)?;
    let replica = replica::asked(&request.uri, gate.now())?;
    if replica.is_some() {
        let _: Authorized<ReplicateObject> = door.object(&input.key, None).await?;
    }
    let door = match &unpack {
        Some(_) => Some(door.into_owned()),
        None => {
            drop(door);
            None
        }
    };
    let slack = request.extensions.get::<Slack>().map(|slack| slack.0);
    // Only forms leave slack.
    let event = if slack.is_some() { Event::CreatedPost } else { Event::CreatedPut };
    let slack = slack.unwrap_or_default();
    let S3Request { mut input, headers, trailing_headers, .. } = request;
    let claims = Claims::read(&headers, checksum::given!(input), trailing_headers.as_ref())?;
    let len = length(input.content_length, input.body.as_ref())?;
    let mut append = match input.write_offset_bytes {
        Some(offset) => Some(append_object::ask(catalog, &allowed, &input, offset).await?),
        None => None,
    };
    if let Some(object) = append.as_mut().and_then(append_object::Asked::take_object)
        && let Some(asked) = append
    {
        let (incoming, fault) = incoming(&mut input, len, slack, &claims);
        let (to, bytes) = ((asked, object), (incoming, fault));
        let following = follow::changes(changes, &allowed).await?;
        let sequel = following.grown(&describe::key(&input.key)?);
        return append_object::run(writer, &allowed, input, claims, to, sequel, bytes).await;
    }
    let asked = encryption::asked!(input);
    let wish = asked.wish(catalog, &writer.keys, allowed.id()).await?;
    let mut target = target(&allowed, settings, writer.clock.now(), wish, &mut input)?;
    (target.owner, target.detail.acl) =
        acl::of_new_object(catalog, &allowed, acl::Wish::of(&headers)).await?;
    let following = follow::changes(changes, &allowed).await?;
    if let Some((unpack, door)) = unpack.zip(door) {
        let body = incoming(&mut input, len, slack, &claims);
        // Boxed: it holds a PUT of its own.
        return Box::pin(extract::run(writer, &door, &unpack, &following, target, body)).await;
    }
    if let Some(append) = append {
        target.preconditions = append.preconditions;
    } else if target.preconditions != metadata::Preconditions::default() {
        // The commit decides; this only spares the client the upload.
        let present = super::found::present(catalog, allowed.id(), &target.key).await?;
        target.preconditions.check(present.as_ref()).map_err(error::catalog)?;
    }
    if replica.is_some() {
        target.replica = replica;
        target.detail.replication = Some(ReplicationStatus::Replica);
        target.sequel = following.replicated(&target.key);
    } else {
        target.sequel = following.created(&target.key, event, &mut target.detail);
    }
    let (encryption, tags) = (target.detail.encryption.clone(), target.detail.tags.clone());

    let appends = target.preconditions.offset.is_some();
    let (incoming, fault) = incoming(&mut input, len, slack, &claims);
    let entry = writer.put_object(target, incoming).await.map_err(|failed| fault.blame(failed))?;

    let mut output = PutObjectOutput {
        e_tag: Some(describe::etag(&entry.etag)),
        checksum_type: claims.held().map(|checksum: Checksum| checksum::type_of(checksum.kind)),
        expiration: expiration::of_written(configs, allowed.id(), &input.key, &entry, &tags).await,
        size: appends.then(|| describe::signed(entry.size)),
        version_id: describe::version_written(entry.version),
        ssekms_encryption_context: encryption::context(&encryption),
        ..PutObjectOutput::default()
    };
    encryption::show!(output, &encryption);
    checksum::show!(output, claims.held().iter());
    Ok(output)
}

fn incoming(
    input: &mut PutObjectInput,
    len: u64,
    slack: u64,
    claims: &Claims,
) -> (Incoming, Fault) {
    let (stream, fault) = body::receive(input.body.take());
    let incoming = Incoming {
        len,
        slack,
        body: stream,
        content_md5: claims.content_md5,
        checksums: claims.of_object(),
        trailer: claims.trailer(),
    };
    (incoming, fault)
}

/// How many bytes will come: what the framing says, which a signature covers, or else the header.
///
/// # Errors
/// `EntityTooLarge` above 5 GiB; `MissingContentLength` if nobody knows.
pub(super) fn length(header: Option<i64>, body: Option<&s3s::dto::StreamingBlob>) -> S3Result<u64> {
    let exact = body.map_or(Some(0), |body| body.remaining_length().exact().map(|len| len as u64));
    let len = exact.or_else(|| header.and_then(|len| u64::try_from(len).ok()));
    match len {
        Some(len) if len > PUT_MAX => Err(S3Error::new(S3ErrorCode::EntityTooLarge)),
        Some(len) => Ok(len),
        None => Err(S3Error::new(S3ErrorCode::MissingContentLength)),
    }
}

fn target(
    allowed: &Authorized<PutObject>,
    settings: &S3Settings,
    now: Timestamp,
    wish: Wish,
    input: &mut PutObjectInput,
) -> S3Result<Target> {
    let (class, geometry) =
        describe::class(settings, allowed.bucket(), input.storage_class.as_ref())?;
    Ok(Target {
        bucket: allowed.at(),
        key: describe::key(&input.key)?,
        geometry,
        class,
        owner: allowed.writer(),
        detail: Detail {
            headers: describe::keep(describe::content_headers!(input)),
            user: describe::user_metadata(input.metadata.take())?,
            encryption: wish.encryption,
            tags: input.tagging.as_deref().map_or(Ok(Vec::new()), tags::read_header)?,
            lock: protection::asked!(input).read(now)?,
            ..Detail::default()
        },
        customer: wish.customer,
        preconditions: conditions::of_write(input.if_match.as_ref(), input.if_none_match.as_ref()),
        replica: None,
        sequel: Sequel::default(),
    })
}
