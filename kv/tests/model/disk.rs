//! What only an engine with a disk can promise.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use kv::rocks::{Durability, Rocks, RocksOptions};
use kv::{FORMAT, Family, FamilyOptions, Kv, KvError, Reads, Scan, Tx};
use rocksdb::{DB, Options};

use crate::engines::{BUDGET, MAIN, WRAPS, everything, put, shared, texts, write};

async fn open(path: &std::path::Path) -> Result<Rocks, KvError> {
    let shared = shared();
    let wraps = FamilyOptions { family: WRAPS, rewrite_after: Some(Duration::from_secs(86_400)) };
    Rocks::open(path, RocksOptions::metadata(&shared).with_families([wraps])).await
}

async fn contents(kv: &dyn Kv) -> Vec<String> {
    texts(&kv.snapshot().await.unwrap().scan(everything()).await.unwrap())
}

#[tokio::test]
async fn commits_are_there_after_the_engine_was_dropped_or_closed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new").join("store");
    for (round, close) in [(1, false), (2, true), (3, false)] {
        let rocks = open(&path).await.unwrap();
        assert_eq!(contents(&rocks).await.len(), round - 1);
        write(&rocks, &format!("k{round}"), "1").await.unwrap();
        if close {
            rocks.close().await;
        }
    }
    assert_eq!(contents(&open(&path).await.unwrap()).await, ["k1=1", "k2=1", "k3=1"]);
}

#[tokio::test]
async fn a_folder_opens_once() {
    let folder = tempfile::tempdir().unwrap();
    let rocks = open(folder.path()).await.unwrap();
    let again = open(folder.path()).await.unwrap_err();
    assert!(matches!(again, KvError::Locked(ref path) if path == folder.path()), "{again:?}");
    assert!(again.to_string().ends_with("is already open, here or in another process"));

    // A transaction keeps the folder, even from a closed engine; the last handle gives it back.
    let tx = rocks.begin().await.unwrap();
    rocks.close().await;
    assert!(matches!(open(folder.path()).await, Err(KvError::Locked(_))));
    drop(tx);
    open(folder.path()).await.unwrap();
}

#[tokio::test]
async fn a_checkpoint_opens_and_equals_the_store_at_its_time() {
    let folder = tempfile::tempdir().unwrap();
    let rocks = open(&folder.path().join("store")).await.unwrap();
    // The first has its rows in the log, the second is past the size that is still copied.
    for (round, rows) in [(1_u32, 10), (2, 220)] {
        for row in 0..rows {
            let tx = rocks.begin().await.unwrap();
            let noise = (0..100_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8);
            tx.put(MAIN, format!("{round}/{row}"), noise.collect::<Vec<_>>());
            tx.put(WRAPS, format!("{round}/{row}"), &b"wrap"[..]);
            tx.commit().await.unwrap();
        }
        let before = contents(&rocks).await;
        let copy = folder.path().join(format!("copy{round}"));
        rocks.checkpoint(&copy).await.unwrap();
        write(&rocks, "later", "1").await.unwrap();
        let copy_opened = open(&copy).await.unwrap();
        assert!(contents(&copy_opened).await == before);
        let wraps =
            copy_opened.snapshot().await.unwrap().scan(Scan::prefix(WRAPS, b"")).await.unwrap();
        assert_eq!(wraps.len(), before.iter().filter(|row| !row.starts_with("later")).count());
        write(&copy_opened, "a life of its own", "1").await.unwrap();
        let taken = rocks.checkpoint(&copy).await.unwrap_err();
        assert!(matches!(taken, KvError::Engine { .. }), "{taken:?}");
    }
}

#[tokio::test]
async fn a_newer_format_is_refused_in_words() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    open(path).await.unwrap().close().await;
    let record = |value: Option<&[u8]>| {
        let families = ["default", "kv.format", "wraps"];
        let db = DB::open_cf(&Options::default(), path, families).unwrap();
        let family = db.cf_handle("kv.format").unwrap();
        let found = db.get_cf(family, b"format").unwrap();
        match value {
            Some(value) => db.put_cf(family, b"format", value).unwrap(),
            None => db.delete_cf(family, b"format").unwrap(),
        }
        found
    };
    let first = record(Some(&[0, 0, 0, 9]));
    assert_eq!(first.as_deref(), Some(&[0, 0, 0, 1][..]), "the record's golden bytes");
    let error = open(path).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the store {} has format 9, which a newer version of this program wrote; \
             this version reads up to format {FORMAT}: please upgrade",
            path.display()
        )
    );
    for unreadable in [Some(&b"?"[..]), Some(&[0; 4]), None] {
        record(unreadable);
        assert!(matches!(open(path).await, Err(KvError::UnknownFormat(_))));
    }
    record(Some(&FORMAT.to_be_bytes()));
    open(path).await.unwrap();
}

#[tokio::test]
async fn a_family_that_was_not_opened_is_refused_alone() {
    let folder = tempfile::tempdir().unwrap();
    let rocks = open(folder.path()).await.unwrap();
    let begin = async |family: Family| {
        let tx = rocks.begin().await.unwrap();
        tx.put(family, &b"k"[..], &b"1"[..]);
        tx
    };
    let (wrong, right): (Tx, Tx) = (begin(Family("unheard-of")).await, begin(MAIN).await);
    let (wrong, right) = tokio::join!(wrong.commit(), right.commit());
    assert!(matches!(wrong, Err(KvError::UnknownFamily("unheard-of"))), "{wrong:?}");
    right.unwrap();
    let read = rocks.snapshot().await.unwrap().get(Family("unheard-of"), b"k").await;
    assert!(matches!(read, Err(KvError::UnknownFamily(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_commits_what_was_handed_over() {
    let folder = tempfile::tempdir().unwrap();
    let rocks = Arc::new(open(folder.path()).await.unwrap());
    let writers = (0..100).map(|i| {
        let rocks = Arc::clone(&rocks);
        tokio::spawn(async move { (i, write(&*rocks, &format!("k{i:02}"), "1").await) })
    });
    let writers: Vec<_> = writers.collect();
    tokio::task::yield_now().await;
    rocks.close().await;
    let mut acknowledged = Vec::new();
    for outcome in join_all(writers).await {
        match outcome.unwrap() {
            (i, Ok(())) => acknowledged.push(format!("k{i:02}=1")),
            (_, Err(KvError::Closed)) => {}
            (_, Err(other)) => panic!("{other:?}"),
        }
    }
    acknowledged.sort();
    assert_eq!(contents(&open(folder.path()).await.unwrap()).await, acknowledged);
}

/// How many files of a folder hold `needle`. Random bytes of this length are stored as they are, in logs and in tables.
fn files_with(folder: &std::path::Path, needle: &[u8]) -> usize {
    let files = std::fs::read_dir(folder).unwrap().filter_map(|file| {
        // RocksDB may delete a file at any moment.
        std::fs::read(file.unwrap().path()).ok()
    });
    files.filter(|bytes| bytes.windows(needle.len()).any(|window| window == needle)).count()
}

/// Waits until as many files of a folder hold `needle`.
async fn until_in_files(folder: &std::path::Path, needle: &[u8], wanted: impl Fn(usize) -> bool) {
    let patience = Duration::from_secs(60);
    let found = async {
        while !wanted(files_with(folder, needle)) {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    };
    let in_time = tokio::time::timeout(patience, found).await;
    assert!(in_time.is_ok(), "after a minute {} files hold it", files_with(folder, needle));
}

#[tokio::test]
async fn what_was_deleted_from_a_rewritten_family_is_soon_in_no_file() {
    let folder = tempfile::tempdir().unwrap();
    let shared = shared();
    let wraps = FamilyOptions { family: WRAPS, rewrite_after: Some(Duration::from_secs(4)) };
    let options = RocksOptions::metadata(&shared).with_families([wraps]);
    let rocks = Rocks::open(folder.path(), options).await.unwrap();
    let secret = types::entropy::random_bytes::<2000>();
    let needle = &secret[1000..1032];
    let put = async |key: &str| {
        let tx = rocks.begin().await.unwrap();
        tx.put(WRAPS, key.to_owned(), secret.to_vec());
        // The other families share the log, and are written so little that nothing else ever writes them out.
        tx.put(MAIN, key.to_owned(), &b"1"[..]);
        tx.commit().await.unwrap();
    };
    let delete = async |key: &str| {
        let tx = rocks.begin().await.unwrap();
        tx.delete(WRAPS, key.to_owned());
        tx.commit().await.unwrap();
    };
    // Deleted while it is in the log alone.
    put("at once").await;
    assert!(files_with(folder.path(), needle) > 0, "in the log");
    delete("at once").await;
    until_in_files(folder.path(), needle, |files| files == 0).await;

    // Deleted when it is in a table, while an old reader holds on to what it sees.
    put("later").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(files_with(folder.path(), needle) > 0, "in a table");
    let reader = rocks.snapshot().await.unwrap();
    delete("later").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(reader.get(WRAPS, b"later").await.unwrap().is_some());
    assert!(files_with(folder.path(), needle) > 0, "as long as somebody may read it");
    drop(reader);
    until_in_files(folder.path(), needle, |files| files == 0).await;
}

#[tokio::test]
async fn engines_of_a_process_share_their_memory() {
    let folder = tempfile::tempdir().unwrap();
    let shared = shared();
    let mut engines = Vec::new();
    for i in 0..6 {
        let mut options = RocksOptions::index(&shared);
        options.durability = Durability::Buffered;
        engines.push(Rocks::open(folder.path().join(i.to_string()), options).await.unwrap());
    }
    let idle = shared.memory_used();
    assert!(idle < 4 << 20, "six idle engines hold {idle} bytes");
    // Three times the budget.
    for round in 0..40 {
        for engine in &engines {
            let tx = engine.begin().await.unwrap();
            tx.put(MAIN, format!("k{round}"), vec![round; 100_000]);
            put(&tx, "last", &round.to_string());
            tx.commit().await.unwrap();
        }
    }
    // Over budget, whoever writes makes room; how soon depends on the threads that write out.
    let within_budget = async {
        while shared.memory_used() > BUDGET {
            for engine in &engines {
                write(engine, "last", "40").await.unwrap();
            }
        }
    };
    let patience = Duration::from_secs(20);
    let in_time = tokio::time::timeout(patience, within_budget).await;
    assert!(in_time.is_ok(), "{} bytes in use", shared.memory_used());
    for engine in &engines {
        assert_eq!(contents(engine).await.len(), 41);
    }
}
