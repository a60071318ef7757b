//! Newtypes for everything that has a name or a number.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use self::channel::Channel;
pub use self::channels::Channels;
pub use self::hex::{hex_array, hex_decode, hex_lower, hex_upper};

mod channel;
mod channels;
mod hex;

/// A device's index in the plan, from zero.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct DeviceId(pub u32);

/// A cohort's index in the scenario, from zero.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct CohortId(pub u16);

/// An order's index in the plan, from zero. Transcripts print this, never the CommandUUID.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct OrderIndex(pub u32);

/// A `CommandUUID` as a server sent it: any text, because servers add prefixes of their own. One that is
/// longer than [`CommandUuid::BYTES_MAX`] is none: whatever keeps one knows what it costs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CommandUuid(pub Arc<str>);

impl CommandUuid {
    /// The longest that is taken for one, in bytes. A UUID has 36, and no server is known to add more
    /// than as much again.
    pub const BYTES_MAX: usize = 256;

    /// The UUID of order `index` in the run `run`, so that a second run reuses none. It names its
    /// order, as a push token names its owner: a version 8 UUID (RFC 9562) of the masked index and
    /// a checksum.
    pub fn of_order(run: RunId, index: OrderIndex) -> Self {
        OrderBook::new(run, index.0).uuid(index)
    }
}

/// What the checksums in the UUIDs of a run's orders are keyed with.
fn order_key(run: RunId) -> [u8; 32] {
    blake3::derive_key("mdmstorm 2026 command uuid", &run.0)
}

/// Every fact that names a command is looked up by this: the sum is quick, and keeps the commands of
/// others apart by chance alone. Who forges one fools nobody but his own report.
fn order_uuid(key: &[u8; 32], index: OrderIndex) -> uuid::Uuid {
    let (words, _) = key.as_chunks::<8>();
    let [a, b, c, d] = std::array::from_fn(|at| u64::from_be_bytes(words[at]));
    let index_bits = u64::from(index.0);
    let high = scattered(a ^ scattered(b ^ index_bits));
    let low = scattered(c ^ scattered(d ^ index_bits));
    let mut bytes = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
    let mask = order_mask(key);
    bytes[..4].copy_from_slice(&(index.0 ^ mask).to_be_bytes());
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Other numbers for other arguments, without an order that can be seen (splitmix64).
pub(crate) const fn scattered(number: u64) -> u64 {
    let mut z = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Hides the indexes, so that the UUIDs of two runs do not begin alike.
fn order_mask(key: &[u8; 32]) -> u32 {
    u32::from_be_bytes([key[0], key[1], key[2], key[3]])
}

impl fmt::Display for CommandUuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One execution of a plan: 16 random bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunId(pub [u8; 16]);

/// Which order a CommandUUID belongs to: read from the UUID itself, without a table.
#[derive(Clone, Copy, Debug, Default)]
pub struct OrderBook {
    key: [u8; 32],
    orders: u32,
}

impl OrderBook {
    /// The book of a run with `orders` orders.
    pub fn new(run: RunId, orders: u32) -> Self {
        let key = order_key(run);
        Self { key, orders }
    }

    /// The CommandUUID of `order`.
    pub fn uuid(&self, order: OrderIndex) -> CommandUuid {
        let (uuid, mut text) = (order_uuid(&self.key, order), uuid::Uuid::encode_buffer());
        CommandUuid((&*uuid.hyphenated().encode_upper(&mut text)).into())
    }

    /// The order behind `uuid`; `None` for a command this run did not order.
    pub fn order(&self, uuid: &CommandUuid) -> Option<OrderIndex> {
        // Written in another way it is another name: a server has to give back what it was given.
        let is_as_written = uuid.0.len() == uuid::fmt::Hyphenated::LENGTH
            && !uuid.0.bytes().any(|byte| byte.is_ascii_lowercase());
        if !is_as_written {
            return None;
        }
        let read = uuid::Uuid::try_parse(&uuid.0).ok()?;
        let [a, b, c, d, ..] = *read.as_bytes();
        let index = OrderIndex(u32::from_be_bytes([a, b, c, d]) ^ order_mask(&self.key));
        let is_known = index.0 < self.orders && order_uuid(&self.key, index) == read;
        is_known.then_some(index)
    }
}

/// Number of one request of one device, counted from zero; lets a device ignore an answer that it
/// does not wait for any more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub u32);

/// Number of one push at the gateway, counted from zero in the order of arrival.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct PushId(pub u64);

/// Which crowd of devices a push token belongs to; random, kept with the CA.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrowdId(pub [u8; 4]);

/// What names of devices are derived from: the crowd, and the key of its push tokens.
#[derive(Clone, PartialEq, Eq)]
pub struct Crowd {
    /// The crowd's public id, part of each token.
    pub id: CrowdId,
    /// The secret key of the tokens' checksums.
    pub key: [u8; 32],
    /// Devices that have names of their own.
    borrowed: Arc<Borrowed>,
}

/// The names of a device that exists elsewhere and is played here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BorrowedNames {
    /// Its UDID.
    pub udid: String,
    /// Its serial number; `None` where it is not known.
    pub serial: Option<String>,
    /// The push token of its device channel. Once that changes, the new one is the crowd's.
    pub token: [u8; 32],
    /// The PushMagic that belongs to the token.
    pub magic: String,
}

/// Devices that have names of their own, and whose their tokens are.
#[derive(Debug, Default, PartialEq, Eq)]
struct Borrowed {
    names: BTreeMap<DeviceId, BorrowedNames>,
    tokens: BTreeMap<[u8; 32], DeviceId>,
}

impl fmt::Debug for Crowd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crowd")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A push token: version(1), crowd(4), device(4), channel(1), epoch(4), zero(2), checksum(16).
///
/// It names its owner, so a gateway routes a push with no table and tells a stale token from a
/// foreign one. Real tokens are opaque and their length is not promised; 32 bytes are usual.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PushToken(pub [u8; 32]);

const TOKEN_VERSION: u8 = 1;

impl Crowd {
    /// A crowd whose devices all have the names that derive from it.
    pub fn new(id: CrowdId, key: [u8; 32]) -> Self {
        let borrowed = Arc::default();
        Self { id, key, borrowed }
    }

    /// The same crowd, in which these devices have names of their own.
    #[must_use]
    pub fn with_borrowed(self, names: BTreeMap<DeviceId, BorrowedNames>) -> Self {
        let tokens = names.iter().map(|(&device, it)| (it.token, device));
        let tokens = tokens.collect();
        let borrowed = Arc::new(Borrowed { names, tokens });
        Self { borrowed, ..self }
    }

    /// The names a device brought along, if it did.
    pub fn borrowed(&self, device: DeviceId) -> Option<&BorrowedNames> {
        self.borrowed.names.get(&device)
    }

    /// What a channel brought along for its epoch: the first of a device channel.
    fn borrowed_token(&self, channel: Channel, epoch: u32) -> Option<&BorrowedNames> {
        let is_first = epoch == 0 && channel.user == 0;
        is_first.then(|| self.borrowed(channel.device)).flatten()
    }

    /// The push token of `channel` in its `epoch`, which grows each time the token changes.
    pub fn token(&self, channel: Channel, epoch: u32) -> PushToken {
        if let Some(names) = self.borrowed_token(channel, epoch) {
            return PushToken(names.token);
        }
        let mut bytes = [0_u8; 32];
        bytes[0] = TOKEN_VERSION;
        bytes[1..5].copy_from_slice(&self.id.0);
        bytes[5..9].copy_from_slice(&channel.device.0.to_be_bytes());
        bytes[9] = channel.user;
        bytes[10..14].copy_from_slice(&epoch.to_be_bytes());
        let sum = self.checksum(&bytes[..16]);
        bytes[16..].copy_from_slice(&sum);
        PushToken(bytes)
    }

    /// Whose token this is and its epoch; `None` when this crowd did not make it.
    pub fn owner(&self, token: &[u8]) -> Option<(Channel, u32)> {
        let bytes: &[u8; 32] = token.try_into().ok()?;
        if let Some(&device) = self.borrowed.tokens.get(bytes) {
            return Some((Channel::device(device), 0));
        }
        let ours = bytes[0] == TOKEN_VERSION && bytes[1..5] == self.id.0;
        if !ours || bytes[16..] != self.checksum(&bytes[..16]) {
            return None;
        }
        let word = |at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        Some((
            Channel {
                device: DeviceId(word(5)),
                user: bytes[9],
            },
            word(10),
        ))
    }

    /// The PushMagic of `channel` in its `epoch`, an upper-case UUID.
    pub fn magic(&self, channel: Channel, epoch: u32) -> String {
        if let Some(names) = self.borrowed_token(channel, epoch) {
            return names.magic.clone();
        }
        let bytes = self.derive(
            "magic",
            channel.device,
            u64::from(epoch) << 8 | u64::from(channel.user),
        );
        uuid_upper(&bytes)
    }

    /// The GUID of the user of `channel`, an upper-case UUID: the `UserID` of a Mac's user.
    pub fn user_id(&self, channel: Channel) -> String {
        uuid_upper(&self.derive("user", channel.device, u64::from(channel.user)))
    }

    /// The short name of the user of `channel`; it tells a person who reads a server's log which
    /// device and user it was.
    pub fn user_short_name(&self, channel: Channel) -> String {
        format!("user{}-{}", channel.user, channel.device.0)
    }

    /// The full name of the user of `channel`.
    pub fn user_long_name(&self, channel: Channel) -> String {
        format!("User {} of device {}", channel.user, channel.device.0)
    }

    /// The UDID of `device`, in the form of current hardware: 8 hex digits, a dash, 16 hex digits.
    pub fn udid(&self, device: DeviceId) -> String {
        if let Some(names) = self.borrowed(device) {
            return names.udid.clone();
        }
        let bytes = self.derive("udid", device, 0);
        // 00008140 is the chip of current iPads; the last 8 digits carry the index, so a person
        // who reads a server's log can tell which device it was.
        let mut digits = [0_u8; 8];
        digits[..4].copy_from_slice(&bytes[..4]);
        digits[4..].copy_from_slice(&device.0.to_be_bytes());
        ["00008140-", &hex_upper(&digits)].concat()
    }

    /// The serial number of `device`: 12 characters of Apple's older form, `SIM` in front.
    pub fn serial(&self, device: DeviceId) -> String {
        let borrowed = self.borrowed(device).and_then(|it| it.serial.clone());
        if let Some(serial) = borrowed {
            return serial;
        }
        let bytes = self.derive("serial", device, 0);
        format!("SIM{}{:07}", hex_upper(&bytes[..1]), device.0 % 10_000_000)
    }

    /// 32 bytes that depend on this crowd, `what`, the device and `n` alone.
    ///
    /// # Panics
    /// When `what` has more than 20 bytes.
    pub fn derive(&self, what: &str, device: DeviceId, n: u64) -> [u8; 32] {
        // In one piece: a hasher that takes several is two kilobytes, and every message of a device
        // has a name in it.
        assert!(what.len() <= WHAT_MAX, "{what:?} is too long a word");
        let mut piece = [0_u8; WHAT_MAX + 12];
        let (name, rest) = piece.split_at_mut(what.len());
        name.copy_from_slice(what.as_bytes());
        rest[..4].copy_from_slice(&device.0.to_be_bytes());
        rest[4..12].copy_from_slice(&n.to_be_bytes());
        *blake3::keyed_hash(&self.key, &piece[..what.len() + 12]).as_bytes()
    }

    fn checksum(&self, head: &[u8]) -> [u8; 16] {
        let mut half = [0_u8; 16];
        half.copy_from_slice(&blake3::keyed_hash(&self.key, head).as_bytes()[..16]);
        half
    }
}

/// The longest word for what is derived, in bytes.
const WHAT_MAX: usize = 20;

/// The first half of `bytes` as a random UUID in upper case.
fn uuid_upper(bytes: &[u8; 32]) -> String {
    let mut half = [0_u8; 16];
    half.copy_from_slice(&bytes[..16]);
    let uuid = uuid::Builder::from_random_bytes(half).into_uuid();
    let mut text = uuid::Uuid::encode_buffer();
    uuid.hyphenated().encode_upper(&mut text).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn crowd(n: u8) -> Crowd {
        Crowd::new(CrowdId([n; 4]), [n; 32])
    }

    #[test]
    fn a_device_that_brings_its_names_along_keeps_them_until_its_token_changes() {
        let names = BorrowedNames {
            udid: "00008030-001A2B3C4D5E6F70".into(),
            serial: Some("F2LX00000001".into()),
            token: [9; 32],
            magic: "5D0AC163-7B1D-4B9E-A1C0-1F0A3A1D3A4E".into(),
        };
        let borrowed = BTreeMap::from([(DeviceId(4), names.clone())]);
        let crowd = crowd(1).with_borrowed(borrowed);
        let channel = Channel::device(DeviceId(4));
        assert_eq!(crowd.udid(DeviceId(4)), names.udid);
        assert_eq!(Some(crowd.serial(DeviceId(4))), names.serial);
        assert_eq!(crowd.token(channel, 0).0, names.token);
        assert_eq!(crowd.magic(channel, 0), names.magic);
        assert_eq!(crowd.owner(&names.token), Some((channel, 0)));
        assert_ne!(crowd.magic(channel, 1), names.magic);
        let next = crowd.token(channel, 1);
        assert_eq!(crowd.owner(&next.0), Some((channel, 1)));
        let user = Channel { user: 1, ..channel };
        assert_eq!(crowd.owner(&crowd.token(user, 0).0), Some((user, 0)));
        assert_ne!(crowd.udid(DeviceId(5)), names.udid);
    }

    #[test]
    fn a_token_names_its_owner_and_epoch() {
        let channel = Channel {
            device: DeviceId(70_000),
            user: 2,
        };
        let token = crowd(1).token(channel, 9);
        assert_eq!(crowd(1).owner(&token.0), Some((channel, 9)));
    }

    #[test]
    fn a_token_of_another_crowd_or_with_a_changed_byte_is_foreign() {
        let token = crowd(1).token(Channel::default(), 0);
        assert_eq!(crowd(2).owner(&token.0), None);
        for at in 0..32 {
            let mut changed = token.0;
            changed[at] ^= 1;
            assert_eq!(crowd(1).owner(&changed), None, "byte {at}");
        }
        assert_eq!(crowd(1).owner(&token.0[..31]), None);
    }

    #[test]
    fn every_user_of_every_device_has_an_id_of_its_own() {
        let user = |device, user| {
            let device = DeviceId(device);
            crowd(1).user_id(Channel { device, user })
        };
        assert_eq!(user(1, 1), user(1, 1));
        assert_ne!(user(1, 1), user(1, 2));
        assert_ne!(user(1, 1), user(2, 1));
        assert_eq!(user(1, 1), user(1, 1).to_uppercase());
        assert!(uuid::Uuid::try_parse(&user(1, 1)).is_ok());
    }

    #[test]
    fn command_uuids_differ_between_runs_and_orders() {
        let uuid = |run, index| CommandUuid::of_order(RunId([run; 16]), OrderIndex(index));
        assert_ne!(uuid(1, 0), uuid(2, 0));
        assert_ne!(uuid(1, 0), uuid(1, 1));
        assert_eq!(
            OrderBook::new(RunId([1; 16]), 3).order(&uuid(1, 2)),
            Some(OrderIndex(2))
        );
    }

    #[test]
    fn a_command_uuid_of_another_run_or_written_otherwise_is_not_ours() {
        let run = RunId([1; 16]);
        let book = OrderBook::new(run, 3);
        let ours = CommandUuid::of_order(run, OrderIndex(2));
        let read = |text: String| book.order(&CommandUuid(text.into()));
        assert_eq!(read(ours.to_string()), Some(OrderIndex(2)));
        for changed in [
            ours.to_string().to_lowercase(),
            ours.to_string().replace('-', ""),
            format!("{{{ours}}}"),
            format!("REFETCH-{ours}"),
            CommandUuid::of_order(run, OrderIndex(3)).to_string(),
            CommandUuid::of_order(RunId([2; 16]), OrderIndex(2)).to_string(),
        ] {
            assert_eq!(read(changed.clone()), None, "{changed}");
        }
    }
}
