//! The floor: what a device's cycle costs when nothing is done but what the network needs.
//!
//! One file, tokio sockets, HTTP/1.1 written by hand, none of mdmstorm's types: a bare hyper HTTP/2
//! gateway that takes a push, and for each push a session (connect, PUT Idle, read the command, PUT
//! its result, read the empty answer, close), all on one thread. Bodies are made of fixed pieces, and
//! an answer is searched for its length and its CommandUUID and not otherwise read. There are no
//! stamps, no timeouts, no limits and no records. The TLS client loads its key and clones one template
//! per session, as any client must that keeps a million identities small.

#![allow(dead_code, reason = "each bench uses a part of the floor")]

use std::cell::Cell;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// One device of the floor.
pub(crate) struct FloorDevice {
    /// Its UDID.
    pub(crate) udid: String,
    /// Its certificate; empty for a plain target.
    pub(crate) certificate: CertificateDer<'static>,
    /// Its key as PKCS#8; empty for a plain target.
    pub(crate) key: Vec<u8>,
}

/// What the floor needs.
pub(crate) struct FloorPlan {
    /// The toy server.
    pub(crate) target: SocketAddr,
    /// Whom to trust, for TLS with a client certificate; `None` for a plain target.
    pub(crate) roots: Option<Arc<RootCertStore>>,
    /// The devices, in the order of their indexes.
    pub(crate) devices: Vec<FloorDevice>,
    /// The gateway's certificate.
    pub(crate) chain: Vec<CertificateDer<'static>>,
    /// Its key.
    pub(crate) key: PrivateKeyDer<'static>,
}

/// The floor's thread.
pub(crate) struct Floor {
    /// Where pushes go.
    pub(crate) gateway: SocketAddr,
    jobs: mpsc::Sender<(u32, u32, oneshot::Sender<()>)>,
    _thread: JoinHandle<()>,
}

impl Floor {
    /// Starts the thread.
    pub(crate) fn start(plan: FloorPlan) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has ports");
        listener
            .set_nonblocking(true)
            .expect("a socket can be told");
        let gateway = listener.local_addr().expect("a bound socket has one");
        let (jobs, inbox) = mpsc::channel(1);
        let thread = std::thread::Builder::new()
            .name("floor".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .expect("a runtime can be made");
                LocalSet::new().block_on(&runtime, work(plan, listener, inbox));
            })
            .expect("a thread can be started");
        Self {
            gateway,
            jobs,
            _thread: thread,
        }
    }

    /// Runs `count` sessions without a push, `in_flight` at a time.
    pub(crate) fn sessions(&self, count: u32, in_flight: u32) {
        let (done, over) = oneshot::channel();
        self.jobs
            .blocking_send((count, in_flight, done))
            .expect("the floor runs");
        over.blocking_recv().expect("the floor runs");
    }
}

struct Client {
    target: SocketAddr,
    tls: Option<ClientConfig>,
    devices: Vec<FloorDevice>,
    next_source: Cell<u8>,
    head: Vec<u8>,
}

async fn work(
    plan: FloorPlan,
    listener: std::net::TcpListener,
    mut jobs: mpsc::Receiver<(u32, u32, oneshot::Sender<()>)>,
) {
    let client = Rc::new(Client {
        target: plan.target,
        tls: plan.roots.map(client_tls),
        devices: plan.devices,
        next_source: Cell::new(0),
        head: format!(
            "PUT /mdm HTTP/1.1\r\nHost: {}\r\nUser-Agent: MDM/1.0\r\n\
             Content-Type: application/x-apple-aspen-mdm; charset=UTF-8\r\nContent-Length: ",
            plan.target
        )
        .into_bytes(),
    });
    let pushed = Rc::clone(&client);
    let gateway = serve_gateway(listener, plan.chain, plan.key, move |device| {
        let client = Rc::clone(&pushed);
        spawn_local(async move { client.session(device).await });
    });
    spawn_local(gateway);
    while let Some((count, in_flight, done)) = jobs.recv().await {
        let mut tasks = tokio::task::JoinSet::new();
        for first in 0..in_flight {
            let client = Rc::clone(&client);
            tasks.spawn_local(async move {
                let devices = client.devices.len() as u32;
                for n in (first..count).step_by(in_flight as usize) {
                    client.session(n % devices).await;
                }
            });
        }
        tasks.join_all().await;
        let _ = done.send(());
    }
}

/// A bare hyper gateway: HTTP/2 over TLS, the body read, the device's index taken from the token,
/// `wake` called with it, 200 answered. Accepts connections until it is dropped.
pub(crate) async fn serve_gateway(
    listener: std::net::TcpListener,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    wake: impl Fn(u32) + 'static,
) {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("key and certificate match");
    config.alpn_protocols = vec![b"h2".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::from_std(listener).expect("it is not blocking");
    let wake = Rc::new(wake);
    loop {
        let (tcp, _) = listener.accept().await.expect("there are descriptors");
        let (acceptor, wake) = (acceptor.clone(), Rc::clone(&wake));
        spawn_local(async move {
            tcp.set_nodelay(true).expect("a socket can be told");
            let tls = acceptor.accept(tcp).await.expect("the pusher trusts us");
            let service = hyper::service::service_fn(move |request| {
                let wake = Rc::clone(&wake);
                async move { Ok::<_, Infallible>(take_push(request, &*wake).await) }
            });
            let _ = hyper::server::conn::http2::Builder::new(Local)
                .timer(TokioTimer::new())
                .max_concurrent_streams(1000)
                .serve_connection(TokioIo::new(tls), service)
                .await;
        });
    }
}

async fn take_push(
    mut request: hyper::Request<Incoming>,
    wake: &impl Fn(u32),
) -> hyper::Response<Full<Bytes>> {
    while let Some(frame) = request.body_mut().frame().await {
        frame.expect("the pusher sends whole bodies");
    }
    let path = request.uri().path();
    // The token's bytes 5 to 8 are the device, after "/3/device/".
    let device = u32::from_str_radix(&path[20..28], 16).expect("tokens are hexadecimal");
    wake(device);
    hyper::Response::new(Full::default())
}

#[derive(Clone, Copy)]
struct Local;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for Local {
    fn execute(&self, future: F) {
        spawn_local(future);
    }
}

fn client_tls(roots: Arc<RootCertStore>) -> ClientConfig {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = rustls::client::Resumption::disabled();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

impl Client {
    async fn session(&self, device: u32) {
        let device = &self.devices[device as usize];
        let tcp = self.dial().await;
        let Some(template) = &self.tls else {
            return self.converse(tcp, &device.udid).await;
        };
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(device.key.as_slice()));
        let key = aws_lc_rs::sign::any_ecdsa_type(&key).expect("the key is P-256");
        let chain = vec![device.certificate.clone()];
        let mut config = template.clone();
        config.client_auth_cert_resolver = Arc::new(SingleCertAndKey::from(Arc::new(
            CertifiedKey::new(chain, key),
        )));
        let name = ServerName::IpAddress(self.target.ip().into());
        let connector = TlsConnector::from(Arc::new(config));
        let tls = connector.connect(name, tcp).await.expect("a handshake");
        self.converse(tls, &device.udid).await;
    }

    async fn dial(&self) -> TcpStream {
        let socket = TcpSocket::new_v4().expect("there are descriptors");
        nix::sys::socket::setsockopt(
            &socket,
            nix::sys::socket::sockopt::IpBindAddressNoPort,
            &true,
        )
        .expect("Linux has the option");
        let source = self.next_source.get();
        self.next_source.set((source + 1) % 200);
        let source = Ipv4Addr::new(127, 1, 0, source + 1);
        socket
            .bind(SocketAddr::from((source, 0)))
            .expect("127/8 is ours");
        let tcp = socket.connect(self.target).await.expect("the toy listens");
        tcp.set_nodelay(true).expect("a socket can be told");
        tcp
    }

    async fn converse<S: AsyncRead + AsyncWrite + Unpin>(&self, mut stream: S, udid: &str) {
        let mut buffer = Vec::with_capacity(4096);
        self.write_request(&mut buffer, &[IDLE, udid, END]);
        let body = exchange(&mut stream, &mut buffer).await;
        let command = std::str::from_utf8(&buffer[body..]).expect("the toy sends text");
        let at = command.find(UUID_KEY).expect("a command has a UUID") + UUID_KEY.len();
        let uuid = command[at..at + 36].to_owned();
        self.write_request(&mut buffer, &[RESULT, &uuid, MIDDLE, udid, END]);
        let body = exchange(&mut stream, &mut buffer).await;
        assert_eq!(body, buffer.len(), "a result's answer is empty");
    }

    fn write_request(&self, buffer: &mut Vec<u8>, body: &[&str]) {
        use std::io::Write as _;
        buffer.clear();
        buffer.extend_from_slice(&self.head);
        let length: usize = body.iter().map(|piece| piece.len()).sum();
        write!(buffer, "{length}\r\n\r\n").expect("a vector takes all bytes");
        for piece in body {
            buffer.extend_from_slice(piece.as_bytes());
        }
    }
}

/// Sends what is in the buffer, reads the answer into it, and says where its body begins.
async fn exchange<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    buffer: &mut Vec<u8>,
) -> usize {
    stream.write_all(buffer).await.expect("the toy reads");
    stream.flush().await.expect("the toy reads");
    buffer.clear();
    loop {
        let read = stream.read_buf(buffer).await.expect("the toy answers");
        assert!(read > 0, "the toy closed the connection");
        let Some(end) = buffer.windows(4).position(|it| it == b"\r\n\r\n") else {
            continue;
        };
        let head = std::str::from_utf8(&buffer[..end]).expect("the toy sends text");
        let length = head.find(LENGTH).expect("the toy says how long") + LENGTH.len();
        let digits = head[length..].lines().next().expect("a number follows");
        let length: usize = digits.parse().expect("it is a number");
        if buffer.len() >= end + 4 + length {
            return end + 4;
        }
    }
}

const LENGTH: &str = "Content-Length: ";
const UUID_KEY: &str = "<key>CommandUUID</key>\n\t<string>";

const IDLE: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
    \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
    <plist version=\"1.0\">\n<dict>\n\
    \t<key>Status</key>\n\t<string>Idle</string>\n\
    \t<key>UDID</key>\n\t<string>";
const RESULT: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
    <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
    \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
    <plist version=\"1.0\">\n<dict>\n\
    \t<key>QueryResponses</key>\n\t<dict>\n\
    \t\t<key>BatteryLevel</key>\n\t\t<real>0.6875</real>\n\
    \t\t<key>OSVersion</key>\n\t\t<string>18.1</string>\n\
    \t\t<key>UDID</key>\n\t\t<string>00008140-0000000000000000</string>\n\
    \t</dict>\n\
    \t<key>CommandUUID</key>\n\t<string>";
const MIDDLE: &str = "</string>\n\t<key>Status</key>\n\t<string>Acknowledged</string>\n\
    \t<key>UDID</key>\n\t<string>";
const END: &str = "</string>\n</dict>\n</plist>\n";
