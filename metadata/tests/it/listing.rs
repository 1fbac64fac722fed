//! Listings against a naive model, with keys that tempt a clever implementation into mistakes.

use std::collections::BTreeSet;

use metadata::{ListPage, ListQuery, NewBucket};
use proptest::prelude::{ProptestConfig, Strategy, prop, proptest};
use types::GeometryName::Local;
use types::{ManifestId, ObjectKey};

use crate::support::{World, account, key};

/// Short keys over letters that matter: the delimiter, its neighbours in byte order, and the highest code points.
fn name() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "b",
        "foo",
        "/",
        "//",
        "+1",
        "é",
        "\u{1}",
        " ",
        ".",
        "0",
        "\u{7f}",
        "\u{ff}",
        "\u{ffff}",
        "\u{10ffff}",
    ]);
    prop::collection::vec(piece, 1..5).prop_map(|pieces| pieces.concat())
}

/// A prefix or marker: often the beginning of a key.
fn part_of_name() -> impl Strategy<Value = String> {
    (name(), 0..5_usize).prop_map(|(name, chars)| name.chars().take(chars).collect())
}

/// An object or upload by its key, or a rolled-up prefix.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Listed<T> {
    Item(String, T),
    Prefix(String),
}

impl<T> Listed<T> {
    fn name(&self) -> &str {
        match self {
            Self::Item(name, _) | Self::Prefix(name) => name,
        }
    }
}

/// What a whole listing shows, by the definition: filter, roll up, forget what comes twice.
fn naive<T: Clone + PartialEq>(rows: &[(String, T)], query: &ListQuery) -> Vec<Listed<T>> {
    let mut listed: Vec<Listed<T>> = Vec::new();
    for (name, row) in rows.iter().filter(|(name, _)| name.starts_with(&query.prefix)) {
        let rest = &name[query.prefix.len()..];
        let delimiter = query.delimiter.as_deref().filter(|delimiter| !delimiter.is_empty());
        let cut = delimiter.and_then(|delimiter| Some(rest.find(delimiter)? + delimiter.len()));
        let entry = match cut {
            Some(cut) => Listed::Prefix(name[..query.prefix.len() + cut].to_owned()),
            None => Listed::Item(name.clone(), row.clone()),
        };
        if listed.last() != Some(&entry) {
            listed.push(entry);
        }
    }
    listed.retain(|entry| query.after.as_deref().is_none_or(|after| entry.name() > after));
    listed
}

/// A page as one list in order.
fn flat<I, T: Ord>(page: ListPage<I>, item: impl Fn(I) -> (String, T)) -> Vec<Listed<T>> {
    let items = page.items.into_iter().map(item).map(|(name, row)| Listed::Item(name, row));
    let mut all: Vec<_> = items.chain(page.prefixes.into_iter().map(Listed::Prefix)).collect();
    assert!(all.windows(2).all(|pair| {
        matches!(pair[1], Listed::Prefix(_)) == matches!(pair[0], Listed::Prefix(_))
            && pair[0] < pair[1]
            || matches!(pair[1], Listed::Prefix(_)) && matches!(pair[0], Listed::Item(..))
    }));
    all.sort_by(|a, b| a.name().cmp(b.name()));
    all
}

async fn page_through_objects(world: &World, query: &ListQuery) -> Vec<Listed<ManifestId>> {
    let (mut query, mut all) = (query.clone(), Vec::new());
    loop {
        let page = world.catalog.list_objects(world.bucket.1, &query).await.expect("read");
        let next = page.next.clone();
        let flat = flat(page, |(key, entry): (ObjectKey, metadata::Entry)| {
            (key.as_str().to_owned(), entry.manifest)
        });
        assert!(flat.len() <= query.limit && (next.is_none() || flat.len() == query.limit));
        assert_eq!(next.as_deref(), next.as_ref().and(flat.last().map(Listed::name)));
        all.extend(flat);
        match next {
            Some(next) => query.after = Some(next),
            None => return all,
        }
    }
}

async fn page_through_uploads(
    world: &World,
    query: &ListQuery,
    mut after_upload: Option<ManifestId>,
) -> Vec<Listed<ManifestId>> {
    let (mut query, mut all) = (query.clone(), Vec::new());
    loop {
        let listed = world.catalog.list_uploads(world.bucket.1, &query, after_upload).await;
        let (page, last) = listed.expect("read");
        let next = page.next.clone();
        let flat = flat(page, |(key, id, _)| (key.as_str().to_owned(), id));
        assert!(flat.len() <= query.limit && (next.is_none() || flat.len() == query.limit));
        let ends_with = flat.last().and_then(|last| match last {
            Listed::Item(_, id) => Some(*id),
            Listed::Prefix(_) => None,
        });
        assert_eq!(last, ends_with);
        all.extend(flat);
        match next {
            Some(next) => (query.after, after_upload) = (Some(next), last),
            None => return all,
        }
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(future)
}

/// The naive model of an upload listing, which may begin in the middle of a key.
fn naive_uploads(
    rows: &[(String, ManifestId)],
    query: &ListQuery,
    after_upload: Option<ManifestId>,
) -> Vec<Listed<ManifestId>> {
    let all = naive(rows, &ListQuery { after: None, ..query.clone() });
    let Some(after) = query.after.as_deref() else { return all };
    let follows = |entry: &Listed<ManifestId>| match entry {
        Listed::Item(name, id) if name == after => after_upload.is_some_and(|after| *id > after),
        entry => entry.name() > after,
    };
    all.into_iter().filter(follows).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn objects_are_listed_as_defined_whatever_the_page(
        names in prop::collection::btree_set(name(), 0..25),
        prefix in part_of_name(),
        delimiter in prop::option::of(prop::sample::select(vec!["/", "//", "a", "oo", "\u{10ffff}", ""])),
        after in prop::option::of(part_of_name()),
    ) {
        run(async {
            let world = World::memory().await;
            let mut rows = Vec::new();
            for name in names {
                let entry = world.commit(&world.inline(&key(&name))).await.expect("stored");
                rows.push((name, entry.manifest));
            }
            let delimiter = delimiter.map(str::to_owned);
            for prefix in [prefix, String::new()] {
                let query = ListQuery { prefix, delimiter: delimiter.clone(), after: after.clone(), limit: 0, without_taken_down: false };
                let expected = naive(&rows, &query);
                for limit in [1, 2, 3, 7, 1000, usize::MAX] {
                    let query = ListQuery { limit, ..query.clone() };
                    assert_eq!(page_through_objects(&world, &query).await, expected, "{query:?}");
                }
            }
        });
    }

    #[test]
    fn uploads_are_listed_as_defined_whatever_the_page(
        names in prop::collection::vec((name(), 1..4_usize), 0..12),
        prefix in part_of_name(),
        delimiter in prop::option::of(prop::sample::select(vec!["/", "a", ""])),
        after in prop::option::of(part_of_name()),
        chosen in 0..40_usize,
    ) {
        run(async {
            let world = World::memory().await;
            let mut rows = BTreeSet::new();
            for (name, times) in names {
                for _ in 0..times {
                    let (_, _, id) = world.create_upload(&key(&name)).await.expect("begun");
                    rows.insert((name.clone(), id));
                }
            }
            let rows: Vec<_> = rows.into_iter().collect();
            let delimiter = delimiter.map(str::to_owned);
            let query = ListQuery { prefix, delimiter, after, limit: 0, without_taken_down: false };
            let exact = rows.get(chosen).map(|(name, id)| (Some(name.clone()), Some(*id)));
            for (after, after_upload) in [Some((query.after.clone(), None)), exact].into_iter().flatten() {
                let query = ListQuery { after, ..query.clone() };
                let expected = naive_uploads(&rows, &query, after_upload);
                for limit in [1, 2, 3, 7, 1000, usize::MAX] {
                    let query = ListQuery { limit, ..query.clone() };
                    let listed = page_through_uploads(&world, &query, after_upload).await;
                    assert_eq!(listed, expected, "{query:?} {after_upload:?}");
                }
            }
        });
    }
}

#[tokio::test]
async fn nasty_keys_come_in_the_order_of_their_bytes() {
    let world = World::memory().await;
    let mut names = vec![
        "a/",
        "a//b",
        "a",
        "foo+1/",
        "foo/",
        "foo/bar",
        "foo",
        "foo0",
        "é/x",
        "e\u{301}",
        "\u{ffff}",
        "\u{10ffff}",
        "\u{10ffff}/",
        "\u{0}",
        "a\u{0}b",
    ];
    for name in &names {
        world.commit(&world.inline(&key(name))).await.expect("stored");
    }
    names.sort_unstable();
    let query = ListQuery { limit: 4, ..ListQuery::default() };
    let listed: Vec<_> = page_through_objects(&world, &query).await;
    assert_eq!(listed.iter().map(Listed::name).collect::<Vec<_>>(), names);
    let query = ListQuery { delimiter: Some("/".to_owned()), ..query };
    let rolled = page_through_objects(&world, &query).await;
    let prefixes: Vec<_> = rolled
        .iter()
        .filter(|entry| matches!(entry, Listed::Prefix(_)))
        .map(Listed::name)
        .collect();
    assert_eq!(prefixes, ["a/", "foo+1/", "foo/", "é/", "\u{10ffff}/"]);
}

#[tokio::test]
async fn a_limit_of_nothing_lists_nothing_and_is_not_truncated() {
    let world = World::memory().await;
    world.commit(&world.inline(&key("a"))).await.expect("stored");
    let page =
        world.catalog.list_objects(world.bucket.1, &ListQuery::default()).await.expect("read");
    assert!(page.items.is_empty() && page.prefixes.is_empty() && page.next.is_none());
}

#[tokio::test]
async fn large_folders_are_skipped_and_small_ones_are_not() {
    let world = World::memory().await;
    let mut rows = Vec::new();
    for folder in 0..3 {
        for number in 0..1500 {
            rows.push(format!("large-{folder}/{number:04}"));
        }
    }
    rows.extend((0..1500).map(|folder| format!("small-{folder:04}/x")));
    rows.extend((0..1500).map(|number| format!("x{number:04}")));
    for name in &rows {
        world.commit(&world.inline(&key(name))).await.expect("stored");
    }
    let rows: Vec<_> = rows.into_iter().map(|name| (name, ())).collect();
    for (delimiter, limit) in [(Some("/"), 1000), (Some("/"), 10), (None, 1000), (Some("/"), 1)] {
        let delimiter = delimiter.map(str::to_owned);
        let query = ListQuery { delimiter, limit, ..ListQuery::default() };
        let expected = naive(&rows, &query);
        let listed = page_through_objects(&world, &query).await;
        assert!(listed.iter().map(Listed::name).eq(expected.iter().map(Listed::name)));
    }
}

#[tokio::test]
async fn another_bucket_s_keys_are_never_listed() {
    let mut world = World::memory().await;
    world.commit(&world.inline(&key("a/1"))).await.expect("stored");
    world.create_upload(&key("a/1")).await.expect("begun");
    let name = "other".parse().expect("a name");
    let other = world
        .catalog
        .create_bucket(&name, &account(), NewBucket::plain(Local))
        .await
        .expect("made");
    world.bucket = (name, other.id);
    for delimiter in [None, Some("/".to_owned())] {
        let query = ListQuery { delimiter, limit: 9, ..ListQuery::default() };
        assert!(page_through_objects(&world, &query).await.is_empty());
        assert!(page_through_uploads(&world, &query, None).await.is_empty());
    }
}
