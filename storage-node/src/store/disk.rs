//! The port to the disk: one folder of files. Everything the store does to a disk goes through these two traits, so that the tests can lose,
//! tear and refuse writes at will.
//!
//! All calls block; the store makes them on the blocking pool.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, IoSliceMut};
use std::path::PathBuf;
use std::sync::Arc;

use rustix::fs::FallocateFlags;

/// The most buffers one `pwritev` takes (Linux `IOV_MAX`).
const BUFFERS_MAX: usize = 1024;

/// Room on the file system, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Space {
    /// What this process may still take.
    pub(crate) free: u64,
    /// All there is.
    pub(crate) total: u64,
}

/// A folder of files without sub-folders.
pub(crate) trait Disk: Send + Sync + 'static {
    /// The names of all files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes a file that was not there. Durable after [`Self::sync_dir`].
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Opens a file to read and write.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;
    /// Removes a file; who has it open may go on reading. Durable after [`Self::sync_dir`].
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations and removals durable.
    fn sync_dir(&self) -> io::Result<()>;
    /// Writes a small file whole or not at all, durably.
    fn replace(&self, name: &str, contents: &[u8]) -> io::Result<()>;
    /// Reads a small file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// The room that is left.
    fn space(&self) -> io::Result<Space>;
}

/// An open file.
pub(crate) trait DiskFile: Send + Sync + 'static {
    /// Bytes of the file.
    fn len(&self) -> io::Result<u64>;
    /// Grows the file to `len` bytes and claims the disk space for them, so that later writes there cannot run out of it.
    fn allocate(&self, len: u64) -> io::Result<()>;
    /// Cuts the file to `len` bytes.
    fn truncate(&self, len: u64) -> io::Result<()>;
    /// Reads exactly `len` bytes; fewer are an error.
    fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>>;
    /// Fills `buffer` if the system has the bytes in memory: never waits for the disk. `false` if it has not, or cannot tell; what the buffer holds
    /// is then of no meaning.
    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> bool {
        let _ = (offset, buffer);
        false
    }
    /// Writes all `buffers` one after the other from `offset`.
    fn write_at(&self, offset: u64, buffers: &[&[u8]]) -> io::Result<()>;
    /// Returns once all that was written is durable.
    fn sync(&self) -> io::Result<()>;
}

/// A folder of the real file system.
pub(crate) struct RealDisk {
    dir: PathBuf,
}

impl RealDisk {
    /// The folder `dir`, made if it is not there.
    pub(crate) fn new(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&dir)?;
        Ok(Self { dir })
    }
}

impl Disk for RealDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                names.extend(entry.file_name().into_string());
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file =
            OpenOptions::new().read(true).write(true).create_new(true).open(self.dir.join(name))?;
        Ok(Arc::new(RealFile { file }))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(true).open(self.dir.join(name))?;
        Ok(Arc::new(RealFile { file }))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.dir.join(name))
    }

    fn sync_dir(&self) -> io::Result<()> {
        File::open(&self.dir)?.sync_all()
    }

    fn replace(&self, name: &str, contents: &[u8]) -> io::Result<()> {
        crate::crashsafe::replace(&self.dir.join(name), contents)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.dir.join(name))
    }

    fn space(&self) -> io::Result<Space> {
        let stat = rustix::fs::statvfs(&self.dir)?;
        Ok(Space {
            free: stat.f_bavail.saturating_mul(stat.f_frsize),
            total: stat.f_blocks.saturating_mul(stat.f_frsize),
        })
    }
}

struct RealFile {
    file: File,
}

impl DiskFile for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let have = self.len()?;
        if len <= have {
            return Ok(());
        }
        match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), have, len - have) {
            // Not every file system can claim space ahead; a sparse file then runs out of space at the write instead.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => self.file.set_len(len),
            done => Ok(done?),
        }
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        self.file.set_len(len)
    }

    fn read_at(&self, offset: u64, len: usize) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(len);
        while bytes.len() < len {
            let at = offset + bytes.len() as u64;
            let more =
                rustix::io::pread(&self.file, rustix::buffer::spare_capacity(&mut bytes), at)?;
            if more == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        // The allocator may have given more room than was asked for.
        bytes.truncate(len);
        Ok(bytes)
    }

    fn read_cached(&self, offset: u64, buffer: &mut [u8]) -> bool {
        let len = buffer.len();
        let mut slices = [IoSliceMut::new(buffer)];
        let nowait = rustix::io::ReadWriteFlags::NOWAIT;
        rustix::io::preadv2(&self.file, &mut slices, offset, nowait) == Ok(len)
    }

    fn write_at(&self, offset: u64, buffers: &[&[u8]]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = buffers
            .iter()
            .filter(|buffer| !buffer.is_empty())
            .map(|buffer| IoSlice::new(buffer))
            .collect();
        let mut rest = slices.as_mut_slice();
        let mut at = offset;
        while !rest.is_empty() {
            let batch = &rest[..rest.len().min(BUFFERS_MAX)];
            let written = match rustix::io::pwritev(&self.file, batch, at) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => written,
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            at += written as u64;
            IoSlice::advance_slices(&mut rest, written);
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}
