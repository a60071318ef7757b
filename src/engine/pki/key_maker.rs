//! Keys for many devices: made ahead in the background, or put together from a pool of primes.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;

use super::keys::{DeviceKey, KeyError, KeyKind};
use super::pool_file::PoolFile;

/// Where keys come from, and on how many threads.
#[derive(Clone, Debug)]
pub struct Making {
    /// How many threads make keys.
    pub threads: NonZeroUsize,
    /// The folder of the pool of primes; `None`: every key is made afresh.
    pub pool: Option<PathBuf>,
}

/// Hands out keys, each once. Shared by all who need keys.
pub struct KeyMaker {
    making: Making,
    /// Keys that are made ahead, by kind.
    lines: BTreeMap<KeyKind, tokio::sync::Mutex<mpsc::Receiver<DeviceKey>>>,
    pools: Mutex<BTreeMap<KeyKind, PoolFile>>,
    /// What is made on demand takes turns, so that a crowd does not start a thread each.
    turns: Semaphore,
}

impl std::fmt::Debug for KeyMaker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyMaker")
            .field("making", &self.making)
            .finish_non_exhaustive()
    }
}

/// So many keys are made ahead at most: 1.5 MB of RSA-2048.
const AHEAD_MAX: usize = 512;

impl KeyMaker {
    /// Begins to make the keys that are expected: how many of which kind. Others are made when they are
    /// asked for. With a pool this takes as long as the pool has to grow, else no time.
    pub fn start(
        making: Making,
        expected: &BTreeMap<KeyKind, usize>,
    ) -> Result<Arc<Self>, KeyError> {
        let mut lines = BTreeMap::new();
        let mut pools = BTreeMap::new();
        for (&kind, &count) in expected {
            if kind.rsa_bits().is_none() || count == 0 {
                continue;
            }
            match &making.pool {
                Some(folder) => {
                    let mut pool = PoolFile::open(folder, kind)?;
                    pool.grow(count, making.threads)?;
                    pools.insert(kind, pool);
                }
                None => {
                    let line = line(kind, count, making.threads);
                    lines.insert(kind, tokio::sync::Mutex::new(line));
                }
            }
        }
        let turns = Semaphore::new(making.threads.get());
        Ok(Arc::new(Self {
            making,
            lines,
            pools: Mutex::new(pools),
            turns,
        }))
    }

    /// A key that nobody else has.
    pub async fn take(self: &Arc<Self>, kind: KeyKind) -> Result<DeviceKey, KeyError> {
        // A curve's key takes less than handing it over.
        if kind.rsa_bits().is_none() {
            return DeviceKey::generate(kind);
        }
        if let Some(line) = self.lines.get(&kind)
            && let Some(key) = line.lock().await.recv().await
        {
            return Ok(key);
        }
        let turn = self.turns.acquire().await.map_err(|_| KeyError::Stopped)?;
        let own = Arc::clone(self);
        let made = spawn_blocking(move || match own.making.pool.is_some() {
            true => own.pooled(kind),
            false => DeviceKey::generate(kind),
        });
        let made = made.await.map_err(|_| KeyError::Stopped)?;
        drop(turn);
        made
    }

    fn pooled(&self, kind: KeyKind) -> Result<DeviceKey, KeyError> {
        let (number, pool) = {
            let mut pools = self.pools.lock().expect("no holder of this lock panics");
            let pool = match pools.entry(kind) {
                Entry::Occupied(found) => found.into_mut(),
                Entry::Vacant(place) => {
                    let folder = self.making.pool.as_deref().ok_or(KeyError::Stopped)?;
                    let mut pool = PoolFile::open(folder, kind)?;
                    pool.grow(1, self.making.threads)?;
                    place.insert(pool)
                }
            };
            (pool.set_aside()?, pool.pool())
        };
        pool.key(number)
    }
}

/// Threads that make `count` keys; they wait when enough are there, and end when nobody takes them.
fn line(kind: KeyKind, count: usize, threads: NonZeroUsize) -> mpsc::Receiver<DeviceKey> {
    let (made, taken) = mpsc::channel(count.min(AHEAD_MAX));
    let left = Arc::new(AtomicUsize::new(count));
    for _ in 0..threads.get().min(count) {
        let (made, left) = (made.clone(), Arc::clone(&left));
        std::thread::spawn(move || {
            let one_less = |left: usize| left.checked_sub(1);
            while left
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less)
                .is_ok()
            {
                // A key that cannot be made is made when it is asked for, and fails there.
                let Ok(key) = DeviceKey::generate(kind) else {
                    return;
                };
                if made.blocking_send(key).is_err() {
                    return;
                }
            }
        });
    }
    taken
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    async fn taken(maker: &Arc<KeyMaker>, kind: KeyKind, count: usize) -> BTreeSet<Vec<u8>> {
        let mut keys = BTreeSet::new();
        for _ in 0..count {
            let key = maker.take(kind).await.unwrap();
            assert_eq!(key.kind(), kind);
            keys.insert(key.public_key().to_vec());
        }
        keys
    }

    #[tokio::test]
    async fn keys_are_made_ahead_and_when_those_are_used_up() {
        let making = Making {
            threads: NonZeroUsize::new(2).unwrap(),
            pool: None,
        };
        let expected = BTreeMap::from([(KeyKind::Rsa2048, 3)]);
        let maker = KeyMaker::start(making, &expected).unwrap();
        assert_eq!(taken(&maker, KeyKind::Rsa2048, 5).await.len(), 5);
        assert_eq!(taken(&maker, KeyKind::P256, 5).await.len(), 5);
    }

    #[tokio::test]
    async fn a_pools_keys_are_different() {
        let folder = tempfile::tempdir().unwrap();
        let making = Making {
            threads: NonZeroUsize::new(2).unwrap(),
            pool: Some(folder.path().to_owned()),
        };
        let expected = BTreeMap::from([(KeyKind::Rsa2048, 10)]);
        let maker = KeyMaker::start(making.clone(), &expected).unwrap();
        let first = taken(&maker, KeyKind::Rsa2048, 40).await;
        assert_eq!(first.len(), 40);
    }
}
