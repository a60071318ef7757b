//! A prime pool on disk, so that later runs start at once and no two devices get the same key.
//!
//! The file holds the primes and the number of the next key that nobody has. Numbers are set aside in
//! blocks before the first of them is used, so that a killed run loses some and doubles none.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::num::NonZeroUsize;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::asn1::{content_of, split_tlv, unsigned};
use super::keys::{DeviceKey, KeyError, KeyKind};
use super::prime_pool::PrimePool;

/// Numbers that are set aside at once: the file is written that seldom.
const BLOCK: usize = 1_000;
/// The largest pool has 2,000 primes of 4096-bit keys: 0.5 MB.
const FILE_MAX: u64 = 4 * 1024 * 1024;

/// A pool, its file, and which of its keys are ours to give.
#[derive(Debug)]
pub struct PoolFile {
    kind: KeyKind,
    path: PathBuf,
    pool: Arc<PrimePool>,
    /// What the pool was read from.
    bytes: Vec<u8>,
    /// The next number of those set aside, and the first that is not.
    ours: std::ops::Range<usize>,
}

impl PoolFile {
    /// The pool of keys of this kind in the state folder; empty when there is none yet.
    pub fn open(folder: &Path, kind: KeyKind) -> Result<Self, KeyError> {
        let name = kind.to_string().to_ascii_lowercase();
        let mut file = Self {
            kind,
            path: folder.join(format!("keys-{name}.pool")),
            pool: Arc::new(PrimePool::new(kind)),
            bytes: Vec::new(),
            ours: 0..0,
        };
        let _lock = file.lock()?;
        file.reread()?;
        Ok(file)
    }

    /// Makes the pool large enough for `wanted` keys more, on `threads` threads, and gives the number of
    /// fresh keys that took.
    pub fn grow(&mut self, wanted: usize, threads: NonZeroUsize) -> Result<usize, KeyError> {
        let _lock = self.lock()?;
        let next = self.reread()?;
        // Blocks of others that run at the same time may lie in between.
        let seeds = PrimePool::seeds_for(next + wanted + BLOCK);
        let missing = seeds.saturating_sub(self.pool.seeds());
        let kind = self.kind;
        let share = missing.div_ceil(threads.get()).max(1);
        let made: Vec<Result<DeviceKey, KeyError>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..missing)
                .step_by(share)
                .map(|from| {
                    let count = share.min(missing - from);
                    scope.spawn(move || {
                        (0..count)
                            .map(|_| DeviceKey::generate(kind))
                            .collect::<Vec<_>>()
                    })
                })
                .collect();
            threads
                .into_iter()
                .flat_map(|thread| thread.join().expect("making keys does not panic"))
                .collect()
        });
        for key in made {
            Arc::make_mut(&mut self.pool).add(&key?)?;
        }
        self.write(next)?;
        Ok(missing)
    }

    /// A number of a key that nobody has had, and the pool that has it.
    ///
    /// A pool that is used up grows. Only the largest begins anew: its first two million keys are old
    /// by then, and a warning says so.
    pub fn set_aside(&mut self) -> Result<usize, KeyError> {
        if self.ours.is_empty() {
            let lock = self.lock()?;
            let mut next = self.reread()?;
            if next >= self.pool.len() && !self.pool.is_full() {
                drop(lock);
                self.grow(1, NonZeroUsize::MIN)?;
                return self.set_aside();
            }
            if next >= self.pool.len() {
                tracing::warn!(
                    file = %self.path.display(),
                    "every key of the pool was used: devices get keys that earlier ones had"
                );
                next = 0;
            }
            let end = (next + BLOCK).min(self.pool.len());
            self.write(end)?;
            self.ours = next..end;
        }
        Ok(self.ours.next().expect("a block was just set aside"))
    }

    /// The pool as it is; numbers stay right when it grows.
    pub fn pool(&self) -> Arc<PrimePool> {
        Arc::clone(&self.pool)
    }

    /// One process at a time; freed when it is dropped, and when a process dies.
    fn lock(&self) -> Result<File, KeyError> {
        let path = self.path.with_extension("lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .and_then(|file| file.lock().map(|()| file));
        file.map_err(|error| unusable(&path, &error))
    }

    /// Reads the file again if somebody wrote it, and gives the next number.
    fn reread(&mut self) -> Result<usize, KeyError> {
        let bytes = match fs::metadata(&self.path) {
            Ok(found) if found.len() > FILE_MAX => {
                return Err(KeyError::Pool(format!(
                    "{} has {} bytes, expected at most {FILE_MAX}; remove it",
                    self.path.display(),
                    found.len()
                )));
            }
            Ok(_) => fs::read(&self.path).map_err(|error| unusable(&self.path, &error))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            Err(error) => return Err(unusable(&self.path, &error)),
        };
        let damaged = || KeyError::Pool(format!("{} is damaged; remove it", self.path.display()));
        let (next, pool) = split_tlv(&bytes).ok_or_else(damaged)?;
        let next = content_of(next).filter(|digits| digits.len() <= 5);
        let next = next.ok_or_else(damaged)?;
        let next = next.iter().fold(0, |sum, &d| sum << 8 | usize::from(d));
        if bytes != self.bytes {
            self.pool = Arc::new(PrimePool::from_bytes(self.kind, pool).map_err(|_| damaged())?);
            self.bytes = bytes;
        }
        Ok(next)
    }

    /// Writes the file whole or not at all, readable for its owner alone.
    fn write(&mut self, next: usize) -> Result<(), KeyError> {
        let bytes = [unsigned(&next.to_be_bytes()), self.pool.to_bytes()].concat();
        let partial = self.path.with_extension("partial");
        let written = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&partial)
            .and_then(|mut file| {
                file.write_all(&bytes)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&partial, &self.path));
        written.map_err(|error| unusable(&self.path, &error))?;
        self.bytes = bytes;
        Ok(())
    }
}

fn unusable(path: &Path, error: &io::Error) -> KeyError {
    KeyError::Pool(format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const ONE: NonZeroUsize = NonZeroUsize::new(1).unwrap();

    #[test]
    fn no_two_runs_give_the_same_key() {
        let folder = tempfile::tempdir().unwrap();
        let mut first = PoolFile::open(folder.path(), KeyKind::Rsa2048).unwrap();
        // 46 primes: 1,035 keys.
        first.pool = Arc::new(small_pool());
        first.write(0).unwrap();
        assert_eq!(
            (first.set_aside().unwrap(), first.set_aside().unwrap()),
            (0, 1)
        );
        let mut second = PoolFile::open(folder.path(), KeyKind::Rsa2048).unwrap();
        assert_eq!(second.pool().len(), first.pool().len());
        // The rest is shorter than a block, and is used all the same; then the pool grows.
        for number in BLOCK..1_035 {
            assert_eq!(second.set_aside().unwrap(), number);
        }
        assert_eq!(second.set_aside().unwrap(), 1_035);
        assert!(second.pool().len() > 1_035);
        assert_eq!(first.set_aside().unwrap(), 2);
        let file = folder.path().join("keys-rsa-2048.pool");
        let mode = fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        fs::write(&file, b"0").unwrap();
        let damaged = PoolFile::open(folder.path(), KeyKind::Rsa2048).unwrap_err();
        assert!(damaged.to_string().contains("remove it"), "{damaged}");
    }

    #[test]
    fn a_pool_grows_as_far_as_is_wanted_and_is_there_the_next_time() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = PoolFile::open(folder.path(), KeyKind::Rsa2048).unwrap();
        let made = file.grow(10, ONE).unwrap();
        assert_eq!(made, PrimePool::seeds_for(10 + BLOCK));
        let mut again = PoolFile::open(folder.path(), KeyKind::Rsa2048).unwrap();
        assert_eq!(again.grow(10, ONE).unwrap(), 0);
        let number = again.set_aside().unwrap();
        assert_eq!(again.pool().key(number).unwrap().kind(), KeyKind::Rsa2048);
    }

    fn small_pool() -> PrimePool {
        let mut pool = PrimePool::new(KeyKind::Rsa2048);
        for _ in 0..23 {
            pool.add(&DeviceKey::generate(KeyKind::Rsa2048).unwrap())
                .unwrap();
        }
        pool
    }
}
