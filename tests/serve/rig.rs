//! A server, a gateway that takes its pushes, and a device: all on loopback.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use base64::Engine as _;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use mdmstorm::engine::authority::{Authority, Credential, GATEWAY_NAMES, LOCAL_NAMES};
use mdmstorm::engine::clock::wall_now;
use mdmstorm::engine::cms;
use mdmstorm::engine::identity::{ClientTls, certified, roots_of_pem};
use mdmstorm::engine::pki::keys::KeyKind;
use mdmstorm::engine::push_client::PushTarget;
use mdmstorm::engine::serve::{EnrollmentSettings, IdentityMode, Running, ServeSettings};
use mdmstorm::ids::CommandUuid;
use mdmstorm::protocol::checkin::{Authenticate, CheckIn, TokenUpdate};
use mdmstorm::protocol::command::encode_command;
use mdmstorm::protocol::profile::{EnrollmentProfile, PROFILE_CONTENT_TYPE, Profile};
use mdmstorm::protocol::status_report::{self, Status, StatusReport};
use mdmstorm::reference_server::{Defects, NetworkUsers};
use mdmstorm::scenario::EmbeddedTarget;
use mdmstorm::seed::Seed;
use mdmstorm::time::WallTime;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::ServerName;
use rustls::server::WebPkiClientVerifier;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_rustls::{TlsAcceptor, TlsConnector};

const CHECK_IN: &str = "application/x-apple-aspen-mdm-checkin";

/// What the gateway received.
pub(crate) struct Push {
    pub(crate) connection: u32,
    pub(crate) path: String,
    pub(crate) topic: String,
    pub(crate) body: Bytes,
}

/// What the server said.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

pub(crate) struct Rig {
    pub(crate) running: Running,
    pub(crate) settings: ServeSettings,
    pub(crate) pushes: mpsc::Receiver<Push>,
    pub(crate) topic: String,
    pub(crate) udid: String,
    pub(crate) token: Vec<u8>,
    pub(crate) api_key: String,
    /// What the device shows; `None` for nothing.
    pub(crate) credential: Option<Credential>,
    /// What time the device believes it is, when it is wrong.
    pub(crate) clock: Option<WallTime>,
    /// Whether the device waits in Setup Assistant.
    pub(crate) awaits: bool,
    authority: Authority,
    authority_key: String,
    end_connection: Arc<Notify>,
    connection_ended: Arc<Notify>,
    _gateway: JoinSet<()>,
}

impl Rig {
    /// Everything started, the push certificate uploaded.
    pub(crate) async fn start(identity: IdentityMode) -> Self {
        Self::start_enrolling(identity, None).await
    }

    /// The same with a server that hands out identities.
    pub(crate) async fn start_enrolling(
        identity: IdentityMode,
        rules: Option<EmbeddedTarget>,
    ) -> Self {
        let now = wall_now();
        let (authority, authority_key) = Authority::create("devices", now).unwrap();
        let (apns, _) = Authority::create("APNs", now).unwrap();
        let topic = "com.apple.mgmt.External.rig".to_owned();
        let push = apns.push_certificate(&topic, now).unwrap();
        let (sender, pushes) = mpsc::channel(64);
        let (end_connection, connection_ended) = (Arc::default(), Arc::default());
        let mut tasks = JoinSet::new();
        let gateway = Gateway {
            pushes: sender,
            end_connection: Arc::clone(&end_connection),
            connection_ended: Arc::clone(&connection_ended),
        };
        let address = gateway.start(&apns, &mut tasks).await;
        let server = authority.server_certificate(&LOCAL_NAMES, now).unwrap();
        let settings = ServeSettings {
            listen_http: None,
            listen_https: Some("127.0.0.1:0".parse().unwrap()),
            certificate: server.certificates_pem(),
            key: server.key_pem(),
            api_key: "key".to_owned(),
            identity,
            device_authority: authority.certificate_pem(),
            tickets: false,
            push: PushTarget {
                address,
                server_name: "api.push.apple.com".to_owned(),
                authority: Some(apns.certificate_pem()),
                expires_after: Some(Duration::from_secs(60)),
            },
            push_certificate: None,
            push_topic: Some(topic.clone()),
            repush_after: Duration::from_millis(1),
            repush_every: Duration::from_secs(600),
            network_users: NetworkUsers::default(),
            defects: Defects::default(),
            seed: Seed(1),
            enrollment: rules.map(enrollment),
        };
        let rig = Self {
            running: Running::start(settings.clone()).unwrap(),
            settings,
            pushes,
            topic,
            udid: "UDID-1".to_owned(),
            token: vec![1, 2, 0xab, 0xff],
            api_key: "key".to_owned(),
            credential: Some(authority.device_certificate("UDID-1", now).unwrap()),
            clock: None,
            awaits: false,
            authority,
            authority_key,
            end_connection,
            connection_ended,
            _gateway: tasks,
        };
        let pem = format!("{}{}", push.certificates_pem(), push.key_pem());
        let (status, answer) = rig.admin("PUT", "/v1/pushcert", pem.into_bytes()).await;
        assert_eq!(status, 200, "{}", String::from_utf8_lossy(&answer));
        rig
    }

    /// Another device of the same crowd.
    pub(crate) fn other_device(&self) -> Credential {
        self.authority
            .device_certificate("UDID-2", wall_now())
            .unwrap()
    }

    /// The certificate and key of who vouches for devices.
    pub(crate) fn attesting(&self) -> (String, rcgen::KeyPair) {
        let key = rcgen::KeyPair::from_pem(&self.authority_key).unwrap();
        (self.authority.certificate_pem(), key)
    }

    /// A device that another authority vouches for.
    pub(crate) fn stranger(&self) -> Credential {
        let (authority, _) = Authority::create("others", wall_now()).unwrap();
        authority
            .device_certificate(&self.udid, wall_now())
            .unwrap()
    }

    pub(crate) async fn enroll(&self) {
        let authenticate = CheckIn::Authenticate(Authenticate {
            udid: self.udid.clone().into(),
            topic: self.topic.clone(),
            os_version: None,
            build: None,
            product: None,
            serial: None,
            imei: None,
            meid: None,
            mac: None,
        });
        let token_update = CheckIn::TokenUpdate(TokenUpdate {
            udid: self.udid.clone().into(),
            topic: self.topic.clone(),
            token: self.token.clone(),
            magic: "MAGIC".to_owned(),
            unlock_token: None,
            user: None,
            awaiting_configuration: self.awaits,
            auth_token: None,
        });
        for message in [authenticate, token_update] {
            let (status, body) = self.device("/mdm", CHECK_IN, message.encode()).await;
            assert_eq!(status, 200, "{}", String::from_utf8_lossy(&body));
        }
    }

    /// Orders a DeviceLock called `uuid`.
    pub(crate) async fn enqueue(&self, uuid: &str, query: &str) -> (u16, Vec<u8>) {
        let mut command = plist::Dictionary::new();
        command.insert("RequestType".to_owned(), "DeviceLock".into());
        let path = format!("/v1/enqueue/{}{query}", self.udid);
        self.admin("PUT", &path, encode_command(uuid, &command))
            .await
    }

    /// A request of the administrator.
    pub(crate) async fn admin(&self, method: &str, path: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
        let user = format!("nanomdm:{}", self.api_key);
        let user = base64::engine::general_purpose::STANDARD.encode(user);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Basic {user}"))
            .body(Full::new(Bytes::from(body)))
            .unwrap();
        self.send(request, None).await
    }

    /// A request of the device, with its identity as the server wants it.
    pub(crate) async fn device(&self, path: &str, kind: &str, body: Vec<u8>) -> (u16, Vec<u8>) {
        let mut request = Request::put(path).header("content-type", kind);
        if let Some(credential) = &self.credential {
            match &self.settings.identity {
                IdentityMode::Mtls => {}
                IdentityMode::Signature => {
                    let key = certified(credential).unwrap();
                    let signature =
                        cms::mdm_signature(&body, &key, self.clock.unwrap_or_else(wall_now))
                            .unwrap();
                    request = request.header("mdm-signature", signature);
                }
                IdentityMode::Header(name) => {
                    request = request.header(name, cms::header_value(&credential.chain[0]));
                }
            }
        }
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        self.send(request, self.credential.as_ref()).await
    }

    /// What nobody in particular asks.
    pub(crate) async fn ask(&self, request: http::request::Builder, body: Vec<u8>) -> Answer {
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        self.exchange(request, None).await
    }

    /// A GET of nobody in particular.
    pub(crate) async fn fetch(&self, path: &str) -> Answer {
        self.ask(Request::get(path), Vec::new()).await
    }

    /// What the server saw of enrolments.
    pub(crate) async fn seen(&self) -> serde_json::Value {
        let (status, seen) = self.admin("GET", "/v1/enrollments", Vec::new()).await;
        assert_eq!(status, 200);
        serde_json::from_slice(&seen).unwrap()
    }

    /// Makes the gateway end the connection it has, and waits until it has.
    pub(crate) async fn send_goaway(&self) {
        self.end_connection.notify_one();
        self.connection_ended.notified().await;
    }

    async fn send(
        &self,
        request: Request<Full<Bytes>>,
        credential: Option<&Credential>,
    ) -> (u16, Vec<u8>) {
        let answer = self.exchange(request, credential).await;
        (answer.status, answer.body)
    }

    async fn exchange(
        &self,
        mut request: Request<Full<Bytes>>,
        credential: Option<&Credential>,
    ) -> Answer {
        let roots = roots_of_pem(&self.settings.device_authority).unwrap();
        let key = credential.map(|credential| certified(credential).unwrap());
        let tls = ClientTls::new(roots, 0, "http/1.1").unwrap();
        let stream = TcpStream::connect(self.running.https.unwrap())
            .await
            .unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let connector = TlsConnector::from(tls.config_for(key));
        let stream = connector.connect(name, stream).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move { drop(connection.await) });
        request
            .headers_mut()
            .insert("host", "localhost".parse().unwrap());
        let response = sender.send_request(request).await.unwrap();
        let status = response.status().as_u16();
        let headers = response.headers().clone();
        let body = response.into_body().collect().await.unwrap().to_bytes();
        Answer {
            status,
            headers,
            body: body.to_vec(),
        }
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The enrolment profile in it.
    pub(crate) fn profile(&self) -> EnrollmentProfile {
        assert_eq!(self.status, 200, "{}", self.text());
        assert_eq!(self.header("content-type"), PROFILE_CONTENT_TYPE);
        Profile::decode(&self.body).unwrap().enrollment().unwrap()
    }
}

/// An authority for all tests: making its key takes a while.
fn enrollment(rules: EmbeddedTarget) -> EnrollmentSettings {
    static MADE: LazyLock<(String, String)> = LazyLock::new(|| {
        let made = Authority::create_of(KeyKind::Rsa2048, "enrolment", wall_now());
        let (authority, key) = made.unwrap();
        (authority.certificate_pem(), key)
    });
    EnrollmentSettings {
        certificate: MADE.0.clone(),
        key: MADE.1.clone(),
        rules,
    }
}

/// As much of APNs as a provider sees.
struct Gateway {
    pushes: mpsc::Sender<Push>,
    end_connection: Arc<Notify>,
    connection_ended: Arc<Notify>,
}

impl Gateway {
    async fn start(self, apns: &Authority, tasks: &mut JoinSet<()>) -> SocketAddr {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let roots = roots_of_pem(&apns.certificate_pem()).unwrap();
        let verifier = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider))
            .build()
            .unwrap();
        let own = apns.server_certificate(&GATEWAY_NAMES, wall_now()).unwrap();
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(own.chain, own.key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tasks.spawn(async move {
            for number in 1.. {
                let (stream, _) = listener.accept().await.unwrap();
                self.serve(number, acceptor.accept(stream).await.unwrap())
                    .await;
            }
        });
        address
    }

    async fn serve(&self, number: u32, stream: tokio_rustls::server::TlsStream<TcpStream>) {
        let pushes = self.pushes.clone();
        let service = service_fn(move |request| answer(number, pushes.clone(), request));
        let connection = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        tokio::select! {
            _ = connection.as_mut() => {}
            () = self.end_connection.notified() => {
                connection.as_mut().graceful_shutdown();
                let _ = connection.await;
                self.connection_ended.notify_one();
            }
        }
    }
}

/// Takes every push; a token that begins with EE is of a device that has left.
async fn answer(
    connection: u32,
    pushes: mpsc::Sender<Push>,
    request: Request<hyper::body::Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    assert_eq!(head.headers["apns-push-type"], "mdm");
    assert!(head.headers.contains_key("apns-expiration"));
    let path = head.uri.path().to_owned();
    if path.starts_with("/3/device/ee") {
        let body = Full::new(Bytes::from(r#"{"reason":"Unregistered","timestamp":1}"#));
        return Ok(Response::builder().status(410).body(body).unwrap());
    }
    let push = Push {
        connection,
        path,
        topic: head.headers["apns-topic"].to_str().unwrap().to_owned(),
        body: body.collect().await.unwrap().to_bytes(),
    };
    pushes.send(push).await.unwrap();
    let answer = Response::builder().header("apns-id", "ID-1");
    Ok(answer.body(Full::default()).unwrap())
}

/// The report of a device that asks for work.
pub(crate) fn idle(udid: &str) -> Vec<u8> {
    status_report::idle(udid)
}

/// The result `status` (Acknowledged or NotNow) of the command `uuid`.
pub(crate) fn result(udid: &str, uuid: &str, status: &str) -> Vec<u8> {
    let status = match status {
        "Acknowledged" => Status::Acknowledged,
        "NotNow" => Status::NotNow,
        other => panic!("no test needs {other}"),
    };
    let report = StatusReport {
        udid: udid.into(),
        user: None,
        status,
        uuid: Some(CommandUuid(uuid.into())),
        error_chain: Vec::new(),
        payload: plist::Dictionary::new(),
    };
    report.encode()
}
