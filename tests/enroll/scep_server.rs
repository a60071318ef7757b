//! Against an unmodified NanoMDM whose devices' certificates come from an unmodified micromdm/scep:
//! runs when `MDMSTORM_NANOMDM` and `MDMSTORM_SCEP` are the paths of their programs.

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{Run, program};

/// A server that ends with the test.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Server {
    /// Starts it, and waits until it listens.
    #[expect(
        clippy::disallowed_methods,
        reason = "a server that never listens must not hold the test for ever"
    )]
    fn start(mut command: Command, port: u16) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self(command.spawn().unwrap());
        let begun = Instant::now();
        while !listens(port) {
            assert!(begun.elapsed() < START_MAX, "nobody listens at {port}");
            std::thread::yield_now();
        }
        server
    }
}

/// How long a server may take until it listens.
const START_MAX: Duration = Duration::from_secs(30);

/// Whether somebody listens. A connection to a port that nobody has may be to itself: both ends are
/// of the range that the system chooses from.
fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port))
        .is_ok_and(|stream| stream.local_addr().unwrap() != stream.peer_addr().unwrap())
}

fn port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

/// The topic of the push certificate in a state folder, which is made if it is not there.
fn topic(state: &Path) -> String {
    mdmstorm::engine::state::State::open(state).unwrap().topic
}

fn profile(topic: &str, challenge: &str) -> String {
    let text = include_str!("profile.mobileconfig");
    text.replace("TOPIC", topic).replace("CHALLENGE", challenge)
}

/// Runs with a profile that has this challenge, where the server wants `secret`.
fn run(challenge: &str) -> Option<Run> {
    let (nanomdm, scep) = (program("MDMSTORM_NANOMDM")?, program("MDMSTORM_SCEP")?);
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).display().to_string();
    let topic = topic(&folder.path().join("state"));
    let depot = path("depot");
    let made = Command::new(&scep)
        .args(["ca", "-init", "-depot", &depot])
        .output();
    assert!(made.unwrap().status.success());
    let [scep_port, server, gateway, proxy] = [port(), port(), port(), port()];
    let mut authority = Command::new(&scep);
    authority
        .args(["-depot", &depot, "-challenge", "secret", "-allowrenew", "0"])
        .args(["-http-addr", &format!("127.0.0.1:{scep_port}")]);
    let _authority = Server::start(authority, scep_port);
    let mut mdm = Command::new(nanomdm);
    mdm.args(["-api", "key", "-ca", &format!("{depot}/ca.pem")])
        .args(["-storage", "filekv", "-storage-dsn", &path("storage")])
        .args(["-listen", &format!("127.0.0.1:{server}")])
        .env("HTTPS_PROXY", format!("http://127.0.0.1:{proxy}"))
        .env("SSL_CERT_FILE", path("state/apns-ca.pem"));
    let _mdm = Server::start(mdm, server);
    std::fs::write(path("enroll.mobileconfig"), profile(&topic, challenge)).unwrap();
    let head = format!(
        r#"
[target.nanomdm]
url = "http://127.0.0.1:{server}"
api-key = {{ env = "NANOMDM_TEST_KEY" }}
[enrollment.profile]
file = "enroll.mobileconfig"
[enrollment.identity]
keys = "pool"
[enrollment.rewrite]
"https://mdm.example.test" = "http://127.0.0.1:{server}"
"https://scep.example.test" = "http://127.0.0.1:{scep_port}"
[apns]
listen = "127.0.0.1:{gateway}"
connect-proxy = "127.0.0.1:{proxy}"
"#
    );
    Some(Run::within(folder, &head, &[("NANOMDM_TEST_KEY", "key")]))
}

#[test]
fn devices_of_nanomdm_get_their_identities_from_micromdm_scep() {
    let Some(run) = run("secret") else { return };
    run.went_well();
}

#[test]
fn a_wrong_challenge_is_refused_by_micromdm_scep() {
    let Some(run) = run("wrong") else { return };
    assert_eq!(run.output.status.code(), Some(92), "{}", run.stderr());
    assert_eq!(run.refusals(), ["challenge-refused"; 4]);
}
