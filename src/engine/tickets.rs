//! TLS sessions that devices resume: the latest of each, for as long as nothing about the device
//! has changed that a full handshake would have to notice.
//!
//! A resumed session does not check certificates again. So a device forgets its ticket when its
//! clock jumps, when it enrols again, and when it has another identity; a wrong clock is then met
//! by the next handshake, as it is on real devices.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::sign::CertifiedKey;

use super::identity::{ClientTls, OwnIdentity};
use crate::ids::DeviceId;

/// How many devices of a worker keep a ticket; the one that connected longest ago loses its own.
const HELD_MAX: usize = 1_000;

/// A clock that moved further than this, against what it was at the full handshake, has jumped; in
/// microseconds.
const JUMP_MIN_US: u64 = 1_000_000;

/// The tickets of a worker's devices.
#[derive(Debug, Default)]
pub(super) struct Tickets {
    held: RefCell<Held>,
}

#[derive(Debug, Default)]
struct Held {
    by_device: HashMap<DeviceId, Ticket>,
    /// Who connected when, by a count of connections; the first connected longest ago.
    order: BTreeMap<u64, DeviceId>,
    connections: u64,
}

/// What one device keeps. The library resumes a session only with the very identity and trust it
/// was made with, so that the whole configuration is kept, and its store of tickets in it.
struct Ticket {
    config: Arc<ClientConfig>,
    /// How far ahead its clock was.
    ahead_us: i64,
    /// The identity it had come by itself; `None` for one that was issued.
    own: Option<Arc<OwnIdentity>>,
    place: u64,
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("ahead_us", &self.ahead_us)
            .finish_non_exhaustive()
    }
}

impl Ticket {
    fn is_good_for(&self, ahead_us: i64, own: Option<&Arc<OwnIdentity>>) -> bool {
        let same = match (&self.own, own) {
            // Of a roster's, each look is another copy.
            (Some(held), Some(now)) => {
                Arc::ptr_eq(held, now) || (held.key == now.key && held.chain == now.chain)
            }
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        same && self.ahead_us.abs_diff(ahead_us) <= JUMP_MIN_US
    }
}

impl Tickets {
    /// The configuration for a connection of `device`, which resumes its session if it has one that
    /// is good still. `identity` is asked for what it shows, if not.
    pub(super) fn config(
        &self,
        tls: &ClientTls,
        device: DeviceId,
        ahead_us: i64,
        own: Option<Arc<OwnIdentity>>,
        identity: impl FnOnce() -> Option<Arc<CertifiedKey>>,
    ) -> Arc<ClientConfig> {
        let mut held = self.held.borrow_mut();
        let kept = held
            .take(device)
            .filter(|ticket| ticket.is_good_for(ahead_us, own.as_ref()));
        let (config, ahead_us) = match kept {
            Some(ticket) => (ticket.config, ticket.ahead_us),
            None => (tls.config_resuming(identity(), ahead_us), ahead_us),
        };
        held.put(device, Arc::clone(&config), ahead_us, own);
        config
    }

    /// The device begins anew.
    pub(super) fn forget(&self, device: DeviceId) {
        self.held.borrow_mut().take(device);
    }
}

impl Held {
    fn take(&mut self, device: DeviceId) -> Option<Ticket> {
        let ticket = self.by_device.remove(&device)?;
        self.order.remove(&ticket.place);
        Some(ticket)
    }

    fn put(
        &mut self,
        device: DeviceId,
        config: Arc<ClientConfig>,
        ahead_us: i64,
        own: Option<Arc<OwnIdentity>>,
    ) {
        if self.by_device.len() >= HELD_MAX
            && let Some((_, longest_ago)) = self.order.pop_first()
        {
            self.by_device.remove(&longest_ago);
        }
        let place = self.connections;
        self.connections += 1;
        self.order.insert(place, device);
        let ticket = Ticket {
            config,
            ahead_us,
            own,
            place,
        };
        self.by_device.insert(device, ticket);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::engine::clock::Clock;
    use crate::engine::connection::Connector;
    use crate::engine::endpoint::Endpoint;
    use crate::engine::fetch_tests::Server;
    use crate::engine::http1::{Headers, Times};
    use crate::engine::http2::ALPN_HTTP1;
    use crate::fact::Broken;

    const DEVICE: DeviceId = DeviceId(7);

    /// A target that hands out tickets.
    struct Rig {
        connector: Connector,
        tls: ClientTls,
        tickets: Tickets,
    }

    impl Rig {
        async fn new() -> Self {
            let server = Server::offering(&[ALPN_HTTP1]).await;
            let url = format!("https://{}", server.address());
            let endpoint = Endpoint::resolve(&url).unwrap();
            let tls = server.tls();
            drop(server.serve());
            Self {
                connector: Connector::new(&endpoint).unwrap(),
                tls,
                tickets: Tickets::default(),
            }
        }

        /// One connection with one request; whether its session was resumed.
        async fn connects(
            &self,
            device: DeviceId,
            ahead_us: i64,
            own: Option<Arc<OwnIdentity>>,
        ) -> Result<bool, Broken> {
            let tickets = &self.tickets;
            let config = tickets.config(&self.tls, device, ahead_us, own, || None);
            let mut connection = self.connector.connect(Some(config)).await?;
            let request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
            let times = Cell::new(Times::default());
            let answer = connection
                .exchange(Clock::start(), request, &times, Headers::Dropped)
                .await?;
            assert_eq!(answer.answer.status, 200);
            Ok(connection.is_resumed())
        }
    }

    #[tokio::test]
    async fn a_device_resumes_its_own_session_and_no_other() {
        let rig = Rig::new().await;
        assert!(!rig.connects(DEVICE, 0, None).await.unwrap());
        assert!(rig.connects(DEVICE, 0, None).await.unwrap());
        assert!(rig.connects(DEVICE, 0, None).await.unwrap());
        assert!(!rig.connects(DeviceId(8), 0, None).await.unwrap());
    }

    #[tokio::test]
    async fn with_a_ticket_in_hand_a_clock_set_to_1970_still_meets_the_certificate() {
        let rig = Rig::new().await;
        assert!(!rig.connects(DEVICE, 0, None).await.unwrap());
        let behind_us = -crate::engine::clock::wall_now().unix_micros();
        let refused = rig.connects(DEVICE, behind_us, None).await.unwrap_err();
        assert!(matches!(refused, Broken::Tls(_)), "{refused:?}");
        assert!(refused.to_string().contains("not yet valid"), "{refused}");
        // Set right again it begins anew.
        assert!(!rig.connects(DEVICE, 0, None).await.unwrap());
        assert!(rig.connects(DEVICE, 200_000, None).await.unwrap());
    }

    #[tokio::test]
    async fn another_identity_and_a_new_enrolment_begin_with_a_full_handshake() {
        let rig = Rig::new().await;
        let own = |byte: u8| {
            Arc::new(OwnIdentity {
                key: Box::new([byte]),
                chain: Vec::new(),
                doors: None,
            })
        };
        let (first, second) = (own(1), own(2));
        for (identity, resumes) in [
            (None, false),
            (Some(&first), false),
            (Some(&first), true),
            (Some(&second), false),
            (Some(&second), true),
        ] {
            let resumed = rig.connects(DEVICE, 0, identity.map(Arc::clone)).await;
            assert_eq!(resumed.unwrap(), resumes);
        }
        // The same once more, as the roster gives it.
        let copy = Arc::new(OwnIdentity::clone(&second));
        assert!(rig.connects(DEVICE, 0, Some(copy)).await.unwrap());
        rig.tickets.forget(DEVICE);
        assert!(!rig.connects(DEVICE, 0, Some(second)).await.unwrap());
    }

    #[tokio::test]
    async fn only_so_many_devices_keep_a_ticket() {
        let rig = Rig::new().await;
        for device in 0..=HELD_MAX {
            let device = DeviceId(u32::try_from(device).unwrap());
            rig.tickets.config(&rig.tls, device, 0, None, || None);
        }
        let held = rig.tickets.held.borrow();
        assert_eq!(
            (held.by_device.len(), held.order.len()),
            (HELD_MAX, HELD_MAX)
        );
        assert!(!held.by_device.contains_key(&DeviceId(0)));
    }
}
