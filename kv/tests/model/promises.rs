//! Each promise of the crate's page, by its name.

use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use futures::future::join_all;
use kv::{
    Inverted, KEY_MAX, KeyPrefix, Kv, KvError, Reads, Scan, Span, TRANSACTION_MAX, Table, Tx,
    VALUE_MAX, transact,
};
use types::{BucketId, ObjectKey};

use crate::engines::{MAIN, WRAPS, everything, is_conflict, put, text, texts, write};

crate::on_every_engine!(
    two_updates_of_one_key_are_never_both_right,
    what_was_scanned_and_written_is_checked,
    write_skew_is_caught_by_get_shared,
    readers_share_and_updaters_exclude_each_other,
    a_guard_in_two_phases_keeps_puts_out_of_a_deleted_bucket,
    blind_puts_never_conflict,
    a_transaction_without_writes_always_commits,
    scans_see_own_writes_in_both_directions_and_under_a_limit,
    a_snapshot_stays_as_it_was,
    a_single_read_sees_every_acknowledged_commit,
    families_never_meet,
    a_conflict_is_repeated_until_it_passes,
    endless_conflicts_end_as_contended,
    an_error_of_the_body_leaves_no_trace,
    what_breaks_a_limit_is_refused_in_words_and_leaves_no_trace,
    a_finished_transaction_is_finished_for_all_its_handles,
    a_dropped_commit_harms_nobody,
    a_closed_engine_says_so,
    money_is_conserved_under_parallel_transfers,
    tables_keep_rows_apart_and_in_order,
);

async fn two_updates_of_one_key_are_never_both_right(kv: &dyn Kv) {
    let (a, b) = (kv.begin().await.unwrap(), kv.begin().await.unwrap());
    for (tx, name) in [(&a, "a"), (&b, "b")] {
        assert_eq!(tx.get(MAIN, b"k").await.unwrap(), None);
        put(tx, "k", name);
    }
    a.commit().await.unwrap();
    assert!(is_conflict(&b.commit().await));
}

async fn a_single_read_sees_every_acknowledged_commit(kv: &dyn Kv) {
    assert_eq!(kv.latest(MAIN, b"k").await.unwrap(), None);
    for round in 0..50 {
        let (value, open) = (round.to_string(), kv.begin().await.unwrap());
        put(&open, "k", "not committed");
        write(kv, "k", &value).await.unwrap();
        assert_eq!(text(kv.latest(MAIN, b"k").await.unwrap()), Some(value));
        assert_eq!(kv.latest(WRAPS, b"k").await.unwrap(), None);
    }
    kv.close().await;
    assert!(matches!(kv.latest(MAIN, b"k").await, Err(KvError::Closed)));
}

async fn what_was_scanned_and_written_is_checked(kv: &dyn Kv) {
    write(kv, "task", "due").await.unwrap();
    let (a, b) = (kv.begin().await.unwrap(), kv.begin().await.unwrap());
    for tx in [&a, &b] {
        let rows = tx.scan(everything().limit(1)).await.unwrap();
        tx.delete(MAIN, rows[0].0.clone());
    }
    a.commit().await.unwrap();
    assert!(is_conflict(&b.commit().await), "both took the same task");
}

async fn write_skew_is_caught_by_get_shared(kv: &dyn Kv) {
    write(kv, "x", "on").await.unwrap();
    write(kv, "y", "on").await.unwrap();
    // Each turns one off after seeing the other on.
    let (a, b) = (kv.begin().await.unwrap(), kv.begin().await.unwrap());
    for (tx, seen, off) in [(&a, "x", "y"), (&b, "y", "x")] {
        let seen = tx.get_shared(MAIN, seen.as_bytes()).await.unwrap();
        assert_eq!(text(seen).as_deref(), Some("on"));
        put(tx, off, "off");
    }
    a.commit().await.unwrap();
    assert!(is_conflict(&b.commit().await));
}

async fn readers_share_and_updaters_exclude_each_other(kv: &dyn Kv) {
    let begin = async |update: bool, own: &str| {
        let tx = kv.begin().await.unwrap();
        if update {
            tx.get_for_update(MAIN, b"lock").await.unwrap();
        } else {
            tx.get_shared(MAIN, b"lock").await.unwrap();
        }
        put(&tx, own, "1");
        tx
    };
    for (first, second, conflict) in
        [(false, false, false), (true, true, true), (true, false, true), (false, true, false)]
    {
        let (a, b) = (begin(first, "a").await, begin(second, "b").await);
        a.commit().await.unwrap();
        assert_eq!(is_conflict(&b.commit().await), conflict, "{first} then {second}");
    }
}

/// The common side: put an object into the bucket unless it is being deleted.
async fn put_object(tx: &Tx, object: &str) -> bool {
    let open = text(tx.get_shared(MAIN, b"bucket").await.unwrap()).as_deref() == Some("open");
    if open {
        put(tx, &format!("object/{object}"), "");
    }
    open
}

/// The rare side: mark, look into a fresh snapshot, then finish or unmark.
async fn delete_bucket(kv: &dyn Kv) -> bool {
    write(kv, "bucket", "deleting").await.unwrap();
    let tx = kv.begin().await.unwrap();
    tx.get_for_update(MAIN, b"bucket").await.unwrap();
    let empty = tx.scan(Scan::prefix(MAIN, b"object/").limit(1)).await.unwrap().is_empty();
    if empty {
        tx.delete(MAIN, &b"bucket"[..]);
    } else {
        put(&tx, "bucket", "open");
    }
    tx.commit().await.unwrap();
    empty
}

async fn a_guard_in_two_phases_keeps_puts_out_of_a_deleted_bucket(kv: &dyn Kv) {
    write(kv, "bucket", "open").await.unwrap();
    // A put that began before the mark and commits after it.
    let late = kv.begin().await.unwrap();
    assert!(put_object(&late, "late").await);
    assert!(delete_bucket(kv).await);
    assert!(is_conflict(&late.commit().await));
    assert_eq!(texts(&kv.snapshot().await.unwrap().scan(everything()).await.unwrap()), [""; 0]);

    // A put that committed before the mark.
    write(kv, "bucket", "open").await.unwrap();
    let early = kv.begin().await.unwrap();
    assert!(put_object(&early, "early").await);
    early.commit().await.unwrap();
    assert!(!delete_bucket(kv).await);
}

async fn blind_puts_never_conflict(kv: &dyn Kv) {
    let (a, b) = (kv.begin().await.unwrap(), kv.begin().await.unwrap());
    for (tx, name) in [(&a, "a"), (&b, "b")] {
        tx.get(MAIN, b"something else").await.unwrap();
        put(tx, "k", name);
    }
    b.commit().await.unwrap();
    a.commit().await.unwrap();
    let last = kv.snapshot().await.unwrap().get(MAIN, b"k").await.unwrap();
    assert_eq!(text(last).as_deref(), Some("a"));
}

async fn a_transaction_without_writes_always_commits(kv: &dyn Kv) {
    let tx = kv.begin().await.unwrap();
    tx.get_for_update(MAIN, b"k").await.unwrap();
    write(kv, "k", "1").await.unwrap();
    tx.commit().await.unwrap();
}

async fn scans_see_own_writes_in_both_directions_and_under_a_limit(kv: &dyn Kv) {
    for key in ["a", "c", "e", "g"] {
        write(kv, key, "old").await.unwrap();
    }
    let tx = kv.begin().await.unwrap();
    tx.delete(MAIN, &b"a"[..]);
    tx.delete(MAIN, &b"g"[..]);
    tx.delete(MAIN, &b"nothing"[..]);
    for key in ["b", "e", "h"] {
        put(&tx, key, "new");
    }
    let scan = async |scan: Scan| texts(&tx.scan(scan).await.unwrap());
    assert_eq!(scan(everything()).await, ["b=new", "c=old", "e=new", "h=new"]);
    assert_eq!(scan(everything().reverse()).await, ["h=new", "e=new", "c=old", "b=new"]);
    assert_eq!(scan(everything().limit(2)).await, ["b=new", "c=old"]);
    assert_eq!(scan(everything().limit(2).reverse()).await, ["h=new", "e=new"]);
    let middle = Scan::range(MAIN, Bytes::from_static(b"c"), Bytes::from_static(b"h"));
    assert_eq!(scan(middle.clone()).await, ["c=old", "e=new"]);
    assert_eq!(scan(middle.limit(1).reverse()).await, ["e=new"]);
    assert_eq!(tx.get(MAIN, b"a").await.unwrap(), None);
    assert_eq!(text(tx.get_for_update(MAIN, b"e").await.unwrap()).as_deref(), Some("new"));
}

async fn a_snapshot_stays_as_it_was(kv: &dyn Kv) {
    write(kv, "k", "1").await.unwrap();
    let (snap, tx) = (kv.snapshot().await.unwrap(), kv.begin().await.unwrap());
    assert_eq!(text(tx.get(MAIN, b"k").await.unwrap()).as_deref(), Some("1"));
    for value in ["2", "3"] {
        write(kv, "k", value).await.unwrap();
        write(kv, &format!("more {value}"), "").await.unwrap();
    }
    for reads in [&snap as &dyn Reads, &tx] {
        assert_eq!(text(reads.get(MAIN, b"k").await.unwrap()).as_deref(), Some("1"));
        assert_eq!(texts(&reads.scan(everything()).await.unwrap()), ["k=1"]);
        let keys = [Bytes::from_static(b"more 2"), Bytes::from_static(b"k")];
        assert_eq!(reads.get_many(MAIN, &keys).await.unwrap(), [None, Some("1".into())]);
    }
    let fresh = kv.snapshot().await.unwrap().scan(everything()).await.unwrap();
    assert_eq!(texts(&fresh), ["k=3", "more 2=", "more 3="]);
}

async fn families_never_meet(kv: &dyn Kv) {
    let (a, b) = (kv.begin().await.unwrap(), kv.begin().await.unwrap());
    a.get_for_update(MAIN, b"k").await.unwrap();
    b.get_for_update(WRAPS, b"k").await.unwrap();
    a.put(MAIN, &b"k"[..], &b"main"[..]);
    b.put(WRAPS, &b"k"[..], &b"wraps"[..]);
    a.commit().await.unwrap();
    b.commit().await.unwrap();
    let snap = kv.snapshot().await.unwrap();
    assert_eq!(texts(&snap.scan(Scan::prefix(WRAPS, b"")).await.unwrap()), ["k=wraps"]);
    assert_eq!(texts(&snap.scan(everything()).await.unwrap()), ["k=main"]);
}

async fn a_conflict_is_repeated_until_it_passes(kv: &dyn Kv) {
    let runs = AtomicU32::new(0);
    let seen: Result<_, KvError> = transact(kv, |tx| {
        let run = runs.fetch_add(1, Ordering::Relaxed);
        async move {
            let seen = text(tx.get_for_update(MAIN, b"k").await?);
            if run < 3 {
                write(kv, "k", &run.to_string()).await?;
            }
            put(&tx, "k", "mine");
            Ok(seen)
        }
    })
    .await;
    assert_eq!((seen.unwrap().as_deref(), runs.into_inner()), (Some("2"), 4));
}

async fn endless_conflicts_end_as_contended(kv: &dyn Kv) {
    let runs = AtomicU32::new(0);
    let outcome: Result<(), KvError> = transact(kv, |tx| {
        runs.fetch_add(1, Ordering::Relaxed);
        async move {
            tx.get_for_update(MAIN, b"k").await?;
            write(kv, "k", "theirs").await?;
            put(&tx, "k", "mine");
            Ok(())
        }
    })
    .await;
    let runs = runs.into_inner();
    assert!(
        matches!(outcome, Err(KvError::Contended { attempts }) if attempts == runs),
        "{outcome:?}"
    );
}

async fn an_error_of_the_body_leaves_no_trace(kv: &dyn Kv) {
    #[derive(Debug, thiserror::Error)]
    #[error("no")]
    enum Refusal {
        No,
        Kv(#[from] KvError),
    }
    let outcome: Result<(), Refusal> = transact(kv, |tx| async move {
        put(&tx, "k", "1");
        Err(Refusal::No)
    })
    .await;
    assert!(matches!(outcome, Err(Refusal::No)));
    assert_eq!(kv.snapshot().await.unwrap().get(MAIN, b"k").await.unwrap(), None);
}

async fn what_breaks_a_limit_is_refused_in_words_and_leaves_no_trace(kv: &dyn Kv) {
    let commit = async |rows: Vec<(Vec<u8>, Vec<u8>)>| {
        let tx = kv.begin().await.unwrap();
        put(&tx, "fine", "");
        for (key, value) in rows {
            tx.put(MAIN, key, value);
        }
        put(&tx, "fine too", "");
        tx.commit().await.expect_err("too large")
    };
    let error = commit(vec![(b"k".to_vec(), vec![0; VALUE_MAX + 1])]).await;
    assert_eq!(error.to_string(), "a value of 100001 bytes; at most 100000 are allowed");
    let error = commit(vec![(vec![1; KEY_MAX + 1], Vec::new())]).await;
    assert_eq!(error.to_string(), "a key of 10001 bytes; keys have 1 to 10000");
    let error = commit(vec![(Vec::new(), Vec::new())]).await;
    assert_eq!(error.to_string(), "a key of 0 bytes; keys have 1 to 10000");
    let row = |key: u8| (vec![key], vec![0; VALUE_MAX]);
    let error = commit((0..=10).map(row).collect()).await;
    assert_eq!(error.to_string(), "the transaction writes more than 1048576 bytes");
    assert!(kv.snapshot().await.unwrap().scan(everything()).await.unwrap().is_empty());

    // Writing one key again does not add up, and the limits themselves are allowed.
    let tx = kv.begin().await.unwrap();
    for _ in 0..2 * TRANSACTION_MAX / VALUE_MAX {
        tx.put(MAIN, vec![1; KEY_MAX], vec![0; VALUE_MAX]);
    }
    tx.commit().await.unwrap();
}

async fn a_finished_transaction_is_finished_for_all_its_handles(kv: &dyn Kv) {
    let tx = kv.begin().await.unwrap();
    put(&tx, "k", "1");
    tx.clone().commit().await.unwrap();
    put(&tx, "k", "2");
    assert!(matches!(tx.get(MAIN, b"k").await, Err(KvError::Finished)));
    assert!(matches!(tx.commit().await, Err(KvError::Finished)));
    let kept = kv.snapshot().await.unwrap().get(MAIN, b"k").await.unwrap();
    assert_eq!(text(kept).as_deref(), Some("1"));
}

async fn a_dropped_commit_harms_nobody(kv: &dyn Kv) {
    let key = |i: u32| format!("k{i:03}");
    let commits = (0..64).map(|i| async move {
        let key = key(i);
        let commit = write(kv, &key, "1");
        if i % 2 == 0 {
            return commit.await;
        }
        // Polled once, then dropped: it may or may not have been handed over.
        drop(futures::poll!(Box::pin(commit)));
        Ok(())
    });
    for result in join_all(commits).await {
        result.unwrap();
    }
    write(kv, "after", "1").await.unwrap();
    let rows = kv.snapshot().await.unwrap().scan(everything()).await.unwrap();
    let rows = texts(&rows);
    for i in (0..64).step_by(2) {
        assert!(rows.contains(&format!("{}=1", key(i))), "{i}");
    }
}

async fn a_closed_engine_says_so(kv: &dyn Kv) {
    let tx = kv.begin().await.unwrap();
    put(&tx, "k", "1");
    kv.close().await;
    kv.close().await;
    assert!(matches!(tx.commit().await, Err(KvError::Closed)));
    assert!(matches!(kv.begin().await, Err(KvError::Closed)));
    assert!(matches!(kv.snapshot().await, Err(KvError::Closed)));
}

async fn money_is_conserved_under_parallel_transfers(kv: &dyn Kv) {
    const ACCOUNTS: u32 = 6;
    const EACH: i64 = 100;
    const BALANCE: Table<u32, i64> = Table::new(MAIN, "balance/1");
    let setup: Result<(), KvError> = transact(kv, |tx| async move {
        (0..ACCOUNTS).for_each(|account| BALANCE.put(&tx, &account, &EACH));
        Ok(())
    })
    .await;
    setup.unwrap();
    let transfer = |from: u32, to: u32| {
        transact(kv, move |tx| async move {
            let (a, b) = (BALANCE.get(&tx, &from).await?, BALANCE.get_for_update(&tx, &to).await?);
            BALANCE.put(&tx, &from, &(a.unwrap_or(0) - 1));
            BALANCE.put(&tx, &to, &(b.unwrap_or(0) + 1));
            Ok::<_, KvError>(())
        })
    };
    let worker = async |worker: u32| {
        for i in 0..20 {
            let from = (worker * 7 + i * 5) % ACCOUNTS;
            transfer(from, (from + 1 + i % (ACCOUNTS - 1)) % ACCOUNTS).await.unwrap();
        }
    };
    let auditor = async {
        for _ in 0..50 {
            let rows = BALANCE.scan(&kv.snapshot().await.unwrap(), Span::all(), 100).await.unwrap();
            assert_eq!(
                rows.iter().map(|(_, balance)| balance).sum::<i64>(),
                EACH * i64::from(ACCOUNTS)
            );
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(join_all((0..8).map(worker)), auditor);
    let rows = BALANCE.scan(&kv.snapshot().await.unwrap(), Span::all(), 100).await.unwrap();
    assert_eq!(rows.iter().map(|(_, balance)| balance).sum::<i64>(), EACH * i64::from(ACCOUNTS));
}

async fn tables_keep_rows_apart_and_in_order(kv: &dyn Kv) {
    const VERSIONS: Table<(BucketId, ObjectKey, Inverted), String> = Table::new(MAIN, "version/1");
    const OTHERS: Table<(BucketId, ObjectKey), u8> = Table::new(MAIN, "version/11");
    let bucket = BucketId([7; 16]);
    let object = |text: &str| text.parse::<ObjectKey>().unwrap();
    let tx = kv.begin().await.unwrap();
    for (key, time) in [("a/b", 1), ("a/b", 2), ("a/c", 1), ("a", 1), ("b", 1)] {
        VERSIONS.put(&tx, &(bucket, object(key), Inverted(time)), &format!("{key}@{time}"));
    }
    OTHERS.put(&tx, &(bucket, object("a")), &1);
    VERSIONS.put(&tx, &(BucketId([8; 16]), object("a"), Inverted(1)), &"other".to_owned());
    tx.commit().await.unwrap();

    let snap = kv.snapshot().await.unwrap();
    let values =
        |rows: Vec<(_, String)>| rows.into_iter().map(|(_, value)| value).collect::<Vec<_>>();
    let all = KeyPrefix::of(&bucket);
    let rows = VERSIONS.scan(&snap, &all, 100).await.unwrap();
    assert_eq!(rows[0].0, (bucket, object("a"), Inverted(1)));
    assert_eq!(values(rows), ["a@1", "a/b@2", "a/b@1", "a/c@1", "b@1"]);
    let folder = KeyPrefix::of(&bucket).starting_with("a/");
    assert_eq!(
        values(VERSIONS.scan(&snap, &folder, 100).await.unwrap()),
        ["a/b@2", "a/b@1", "a/c@1"]
    );
    assert_eq!(values(VERSIONS.scan_back(&snap, &folder, 1).await.unwrap()), ["a/c@1"]);
    let past = Span::of(&all).after_prefix(&folder);
    assert_eq!(values(VERSIONS.scan(&snap, past, 100).await.unwrap()), ["b@1"]);
    let newest = KeyPrefix::of(&(bucket, object("a/b")));
    assert_eq!(values(VERSIONS.scan(&snap, newest, 1).await.unwrap()), ["a/b@2"]);
    assert_eq!(OTHERS.scan(&snap, Span::all(), 100).await.unwrap().len(), 1);
    let keys = [(bucket, object("none"), Inverted(1)), (bucket, object("b"), Inverted(1))];
    assert_eq!(VERSIONS.get_many(&snap, &keys).await.unwrap(), [None, Some("b@1".to_owned())]);

    // A row that is not what its table says is an error, not a wrong row.
    let raw = kv.begin().await.unwrap();
    raw.put(MAIN, [&b"version/11\0"[..], &[7; 16], b"z\0\0"].concat(), &b"\x01\x02"[..]);
    raw.commit().await.unwrap();
    let snap = kv.snapshot().await.unwrap();
    let read = OTHERS.get(&snap, &(bucket, object("z"))).await;
    assert!(matches!(read, Err(KvError::MalformedValue { table: "version/11", .. })), "{read:?}");
}
