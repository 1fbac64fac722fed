//! Real clients, each against the real binaries, each with a tree of small files and a large one there and back.

mod backups;
mod browser;
mod interface;
mod served;
mod tables;

use std::fs;
use std::path::Path;
use std::sync::Arc;

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::cluster::{ACCESS, Cluster, Options, SECRET};
use drystone_s3_tests::tools::{Tool, assert_same_trees, aws, python, script};
use drystone_s3_tests::{checksum, scaled};
use futures::{StreamExt, TryStreamExt, stream};
use object_store::aws::AmazonS3Builder;
use object_store::path::Path as Key;
use object_store::{
    Attribute, Attributes, GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt,
    PutMode, PutOptions, PutPayload, UpdateVersion,
};
use types::{GIB, MIB};

/// A cluster for a client, unless the person who runs the tests does without.
async fn cluster(name: &str) -> Option<Cluster> {
    if std::env::var_os("DRYSTONE_SKIP_CLIENTS").is_some() {
        eprintln!("SKIPPED: {name} (DRYSTONE_SKIP_CLIENTS is set)");
        return None;
    }
    Some(Options::new().quick_upkeep().up().await)
}

/// How many small files each client carries.
fn files() -> u64 {
    scaled(1000, 10_000)
}

/// A large file, written without holding it.
fn large(path: &Path) -> Content {
    let content = Content::new(4711, scaled(48 * MIB + 5, GIB));
    write(path, content);
    content
}

fn write(path: &Path, content: Content) {
    use std::io::Write as _;
    let mut file = fs::File::create(path).unwrap();
    for piece in futures::executor::block_on_stream(content.pieces(MIB)) {
        file.write_all(&piece).unwrap();
    }
}

fn assert_is(path: &Path, content: Content) {
    use std::io::Read as _;
    let mut file = fs::File::open(path).unwrap();
    let mut checker = content.checker(0..content.len);
    let mut buf = vec![0; MIB as usize];
    loop {
        match file.read(&mut buf).unwrap() {
            0 => break checker.finish().unwrap(),
            read => checker.feed(&buf[..read]).unwrap(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_works_with_its_default_checksums() {
    let Some(cluster) = cluster("boto3").await else { return };
    let tool = Tool::new(&cluster, "boto3");
    let script = script("boto3_suite.py");
    let (files, large) = (scaled(1000, 10_000).to_string(), scaled(32 * MIB + 3, GIB).to_string());
    print!("{}", tool.run(python(), &[&script, &files, &large]));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_aws_cli_syncs_a_tree_there_and_back() {
    let Some(cluster) = cluster("the AWS CLI").await else { return };
    let tool = Tool::new(&cluster, "aws");
    let aws = |args: &[&str]| tool.run(aws(), args);
    let tree = tool.make_tree("tree", files());
    let content = large(&tool.home().join("large"));
    aws(&["s3", "mb", "s3://aws-bucket"]);
    aws(&["s3", "sync", "--only-show-errors", "tree", "s3://aws-bucket/tree"]);
    assert_eq!(
        aws(&["s3", "sync", "tree", "s3://aws-bucket/tree"]),
        "",
        "a second sync has nothing to do"
    );
    aws(&["s3", "sync", "--only-show-errors", "s3://aws-bucket/tree", "back"]);
    assert_same_trees(&tree, &tool.home().join("back"));
    aws(&["s3", "cp", "--only-show-errors", "large", "s3://aws-bucket/large"]);
    aws(&["s3", "cp", "--only-show-errors", "s3://aws-bucket/large", "large-back"]);
    assert_is(&tool.home().join("large-back"), content);
    aws(&[
        "s3",
        "mv",
        "--only-show-errors",
        "s3://aws-bucket/large",
        "s3://aws-bucket/moved/large",
    ]);
    assert!(aws(&["s3", "ls", "s3://aws-bucket/"]).contains("PRE moved/"));
    let counted = aws(&["s3", "ls", "--recursive", "--summarize", "s3://aws-bucket/tree/"]);
    assert!(
        counted.contains(&format!("Total Objects: {}", files())),
        "{}",
        counted.lines().last().unwrap_or_default()
    );
    aws(&["s3", "rm", "--only-show-errors", "--recursive", "s3://aws-bucket/"]);
    aws(&["s3", "rb", "s3://aws-bucket"]);
    assert_eq!(aws(&["s3", "ls"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn rclone_copies_checks_and_streams_a_tree() {
    let Some(cluster) = cluster("rclone").await else { return };
    let tool = Tool::new(&cluster, "rclone");
    let rclone = |args: &[&str]| tool.run("rclone", args);
    let tree = tool.make_tree("tree", files());
    let content = large(&tool.home().join("large"));
    rclone(&["mkdir", "d:rclone-bucket"]);
    rclone(&["copy", "--transfers", "16", "tree", "d:rclone-bucket/tree"]);
    rclone(&["check", "--checkers", "16", "tree", "d:rclone-bucket/tree"]);
    rclone(&["sync", "--transfers", "16", "d:rclone-bucket/tree", "back"]);
    assert_same_trees(&tree, &tool.home().join("back"));
    rclone(&[
        "copyto",
        "--s3-upload-cutoff",
        "8M",
        "--s3-chunk-size",
        "5M",
        "large",
        "d:rclone-bucket/large",
    ]);
    rclone(&["check", "--download", "--include", "/large", ".", "d:rclone-bucket"]);
    rclone(&["copyto", "d:rclone-bucket/large", "d:rclone-bucket/copy of large"]);
    rclone(&["copyto", "d:rclone-bucket/copy of large", "large-back"]);
    assert_is(&tool.home().join("large-back"), content);
    let sizes = rclone(&["size", "d:rclone-bucket/tree"]);
    assert!(sizes.contains(&files().to_string()) || files() >= 10_000, "{sizes}");
    rclone(&["purge", "d:rclone-bucket"]);
    assert!(!rclone(&["lsd", "d:"]).contains("rclone-bucket"));
}

#[tokio::test(flavor = "multi_thread")]
async fn restic_backs_up_a_real_tree_checks_and_restores_it() {
    let Some(cluster) = cluster("restic").await else { return };
    let tool = Tool::new(&cluster, "restic");
    let repository = format!("s3:{}/restic-bucket/repository", cluster.endpoint());
    let restic =
        |args: &[&str]| tool.run("restic", &[&["-r", &repository, "-q"][..], args].concat());
    restic(&["init"]);
    let tree = tool.make_tree("tree", files());
    // A real tree of somebody else's making, too: this repository's own sources.
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let real = sources.join("docs");
    large(&tree.join("large"));
    restic(&["backup", "tree", &real.display().to_string()]);
    restic(&["check", "--read-data"]);
    write(&tree.join("changed"), Content::new(5, 100_000));
    restic(&["backup", "tree"]);
    assert_eq!(restic(&["snapshots", "--json"]).matches("\"short_id\"").count(), 2);
    restic(&["restore", "latest", "--target", "back"]);
    assert_same_trees(&tree, &tool.home().join("back/tree"));
    let first =
        restic(&["restore", "--path", &real.display().to_string(), "latest", "--target", "real"]);
    assert_eq!(first, "");
    assert_same_trees(&real, &tool.home().join("real").join(real.strip_prefix("/").unwrap()));
    restic(&["forget", "--keep-last", "1", "--prune"]);
    restic(&["check"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn s3cmd_syncs_a_tree_there_and_back() {
    let Some(cluster) = cluster("s3cmd").await else { return };
    let tool = Tool::new(&cluster, "s3cmd");
    let config = tool.s3cmd_config();
    let s3cmd =
        |args: &[&str]| tool.run("s3cmd", &[&["-c", &config, "--no-progress"][..], args].concat());
    let tree = tool.make_tree("tree", files());
    let content = large(&tool.home().join("large"));
    s3cmd(&["mb", "s3://s3cmd-bucket"]);
    s3cmd(&["sync", "tree/", "s3://s3cmd-bucket/tree/"]);
    fs::create_dir(tool.home().join("back")).unwrap();
    s3cmd(&["sync", "s3://s3cmd-bucket/tree/", "back/"]);
    assert_same_trees(&tree, &tool.home().join("back"));
    s3cmd(&["put", "--multipart-chunk-size-mb=5", "large", "s3://s3cmd-bucket/large"]);
    s3cmd(&["get", "s3://s3cmd-bucket/large", "large-back"]);
    assert_is(&tool.home().join("large-back"), content);
    s3cmd(&["cp", "s3://s3cmd-bucket/large", "s3://s3cmd-bucket/copy"]);
    assert!(s3cmd(&["ls", "s3://s3cmd-bucket/"]).contains("s3://s3cmd-bucket/copy"));
    s3cmd(&["del", "--recursive", "--force", "s3://s3cmd-bucket/"]);
    s3cmd(&["rb", "s3://s3cmd-bucket"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rust_client_object_store_reads_writes_and_swaps() {
    let Some(cluster) = cluster("object_store").await else { return };
    cluster.client().make_bucket("rust-bucket").await;
    let store = AmazonS3Builder::new()
        .with_endpoint(cluster.endpoint())
        .with_allow_http(true)
        .with_region("us-east-1")
        .with_bucket_name("rust-bucket")
        .with_access_key_id(ACCESS)
        .with_secret_access_key(SECRET)
        .build()
        .unwrap();
    let store: Arc<dyn ObjectStore> = Arc::new(store);
    let puts = stream::iter(0..files()).map(|index| {
        let store = Arc::clone(&store);
        async move {
            let content = Content::new(index, (index * 131) % 20_000);
            let key = Key::from(format!("tree/{}/file {index}", index % 11));
            store.put(&key, PutPayload::from_bytes(content.bytes())).await.map(|_| (key, content))
        }
    });
    let written: Vec<_> = puts.buffer_unordered(32).try_collect().await.unwrap();
    let mut listed: Vec<_> =
        store.list(None).map_ok(|meta| meta.location).try_collect().await.unwrap();
    let mut expected: Vec<_> = written.iter().map(|(key, _)| key.clone()).collect();
    listed.sort();
    expected.sort();
    assert_eq!(listed, expected);
    for (key, content) in &written {
        content.check(&store.get(key).await.unwrap().bytes().await.unwrap()).unwrap();
    }
    assert_eq!(
        store.list_with_delimiter(Some(&Key::from("tree"))).await.unwrap().common_prefixes.len(),
        11
    );

    let (key, content) = (Key::from("large"), Content::new(3, scaled(33 * MIB, GIB)));
    let mut upload = store.put_multipart(&key).await.unwrap();
    let mut pieces = std::pin::pin!(content.pieces(8 * MIB));
    while let Some(piece) = pieces.next().await {
        upload.put_part(piece.into()).await.unwrap();
    }
    upload.complete().await.unwrap();
    let mut checker = content.checker(0..content.len);
    let mut stream = store.get(&key).await.unwrap().into_stream();
    while let Some(piece) = stream.next().await {
        checker.feed(&piece.unwrap()).unwrap();
    }
    checker.finish().unwrap();
    let ranges = [5..10, 8 * MIB - 1..8 * MIB + 1, 20 * MIB..21 * MIB];
    for (range, bytes) in ranges.iter().zip(store.get_ranges(&key, &ranges).await.unwrap()) {
        assert_eq!(bytes, content.range(range.clone()));
    }
    let tail = GetOptions { range: Some(GetRange::Suffix(100)), ..GetOptions::default() };
    let tail = store.get_opts(&key, tail).await.unwrap().bytes().await.unwrap();
    assert_eq!(tail, content.range(content.len - 100..content.len));

    swap(&*store).await;
    let locations = store.list(None).map_ok(|meta| meta.location).boxed();
    let deleted: Vec<_> = store.delete_stream(locations).try_collect().await.unwrap();
    assert!(deleted.len() as u64 > files());
    assert_eq!(store.list(None).count().await, 0);
}

/// Conditional writes, as databases on object storage use them.
async fn swap(store: &dyn ObjectStore) {
    let key = Key::from("manifest");
    let attributes = Attributes::from_iter([
        (Attribute::ContentType, "a/b"),
        (Attribute::Metadata("by".into()), "hand"),
    ]);
    let create = PutOptions {
        mode: PutMode::Create,
        attributes: attributes.clone(),
        ..PutOptions::default()
    };
    let first = store.put_opts(&key, "one".into(), create.clone()).await.unwrap();
    assert_eq!(first.e_tag.as_deref(), Some(checksum::etag(b"one").as_str()));
    let again = store.put_opts(&key, "two".into(), create).await;
    assert!(matches!(again, Err(object_store::Error::AlreadyExists { .. })), "{again:?}");
    let update = |e_tag: Option<String>| PutOptions {
        mode: PutMode::Update(UpdateVersion { e_tag, version: None }),
        ..PutOptions::default()
    };
    store.put_opts(&key, "two".into(), update(first.e_tag.clone())).await.unwrap();
    let stale = store.put_opts(&key, "three".into(), update(first.e_tag)).await;
    assert!(matches!(stale, Err(object_store::Error::Precondition { .. })), "{stale:?}");
    assert_eq!(store.get(&key).await.unwrap().bytes().await.unwrap(), "two");
    let copy = Key::from("copy of manifest");
    store.copy(&key, &copy).await.unwrap();
    store.rename(&copy, &Key::from("renamed")).await.unwrap();
    assert!(matches!(store.head(&copy).await, Err(object_store::Error::NotFound { .. })));
}
