//! One connection to the target: TCP from a pool of source addresses, TLS with a device's own
//! identity, then HTTP/1.1, or HTTP/2 where both sides agree on it in the handshake (ALPN).

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::sync::Arc;
#[cfg(test)]
use std::time::Duration;

use rustls::pki_types::{ServerName, UnixTime};
use rustls::{ClientConfig, HandshakeKind};
#[cfg(test)]
use tokio::io::DuplexStream;
use tokio::net::{TcpSocket, TcpStream};
#[cfg(test)]
use tokio::sync::mpsc;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::clock::Clock;
use super::endpoint::{Endpoint, EndpointError};
use super::http1::{self, Headers, Received, Times};
use super::http2::{self, Http2};
use crate::fact::Broken;
use crate::time::WallTime;

/// How many loopback addresses connections come from. With one, the kernel walks the port range
/// for a free port and 20,000 connects take 5 to 30 s; with 200 they take 1.5 s.
const SOURCES: u32 = 200;

/// Opens connections to one endpoint.
#[derive(Debug)]
pub(super) struct Connector {
    address: SocketAddr,
    name: ServerName<'static>,
    next_source: Cell<u32>,
    /// Takes the place of the network.
    #[cfg(test)]
    memory: Option<Memory>,
}

impl Connector {
    pub(super) fn new(endpoint: &Endpoint) -> Result<Self, EndpointError> {
        let (address, name) = (endpoint.address, endpoint.server_name()?);
        Ok(Self {
            address,
            name,
            next_source: Cell::new(0),
            #[cfg(test)]
            memory: None,
        })
    }

    /// The same without any socket.
    #[cfg(test)]
    pub(super) fn through(memory: Memory, endpoint: &Endpoint) -> Result<Self, EndpointError> {
        let memory = Some(memory);
        Ok(Self {
            memory,
            ..Self::new(endpoint)?
        })
    }

    /// Opens a connection, with TLS when `tls` is given.
    pub(super) async fn connect(
        &self,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Connection, Broken> {
        #[cfg(test)]
        if let Some(memory) = &self.memory {
            return Ok(memory.connect().await);
        }
        let tcp = self.dial().await.map_err(|e| classify(&e, self.address))?;
        // A request is one write; waiting for more would only add to its latency.
        tcp.set_nodelay(true)
            .map_err(|e| classify(&e, self.address))?;
        let mut is_resumed = false;
        let stream = match tls {
            None => Stream::Plain(tcp),
            Some(config) => {
                let wants = config.alpn_protocols.clone();
                let connector = TlsConnector::from(config);
                // Boxed, because a session's task is as large as its largest moment.
                let handshake = Box::pin(connector.connect(self.name.clone(), tcp)).await;
                let tls = handshake.map_err(tls_error)?;
                is_resumed = tls.get_ref().1.handshake_kind() == Some(HandshakeKind::Resumed);
                agreed(tls, &wants).await?
            }
        };
        Ok(Connection {
            stream,
            buffer: Vec::new(),
            is_resumed,
        })
    }

    async fn dial(&self) -> io::Result<TcpStream> {
        let socket = match self.address {
            SocketAddr::V4(_) => TcpSocket::new_v4()?,
            SocketAddr::V6(_) => TcpSocket::new_v6()?,
        };
        if let Some(source) = self.source() {
            bind_without_port(&socket)?;
            socket.bind(SocketAddr::new(source, 0))?;
        }
        socket.connect(self.address).await
    }

    /// The next of the pool's addresses: only on loopback, and only where any address of 127/8 is
    /// ours without being configured.
    fn source(&self) -> Option<IpAddr> {
        if !cfg!(target_os = "linux")
            || !matches!(self.address.ip(), IpAddr::V4(v4) if v4.is_loopback())
        {
            return None;
        }
        let next = self.next_source.get();
        self.next_source.set((next + 1) % SOURCES);
        Some(IpAddr::V4(Ipv4Addr::new(127, 1, 0, (next + 1) as u8)))
    }
}

/// Lets the kernel choose the port at connect time, when it knows the whole tuple.
#[cfg(target_os = "linux")]
fn bind_without_port(socket: &TcpSocket) -> io::Result<()> {
    use nix::sys::socket::{setsockopt, sockopt};
    setsockopt(socket, sockopt::IpBindAddressNoPort, &true).map_err(io::Error::from)
}

#[cfg(not(target_os = "linux"))]
fn bind_without_port(_socket: &TcpSocket) -> io::Result<()> {
    Ok(())
}

/// The stream with the version of HTTP that the handshake settled on; without a word on it that is
/// HTTP/1.1 (RFC 9113 3.2).
async fn agreed(tls: TlsStream<TcpStream>, wants: &[Vec<u8>]) -> Result<Stream, Broken> {
    if tls.get_ref().1.alpn_protocol() == Some(http2::ALPN) {
        return Ok(Stream::Http2(Box::new(Http2::begin(tls).await?)));
    }
    if wants == [http2::ALPN] {
        let why = "the target does not agree on HTTP/2, and nothing else was offered";
        return Err(Broken::Tls(why.into()));
    }
    Ok(Stream::Tls(Box::new(tls)))
}

/// An open connection.
#[derive(Debug)]
pub(super) struct Connection {
    stream: Stream,
    buffer: Vec<u8>,
    is_resumed: bool,
}

#[derive(Debug)]
enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Http2(Box<Http2>),
    #[cfg(test)]
    Memory(DuplexStream),
}

impl Connection {
    /// One request, written as HTTP/1.1 has it whatever is spoken here, and its answer.
    pub(super) async fn exchange(
        &mut self,
        clock: Clock,
        request: &[u8],
        times: &Cell<Times>,
        headers: Headers,
    ) -> Result<Received, Broken> {
        let buffer = &mut self.buffer;
        match &mut self.stream {
            Stream::Plain(tcp) => {
                http1::exchange(tcp, clock, request, buffer, times, headers).await
            }
            Stream::Tls(tls) => {
                http1::exchange(&mut **tls, clock, request, buffer, times, headers).await
            }
            // Boxed, because a session's task is as large as its largest moment.
            Stream::Http2(http2) => Box::pin(http2.exchange(clock, request, times, headers)).await,
            #[cfg(test)]
            Stream::Memory(stream) => {
                http1::exchange(stream, clock, request, buffer, times, headers).await
            }
        }
    }

    /// Whether the other side has closed it since its last answer, or has said what nobody asked
    /// for: no request goes out on it then.
    pub(super) async fn is_over(&mut self) -> bool {
        use nix::sys::socket::{MsgFlags, recv};
        let tcp = match &mut self.stream {
            Stream::Plain(tcp) => &*tcp,
            Stream::Tls(tls) => tls.get_ref().0,
            Stream::Http2(http2) => return http2.is_over().await,
            #[cfg(test)]
            Stream::Memory(_) => return false,
        };
        let flags = MsgFlags::MSG_PEEK | MsgFlags::MSG_DONTWAIT;
        recv(tcp.as_raw_fd(), &mut [0], flags) != Err(nix::Error::EAGAIN)
    }

    /// Whether HTTP/2 is spoken on it.
    pub(super) const fn is_http2(&self) -> bool {
        matches!(self.stream, Stream::Http2(_))
    }

    /// Whether its TLS session is an earlier one's.
    pub(super) const fn is_resumed(&self) -> bool {
        self.is_resumed
    }

    /// Answers what the other side says between requests, for as long as it is waited for: over
    /// HTTP/2 it may ask for a sign of life, or say that it goes away.
    pub(super) async fn tend(&mut self) {
        match &mut self.stream {
            Stream::Http2(http2) => http2.tend().await,
            Stream::Plain(_) | Stream::Tls(_) => std::future::pending().await,
            #[cfg(test)]
            Stream::Memory(_) => std::future::pending().await,
        }
    }
}

/// Connections within this process, so that a test can run where time is paused.
#[cfg(test)]
#[derive(Clone, Debug)]
pub(super) struct Memory {
    /// How long it takes until a connection stands.
    pub(super) connects_in: Duration,
    /// Gets the server's end of each.
    pub(super) accepted: mpsc::Sender<DuplexStream>,
}

#[cfg(test)]
impl Memory {
    async fn connect(&self) -> Connection {
        tokio::time::sleep(self.connects_in).await;
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        self.accepted.send(theirs).await.unwrap();
        Connection {
            stream: Stream::Memory(ours),
            buffer: Vec::new(),
            is_resumed: false,
        }
    }
}

/// Whose fault a failed connect is.
fn classify(error: &io::Error, address: SocketAddr) -> Broken {
    use nix::libc::{EADDRNOTAVAIL, EMFILE, ENFILE, ENOBUFS};
    match error.raw_os_error() {
        Some(EMFILE | ENFILE) => {
            Broken::Harness("no file descriptor left; raise `ulimit -n`".into())
        }
        Some(EADDRNOTAVAIL) => Broken::Harness("no local port left".into()),
        Some(ENOBUFS) => Broken::Harness("no socket buffer left".into()),
        Some(_) | None => Broken::Unreachable(format!("{address}: {error}")),
    }
}

fn tls_error(error: io::Error) -> Broken {
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<rustls::Error>())
    {
        Some(tls) => Broken::Tls(refusal(tls)),
        None => Broken::Cut(format!("during the TLS handshake: {error}")),
    }
}

/// Why TLS was refused. What the device's clock has to do with is said in words that a person who
/// looks for a wrong clock will find.
fn refusal(error: &rustls::Error) -> String {
    use rustls::CertificateError::{Expired, ExpiredContext, NotValidYet, NotValidYetContext};
    let shown = |time: &UnixTime| {
        let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
        WallTime::from_unix_micros(seconds.saturating_mul(1_000_000)).rfc3339()
    };
    let rustls::Error::InvalidCertificate(why) = error else {
        return error.to_string();
    };
    if let ExpiredContext { time, not_after } = why {
        let (clock, until) = (shown(time), shown(not_after));
        return format!(
            "the certificate is expired: valid until {until}, but the device's clock shows {clock}"
        );
    }
    if let NotValidYetContext { time, not_before } = why {
        let (clock, from) = (shown(time), shown(not_before));
        return format!(
            "the certificate is not yet valid: valid from {from}, but the device's clock shows {clock}"
        );
    }
    if *why == Expired {
        return "the certificate is expired".into();
    }
    if *why == NotValidYet {
        return "the certificate is not yet valid".into();
    }
    error.to_string()
}
