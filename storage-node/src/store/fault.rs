//! A disk that loses power, tears and loses unsynced writes, fills up and rots: all as the tests say, from a seed.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::store::disk::{Disk, DiskFile, Space};

/// Sectors are written whole or not at all.
const SECTOR: usize = 512;

/// A disk in memory. Clones are the same disk.
#[derive(Clone, Default)]
pub(crate) struct FaultDisk(Arc<State>);

#[derive(Default)]
struct State {
    names: Mutex<Names>,
    power_off: AtomicBool,
    /// Writes and syncs until the power goes; 0: it stays on.
    fuse: AtomicU64,
    full: AtomicBool,
    syncs: AtomicU64,
}

#[derive(Default)]
struct Names {
    now: BTreeMap<String, Arc<Inode>>,
    durable: BTreeMap<String, Arc<Inode>>,
}

#[derive(Default)]
struct Inode(Mutex<Content>);

#[derive(Default, Clone)]
struct Content {
    now: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Pending>,
}

#[derive(Clone)]
enum Pending {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// A small generator, so that a crash is the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

impl FaultDisk {
    /// Cuts the power. Of what was not synced, each write survives whole, in parts or not at all. Whoever still uses the old disk gets errors.
    pub(crate) fn crash(&self, seed: u64) -> Self {
        self.0.power_off.store(true, Ordering::SeqCst);
        let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
        let names = self.0.names.lock().unwrap();
        let mut survivors = names.durable.clone();
        for (name, inode) in &names.now {
            if !survivors.contains_key(name) && dice.roll(2) == 0 {
                survivors.insert(name.clone(), Arc::clone(inode));
            }
        }
        for name in names.durable.keys().filter(|name| !names.now.contains_key(*name)) {
            if dice.roll(2) == 0 {
                survivors.remove(name);
            }
        }
        let survivors: BTreeMap<_, _> = survivors
            .into_iter()
            .map(|(name, inode)| {
                let content = inode.0.lock().unwrap().after_crash(&mut dice);
                (name, Arc::new(Inode(Mutex::new(content))))
            })
            .collect();
        let names = Names { now: survivors.clone(), durable: survivors };
        Self(Arc::new(State { names: Mutex::new(names), ..State::default() }))
    }

    /// Cuts the power after `ops` more writes, syncs and changes of names.
    pub(crate) fn fuse(&self, ops: u64) {
        self.0.fuse.store(ops, Ordering::SeqCst);
    }

    /// Whether there is no room from now on.
    pub(crate) fn set_full(&self, full: bool) {
        self.0.full.store(full, Ordering::SeqCst);
    }

    /// How often a file was synced.
    pub(crate) fn syncs(&self) -> u64 {
        self.0.syncs.load(Ordering::SeqCst)
    }

    /// Turns one bit of a file.
    pub(crate) fn flip(&self, name: &str, offset: u64) {
        let names = self.0.names.lock().unwrap();
        let mut content = names.now[name].0.lock().unwrap();
        content.now[offset as usize] ^= 1;
        content.durable = content.now.clone();
    }

    /// Cuts a file, as a file system check might.
    pub(crate) fn cut(&self, name: &str, len: u64) {
        let names = self.0.names.lock().unwrap();
        let mut content = names.now[name].0.lock().unwrap();
        content.now.truncate(len as usize);
        content.durable = content.now.clone();
        content.pending.clear();
    }

    /// Bytes of all files with this ending.
    pub(crate) fn bytes(&self, ending: &str) -> u64 {
        let names = self.0.names.lock().unwrap();
        let files = names.now.iter().filter(|(name, _)| name.ends_with(ending));
        files.map(|(_, inode)| inode.0.lock().unwrap().now.len() as u64).sum()
    }

    fn step(&self) -> io::Result<()> {
        let burning = self.0.fuse.load(Ordering::SeqCst);
        if burning > 0 && self.0.fuse.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.0.power_off.store(true, Ordering::SeqCst);
        }
        self.powered()
    }

    fn powered(&self) -> io::Result<()> {
        if self.0.power_off.load(Ordering::SeqCst) {
            Err(io::Error::other("the power is off"))
        } else {
            Ok(())
        }
    }

    fn room(&self) -> io::Result<()> {
        if self.0.full.load(Ordering::SeqCst) {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }
}

impl Content {
    fn after_crash(&self, dice: &mut Dice) -> Self {
        let mut bytes = self.durable.clone();
        for pending in &self.pending {
            match pending {
                Pending::Length(len) => {
                    if dice.roll(2) == 0 {
                        bytes.resize(*len, 0);
                    }
                }
                Pending::Write(offset, data) => {
                    let fate = dice.roll(3);
                    for (n, sector) in data.chunks(SECTOR).enumerate() {
                        if fate == 0 || (fate == 1 && dice.roll(2) == 0) {
                            put(&mut bytes, offset + n * SECTOR, sector);
                        }
                    }
                }
            }
        }
        Self { now: bytes.clone(), durable: bytes, pending: Vec::new() }
    }
}

fn put(bytes: &mut Vec<u8>, offset: usize, data: &[u8]) {
    if bytes.len() < offset + data.len() {
        bytes.resize(offset + data.len(), 0);
    }
    bytes[offset..offset + data.len()].copy_from_slice(data);
}

impl Disk for FaultDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        self.powered()?;
        Ok(self.0.names.lock().unwrap().now.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.step()?;
        self.room()?;
        let inode = Arc::new(Inode::default());
        let mut names = self.0.names.lock().unwrap();
        assert!(names.now.insert(name.to_owned(), Arc::clone(&inode)).is_none(), "{name} exists");
        Ok(Arc::new(FaultFile { disk: self.clone(), inode }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.powered()?;
        let names = self.0.names.lock().unwrap();
        let inode = names.now.get(name).cloned().ok_or(io::ErrorKind::NotFound)?;
        Ok(Arc::new(FaultFile { disk: self.clone(), inode }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.step()?;
        self.0.names.lock().unwrap().now.remove(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.step()?;
        let mut names = self.0.names.lock().unwrap();
        names.durable = names.now.clone();
        Ok(())
    }

    fn replace(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        self.step()?;
        let content =
            Content { now: contents.to_vec(), durable: contents.to_vec(), pending: Vec::new() };
        let inode = Arc::new(Inode(Mutex::new(content)));
        let mut names = self.0.names.lock().unwrap();
        names.now.insert(name.to_owned(), Arc::clone(&inode));
        names.durable.insert(name.to_owned(), inode);
        Ok(())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.powered()?;
        let names = self.0.names.lock().unwrap();
        let inode = names.now.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(inode.0.lock().unwrap().now.clone())
    }

    fn space(&self) -> io::Result<Space> {
        Ok(Space { free: 1 << 40, total: 1 << 40 })
    }
}

struct FaultFile {
    disk: FaultDisk,
    inode: Arc<Inode>,
}

impl DiskFile for FaultFile {
    fn len(&self) -> io::Result<u64> {
        self.disk.powered()?;
        Ok(self.inode.0.lock().unwrap().now.len() as u64)
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        self.disk.step()?;
        self.disk.room()?;
        self.set_len(len);
        Ok(())
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.disk.step()?;
        self.set_len(len);
        Ok(())
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        self.disk.powered()?;
        let content = self.inode.0.lock().unwrap();
        let bytes = content.now.get(offset as usize..offset as usize + len);
        bytes.map(<[u8]>::to_vec).ok_or(io::ErrorKind::UnexpectedEof.into())
    }

    fn write_at(&self, offset: u64, buffers: &[&[u8]]) -> io::Result<()> {
        self.disk.step()?;
        let data = buffers.concat();
        let mut content = self.inode.0.lock().unwrap();
        assert!(offset as usize + data.len() <= content.now.len(), "writes stay in claimed space");
        put(&mut content.now, offset as usize, &data);
        content.pending.push(Pending::Write(offset as usize, data));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.step()?;
        self.disk.0.syncs.fetch_add(1, Ordering::SeqCst);
        let mut content = self.inode.0.lock().unwrap();
        content.durable = content.now.clone();
        content.pending.clear();
        Ok(())
    }
}

impl FaultFile {
    fn set_len(&self, len: u64) {
        let mut content = self.inode.0.lock().unwrap();
        content.now.resize(len as usize, 0);
        content.pending.push(Pending::Length(len as usize));
    }
}
