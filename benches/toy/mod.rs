//! The other side of every bench: a toy MDM server and provider in a process of its own, so that
//! its CPU is not counted. The bench binary starts itself again with [`CHILD`] as its argument.
//!
//! It answers Idle with a command, everything else with nothing, sends the pushes itself and keeps a
//! fixed number of cycles in flight: the next push goes out when a session has had its empty answer.

#![allow(dead_code, reason = "each bench uses a part of the toy")]

use std::cell::{Cell, RefCell};
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::{LocalSet, spawn_local};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// The argument that makes a bench binary the toy.
pub(crate) const CHILD: &str = "--toy-server";

/// What the toy is told at its start; all keys and certificates are PEM.
#[derive(Serialize, Deserialize)]
pub(crate) struct Setup {
    /// The server's certificate and key.
    pub(crate) certificate: String,
    /// See above.
    pub(crate) key: String,
    /// Who signs devices.
    pub(crate) devices: String,
    /// The provider's certificate and key.
    pub(crate) push_certificate: String,
    /// See above.
    pub(crate) push_key: String,
    /// Who signs the gateway.
    pub(crate) apns: String,
    /// The path of each device's pushes, `/3/device/<token>`.
    pub(crate) paths: Vec<String>,
    /// The payload of each device's pushes.
    pub(crate) payloads: Vec<String>,
    /// The CommandUUID of each order; order n is for device n modulo their number.
    pub(crate) uuids: Vec<String>,
}

/// The toy as the bench sees it. It ends with the bench, whose end closes its standard input.
pub(crate) struct Toy {
    /// Where it listens without TLS.
    pub(crate) plain: SocketAddr,
    /// Where it listens with TLS and asks for a client certificate.
    pub(crate) mtls: SocketAddr,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    child: Child,
}

impl Toy {
    /// Starts the child.
    pub(crate) fn start(setup: &Setup) -> Self {
        let program = std::env::current_exe().expect("a program knows where it is");
        let mut child = Command::new(program)
            .arg(CHILD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("what runs can be started");
        let mut input = child.stdin.take().expect("it is piped");
        let mut output = BufReader::new(child.stdout.take().expect("it is piped"));
        let text = serde_json::to_string(setup).expect("the setup is text");
        writeln!(input, "{text}").expect("the toy reads");
        let mut line = String::new();
        output.read_line(&mut line).expect("the toy answers");
        let mut addresses = line.split_whitespace().map(str::parse);
        let mut address = || {
            let next = addresses.next().expect("two addresses come");
            next.expect("each is an address")
        };
        let (plain, mtls) = (address(), address());
        Self {
            plain,
            mtls,
            input,
            output,
            child,
        }
    }

    /// Pushes at `gateway` for orders `first..first + count`, `in_flight` cycles at a time, and
    /// returns when each device has had its empty answer.
    pub(crate) fn cycles(&mut self, gateway: SocketAddr, first: u32, count: u32, in_flight: u32) {
        self.run(&format!("cycles {gateway} {first} {count} {in_flight}"));
    }

    /// Sends `count` pushes to `gateway`, `in_flight` at a time; no session follows.
    pub(crate) fn pushes(&mut self, gateway: SocketAddr, count: u32, in_flight: u32) {
        self.run(&format!("pushes {gateway} 0 {count} {in_flight}"));
    }

    fn run(&mut self, job: &str) {
        writeln!(self.input, "{job}").expect("the toy reads");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the toy answers");
        assert_eq!(line, "done\n", "the toy failed at {job}");
    }
}

impl Drop for Toy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a bench binary does that was started as the toy.
pub(crate) fn serve() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be made");
    LocalSet::new().block_on(&runtime, async {
        let mut input = lines();
        let setup = input.recv().await.expect("the bench writes the setup");
        let setup: Setup = serde_json::from_str(&setup).expect("it is the setup");
        let toy = Rc::new(Server::new(setup));
        let plain = listen().await;
        let mtls = listen().await;
        let at = |listener: &TcpListener| listener.local_addr().expect("it is bound");
        println!("{} {}", at(&plain), at(&mtls));
        spawn_local(Rc::clone(&toy).accept(plain, None));
        let acceptor = TlsAcceptor::from(toy.server_tls());
        spawn_local(Rc::clone(&toy).accept(mtls, Some(acceptor)));
        while let Some(job) = input.recv().await {
            let words: Vec<&str> = job.split_whitespace().collect();
            let number = |at: usize| words[at].parse::<u32>().expect("it is a number");
            let gateway = words[1].parse().expect("it is an address");
            let with_sessions = words[0] == "cycles";
            let job = Job {
                gateway,
                first: number(2),
                count: number(3),
                in_flight: number(4),
                with_sessions,
            };
            Rc::clone(&toy).work(job).await;
            println!("done");
        }
    });
}

/// The lines of standard input, until the bench closes it.
fn lines() -> mpsc::Receiver<String> {
    let (to, lines) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if to.blocking_send(line).is_err() {
                return;
            }
        }
    });
    lines
}

struct Job {
    gateway: SocketAddr,
    first: u32,
    count: u32,
    in_flight: u32,
    with_sessions: bool,
}

struct Server {
    setup: Setup,
    /// The order each device is to get.
    pending: RefCell<Vec<u32>>,
    places: Semaphore,
    providers: RefCell<Vec<(SocketAddr, SendRequest<Full<Bytes>>)>>,
    failed: Cell<bool>,
}

/// No order: a session that no push began.
const NONE: u32 = u32::MAX;

async fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback has ports")
}

fn roots(pem: &str) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(chain(pem));
    Arc::new(roots)
}

fn chain(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes())
        .map(|it| it.expect("it is a certificate"))
        .collect()
}

fn key(pem: &str) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes()).expect("it is a key")
}

impl Server {
    fn new(setup: Setup) -> Self {
        Self {
            pending: RefCell::new(vec![NONE; setup.paths.len()]),
            setup,
            places: Semaphore::new(0),
            providers: RefCell::default(),
            failed: Cell::new(false),
        }
    }

    fn server_tls(&self) -> Arc<ServerConfig> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(
            roots(&self.setup.devices),
            Arc::clone(&provider),
        )
        .build()
        .expect("there is a root");
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain(&self.setup.certificate), key(&self.setup.key))
            .expect("key and certificate match");
        Arc::new(config)
    }

    // ---- the MDM server ------------------------------------------------------------------

    async fn accept(self: Rc<Self>, listener: TcpListener, tls: Option<TlsAcceptor>) {
        loop {
            let (tcp, _) = listener.accept().await.expect("there are descriptors");
            let (toy, tls) = (Rc::clone(&self), tls.clone());
            spawn_local(async move {
                tcp.set_nodelay(true).expect("a socket can be told");
                match tls {
                    None => toy.session(tcp).await,
                    Some(tls) => {
                        if let Ok(tls) = tls.accept(tcp).await {
                            toy.session(tls).await;
                        }
                    }
                }
            });
        }
    }

    async fn session<S: AsyncRead + AsyncWrite + Unpin>(&self, mut stream: S) {
        let mut buffer = Vec::with_capacity(4096);
        loop {
            buffer.clear();
            let Some(body) = read_request(&mut stream, &mut buffer).await else {
                return;
            };
            let body = std::str::from_utf8(&buffer[body..]).expect("devices send text");
            let is_result = body.contains("<string>Acknowledged</string>");
            let answer = if is_result {
                EMPTY.to_owned()
            } else if body.contains("<string>Idle</string>") {
                self.command(device_of(body))
            } else if body.contains("<key>MessageType</key>") {
                EMPTY.to_owned()
            } else {
                eprintln!("the toy got what it did not expect: {body}");
                self.failed.set(true);
                return;
            };
            if stream.write_all(answer.as_bytes()).await.is_err() || stream.flush().await.is_err() {
                return;
            }
            if is_result {
                self.places.add_permits(1);
            }
        }
    }

    fn command(&self, device: usize) -> String {
        let uuid = match self.pending.borrow()[device] {
            NONE => "00000000-0000-0000-0000-000000000000",
            order => &self.setup.uuids[order as usize],
        };
        let length = COMMAND[0].len() + uuid.len() + COMMAND[1].len();
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/xml\r\nContent-Length: {length}\r\n\r\n\
             {}{uuid}{}",
            COMMAND[0], COMMAND[1]
        )
    }

    // ---- the provider --------------------------------------------------------------------

    async fn work(self: Rc<Self>, job: Job) {
        let provider = self.provider(job.gateway).await;
        self.places.forget_permits(usize::MAX >> 4);
        self.places.add_permits(job.in_flight as usize);
        let devices = self.setup.paths.len() as u32;
        for order in job.first..job.first + job.count {
            self.places.acquire().await.expect("never closed").forget();
            if self.failed.get() {
                println!("failed");
                return;
            }
            let device = (order % devices) as usize;
            if job.with_sessions {
                self.pending.borrow_mut()[device] = order;
            }
            let (toy, provider) = (Rc::clone(&self), provider.clone());
            let with_sessions = job.with_sessions;
            spawn_local(async move {
                toy.push(provider, device).await;
                if !with_sessions {
                    toy.places.add_permits(1);
                }
            });
        }
        let all = self.places.acquire_many(job.in_flight).await;
        all.expect("never closed").forget();
        self.pending.borrow_mut().fill(NONE);
    }

    async fn push(&self, mut provider: SendRequest<Full<Bytes>>, device: usize) {
        let payload = Bytes::copy_from_slice(self.setup.payloads[device].as_bytes());
        let uri = format!("https://localhost{}", self.setup.paths[device]);
        let request = hyper::Request::post(uri)
            .header("apns-push-type", "mdm")
            .body(Full::new(payload))
            .expect("it is a request");
        let answered = provider.send_request(request).await;
        if !answered.is_ok_and(|answer| answer.status() == 200) {
            eprintln!("the gateway refused a push");
            self.failed.set(true);
        }
    }

    /// The connection to `gateway`, made when it is first used.
    async fn provider(&self, gateway: SocketAddr) -> SendRequest<Full<Bytes>> {
        let known = self
            .providers
            .borrow()
            .iter()
            .find(|it| it.0 == gateway)
            .cloned();
        if let Some((_, sender)) = known {
            return sender;
        }
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_root_certificates(roots(&self.setup.apns))
            .with_client_auth_cert(
                chain(&self.setup.push_certificate),
                key(&self.setup.push_key),
            )
            .expect("key and certificate match");
        config.alpn_protocols = vec![b"h2".to_vec()];
        let tcp = TcpStream::connect(gateway).await.expect("it listens");
        tcp.set_nodelay(true).expect("a socket can be told");
        let name = ServerName::try_from("localhost").expect("it is a name");
        let connector = TlsConnector::from(Arc::new(config));
        let tls = connector.connect(name, tcp).await.expect("a handshake");
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .handshake(TokioIo::new(tls))
            .await
            .expect("it speaks HTTP/2");
        spawn_local(connection);
        self.providers.borrow_mut().push((gateway, sender.clone()));
        sender
    }
}

/// Reads one request and says where its body begins; `None` at the end of the connection.
async fn read_request<S: AsyncRead + Unpin>(stream: &mut S, buffer: &mut Vec<u8>) -> Option<usize> {
    loop {
        match stream.read_buf(buffer).await {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
        let Some(end) = buffer.windows(4).position(|it| it == b"\r\n\r\n") else {
            continue;
        };
        let head = std::str::from_utf8(&buffer[..end]).expect("devices send text");
        let length = head.find(LENGTH).expect("devices say how long") + LENGTH.len();
        let digits = head[length..].lines().next().expect("a number follows");
        let length: usize = digits.parse().expect("it is a number");
        if buffer.len() >= end + 4 + length {
            return Some(end + 4);
        }
    }
}

/// The index in the UDID's last eight digits.
fn device_of(body: &str) -> usize {
    let at = body.find(UDID).expect("devices say who they are") + UDID.len() + 8;
    usize::from_str_radix(&body[at..at + 8], 16).expect("it is hexadecimal")
}

const LENGTH: &str = "Content-Length: ";
const UDID: &str = "<string>00008140-";
const EMPTY: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
const COMMAND: [&str; 2] = [
    "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
     <!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST 1.0//EN\" \
     \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">\n\
     <plist version=\"1.0\">\n<dict>\n\
     \t<key>Command</key>\n\t<dict>\n\
     \t\t<key>Queries</key>\n\t\t<array>\n\
     \t\t\t<string>UDID</string>\n\t\t\t<string>OSVersion</string>\n\
     \t\t\t<string>BatteryLevel</string>\n\t\t</array>\n\
     \t\t<key>RequestType</key>\n\t\t<string>DeviceInformation</string>\n\t</dict>\n\
     \t<key>CommandUUID</key>\n\t<string>",
    "</string>\n</dict>\n</plist>\n",
];
