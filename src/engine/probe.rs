//! What the loopback tests reach of the engine: the requests of one device, carried as in a run,
//! without a device behind them. Nothing else may use it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::carrier::{Carrier, Open, Steps};
use super::clock::Clock;
use super::connection::Connector;
use super::endpoint::{Endpoint, EndpointError};
use super::health::{Connections, Gauge};
use super::identity::{ClientTls, Identities, TlsError, roots_of_pem};
use super::permits::Permits;
use super::redirect::PublicTargets;
use super::wire::{Proof, Wire};
use crate::device::contract::{Reply, Request};

/// One device's way to a target.
#[derive(Debug)]
pub struct Probe {
    carrier: Carrier,
    open: Option<Open>,
}

/// Why a probe cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The target's URL.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// Its root certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

impl Probe {
    /// A way to `url`, whose root certificate is `roots` (PEM) if it is `https`.
    ///
    /// # Errors
    /// When the URL or the certificate cannot be used.
    pub fn new(
        url: &str,
        roots: Option<&str>,
        identities: Arc<Identities>,
        timeout: Duration,
    ) -> Result<Self, ProbeError> {
        let endpoint = Endpoint::resolve(url)?;
        let one = || Arc::new(Semaphore::new(1));
        let tls = match roots {
            Some(pem) => Some(ClientTls::new(roots_of_pem(pem)?, 0, "http/1.1")?),
            None => None,
        };
        let carrier = Carrier {
            clock: Clock::start(),
            connector: Connector::new(&endpoint)?,
            wire: Wire::new(&endpoint, &endpoint, Proof::Mtls, &[]),
            endpoint,
            tls,
            identities,
            timeout,
            public: PublicTargets::Refused,
            permits: Permits {
                sockets: one(),
                handshakes: one(),
                open_sockets: Gauge::default(),
                connections: Connections::default(),
            },
            enrolling: one(),
            tickets: None,
            tracer: None,
        };
        Ok(Self {
            carrier,
            open: None,
        })
    }

    /// The ruler of the stamps.
    pub const fn clock(&self) -> Clock {
        self.carrier.clock
    }

    /// Carries one request; a connection that is open is used, and kept for the next.
    pub async fn carry(&mut self, request: &Request) -> Reply {
        let steps = Steps::of(request);
        let answer = self.carrier.carry(&mut self.open, request, &steps).await;
        if answer.is_err() {
            self.open = None;
        }
        let stamps = steps.stamps(self.carrier.clock.now());
        Reply { stamps, answer }
    }

    /// Whether a connection is open.
    pub const fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// Ends the session: the device closes its connection.
    pub fn close(&mut self) {
        self.open = None;
    }
}
