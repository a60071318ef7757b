//! What an ACME server remembers: nonces, accounts and orders, each up to a bound beyond which the
//! oldest are forgotten.

use std::collections::{BTreeMap, HashSet, VecDeque};

use super::jws::Key;
use super::problem::Problem;

/// Nonces that have been given out and not come back: a client has one under way at a time.
const NONCES_MAX: usize = 65_536;
/// Accounts; a device makes one for each certificate.
const ACCOUNTS_MAX: usize = 262_144;
/// Orders, finished ones included.
const ORDERS_MAX: usize = 65_536;

/// Everything that is remembered.
#[derive(Debug, Default)]
pub(super) struct Book {
    nonces: HashSet<String>,
    oldest: VecDeque<String>,
    accounts: BTreeMap<u64, Key>,
    account_of: BTreeMap<String, u64>,
    orders: BTreeMap<u64, Order>,
    last: u64,
}

/// An order, with its one authorisation and that one's one challenge: all share its number.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// Whose it is.
    pub(super) account: u64,
    /// What the device calls itself: its serial number or UDID.
    pub(super) identifier: String,
    /// What the attestation has to answer.
    pub(super) token: String,
    /// How far it is.
    pub(super) stage: Stage,
}

/// How far an order is.
#[derive(Clone, Debug)]
pub(super) enum Stage {
    /// The challenge is open.
    Pending,
    /// The attestation was refused.
    Invalid(Problem),
    /// This key (SubjectPublicKeyInfo, DER) is attested and may have a certificate; any may where
    /// nothing has to be attested.
    Ready(Option<Vec<u8>>),
    /// The certificate is being issued: nobody else may have it issued too.
    Processing,
    /// The certificate chain, PEM.
    Valid(String),
}

impl Book {
    /// A nonce that is good for one request.
    pub(super) fn nonce(&mut self, fresh: String) -> String {
        if self.oldest.len() >= NONCES_MAX
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.nonces.remove(&oldest);
        }
        self.nonces.insert(fresh.clone());
        self.oldest.push_back(fresh.clone());
        fresh
    }

    /// Uses a nonce up.
    pub(super) fn spend(&mut self, nonce: &str) -> Result<(), Problem> {
        if self.nonces.remove(nonce) {
            return Ok(());
        }
        let detail = "the nonce is not one of ours, or was used before";
        Err(Problem::new(400, "badNonce", detail))
    }

    /// The account of a key, if it has one.
    pub(super) fn account_of(&self, key: &Key) -> Option<u64> {
        self.account_of.get(&key.thumbprint).copied()
    }

    /// Opens an account.
    pub(super) fn open_account(&mut self, key: &Key) -> u64 {
        if self.accounts.len() >= ACCOUNTS_MAX
            && let Some((_, forgotten)) = self.accounts.pop_first()
        {
            self.account_of.remove(&forgotten.thumbprint);
        }
        self.last += 1;
        self.accounts.insert(self.last, key.clone());
        self.account_of.insert(key.thumbprint.clone(), self.last);
        self.last
    }

    /// The key of an account.
    pub(super) fn key_of(&self, account: u64) -> Option<Key> {
        self.accounts.get(&account).cloned()
    }

    /// Takes an order.
    pub(super) fn open_order(&mut self, order: Order) -> u64 {
        if self.orders.len() >= ORDERS_MAX {
            self.orders.pop_first();
        }
        self.last += 1;
        self.orders.insert(self.last, order);
        self.last
    }

    /// The order, if it is of this account.
    pub(super) fn order(&mut self, number: u64, account: u64) -> Result<&mut Order, Problem> {
        let order = self.orders.get_mut(&number);
        order
            .filter(|order| order.account == account)
            .ok_or_else(|| Problem::new(404, "malformed", "there is no such order of this account"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nonce_is_good_once_and_the_oldest_are_forgotten() {
        let mut book = Book::default();
        book.nonce("first".to_owned());
        book.nonce("second".to_owned());
        book.spend("second").unwrap();
        book.spend("second").unwrap_err();
        for number in 0..NONCES_MAX {
            book.nonce(number.to_string());
        }
        book.spend("first").unwrap_err();
        assert!(book.nonces.len() <= NONCES_MAX && book.oldest.len() <= NONCES_MAX);
    }
}
