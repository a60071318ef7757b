//! The head of a CONNECT, as a server with Apple's push host compiled in sends it to its proxy
//! (RFC 9110, section 9.3.6).

/// The hosts of Apple's push service.
pub const PUSH_HOSTS: [&str; 3] = [
    "api.push.apple.com",
    "api.sandbox.push.apple.com",
    "api.development.push.apple.com",
];

/// The ports that Apple's push service listens on.
const PUSH_PORTS: [u16; 2] = [443, 2197];

/// The most a head may have, in bytes.
pub const HEAD_MAX: usize = 8 * 1024;

/// Where a tunnel is to end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// A name in lower case, or an address; an IPv6 address without its brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

/// Why a head cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Longer than [`HEAD_MAX`].
    #[error("its head is longer than {HEAD_MAX} bytes")]
    TooLong,
    /// No request of HTTP/1.
    #[error("it is no HTTP/1.1 request: {0}")]
    NotHttp(&'static str),
    /// Another method.
    #[error("it is no CONNECT")]
    NotConnect,
    /// No host and port.
    #[error("its target is no host:port")]
    NoTarget,
}

impl Target {
    /// Whether it is Apple's push service.
    pub fn is_push_service(&self) -> bool {
        PUSH_HOSTS.contains(&self.host.as_str()) && PUSH_PORTS.contains(&self.port)
    }

    /// Whether one of `hosts` names it: `host` for every port, or `host:port`.
    pub fn is_among(&self, hosts: &[String]) -> bool {
        let written = self.to_string();
        let names = |host: &String| {
            host.eq_ignore_ascii_case(&self.host) || host.eq_ignore_ascii_case(&written)
        };
        hosts.iter().any(names)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') {
            write!(f, "[{host}]:{port}")
        } else {
            write!(f, "{host}:{port}")
        }
    }
}

/// Reads a head, from its first byte to the empty line that ends it.
///
/// # Errors
/// When it is none, or none of a CONNECT.
pub fn parse_connect(head: &[u8]) -> Result<Target, ConnectError> {
    if head.len() > HEAD_MAX {
        return Err(ConnectError::TooLong);
    }
    let text = head
        .strip_suffix(b"\r\n\r\n")
        .ok_or(ConnectError::NotHttp("no empty line ends it"))?;
    let is_plain = |byte: u8| matches!(byte, b'\t' | b'\r' | b'\n' | b' '..=b'~' | 0x80..);
    if !text.iter().copied().all(is_plain) {
        return Err(ConnectError::NotHttp("there are control characters in it"));
    }
    let mut lines = text.split(|&byte| byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let first = std::str::from_utf8(first)
        .map_err(|_| ConnectError::NotHttp("its first line is no text"))?;
    let mut parts = first.strip_suffix('\r').unwrap_or(first).split(' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(ConnectError::NotHttp("its first line has not three words"));
    };
    if !matches!(version, "HTTP/1.1" | "HTTP/1.0") {
        return Err(ConnectError::NotHttp("its version is another"));
    }
    if !lines.all(is_field) {
        return Err(ConnectError::NotHttp("one of its lines is no header"));
    }
    if method != "CONNECT" {
        return Err(ConnectError::NotConnect);
    }
    parse_target(target).ok_or(ConnectError::NoTarget)
}

/// Whether a line is `name: value`.
fn is_field(line: &[u8]) -> bool {
    let of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let Some(end) = line.iter().position(|&byte| byte == b':') else {
        return false;
    };
    end > 0 && line[..end].iter().all(of_name)
}

fn parse_target(text: &str) -> Option<Target> {
    let (host, port) = text.rsplit_once(':')?;
    let is_number = !port.is_empty() && port.bytes().all(|it| it.is_ascii_digit());
    let port = is_number.then(|| port.parse().ok()).flatten()?;
    let host = match host.strip_prefix('[') {
        Some(address) => {
            let address = address.strip_suffix(']')?;
            address.parse::<std::net::Ipv6Addr>().ok()?;
            address
        }
        None => {
            let of_host = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            (!host.is_empty() && host.len() <= 253 && host.bytes().all(of_host)).then_some(host)?
        }
    };
    Some(Target {
        host: host.to_ascii_lowercase(),
        port,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<String, ConnectError> {
        parse_connect(text.as_bytes()).map(|target| target.to_string())
    }

    #[test]
    fn the_connect_of_a_server_names_its_target() {
        let head = "CONNECT api.push.apple.com:443 HTTP/1.1\r\nHost: api.push.apple.com:443\r\n\
            User-Agent: Go-http-client/1.1\r\n\r\n";
        let target = parse_connect(head.as_bytes()).unwrap();
        assert!(target.is_push_service());
        assert_eq!(target.to_string(), "api.push.apple.com:443");
        let bare = parse("CONNECT [::1]:2197 HTTP/1.0\r\n\r\n");
        assert_eq!(bare, Ok("[::1]:2197".into()));
    }

    #[test]
    fn another_port_or_host_is_not_the_push_service() {
        for target in ["api.push.apple.com:80", "api.push.apple.com.example:443"] {
            let head = format!("CONNECT {target} HTTP/1.1\r\n\r\n");
            let target = parse_connect(head.as_bytes()).unwrap();
            assert!(!target.is_push_service(), "{target}");
        }
    }

    #[test]
    fn a_host_is_allowed_with_and_without_its_port() {
        let target = Target {
            host: "mdm.example".into(),
            port: 8443,
        };
        let among = |host: &str| target.is_among(&[host.to_owned()]);
        assert!(among("mdm.example") && among("MDM.example:8443"));
        assert!(!among("mdm.example:443") && !among("example"));
    }

    #[test]
    fn what_is_no_connect_says_why() {
        use ConnectError::{NoTarget, NotConnect, NotHttp};
        let is = |text: &str, why: ConnectError| assert_eq!(parse(text), Err(why), "{text:?}");
        is("GET / HTTP/1.1\r\nHost: a\r\n\r\n", NotConnect);
        for target in [
            "a", ":443", "a:", "a:+1", "a:65536", "[::1:443", "a b:1", "u@a:1",
        ] {
            let refused = parse(&format!("CONNECT {target} HTTP/1.1\r\n\r\n"));
            assert!(matches!(refused, Err(NoTarget | NotHttp(_))), "{target}");
        }
        for head in [
            "",
            "\r\n\r\n",
            "CONNECT a:1 HTTP/2\r\n\r\n",
            "CONNECT a:1 HTTP/1.1\r\nno header\r\n\r\n",
            "CONNECT a:1 HTTP/1.1\r\n",
            "\u{16}\u{3}\u{1}\r\n\r\n",
        ] {
            assert!(matches!(parse(head), Err(NotHttp(_))), "{head:?}");
        }
        let long = format!("CONNECT {}:1 HTTP/1.1\r\n\r\n", "a".repeat(HEAD_MAX));
        is(&long, ConnectError::TooLong);
    }

    proptest! {
        #[test]
        fn any_head_is_read_or_refused_without_a_panic(head in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = parse_connect(&head);
        }

        #[test]
        fn a_target_that_is_read_is_written_the_same(host in "[a-z0-9.-]{1,40}", port in any::<u16>()) {
            let head = format!("CONNECT {host}:{port} HTTP/1.1\r\n\r\n");
            prop_assert_eq!(parse(&head), Ok(format!("{host}:{port}")));
        }
    }
}
