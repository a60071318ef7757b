//! Leave to open connections: the sockets of a run and the handshakes of a worker are counted, whether
//! a session needs them or an errand.

use std::sync::Arc;

use rustls::ClientConfig;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::{Connection, Connector};
use super::health::{Connections, Counted, Gauge};
use crate::fact::Broken;

/// Leave to have a socket.
pub(super) type Socket = OwnedSemaphorePermit;

/// Leave to be in a handshake.
pub(super) type Handshake = OwnedSemaphorePermit;

/// What a worker's sessions and errands take permits from.
#[derive(Clone, Debug)]
pub(super) struct Permits {
    pub(super) sockets: Arc<Semaphore>,
    pub(super) handshakes: Arc<Semaphore>,
    pub(super) open_sockets: Gauge,
    pub(super) connections: Connections,
}

impl Permits {
    /// Those of a fetcher that is alone: nobody waits.
    pub(super) fn unbounded() -> Self {
        let any = || Arc::new(Semaphore::new(Semaphore::MAX_PERMITS));
        Self {
            sockets: any(),
            handshakes: any(),
            open_sockets: Gauge::default(),
            connections: Connections::default(),
        }
    }

    /// Waits for a socket. Whoever has one may wait for a handshake, and for nothing else that others
    /// with sockets could hold.
    pub(super) async fn socket(&self) -> Socket {
        let socket = Arc::clone(&self.sockets).acquire_owned().await;
        socket.expect("the socket semaphore is never closed")
    }

    /// Waits until one more handshake may begin.
    pub(super) async fn handshake(&self) -> Handshake {
        let handshake = Arc::clone(&self.handshakes).acquire_owned().await;
        handshake.expect("the handshake semaphore is never closed")
    }

    /// Opens a connection, which is counted until the second value is dropped.
    pub(super) async fn open(
        &self,
        connector: &Connector,
        handshake: Handshake,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<(Connection, Counted), Broken> {
        let counted = self.open_sockets.count();
        let connection = connector.connect(tls).await?;
        drop(handshake);
        let (is_http2, is_resumed) = (connection.is_http2(), connection.is_resumed());
        self.connections.count(is_http2, is_resumed);
        Ok((connection, counted))
    }
}
