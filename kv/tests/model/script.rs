//! Random scripts of several open transactions, step by step beside a model made of plain maps.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use kv::{Family, Kv, KvError, Reads, Scan, Snap, Tx};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_oneof, proptest};

use crate::engines::{self, MAIN, WRAPS};

type Row = (Family, Vec<u8>);
type Rows = BTreeMap<Row, Vec<u8>>;

/// Transactions (and snapshots) that are open at once.
const OPEN: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    Get(usize, Row),
    GetShared(usize, Row),
    GetForUpdate(usize, Row),
    Put(usize, Row, Vec<u8>),
    Delete(usize, Row),
    Scan(usize, Scan),
    Commit(usize),
    Abort(usize),
    Snap(usize),
    SnapGet(usize, Row),
    SnapScan(usize, Scan),
}

fn key() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(proptest::sample::select(vec![0_u8, 7, 255]), 1..3)
}

fn row() -> impl Strategy<Value = Row> {
    (prop_oneof![4 => Just(MAIN), 1 => Just(WRAPS)], key())
}

fn scan() -> impl Strategy<Value = Scan> {
    let edge = || prop_oneof![1 => Just(Vec::new()), 3 => key()];
    let limit = prop_oneof![4 => 0..4_usize, 1 => Just(usize::MAX)];
    (row(), edge(), edge(), limit, any::<bool>()).prop_map(
        |((family, _), from, to, limit, reverse)| Scan {
            family,
            from: from.into(),
            to: to.into(),
            limit,
            reverse,
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    let at = || 0..OPEN;
    prop_oneof![
        2 => (at(), row()).prop_map(|(at, row)| Step::Get(at, row)),
        2 => (at(), row()).prop_map(|(at, row)| Step::GetShared(at, row)),
        2 => (at(), row()).prop_map(|(at, row)| Step::GetForUpdate(at, row)),
        5 => (at(), row(), any::<[u8; 2]>()).prop_map(|(at, row, value)| Step::Put(at, row, value.to_vec())),
        2 => (at(), row()).prop_map(|(at, row)| Step::Delete(at, row)),
        4 => (at(), scan()).prop_map(|(at, scan)| Step::Scan(at, scan)),
        5 => at().prop_map(Step::Commit),
        1 => at().prop_map(Step::Abort),
        1 => at().prop_map(Step::Snap),
        2 => (at(), row()).prop_map(|(at, row)| Step::SnapGet(at, row)),
        2 => (at(), scan()).prop_map(|(at, scan)| Step::SnapScan(at, scan)),
    ]
}

/// What the crate's page says, in the plainest way.
struct Model {
    /// The state after each commit.
    states: Vec<Rows>,
    /// The rows that each commit counts as having written.
    touched: Vec<BTreeSet<Row>>,
}

#[derive(Default)]
struct ModelTx {
    snapshot: Option<usize>,
    own: BTreeMap<Row, Option<Vec<u8>>>,
    checked: BTreeSet<Row>,
    claimed: BTreeSet<Row>,
    read: BTreeSet<Row>,
    scanned: Vec<Scan>,
}

impl Model {
    fn newest(&self) -> usize {
        self.states.len() - 1
    }

    fn commit(&mut self, tx: ModelTx) -> bool {
        if tx.own.is_empty() {
            return true;
        }
        let mut checked = tx.checked;
        let was_read =
            |row: &&Row| tx.read.contains(*row) || tx.scanned.iter().any(|scan| within(scan, row));
        checked.extend(tx.own.keys().filter(was_read).cloned());
        let since = tx.snapshot.unwrap_or(self.newest());
        if self.touched[since + 1..].iter().any(|touched| !touched.is_disjoint(&checked)) {
            return false;
        }
        let state = laid_over(&self.states[self.newest()], &tx.own);
        self.states.push(state);
        self.touched.push(tx.own.into_keys().chain(tx.claimed).collect());
        true
    }
}

impl ModelTx {
    fn view(&mut self, model: &Model) -> Rows {
        let snapshot = *self.snapshot.get_or_insert(model.newest());
        laid_over(&model.states[snapshot], &self.own)
    }

    fn get(&mut self, model: &Model, row: &Row) -> Option<Vec<u8>> {
        match self.own.get(row) {
            Some(own) => own.clone(),
            None => self.view(model).get(row).cloned(),
        }
    }

    fn scan(&mut self, model: &Model, scan: &Scan) -> Vec<(Bytes, Bytes)> {
        if scan.limit == 0 || (!scan.to.is_empty() && scan.from >= scan.to) {
            return Vec::new();
        }
        self.scanned.push(scan.clone());
        scanned(&self.view(model), scan)
    }
}

fn laid_over(state: &Rows, own: &BTreeMap<Row, Option<Vec<u8>>>) -> Rows {
    let mut state = state.clone();
    for (row, value) in own {
        match value {
            Some(value) => state.insert(row.clone(), value.clone()),
            None => state.remove(row),
        };
    }
    state
}

fn within(scan: &Scan, (family, key): &Row) -> bool {
    *family == scan.family
        && key[..] >= scan.from[..]
        && (scan.to.is_empty() || key[..] < scan.to[..])
}

fn scanned(state: &Rows, scan: &Scan) -> Vec<(Bytes, Bytes)> {
    let found = state.iter().filter(|(row, _)| within(scan, row));
    let mut rows: Vec<(Bytes, Bytes)> =
        found.map(|((_, key), value)| (key.clone().into(), value.clone().into())).collect();
    if scan.reverse {
        rows.reverse();
    }
    rows.truncate(scan.limit);
    rows
}

/// Runs the script on both and compares every answer.
async fn run(kv: &dyn Kv, script: Vec<Step>) -> Result<(), KvError> {
    let mut model = Model { states: vec![Rows::new()], touched: vec![BTreeSet::new()] };
    let mut open: Vec<(Tx, ModelTx)> = Vec::new();
    let mut snaps: Vec<(Snap, usize)> = Vec::new();
    for _ in 0..OPEN {
        open.push((kv.begin().await?, ModelTx::default()));
        snaps.push((kv.snapshot().await?, 0));
    }
    for step in script {
        match step {
            Step::Get(at, row) => {
                let (tx, twin) = &mut open[at];
                if !twin.own.contains_key(&row) {
                    twin.read.insert(row.clone());
                }
                assert_eq!(tx.get(row.0, &row.1).await?, twin.get(&model, &row).map(Bytes::from));
            }
            Step::GetShared(at, row) => {
                let (tx, twin) = &mut open[at];
                if !twin.own.contains_key(&row) {
                    twin.checked.insert(row.clone());
                }
                let found = tx.get_shared(row.0, &row.1).await?;
                assert_eq!(found, twin.get(&model, &row).map(Bytes::from));
            }
            Step::GetForUpdate(at, row) => {
                let (tx, twin) = &mut open[at];
                if !twin.own.contains_key(&row) {
                    twin.checked.insert(row.clone());
                    twin.claimed.insert(row.clone());
                }
                let found = tx.get_for_update(row.0, &row.1).await?;
                assert_eq!(found, twin.get(&model, &row).map(Bytes::from));
            }
            Step::Put(at, row, value) => {
                open[at].0.put(row.0, row.1.clone(), value.clone());
                open[at].1.own.insert(row, Some(value));
            }
            Step::Delete(at, row) => {
                open[at].0.delete(row.0, row.1.clone());
                open[at].1.own.insert(row, None);
            }
            Step::Scan(at, scan) => {
                let (tx, twin) = &mut open[at];
                let expected = twin.scan(&model, &scan);
                assert_eq!(tx.scan(scan).await?, expected);
            }
            Step::Commit(at) => {
                let fresh = (kv.begin().await?, ModelTx::default());
                let (tx, twin) = std::mem::replace(&mut open[at], fresh);
                match tx.commit().await {
                    Ok(()) => assert!(model.commit(twin), "committed against the model"),
                    Err(KvError::Conflict) => {
                        assert!(!model.commit(twin), "refused against the model")
                    }
                    Err(error) => return Err(error),
                }
            }
            Step::Abort(at) => open[at] = (kv.begin().await?, ModelTx::default()),
            Step::Snap(at) => snaps[at] = (kv.snapshot().await?, model.newest()),
            Step::SnapGet(at, row) => {
                let (snap, state) = &snaps[at];
                let expected = model.states[*state].get(&row).cloned().map(Bytes::from);
                assert_eq!(snap.get(row.0, &row.1).await?, expected);
            }
            Step::SnapScan(at, scan) => {
                let (snap, state) = &snaps[at];
                let expected = scanned(&model.states[*state], &scan);
                assert_eq!(snap.scan(scan).await?, expected);
            }
        }
    }
    Ok(())
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(work)
}

fn script() -> impl Strategy<Value = Vec<Step>> {
    proptest::collection::vec(step(), 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn memory_does_what_the_model_does(script in script()) {
        block_on(async { run(&*engines::memory().await.kv, script).await }).expect("no failure");
    }
}

proptest! {
    // Opening a store takes most of the time.
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn rocks_does_what_the_model_does(script in script()) {
        block_on(async { run(&*engines::rocks_buffered().await.kv, script).await }).expect("no failure");
    }
}
