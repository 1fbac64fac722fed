//! One real process: started with its output in a file, mistreated by signals, measured, and never left behind.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

/// How often an exit is looked for.
const POLL: Duration = Duration::from_millis(10);
/// Lines of its log that a failed test shows.
const TAIL: usize = 40;

/// A process and how to start it again.
#[derive(Debug)]
pub struct Process {
    name: String,
    program: PathBuf,
    args: Vec<String>,
    env: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
}

impl Process {
    /// Not started yet. Its output will go to `logs/name.log`.
    #[must_use]
    pub fn new(
        name: &str,
        program: &Path,
        args: Vec<String>,
        env: Vec<(String, String)>,
        logs: &Path,
    ) -> Self {
        let log = logs.join(format!("{name}.log"));
        Self { name: name.to_owned(), program: program.to_owned(), args, env, log, child: None }
    }

    /// Starts it.
    ///
    /// # Panics
    /// If it cannot be started, or runs already.
    pub fn start(&mut self) {
        assert!(!self.running(), "{} runs already", self.name);
        let mut log = File::options()
            .create(true)
            .append(true)
            .open(&self.log)
            .expect("the log can be written");
        writeln!(log, "--- {} {}", self.program.display(), self.args.join(" "))
            .expect("the log can be written");
        let errors = log.try_clone().expect("the log can be shared");
        let child = Command::new(&self.program)
            .args(&self.args)
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("cannot start {}: {error}", self.program.display()));
        self.child = Some(child);
    }

    /// Adds an argument for the next start.
    pub fn push_arg(&mut self, arg: &str) {
        self.args.push(arg.to_owned());
    }

    /// Whether it was started and has not ended.
    pub fn running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| child.try_wait().is_ok_and(|status| status.is_none()))
    }

    /// `kill -9`, and waits until it is gone.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Freezes it: it keeps its connections and answers nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after [`Self::freeze`].
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// SIGTERM, without waiting.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGINT, as Ctrl-C sends it, without waiting.
    pub fn interrupt(&self) {
        self.signal(Signal::INT);
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// If it takes longer than `limit`.
    pub async fn ended(&mut self, limit: Duration) -> ExitStatus {
        let begin = Instant::now();
        let child = self.child.as_mut().expect("it was started");
        loop {
            if let Some(status) = child.try_wait().expect("a child can be waited for") {
                self.child = None;
                return status;
            }
            assert!(begin.elapsed() < limit, "{} has not ended after {limit:?}", self.name);
            sleep(POLL).await;
        }
    }

    /// Proportional set size in bytes: the memory that would be free without it.
    #[must_use]
    pub fn pss(&self) -> u64 {
        read_pss(&self.rollup())
    }

    /// Resident set size in bytes, as `VmRSS`.
    #[must_use]
    pub fn rss(&self) -> u64 {
        let status = self.proc("status");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        kib.unwrap_or_default() << 10
    }

    /// Processor time that it has used, of all its threads.
    #[must_use]
    pub fn cpu(&self) -> Duration {
        let stat = self.proc("stat");
        // The name in brackets may hold spaces; after it come state, …, and as 12th and 13th utime and stime (proc(5)).
        let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = fields.split_whitespace().skip(11).take(2);
        let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
        Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// A file of its folder in `/proc`; empty once it has ended.
    #[must_use]
    pub fn proc(&self, name: &str) -> String {
        let path = format!("/proc/{}/{name}", self.pid().as_raw_nonzero());
        fs::read_to_string(path).unwrap_or_default()
    }

    /// All it printed so far.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    fn rollup(&self) -> String {
        format!("/proc/{}/smaps_rollup", self.pid().as_raw_nonzero())
    }

    fn pid(&self) -> Pid {
        Pid::from_child(self.child.as_ref().expect("it was started"))
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("a running child can be signalled");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let tail = lines[lines.len().saturating_sub(TAIL)..].join("\n");
            let fate =
                ended.map_or_else(String::new, |status| format!(" (it had ended: {status})"));
            eprintln!("=== the last lines of {}{fate}\n{tail}", self.name);
        }
    }
}

/// Measures a process's memory every few milliseconds, in a thread of its own so that a busy test does not miss a peak.
#[derive(Debug)]
pub struct MemoryMeter {
    stop: std::sync::mpsc::Sender<()>,
    thread: std::thread::JoinHandle<u64>,
}

impl MemoryMeter {
    /// Begins to measure.
    #[must_use]
    pub fn start(process: &Process) -> Self {
        let path = process.rollup();
        let (stop, stopped) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let mut peak = 0;
            loop {
                peak = peak.max(read_pss(&path));
                match stopped.recv_timeout(Duration::from_millis(100)) {
                    Err(std::sync::mpsc::RecvTimeoutError::Timeout) => {}
                    _ => return peak,
                }
            }
        });
        Self { stop, thread }
    }

    /// The most bytes (PSS) it had.
    #[must_use]
    pub fn peak(self) -> u64 {
        let _ = self.stop.send(());
        self.thread.join().expect("measuring does not panic")
    }
}

fn read_pss(path: &str) -> u64 {
    let text = fs::read_to_string(path).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("Pss:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or_default() << 10
}
