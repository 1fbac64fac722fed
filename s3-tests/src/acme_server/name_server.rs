//! A name server for one zone over UDP: answers questions for SOA and TXT, and takes updates of TXT records that its key signed.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ring::hmac;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use types::{Clock as _, SystemClock};

const SOA: u16 = 6;
const TXT: u16 = 16;
const TSIG: u16 = 250;
const IN: u16 = 1;
const NONE: u16 = 254;
const UPDATE: u16 = 5;
const MAC: usize = 32;
const ALGORITHM: &str = "hmac-sha256";
const REFUSED: u16 = 5;
const NOT_AUTHORIZED: u16 = 9;
const NO_SUCH_NAME: u16 = 3;

/// A running name server. It ends when this is dropped.
#[derive(Debug)]
pub struct NameServer {
    address: SocketAddr,
    zone: Arc<Zone>,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct Zone {
    name: String,
    key: (String, hmac::Key),
    records: Mutex<BTreeSet<(String, String)>>,
    /// Everything that was ever added.
    seen: Mutex<BTreeSet<(String, String)>>,
    /// Further records, a name and a value on each line.
    file: Option<PathBuf>,
}

impl NameServer {
    /// Serves a zone that the key of that name may change. Further records are in `file`.
    pub async fn start(zone: &str, key: (&str, &[u8]), file: Option<PathBuf>) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = socket.local_addr().expect("an address");
        let zone = Arc::new(Zone {
            name: zone.to_owned(),
            key: (key.0.to_owned(), hmac::Key::new(hmac::HMAC_SHA256, key.1)),
            records: Mutex::default(),
            seen: Mutex::default(),
            file,
        });
        let shared = Arc::clone(&zone);
        let serving = tokio::spawn(async move {
            let mut bytes = vec![0; 4096];
            while let Ok((read, from)) = socket.recv_from(&mut bytes).await {
                if let Some(answer) = shared.answer(&bytes[..read]) {
                    let _ = socket.send_to(&answer, from).await;
                }
            }
        });
        Self { address, zone, serving }
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many records there are now, and how many different ones were ever added by updates.
    #[must_use]
    pub fn records(&self) -> (usize, usize) {
        let count = |set: &Mutex<BTreeSet<_>>| set.lock().expect("no answer panicked").len();
        (count(&self.zone.records), count(&self.zone.seen))
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Zone {
    /// The answer to a message; none to what is no message.
    fn answer(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut message = Message { bytes, at: 0 };
        let (id, flags) = (message.u16()?, message.u16()?);
        let counts = [message.u16()?, message.u16()?, message.u16()?, message.u16()?];
        if counts[0] != 1 {
            return None;
        }
        let name = message.name()?;
        let kind = message.u16()?;
        message.u16()?;
        let question = bytes.get(12..message.at)?;
        if flags >> 11 & 15 == UPDATE {
            return self.update(bytes, &mut message, counts, &name, id, question);
        }
        let values: Vec<String> = match kind {
            TXT => self.texts(&name),
            SOA if name == self.name => vec![String::new()],
            _ => Vec::new(),
        };
        let within = name == self.name || name.ends_with(&format!(".{}", self.name));
        let code = if within { 0 } else { NO_SUCH_NAME };
        let mut answer = head(id, 0x8400 | code, [1, values.len() as u16, 0, 0]);
        answer.extend(question);
        for value in values {
            answer.extend([0xc0, 12]);
            put(&mut answer, &[kind, IN, 0, 60]);
            let data = if kind == TXT {
                [&[value.len() as u8], value.as_bytes()].concat()
            } else {
                // Two names and five numbers.
                vec![0; 22]
            };
            put(&mut answer, &[data.len() as u16]);
            answer.extend(data);
        }
        Some(answer)
    }

    fn texts(&self, name: &str) -> Vec<String> {
        let records = self.records.lock().expect("no answer panicked");
        let mut found: Vec<String> =
            records.iter().filter(|(at, _)| at == name).map(|(_, value)| value.clone()).collect();
        let text = self.file.as_ref().and_then(|file| std::fs::read_to_string(file).ok());
        let lines = text.as_deref().unwrap_or_default().lines();
        found.extend(
            lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(' ')).map(str::to_owned),
        );
        found
    }

    fn update(
        &self,
        bytes: &[u8],
        message: &mut Message<'_>,
        counts: [u16; 4],
        zone: &str,
        id: u16,
        question: &[u8],
    ) -> Option<Vec<u8>> {
        let refuse = |code| {
            let mut answer = head(id, 0xa800 | code, [1, 0, 0, 0]);
            answer.extend(question);
            Some(answer)
        };
        if zone != self.name || counts[1] != 0 || counts[3] != 1 {
            return refuse(REFUSED);
        }
        let mut changes = Vec::new();
        for _ in 0..counts[2] {
            let record = message.record()?;
            let below = record.name.ends_with(&format!(".{zone}"));
            if record.kind != TXT || !below {
                return refuse(REFUSED);
            }
            let value = String::from_utf8(record.data.get(1..)?.to_vec()).ok()?;
            changes.push((record.class, (record.name, value)));
        }
        let end = message.at;
        let Some((asked, time)) = self.signed(bytes, &message.record()?, end) else {
            return refuse(NOT_AUTHORIZED);
        };
        let mut records = self.records.lock().expect("no answer panicked");
        for (class, record) in changes {
            match class {
                IN => {
                    self.seen.lock().expect("no answer panicked").insert(record.clone());
                    records.insert(record);
                }
                NONE => drop(records.remove(&record)),
                _ => return refuse(REFUSED),
            }
        }
        let mut answer = head(id, 0xa800, [1, 0, 0, 0]);
        answer.extend(question);
        self.sign(&mut answer, &asked, time, id);
        Some(answer)
    }

    /// Checks the signature at the end of a message; gives it and its time.
    fn signed(&self, bytes: &[u8], tsig: &Record, end: usize) -> Option<(Vec<u8>, u64)> {
        let mut data = Message { bytes: &tsig.data, at: 0 };
        let algorithm = data.name()?;
        let mut time = [0; 8];
        time[2..].copy_from_slice(data.take(6)?);
        let time = u64::from_be_bytes(time);
        let fudge = data.u16()?;
        let length = data.u16()?;
        let mac = data.take(usize::from(length))?.to_vec();
        let now = SystemClock.now().seconds();
        let fine = tsig.kind == TSIG
            && tsig.name == self.key.0
            && algorithm == ALGORITHM
            && now.abs_diff(time) <= u64::from(fudge);
        let mut covered = bytes[..end].to_vec();
        covered[10..12].copy_from_slice(&[0, 0]);
        covered.extend(self.variables(time, fudge));
        (fine && hmac::verify(&self.key.1, &covered, &mac).is_ok()).then_some((mac, time))
    }

    fn sign(&self, answer: &mut Vec<u8>, asked: &[u8], time: u64, id: u16) {
        let fudge = 300;
        let mut covered = (asked.len() as u16).to_be_bytes().to_vec();
        covered.extend(asked);
        covered.extend(&*answer);
        covered.extend(self.variables(time, fudge));
        let mac = hmac::sign(&self.key.1, &covered);
        let mut data = encoded(ALGORITHM);
        data.extend(&time.to_be_bytes()[2..]);
        put(&mut data, &[fudge, MAC as u16]);
        data.extend(mac.as_ref());
        put(&mut data, &[id, 0, 0]);
        answer.extend(encoded(&self.key.0));
        put(answer, &[TSIG, 255, 0, 0, data.len() as u16]);
        answer.extend(data);
        answer[11] = 1;
    }

    fn variables(&self, time: u64, fudge: u16) -> Vec<u8> {
        let mut bytes = encoded(&self.key.0);
        put(&mut bytes, &[255, 0, 0]);
        bytes.extend(encoded(ALGORITHM));
        bytes.extend(&time.to_be_bytes()[2..]);
        put(&mut bytes, &[fudge, 0, 0]);
        bytes
    }
}

/// The TXT records of a name, as a resolver would ask for them.
pub(super) async fn ask(server: SocketAddr, name: &str) -> Result<Vec<String>, String> {
    let io = |error: std::io::Error| error.to_string();
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(io)?;
    socket.connect(server).await.map_err(io)?;
    let mut question = head(4711, 0x0100, [1, 0, 0, 0]);
    question.extend(encoded(name));
    put(&mut question, &[TXT, IN]);
    socket.send(&question).await.map_err(io)?;
    let mut bytes = vec![0; 4096];
    let read = timeout(Duration::from_secs(5), socket.recv(&mut bytes)).await;
    let read = read.map_err(|_| "the name server is silent".to_owned())?.map_err(io)?;
    texts(&bytes[..read]).ok_or_else(|| "the name server's answer is garbled".to_owned())
}

fn texts(bytes: &[u8]) -> Option<Vec<String>> {
    let mut message = Message { bytes, at: 6 };
    let count = message.u16()?;
    message.at = 12;
    message.name()?;
    message.take(4)?;
    let mut found = Vec::new();
    for _ in 0..count {
        found.push(String::from_utf8(message.record()?.data.get(1..)?.to_vec()).ok()?);
    }
    Some(found)
}

struct Record {
    name: String,
    kind: u16,
    class: u16,
    data: Vec<u8>,
}

/// A message, read from its start.
struct Message<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Message<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let taken = self.bytes.get(self.at..self.at + count)?;
        self.at += count;
        Some(taken)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes(self.take(2)?.try_into().ok()?))
    }

    fn name(&mut self) -> Option<String> {
        let mut labels: Vec<String> = Vec::new();
        loop {
            match self.take(1)?[0] {
                0 => return Some(labels.join(".")),
                pointer if pointer & 0xc0 == 0xc0 => {
                    let low = self.take(1)?[0];
                    let at = usize::from(u16::from_be_bytes([pointer & 0x3f, low]));
                    let before = Message { bytes: self.bytes.get(..self.at - 2)?, at }.name()?;
                    labels.push(before);
                    return Some(labels.join("."));
                }
                length => {
                    let label = self.take(usize::from(length))?;
                    labels.push(String::from_utf8_lossy(label).to_ascii_lowercase());
                }
            }
        }
    }

    fn record(&mut self) -> Option<Record> {
        let name = self.name()?;
        let (kind, class) = (self.u16()?, self.u16()?);
        self.take(4)?;
        let length = self.u16()?;
        let data = self.take(usize::from(length))?.to_vec();
        Some(Record { name, kind, class, data })
    }
}

fn head(id: u16, flags: u16, counts: [u16; 4]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put(&mut bytes, &[id, flags]);
    put(&mut bytes, &counts);
    bytes
}

fn put(bytes: &mut Vec<u8>, numbers: &[u16]) {
    bytes.extend(numbers.iter().flat_map(|number| number.to_be_bytes()));
}

fn encoded(name: &str) -> Vec<u8> {
    let labels =
        name.split('.').flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat());
    labels.chain([0]).collect()
}
