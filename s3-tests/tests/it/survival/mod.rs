//! What must survive: dead nodes, dead gateways, rotten disks, full disks, races. Each on real processes.

mod deaths;
mod decay;
mod gateway;
mod races;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use drystone_s3_tests::bytes::Content;
use drystone_s3_tests::client::Client;
use tokio::task::JoinHandle;
use tokio::time::sleep;
use types::{KIB, MIB};

/// How long repair and collection may take in these small clusters.
const REPAIR: Duration = Duration::from_secs(60);

/// Objects of several lengths under `/bkt/<prefix>-<index>`.
async fn put_some(s3: &Client, prefix: &str, lens: &[u64]) -> Vec<(String, Content)> {
    let mut objects = Vec::new();
    for (index, &len) in lens.iter().enumerate() {
        let content = Content::new(index as u64 * 1_000_003 + len, len);
        let path = format!("/bkt/{prefix}-{index}");
        s3.put_content(&path, content).await.unwrap_or_else(|error| panic!("{path}: {error}"));
        objects.push((path, content));
    }
    objects
}

async fn check_all(s3: &Client, objects: &[(String, Content)], when: &str) {
    for (path, content) in objects {
        s3.check_content(path, *content)
            .await
            .unwrap_or_else(|error| panic!("{path} {when}: {error}"));
    }
}

/// Tasks that do the same over and over until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    /// Rounds done, by task.
    done: Arc<[AtomicU64]>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    fn start<F, Fut>(tasks: u64, work: F) -> Self
    where
        F: Fn(u64, u64) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = ()> + Send,
    {
        let stop = Arc::new(AtomicBool::new(false));
        let done: Arc<[AtomicU64]> = (0..tasks).map(|_| AtomicU64::new(0)).collect();
        let spawn = |task: u64| {
            let (stop, done, work) = (Arc::clone(&stop), Arc::clone(&done), work.clone());
            tokio::spawn(async move {
                let mut round = 0;
                while !stop.load(Ordering::Relaxed) {
                    work(task, round).await;
                    done[task as usize].fetch_add(1, Ordering::Relaxed);
                    round += 1;
                }
            })
        };
        Self {
            tasks: (0..tasks).map(spawn).collect(),
            stop: Arc::clone(&stop),
            done: Arc::clone(&done),
        }
    }

    /// Waits until so many more rounds are done.
    async fn rounds(&self, more: u64) {
        let target = self.counts().iter().sum::<u64>() + more;
        self.until(|counts| counts.iter().sum::<u64>() >= target).await;
    }

    /// Waits until whatever is under way now is done: each task has ended the round it is in.
    async fn turn(&self) {
        let before = self.counts();
        self.until(|counts| counts.iter().zip(&before).all(|(now, before)| now > before)).await;
    }

    fn counts(&self) -> Vec<u64> {
        self.done.iter().map(|count| count.load(Ordering::Relaxed)).collect()
    }

    async fn until(&self, reached: impl Fn(&[u64]) -> bool) {
        while !reached(&self.counts()) {
            assert!(
                !self.tasks.iter().any(JoinHandle::is_finished),
                "a reader or writer failed; see above"
            );
            sleep(Duration::from_millis(10)).await;
        }
    }

    async fn finish(self) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.expect("a reader or writer failed");
        }
    }
}

fn written(task: u64, round: u64) -> Content {
    let len = [4 * KIB, 256 * KIB, MIB + 7, 8 * MIB][(task + round) as usize % 4];
    Content::new(task * 1_000_000 + round, len)
}
