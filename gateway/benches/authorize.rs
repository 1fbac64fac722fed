//! What a whole authorisation costs: access key, bucket, policy of twenty statements, the object's version, over a real catalog in memory; and what versions
//! add to a commit. The goal is 40 µs of CPU a request for both together. Everything runs on one thread, so that wall-clock time is CPU time.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use drystone_gateway::s3::Probe;
use http::Method;
use kv::memory::Memory;
use metadata::commit::Inline;
use metadata::records::{Account, Versioning};
use metadata::{
    Catalog, ConfigKind, Detail, Etag, NewBody, NewBucket, NewObject, Preconditions, Sequel,
};
use tokio::runtime::{Builder, Runtime};
use types::{
    AccountId, BucketId, BucketName, GeometryName, ManifestId, ObjectKey, SessionId, StreamId,
    SystemClock, Timestamp, VersionId,
};

const DAY: Duration = Duration::from_secs(24 * 3600);
/// Objects in the bucket.
const KEYS: u64 = 1_000;
/// Versions of each.
const VERSIONS: u64 = 3;
/// Statements of the policy.
const STATEMENTS: usize = 20;
/// The key that is asked for, and what it is under.
const KEY: &str = "home/bob/000123.bin";

struct World {
    catalog: Catalog,
    session: SessionId,
}

impl World {
    async fn begin() -> Self {
        let catalog = Catalog::new(Arc::new(Memory::new()), Arc::new(SystemClock), DAY);
        let session = catalog.begin_session("bench", DAY).await.expect("a session");
        let (name, email) = ("Bob".to_owned(), "bob@example.com".to_owned());
        let bob = Account { name, email, created: Timestamp(0), operator: false };
        catalog.create_account(&account("bob"), &bob).await.expect("an account");
        Self { catalog, session }
    }

    async fn bucket(&self, name: &str, versioning: Versioning) -> (BucketName, BucketId) {
        let name: BucketName = name.parse().expect("a name");
        let new = NewBucket { versioning, ..NewBucket::plain(GeometryName::Local) };
        let bucket = self.catalog.create_bucket(&name, &account("ann"), new).await.expect("made");
        (name, bucket.id)
    }

    fn object(&self, bucket: &(BucketName, BucketId), key: ObjectKey, serial: u64) -> NewObject {
        let stream = StreamId { session: self.session, serial };
        let inline = Inline { stream, wrap: None, cipher: Bytes::from_static(&[7; 64]) };
        NewObject {
            bucket: bucket.clone(),
            key,
            manifest: ManifestId::random(),
            size: 48,
            etag: Etag { md5: [7; 16], parts: 0 },
            geometry: GeometryName::Local,
            class: None,
            owner: None,
            detail: Detail::default(),
            body: NewBody::Inline(inline),
            preconditions: Preconditions::default(),
            replica: None,
            sequel: Sequel::default(),
        }
    }

    async fn put(&self, new: &NewObject) -> VersionId {
        self.catalog.commit_object(self.session, new).await.expect("committed").version
    }

    /// Fills a bucket; the oldest version of [`KEY`].
    async fn fill(&self, bucket: &(BucketName, BucketId)) -> VersionId {
        let mut oldest = None;
        for serial in 0..KEYS * VERSIONS {
            let key = format!("home/bob/{:06}.bin", serial % KEYS);
            let new = self.object(bucket, key.parse().expect("a key"), serial);
            let version = self.put(&new).await;
            if key == KEY {
                oldest.get_or_insert(version);
            }
        }
        oldest.expect("the key is among them")
    }
}

fn account(id: &str) -> AccountId {
    id.parse().expect("an id")
}

/// Sixteen statements that speak of somebody or something else, and four that decide: the last but one lets the caller in.
fn policy() -> String {
    let others = (0..STATEMENTS - 4).map(|number| {
        format!(
            r#"{{"Effect": "Allow", "Principal": {{"AWS": ["arn:aws:iam::team{number}:root", "arn:aws:iam::ann:user/u{number}"]}},
            "Action": ["s3:Get*", "s3:PutObject"], "Resource": "arn:aws:s3:::versioned/teams/{number}/*",
            "Condition": {{"StringLike": {{"aws:Referer": "https://*.example.com/*"}}}}}}"#
        )
    });
    let deciding = [
        r#"{"Effect": "Deny", "Principal": "*", "Action": "s3:*", "Resource": "arn:aws:s3:::versioned/*",
            "Condition": {"Bool": {"aws:SecureTransport": "false"}}}"#,
        r#"{"Effect": "Deny", "Principal": "*", "Action": ["s3:PutObject", "s3:DeleteObject*"], "Resource": "arn:aws:s3:::versioned/*",
            "Condition": {"NotIpAddress": {"aws:SourceIp": ["192.0.2.0/24", "2001:db8::/32"]}}}"#,
        r#"{"Effect": "Allow", "Principal": {"AWS": "bob"}, "Action": ["s3:GetObject*", "s3:PutObject*"],
            "Resource": "arn:aws:s3:::versioned/home/bob/*"}"#,
        r#"{"Effect": "Deny", "Principal": "*", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::versioned/*",
            "Condition": {"StringEquals": {"s3:ExistingObjectTag/secret": "yes"}}}"#,
    ];
    let all: Vec<String> = others.chain(deciding.map(str::to_owned)).collect();
    format!(r#"{{"Version": "2012-10-17", "Statement": [{}]}}"#, all.join(","))
}

fn benches(c: &mut Criterion) {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let world = runtime.block_on(World::begin());
    let bucket = runtime.block_on(world.bucket("versioned", Versioning::Enabled));
    let oldest = runtime.block_on(world.fill(&bucket));
    let policy = policy().into_bytes();
    let kept = world.catalog.put_bucket_config(&bucket, ConfigKind::Policy, "", policy);
    runtime.block_on(kept).expect("kept");
    let probe =
        Probe::new(world.catalog.clone(), Arc::new(SystemClock), account("bob"), bucket.0.as_str());
    let probe = runtime.block_on(probe).expect("a key");

    let get = probe.request(Method::GET, KEY);
    for (name, version) in [("current", None), ("oldest", Some(oldest))] {
        c.bench_function(&format!("authorize/get {name} version"), |b| {
            b.iter(|| assert!(runtime.block_on(probe.get(black_box(&get), KEY, version))));
        });
    }
    let put = probe.request(Method::PUT, KEY);
    c.bench_function("authorize/put", |b| {
        b.iter(|| assert!(runtime.block_on(probe.put(black_box(&put), KEY))));
    });
    let plain = runtime.block_on(world.bucket("plain", Versioning::Unversioned));
    commits(c, &runtime, &world, [("unversioned", &plain), ("versioned", &bucket)]);
}

/// What a commit costs without versions and with them: the difference is what they add. Each goes to a key of its own, so that none grows longer.
fn commits(
    c: &mut Criterion,
    runtime: &Runtime,
    world: &World,
    buckets: [(&str, &(BucketName, BucketId)); 2],
) {
    let mut serial = KEYS * VERSIONS;
    for (name, bucket) in buckets {
        c.bench_function(&format!("commit/overwrite, {name}"), |b| {
            let next = || {
                serial += 2;
                let key: ObjectKey = format!("new/{serial:08}").parse().expect("a key");
                runtime.block_on(world.put(&world.object(bucket, key.clone(), serial)));
                world.object(bucket, key, serial + 1)
            };
            b.iter_batched(next, |new| runtime.block_on(world.put(&new)), BatchSize::SmallInput);
        });
    }
}

criterion_group!(all, benches);
criterion_main!(all);
