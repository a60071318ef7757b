//! SCEP with micromdm/scep: our device with its server, its client with our authority. `MDMSTORM_SCEP`
//! is the path of its server; its client lies beside it as `scepclient-bin`.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use mdmstorm::engine::authority::{Authority, Term};
use mdmstorm::engine::clock::wall_now;
use mdmstorm::engine::pki::certificate::Certificate;
use mdmstorm::engine::pki::draft::self_signed;
use mdmstorm::engine::pki::enveloped_data::Cipher;
use mdmstorm::engine::pki::keys::{DeviceKey, KeyKind};
use mdmstorm::engine::pki::name::Name;
use mdmstorm::engine::pki::request::Wish;
use mdmstorm::engine::pki::scep::answer::PkiAnswer;
use mdmstorm::engine::pki::scep::authority::CaCertificates;
use mdmstorm::engine::pki::scep::capabilities::Capabilities;
use mdmstorm::engine::pki::scep::operation::Operation;
use mdmstorm::engine::pki::scep::request::{Asking, PkiRequest};
use mdmstorm::engine::pki::scep::{FailInfo, Purpose};

use crate::{has_openssl, openssl, pem};

/// The programs, if they are at hand; says so when not.
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
fn programs() -> Option<[PathBuf; 2]> {
    let Some(server) = std::env::var_os("MDMSTORM_SCEP") else {
        println!("skipped: MDMSTORM_SCEP is not set");
        return None;
    };
    let server = PathBuf::from(server);
    let client = server.with_file_name("scepclient-bin");
    Some([server, client])
}

/// A server that ends with the test.
struct Server {
    process: Child,
    port: u16,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Server {
    fn start(program: &Path, dir: &Path, challenge: &str) -> Self {
        let mut made = Command::new(program);
        made.args(["ca", "-init", "-depot", "depot"]);
        assert!(made.current_dir(dir).output().unwrap().status.success());
        // Free a moment ago, and below those that the system gives to clients: one of them that tries a
        // port where nobody listens may be given that very port, and then talks to itself.
        let is_free = |port: &u16| TcpListener::bind(("127.0.0.1", *port)).is_ok();
        let begin = 20_000 + (std::process::id() % 10_000) as u16;
        let port = (begin..32_000).find(is_free).unwrap();
        let number = port.to_string();
        let mut process = Command::new(program)
            .args(["-depot", "depot", "-allowrenew", "0", "-port", &number])
            .args(["-challenge", challenge])
            .current_dir(dir)
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
        let listens = |line: &String| line.contains("msg=listening");
        assert!(lines.any(|line| line.as_ref().is_ok_and(listens)));
        // It says so a moment before it does; and what it says further has to be read.
        std::thread::spawn(move || lines.for_each(drop));
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            std::thread::yield_now();
        }
        Self { process, port }
    }

    fn ask(&self, method: &str, operation: &str, body: &[u8]) -> Vec<u8> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let head = format!(
            "{method} /scep?operation={operation} HTTP/1.0\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        let end = answer.windows(4).position(|it| it == b"\r\n\r\n").unwrap();
        assert!(
            answer.starts_with(b"HTTP/1.0 200"),
            "{:?}",
            answer.utf8_chunks().next()
        );
        answer.split_off(end + 4)
    }
}

/// A device's new key, and the certificate it signs for itself.
fn device(kind: KeyKind) -> (DeviceKey, Certificate, Vec<u8>) {
    let key = DeviceKey::generate(kind).unwrap();
    let subject = Name::common("device").to_der().unwrap();
    let certificate = self_signed(&key, &subject, wall_now()).unwrap();
    (key, Certificate::read(&certificate).unwrap(), subject)
}

#[test]
fn our_device_enrols_and_renews_at_their_server_and_a_wrong_challenge_is_refused() {
    let Some([server, _]) = programs() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(&server, folder.path(), "open sesame");
    let capabilities = Capabilities::read(&server.ask("GET", "GetCACaps", b""));
    assert!(capabilities.post && capabilities.aes && capabilities.renewal);
    let authority = CaCertificates::read(&server.ask("GET", "GetCACert", b"")).unwrap();
    let (key, certificate, subject) = device(KeyKind::Rsa2048);
    let asks = |challenge, cipher| {
        let wish = Wish {
            subject: &subject,
            challenge: Some(challenge),
            ..Wish::default()
        };
        let asking = Asking {
            authority: &authority,
            cipher,
            key: &key,
            certificate: &certificate,
            at: wall_now(),
        };
        let request = wish.sign(&key).unwrap();
        let sent = PkiRequest::ask(Purpose::Enroll, &request, key.public_key(), &asking).unwrap();
        let answer = server.ask("POST", "PKIOperation", &sent.message);
        PkiAnswer::read(&answer, &sent, &asking).unwrap()
    };
    let mut issued = Vec::new();
    for cipher in [
        Cipher::Aes128,
        Cipher::Aes256,
        Cipher::TripleDes,
        Cipher::Des,
    ] {
        let answer = asks("open sesame", cipher);
        let PkiAnswer::Issued {
            certificate,
            cipher,
            ..
        } = answer
        else {
            panic!("{answer:?}");
        };
        // Their library's default, whatever was sent.
        assert_eq!(cipher, Cipher::Des);
        issued = certificate;
    }
    let issued = Certificate::read(&issued).unwrap();
    assert!(authority.all().iter().any(|it| issued.is_signed_by(it)));
    let refused = asks("open barley", Cipher::Aes128);
    let (why, text) = (FailInfo::Request, None);
    assert_eq!(refused, PkiAnswer::Refused { why, text });

    let (new, _, subject) = device(KeyKind::Rsa2048);
    let wish = Wish {
        subject: &subject,
        challenge: Some("open sesame"),
        ..Wish::default()
    };
    let asking = Asking {
        authority: &authority,
        cipher: Cipher::Aes128,
        key: &key,
        certificate: &issued,
        at: wall_now(),
    };
    let request = wish.sign(&new).unwrap();
    let sent = PkiRequest::ask(Purpose::Renew, &request, new.public_key(), &asking).unwrap();
    let answer = server.ask("POST", "PKIOperation", &sent.message);
    let answer = PkiAnswer::read(&answer, &sent, &asking).unwrap();
    assert!(matches!(answer, PkiAnswer::Issued { .. }), "{answer:?}");
}

#[test]
fn their_client_enrols_at_our_authority() {
    let Some([_, client]) = programs() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/scep", listener.local_addr().unwrap());
    let (authority, _) = Authority::create_of(KeyKind::Rsa2048, "SCEP", wall_now()).unwrap();
    // Ends with the test's process, when nobody asks any more.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            serve(stream.unwrap(), &authority);
        }
    });
    let output = Command::new(client)
        .args(["-server-url", &url, "-challenge", "open sesame"])
        .args(["-private-key", "key.pem", "-certificate", "leaf.pem"])
        .current_dir(folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let leaf = fs::read_to_string(folder.path().join("leaf.pem")).unwrap();
    assert!(leaf.contains("BEGIN CERTIFICATE"), "{leaf}");
}

fn serve(stream: TcpStream, authority: &Authority) {
    let mut stream = BufReader::new(stream);
    let mut first = String::new();
    stream.read_line(&mut first).unwrap();
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).unwrap();
        let line = line.to_ascii_lowercase();
        if let Some(value) = line.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    let (kind, answer) = match first {
        it if it.contains("GetCACaps") => {
            ("text/plain", b"POSTPKIOperation\nAES\nSHA-256\n".to_vec())
        }
        it if it.contains("GetCACert") => (
            "application/x-x509-ca-cert",
            authority.certificate().to_vec(),
        ),
        _ => {
            let operation = Operation::read(&body, authority).unwrap();
            let request = operation.request.as_ref().unwrap();
            assert_eq!(request.challenge.as_deref(), Some("open sesame"));
            let now = wall_now();
            let term = Term {
                now,
                back_date: Duration::from_secs(600),
                life: Duration::from_secs(3600),
            };
            let issued = authority.issue_csr(request, term).unwrap();
            let answer = operation.grant(&issued, Cipher::Aes256, authority, now);
            ("application/x-pki-message", answer.unwrap())
        }
    };
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        answer.len()
    );
    stream
        .get_mut()
        .write_all(&[head.as_bytes(), &answer].concat())
        .unwrap();
}

#[test]
fn openssl_opens_a_request_step_by_step() {
    if !has_openssl() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    let (authority, key_pem) = Authority::create_of(KeyKind::Rsa2048, "SCEP", wall_now()).unwrap();
    let known = CaCertificates::read(authority.certificate()).unwrap();
    let (key, certificate, subject) = device(KeyKind::Rsa2048);
    let wish = Wish {
        subject: &subject,
        challenge: Some("open sesame"),
        ..Wish::default()
    };
    let request = wish.sign(&key).unwrap();
    fs::write(
        dir.join("ca.pem"),
        pem("CERTIFICATE", authority.certificate()),
    )
    .unwrap();
    fs::write(dir.join("ca.key"), key_pem).unwrap();
    for cipher in [Cipher::Aes128, Cipher::Aes256, Cipher::TripleDes] {
        let asking = Asking {
            authority: &known,
            cipher,
            key: &key,
            certificate: &certificate,
            at: wall_now(),
        };
        let sent = PkiRequest::ask(Purpose::Enroll, &request, key.public_key(), &asking).unwrap();
        fs::write(dir.join("message"), &sent.message).unwrap();
        openssl(
            "cms -verify -binary -noverify -inform DER -in message -out sealed",
            dir,
        );
        let decrypt = "cms -decrypt -binary -inform DER -in sealed -inkey ca.key -recip ca.pem";
        openssl(&format!("{decrypt} -out request"), dir);
        assert_eq!(fs::read(dir.join("request")).unwrap(), request);
        let said = openssl("cms -cmsout -print -noout -inform DER -in message", dir);
        assert!(said.contains(&sent.transaction), "{said}");
        openssl("asn1parse -inform DER -in message", dir);
    }
}
