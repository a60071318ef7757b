//! A server between devices and the real one, which does to each device what its case says: the
//! device's number is the first part of every path.

use std::collections::HashMap;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What it is called in profiles, which name https alone; the scenario rewrites it.
pub(crate) const NAME: &str = "https://hostile.test";

/// A step on a device's way to its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Discovery,
    SignIn,
    Profile,
    Attributes,
    MdmProfile,
    CaCertificate,
    CaCapabilities,
    PkiOperation,
    Directory,
    Nonce,
    Account,
    NewOrder,
    Authorization,
    Challenge,
    Order,
    Finalize,
    Certificate,
}

/// The step of a path below `/acme/`.
fn acme(path: &str) -> Option<Step> {
    Some(match path.split('/').next()? {
        "directory" => Step::Directory,
        "new-nonce" => Step::Nonce,
        "new-account" => Step::Account,
        "new-order" => Step::NewOrder,
        "authz" => Step::Authorization,
        "challenge" => Step::Challenge,
        "order" => Step::Order,
        "finalize" => Step::Finalize,
        "cert" => Step::Certificate,
        _ => return None,
    })
}

/// What is done instead of answering truly.
#[derive(Clone)]
pub(crate) enum Deed {
    /// The connection is closed without a word.
    Cut,
    /// A whole answer that is no HTTP.
    NotHttp,
    /// This status, header lines and body.
    Say(u16, &'static str, Vec<u8>),
    /// The true answer's body, changed, with status 200.
    Change(fn(Vec<u8>) -> Vec<u8>),
    /// Half of the true answer, then nothing more.
    Half,
    /// A body that never ends, as fast as it goes.
    Endless,
    /// A header that never ends.
    EndlessHead,
    /// A body of which a byte comes now and then.
    Drip,
    /// A head of which a byte comes now and then.
    DripHead,
    /// A redirect to where the request went.
    Loop,
    /// The answer that device 0 had at this step.
    Replay,
    /// What was sent comes back.
    Echo,
}

/// Where the real server is, and what is done to whom.
pub(crate) struct Front {
    pub(crate) http: u16,
    pub(crate) https: u16,
    pub(crate) deeds: Vec<Vec<(Step, Deed)>>,
    /// Devices that have an identity and go on over the air.
    certified: Mutex<HashMap<usize, bool>>,
    /// What device 0 was answered.
    first: Mutex<HashMap<Step, Vec<u8>>>,
    heard: Heard,
}

/// What each device sent at each step that was answered truly.
pub(crate) type Heard = Arc<Mutex<HashMap<(usize, Step), Vec<u8>>>>;

struct Asked {
    method: String,
    /// Without the device's number.
    target: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    device: usize,
}

impl Front {
    pub(crate) fn new(http: u16, https: u16, deeds: Vec<Vec<(Step, Deed)>>, heard: Heard) -> Self {
        Self {
            heard,
            http,
            https,
            deeds,
            certified: Mutex::default(),
            first: Mutex::default(),
        }
    }

    /// Serves until the test ends.
    pub(crate) fn start(self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let front = Arc::new(self);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, front) = (stream.unwrap(), Arc::clone(&front));
                // A device that hangs up ends this connection and nothing else.
                std::thread::spawn(move || front.serve(stream, port));
            }
        });
        port
    }

    fn serve(&self, mut stream: TcpStream, port: u16) -> Option<()> {
        let asked = read(&mut stream)?;
        let step = self.step(&asked)?;
        let deeds = self.deeds.get(asked.device).into_iter().flatten();
        let deed = deeds.into_iter().find(|(at, _)| *at == step);
        match deed.map(|(_, deed)| deed.clone()) {
            None => {
                let (status, head, body) = self.ask(&asked)?;
                let key = (asked.device, step);
                self.heard.lock().unwrap().insert(key, asked.body.clone());
                if asked.device == 0 {
                    self.first.lock().unwrap().insert(step, body.clone());
                }
                if step == Step::PkiOperation {
                    self.certified.lock().unwrap().insert(asked.device, true);
                }
                answer(&mut stream, status, &head, &body)
            }
            Some(deed) => self.act(deed, step, &asked, &mut stream, port),
        }
    }

    fn step(&self, asked: &Asked) -> Option<Step> {
        let target = &asked.target;
        if let Some(path) = target.strip_prefix("/acme/") {
            return acme(path);
        }
        let has = |name: &str| asked.headers.iter().any(|(key, _)| key == name);
        let mut certified = self.certified.lock().unwrap();
        let certified = certified.entry(asked.device).or_default();
        Some(match target.split('?').next()? {
            "/enroll" | "/ade" => Step::Profile,
            "/ota/enroll" => {
                *certified = false;
                Step::Profile
            }
            "/ota/phase23" if *certified => Step::MdmProfile,
            "/ota/phase23" => Step::Attributes,
            "/account" if has("authorization") => Step::Profile,
            "/account" => Step::SignIn,
            "/scep" if target.contains("GetCACert") => Step::CaCertificate,
            "/scep" if target.contains("GetCACaps") => Step::CaCapabilities,
            "/scep" => Step::PkiOperation,
            _ => Step::Discovery,
        })
    }

    fn act(
        &self,
        deed: Deed,
        step: Step,
        asked: &Asked,
        stream: &mut TcpStream,
        port: u16,
    ) -> Option<()> {
        match deed {
            Deed::Cut => None,
            Deed::NotHttp => stream.write_all(b"SSH-2.0-OpenSSH_9.9\r\n\r\n").ok(),
            Deed::Say(status, head, body) => answer(stream, status, head, &body),
            Deed::Change(change) => {
                let (_, head, body) = self.ask(asked)?;
                answer(stream, 200, &head, &change(body))
            }
            Deed::Half => {
                let (_, _, body) = self.ask(asked)?;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all(head.as_bytes()).ok()?;
                stream.write_all(&body[..body.len() / 2]).ok()
            }
            Deed::Endless => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
                    .ok()?;
                let chunk = [b"10000\r\n", &[b'<'; 0x10000][..], b"\r\n"].concat();
                while stream.write_all(&chunk).is_ok() {}
                None
            }
            Deed::EndlessHead => {
                stream.write_all(b"HTTP/1.1 200 OK\r\n").ok()?;
                while stream.write_all(b"x-more: and more\r\n").is_ok() {}
                None
            }
            Deed::Drip => {
                stream
                    .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n")
                    .ok()?;
                drip(stream)
            }
            Deed::DripHead => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nx-slow: ").ok()?;
                drip(stream)
            }
            Deed::Loop => {
                let (device, target) = (asked.device, &asked.target);
                let head = format!("location: http://127.0.0.1:{port}/{device}{target}\r\n");
                answer(stream, 302, &head, b"")
            }
            Deed::Replay => {
                let first = self.first.lock().unwrap().get(&step).cloned();
                answer(stream, 200, "", &first.unwrap_or_default())
            }
            Deed::Echo => answer(stream, 200, "", &asked.body),
        }
    }

    /// What the real server answers: the status, further header lines, and the body with the URLs
    /// of all ways in leading back here.
    fn ask(&self, asked: &Asked) -> Option<(u16, String, Vec<u8>)> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.http)).ok()?;
        let mut head = format!("{} {} HTTP/1.1\r\n", asked.method, asked.target);
        head.push_str(&format!("host: 127.0.0.1:{}\r\n", self.https));
        head.push_str("connection: close\r\n");
        for (name, value) in &asked.headers {
            if !matches!(name.as_str(), "host" | "connection") {
                head.push_str(&format!("{name}: {value}\r\n"));
            }
        }
        stream.write_all(format!("{head}\r\n").as_bytes()).ok()?;
        stream.write_all(&asked.body).ok()?;
        let mut all = Vec::new();
        stream.read_to_end(&mut all).ok()?;
        let end = all.windows(4).position(|it| it == b"\r\n\r\n")?;
        let head = String::from_utf8_lossy(&all[..end]).into_owned();
        let status = head.split(' ').nth(1)?.parse().ok()?;
        let kept = head.lines().filter(|line| {
            let line = line.to_ascii_lowercase();
            let names = [
                "content-type:",
                "www-authenticate:",
                "replay-nonce:",
                "location:",
            ];
            names.iter().any(|name| line.starts_with(name))
        });
        let kept: String = kept.map(|line| format!("{line}\r\n")).collect();
        let kept = self.led_back(asked.device, kept.as_bytes());
        let kept = String::from_utf8(kept).ok()?;
        Some((status, kept, self.led_back(asked.device, &all[end + 4..])))
    }

    fn led_back(&self, device: usize, body: &[u8]) -> Vec<u8> {
        let Ok(text) = std::str::from_utf8(body) else {
            return body.to_vec();
        };
        let mut text = text.to_owned();
        for path in ["/scep", "/ota/phase23", "/account", "/acme"] {
            text = text.replace(
                &format!("https://127.0.0.1:{}{path}", self.https),
                &format!("{NAME}/{device}{path}"),
            );
        }
        text.into_bytes()
    }
}

fn drip(stream: &mut TcpStream) -> Option<()> {
    loop {
        stream.write_all(b"a").ok()?;
        #[expect(clippy::disallowed_methods, reason = "a slow server is slow by this")]
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn answer(stream: &mut TcpStream, status: u16, head: &str, body: &[u8]) -> Option<()> {
    let length = match head.contains("content-length") {
        true => String::new(),
        false => format!("content-length: {}\r\n", body.len()),
    };
    let head = format!("HTTP/1.1 {status} Said\r\nconnection: close\r\n{length}{head}\r\n");
    stream.write_all(head.as_bytes()).ok()?;
    stream.write_all(body).ok()
}

fn read(stream: &mut TcpStream) -> Option<Asked> {
    let mut all = Vec::new();
    let mut part = [0; 4096];
    let end = loop {
        if let Some(end) = all.windows(4).position(|it| it == b"\r\n\r\n") {
            break end;
        }
        let read = stream.read(&mut part).ok().filter(|read| *read > 0)?;
        all.extend_from_slice(&part[..read]);
    };
    let head = String::from_utf8_lossy(&all[..end]).into_owned();
    let mut lines = head.lines();
    let mut first = lines.next()?.split(' ');
    let (method, path) = (first.next()?.to_owned(), first.next()?);
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, value)| value.parse().unwrap());
    let mut body = all[end + 4..].to_vec();
    while body.len() < length {
        let read = stream.read(&mut part).ok().filter(|read| *read > 0)?;
        body.extend_from_slice(&part[..read]);
    }
    let (device, _) = path[1..].split_once('/')?;
    Some(Asked {
        method,
        target: path[1 + device.len()..].to_owned(),
        headers,
        body,
        device: device.parse().ok()?,
    })
}
