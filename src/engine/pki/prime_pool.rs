//! RSA keys for thousands of test devices: a few keys are made, and their primes are combined to many.
//!
//! Keys of one pool share primes, so that anybody who has two of the public keys can compute the private
//! ones: **never for anything but tests**. A combined key takes 0.25 ms where a fresh one takes 50.

use aws_lc_rs::rsa::{KeyPair, KeyPairComponents, PublicKeyComponents};
use num_bigint::BigUint;

use super::asn1::{INTEGER, SEQUENCE, content_of, split_tlv, tlv, unsigned};
use super::keys::{DeviceKey, KeyError, KeyKind};

/// The primes of some keys of one length.
#[derive(Clone, Debug)]
pub struct PrimePool {
    kind: KeyKind,
    primes: Vec<Prime>,
}

#[derive(Clone, Debug)]
struct Prime {
    value: BigUint,
    /// The value less one.
    order: BigUint,
    /// The inverse of the exponent modulo the order.
    exponent: BigUint,
}

/// The exponent of all keys made by the library.
const EXPONENT: u32 = 65_537;

/// A pool has at most this many primes: 2,000 make two million keys.
const PRIMES_MAX: usize = 2_000;

impl PrimePool {
    /// An empty pool for RSA keys of this kind.
    pub const fn new(kind: KeyKind) -> Self {
        Self {
            kind,
            primes: Vec::new(),
        }
    }

    /// How many fresh keys it takes until a pool has `keys` different ones.
    pub fn seeds_for(keys: usize) -> usize {
        // n primes make n (n - 1) / 2 keys, and each fresh key gives two primes.
        let mut primes = 2;
        while primes * (primes - 1) / 2 < keys && primes < PRIMES_MAX {
            primes += 2;
        }
        primes / 2
    }

    /// Adds the primes of a fresh key.
    pub fn add(&mut self, key: &DeviceKey) -> Result<(), KeyError> {
        if key.kind() != self.kind {
            return Err(KeyError::Pool(format!(
                "the key is {}, the pool's are {}",
                key.kind(),
                self.kind
            )));
        }
        for prime in primes_of(key.pkcs8()).ok_or(KeyError::Read)? {
            self.push(prime)?;
        }
        Ok(())
    }

    fn push(&mut self, value: BigUint) -> Result<(), KeyError> {
        if self.primes.len() == PRIMES_MAX {
            return Err(KeyError::Pool(format!(
                "it has {PRIMES_MAX} primes already"
            )));
        }
        let none = || KeyError::Pool("it has a number that is no prime of a key".to_owned());
        // A number of another length, or even, is no prime of such a key: the file is damaged.
        let bits = self.kind.rsa_bits().unwrap_or_default() as u64;
        if value.bits() != bits / 2 || !value.bit(0) {
            return Err(none());
        }
        let order = &value - 1_u32;
        let exponent = BigUint::from(EXPONENT).modinv(&order).ok_or_else(none)?;
        self.primes.push(Prime {
            value,
            order,
            exponent,
        });
        Ok(())
    }

    /// How many fresh keys went into it.
    pub const fn seeds(&self) -> usize {
        self.primes.len() / 2
    }

    /// How many different keys it has.
    pub const fn len(&self) -> usize {
        let primes = self.primes.len();
        primes * primes.saturating_sub(1) / 2
    }

    /// Whether no prime can be added.
    pub const fn is_full(&self) -> bool {
        self.primes.len() >= PRIMES_MAX
    }

    /// Whether it has none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The key with this number: the same pool gives the same key, and another number another one, up to
    /// [`Self::len`].
    pub fn key(&self, number: usize) -> Result<DeviceKey, KeyError> {
        let (high, low) = pair(number);
        let (Some(one), Some(two)) = (self.primes.get(high), self.primes.get(low)) else {
            return Err(KeyError::Pool(format!(
                "it has {} keys, and number {number} was wanted",
                self.len()
            )));
        };
        // The library wants p > q.
        let (p, q) = match one.value > two.value {
            true => (one, two),
            false => (two, one),
        };
        let failed = || KeyError::Pool("two of its primes make no key".to_owned());
        let exponent = BigUint::from(EXPONENT);
        let private = exponent.modinv(&(&p.order * &q.order)).ok_or_else(failed)?;
        let inverse = q.value.modinv(&p.value).ok_or_else(failed)?;
        let components = KeyPairComponents {
            public_key: PublicKeyComponents {
                n: (&p.value * &q.value).to_bytes_be(),
                e: exponent.to_bytes_be(),
            },
            d: private.to_bytes_be(),
            p: p.value.to_bytes_be(),
            q: q.value.to_bytes_be(),
            dP: p.exponent.to_bytes_be(),
            dQ: q.exponent.to_bytes_be(),
            qInv: inverse.to_bytes_be(),
        };
        let pair = KeyPair::from_components(&components).map_err(|_| failed())?;
        DeviceKey::of_rsa(pair)
    }

    /// The pool as bytes, for a file that nobody else can read.
    pub fn to_bytes(&self) -> Vec<u8> {
        let primes: Vec<Vec<u8>> = self
            .primes
            .iter()
            .map(|prime| unsigned(&prime.value.to_bytes_be()))
            .collect();
        tlv(SEQUENCE, &[&primes.concat()])
    }

    /// A pool from its bytes.
    pub fn from_bytes(kind: KeyKind, bytes: &[u8]) -> Result<Self, KeyError> {
        let damaged = || KeyError::Pool("its file is damaged".to_owned());
        let mut pool = Self::new(kind);
        let (whole, []) = split_tlv(bytes).ok_or_else(damaged)? else {
            return Err(damaged());
        };
        let mut rest = content_of(whole).ok_or_else(damaged)?;
        while !rest.is_empty() {
            let (number, after) = split_tlv(rest).ok_or_else(damaged)?;
            if number.first() != Some(&INTEGER) {
                return Err(damaged());
            }
            pool.push(BigUint::from_bytes_be(
                content_of(number).ok_or_else(damaged)?,
            ))?;
            rest = after;
        }
        Ok(pool)
    }
}

/// The pair with this number: (1, 0), (2, 0), (2, 1), (3, 0) and so on, so that a pool that grows keeps
/// its keys.
fn pair(number: usize) -> (usize, usize) {
    let mut high = ((8.0 * number as f64 + 1.0).sqrt() as usize)
        .div_ceil(2)
        .max(1);
    // The square root may be off by one at large numbers.
    while high * (high - 1) / 2 > number {
        high -= 1;
    }
    while high * (high + 1) / 2 <= number {
        high += 1;
    }
    (high, number - high * (high - 1) / 2)
}

/// The two primes of an RSA key in PKCS#8.
fn primes_of(pkcs8: &[u8]) -> Option<[BigUint; 2]> {
    let (_version, rest) = split_tlv(content_of(pkcs8)?)?;
    let (_algorithm, rest) = split_tlv(rest)?;
    let (inner, _) = split_tlv(rest)?;
    // RSAPrivateKey (RFC 8017 A.1.2): version, n, e, d, p, q, and so on.
    let mut rest = content_of(content_of(inner)?)?;
    for _before in ["version", "n", "e", "d"] {
        rest = split_tlv(rest)?.1;
    }
    let (p, rest) = split_tlv(rest)?;
    let (q, _) = split_tlv(rest)?;
    let number = |it: &[u8]| Some(BigUint::from_bytes_be(content_of(it)?));
    Some([number(p)?, number(q)?])
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn pairs_are_counted_without_gaps() {
        let mut number = 0;
        for high in 1..200 {
            for low in 0..high {
                assert_eq!(pair(number), (high, low));
                number += 1;
            }
        }
        assert_eq!(PrimePool::seeds_for(1), 1);
        assert_eq!(PrimePool::seeds_for(10_000), 71);
    }

    #[test]
    fn three_keys_make_fifteen_and_a_file_keeps_them() {
        let mut pool = PrimePool::new(KeyKind::Rsa2048);
        for _ in 0..3 {
            pool.add(&DeviceKey::generate(KeyKind::Rsa2048).unwrap())
                .unwrap();
        }
        assert_eq!(pool.len(), 15);
        let read = PrimePool::from_bytes(KeyKind::Rsa2048, &pool.to_bytes()).unwrap();
        let mut different = BTreeSet::new();
        for number in 0..15 {
            let key = pool.key(number).unwrap();
            assert_eq!(key.kind(), KeyKind::Rsa2048);
            assert_eq!(read.key(number).unwrap().pkcs8(), key.pkcs8());
            key.sign(b"message").unwrap();
            different.insert(key.public_key().to_vec());
        }
        assert_eq!(different.len(), 15);
        assert!(matches!(pool.key(15), Err(KeyError::Pool(_))));
    }

    #[test]
    fn a_damaged_pool_is_refused() {
        for damaged in [&b""[..], b"0\x03\x02\x01\x05", b"0\x02\x04\x00", b"0\x80"] {
            let read = PrimePool::from_bytes(KeyKind::Rsa2048, damaged);
            assert!(matches!(read, Err(KeyError::Pool(_))), "{damaged:?}");
        }
    }
}
