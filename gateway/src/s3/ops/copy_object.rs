//! CopyObject. Where source and target are coded alike, the bytes are shared and only keys are wrapped anew; else they are read and stored.

use metadata::records::{ChecksumAlgorithm, ChecksumKind, Detail, Lock};
use metadata::{Catalog, CatalogError, Entry, Located};
use s3s::dto::{
    CopyObjectInput, CopyObjectOutput, CopyObjectResult, MetadataDirective, TaggingDirective,
};
use s3s::{S3ErrorCode, S3Request, S3Result};
use types::Timestamp;

use super::source::{self, Source};
use crate::changes::{Changes, Following};
use crate::get::Reader;
use crate::put::{Incoming, PutError, Target, Writer};
use crate::rules::notification::Event;
use crate::s3::authorize::{Authorized, Door, Gate, PutObject, Said};
use crate::s3::{
    S3Settings, acl, archive, checksum, conditions, describe, encryption, error, follow,
    protection, tags,
};

/// How often a source that is being collected at this moment is looked up anew.
const ATTEMPTS: usize = 3;

pub(in crate::s3) async fn run(
    gate: &Gate,
    catalog: &Catalog,
    changes: &Changes,
    writer: &Writer,
    reader: &Reader,
    settings: &S3Settings,
    mut request: S3Request<CopyObjectInput>,
) -> S3Result<CopyObjectOutput> {
    let input = &request.input;
    let (expected, to) = (input.expected_bucket_owner.as_deref(), input.key.clone());
    let target = gate.open(&request, &input.bucket, expected).await?.into_owned();
    let tags = new_tags(input)?;
    let fields = source::fields!(request.input);
    let (source, from) = Source::open(gate, &request, fields).await?;
    let allowed = may_write(&target, &to, &source, &from, tags.as_deref()).await?;
    let asked = encryption::asked!(request.input);
    let encrypted = asked.wish(catalog, &writer.keys, allowed.id()).await?;
    let now = writer.clock.now();
    let mut wish = Wish::read(&allowed, settings, now, (encrypted, tags), request.input)?;
    // A copy is its writer's, with a list of its own.
    (wish.owner, wish.acl) =
        acl::of_new_object(catalog, &allowed, acl::Wish::of(&request.headers)).await?;
    wish.following = follow::changes(changes, &allowed).await?;

    // Boxed: it holds a whole PUT, and is far larger than the rest.
    let ends = (&target, &allowed, &source, from);
    let copied = Box::pin(copy(writer, reader, settings, ends, &wish));
    let (entry, from) = copied.await?;
    respond(catalog, &allowed, &wish, &entry, (&source, &from)).await
}

/// Lets the caller write the copy with the tags that it gets. Those that it takes over from its source must be theirs to read, too.
async fn may_write(
    target: &Door<'_>,
    key: &str,
    source: &Source,
    from: &Located,
    new_tags: Option<&[tags::Pair]>,
) -> S3Result<Authorized<PutObject>> {
    if new_tags.is_none() {
        source.ask_tags(from)?;
    }
    let tags = new_tags.unwrap_or(&from.detail.tags);
    target.write_as(key, &Said::object_tags(tags.to_vec())).await
}

/// The copy as the client wants it.
struct Wish {
    /// The target but for what it may take over from the source.
    key: types::ObjectKey,
    class: (Option<String>, types::GeometryName),
    encrypted: encryption::Wish,
    preconditions: metadata::Preconditions,
    /// New headers and metadata; `None` takes the source's over.
    replace: Option<Detail>,
    redirect: Option<String>,
    /// New tags; `None` takes the source's over.
    tags: Option<Vec<tags::Pair>>,
    /// Never taken over.
    lock: Lock,
    checksum: Option<ChecksumAlgorithm>,
    owner: Option<types::AccountId>,
    acl: Option<metadata::records::Acl>,
    following: Following,
}

impl Wish {
    fn read(
        allowed: &Authorized<PutObject>,
        settings: &S3Settings,
        now: Timestamp,
        (encrypted, tags): (encryption::Wish, Option<Vec<tags::Pair>>),
        mut input: CopyObjectInput,
    ) -> S3Result<Self> {
        let replace = match input.metadata_directive.as_ref().map(MetadataDirective::as_str) {
            None | Some(MetadataDirective::COPY) => false,
            Some(MetadataDirective::REPLACE) => true,
            Some(_) => {
                return Err(error::refuse(
                    S3ErrorCode::InvalidArgument,
                    "Unknown metadata directive.",
                ));
            }
        };
        let redirect = input.website_redirect_location.clone();
        let replace = if replace {
            let headers = describe::keep(describe::content_headers!(input));
            Some(Detail {
                headers,
                user: describe::user_metadata(input.metadata.take())?,
                ..Detail::default()
            })
        } else {
            None
        };
        Ok(Self {
            key: describe::key(&input.key)?,
            class: describe::class(settings, allowed.bucket(), input.storage_class.as_ref())?,
            encrypted,
            preconditions: conditions::of_write(
                input.if_match.as_ref(),
                input.if_none_match.as_ref(),
            ),
            replace,
            redirect,
            tags,
            lock: protection::asked!(input).read(now)?,
            checksum: input
                .checksum_algorithm
                .map(|name| checksum::parse_name(name.as_str()))
                .transpose()?,
            owner: None,
            acl: None,
            following: Following::default(),
        })
    }

    /// Copying an object onto itself must change something.
    fn changes(&self, from: &Located) -> bool {
        self.replace.is_some()
            || self.tags.is_some()
            || self.redirect.is_some()
            || self.checksum.is_some()
            || self.class.0 != from.entry.class
            || self.encrypted.customer.is_some()
            || self.encrypted.encryption != from.detail.encryption
    }

    fn target(&self, allowed: &Authorized<PutObject>, from: &Located) -> Target {
        let source = &from.detail;
        let mut detail = self.replace.clone().unwrap_or_else(|| Detail {
            headers: source.headers.clone(),
            user: source.user.clone(),
            ..Detail::default()
        });
        detail.checksums.clone_from(&source.checksums);
        detail.tags.clone_from(self.tags.as_ref().unwrap_or(&source.tags));
        detail.lock = self.lock;
        detail.encryption = self.encrypted.encryption.clone();
        detail.acl.clone_from(&self.acl);
        // A redirect is never taken over.
        detail.headers.website_redirect.clone_from(&self.redirect);
        let sequel = self.following.created(&self.key, Event::CreatedCopy, &mut detail);
        Target {
            bucket: allowed.at(),
            key: self.key.clone(),
            geometry: self.class.1,
            class: self.class.0.clone(),
            owner: self.owner.clone(),
            detail,
            customer: self.encrypted.customer.clone(),
            preconditions: self.preconditions.clone(),
            replica: None,
            sequel,
        }
    }

    /// Whether the checksum asked for has to be computed from the bytes.
    fn needs_bytes(&self, from: &Located) -> bool {
        self.checksum.is_some_and(|wanted| {
            !from
                .detail
                .checksums
                .iter()
                .any(|has| has.algorithm == wanted && has.kind == ChecksumKind::FullObject)
        })
    }
}

/// The tags a copy gets instead of the source's.
fn new_tags(input: &CopyObjectInput) -> S3Result<Option<Vec<tags::Pair>>> {
    let invalid = |message| Err(error::refuse(S3ErrorCode::InvalidArgument, message));
    match input.tagging_directive.as_ref().map(TaggingDirective::as_str) {
        None | Some(TaggingDirective::COPY) => Ok(None),
        Some(TaggingDirective::REPLACE) => {
            tags::read_header(input.tagging.as_deref().unwrap_or_default()).map(Some)
        }
        Some(_) => invalid("Unknown tagging directive."),
    }
}

async fn copy(
    writer: &Writer,
    reader: &Reader,
    settings: &S3Settings,
    (target, allowed, source, mut from): (&Door<'_>, &Authorized<PutObject>, &Source, Located),
    wish: &Wish,
) -> S3Result<(Entry, Located)> {
    let mut attempt = 1;
    loop {
        source.check(&from)?;
        source::check_size(from.entry.size)?;
        archive::check_readable(settings, &from.entry, &from.detail, writer.clock.now())?;
        if source.is(allowed, &wish.key) && !wish.changes(&from) {
            return Err(error::refuse(
                S3ErrorCode::InvalidRequest,
                "This copy request is illegal because it is trying to copy an object to itself without changing the object's \
                 metadata, storage class, website redirect location or encryption attributes.",
            ));
        }
        let copy = wish.target(allowed, &from);
        if from.entry.geometry != copy.geometry || wish.needs_bytes(&from) {
            let entry = restore(reader, writer, source, &from, copy, wish).await?;
            return Ok((entry, from));
        }
        match writer.share_object(&from, source.customer(), copy).await {
            Ok(entry) => return Ok((entry, from)),
            // Deleted between our look and our commit: look again, and find the newer version or none.
            Err(PutError::Catalog(CatalogError::StreamDying(_))) if attempt < ATTEMPTS => {
                attempt += 1;
                from = source.again().await?;
                let key = wish.key.as_str();
                may_write(target, key, source, &from, wish.tags.as_deref()).await?;
            }
            Err(failed) => return Err(error::put(failed)),
        }
    }
}

/// Reads the source and stores it anew.
async fn restore(
    reader: &Reader,
    writer: &Writer,
    source: &Source,
    from: &Located,
    mut target: Target,
    wish: &Wish,
) -> S3Result<Entry> {
    let kept = from.detail.checksums.iter().find(|has| has.kind == ChecksumKind::FullObject);
    let algorithm = wish.checksum.or(kept.map(|has| has.algorithm)).unwrap_or(checksum::DEFAULT);
    // What the source has of this algorithm must come out again: a check of the whole path for nothing.
    let known = kept.filter(|has| has.algorithm == algorithm).map(|has| has.value.clone());
    target.detail.checksums = Vec::new();
    let (stream, fault) = source::bytes(reader, source, from, 0..from.entry.size).await?;
    let incoming = Incoming {
        len: from.entry.size,
        slack: 0,
        body: stream,
        content_md5: None,
        checksums: vec![(algorithm, known)],
        trailer: None,
    };
    writer.put_object(target, incoming).await.map_err(|failed| fault.blame(failed))
}

async fn respond(
    catalog: &Catalog,
    allowed: &Authorized<PutObject>,
    wish: &Wish,
    entry: &Entry,
    (source, from): (&Source, &Located),
) -> S3Result<CopyObjectOutput> {
    let mut result = CopyObjectResult {
        e_tag: Some(describe::etag(&entry.etag)),
        last_modified: Some(describe::stamp(entry.modified)),
        checksum_type: entry.checksum.map(|(_, kind)| checksum::type_of(kind)),
        ..CopyObjectResult::default()
    };
    let now = catalog
        .locate(allowed.id(), &wish.key)
        .await
        .ok()
        .filter(|now| now.entry.manifest == entry.manifest);
    if let Some(now) = now {
        checksum::show!(result, &now.detail.checksums);
    } else if from.entry.checksum == entry.checksum {
        // Replaced meanwhile; the source's checksum is the copy's.
        checksum::show!(result, &from.detail.checksums);
    }
    let encryption = &wish.encrypted.encryption;
    let mut output = CopyObjectOutput {
        copy_object_result: Some(result),
        copy_source_version_id: source.version(from),
        version_id: describe::version_written(entry.version),
        ssekms_encryption_context: encryption::context(encryption),
        ..CopyObjectOutput::default()
    };
    encryption::show!(output, encryption);
    Ok(output)
}
