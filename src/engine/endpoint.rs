//! Where a target is: its URL taken apart, its addresses, and whether load may go there.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use rustls::pki_types::ServerName;

/// A URL of the target, resolved once before the run so that no name server is part of a latency.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Whether it is `https`.
    pub tls: bool,
    /// The host as the URL has it.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The path, at least `/`, without a trailing slash unless it is the root.
    pub path: String,
    /// Its address.
    pub address: SocketAddr,
}

/// Why a URL cannot be a target.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// It is no URL.
    #[error(
        "{url:?} is no URL a target can have: {why}; write it like https://mdm.example.com:8443/mdm"
    )]
    NotUsable {
        /// What was written.
        url: String,
        /// What is wrong with it.
        why: String,
    },
    /// Its name does not resolve.
    #[error("the host {host:?} of {url} does not resolve: {source}")]
    Unresolved {
        /// The URL.
        url: String,
        /// Its host.
        host: String,
        /// The resolver's error.
        source: std::io::Error,
    },
    /// It is a public address, and nobody allowed that.
    #[error(
        "{url} is at {address}, a public address: mdmstorm is a load generator and refuses it; \
         pass --allow-public-target if the server is yours to load"
    )]
    Public {
        /// The URL.
        url: String,
        /// The address.
        address: IpAddr,
    },
}

impl Endpoint {
    /// Takes `url` apart and resolves its host.
    ///
    /// # Errors
    /// When it is no http or https URL with a host, or the host does not resolve.
    pub fn resolve(url: &str) -> Result<Self, EndpointError> {
        let parts = Parts::of(url)?;
        let found = (parts.host.as_str(), parts.port).to_socket_addrs();
        let path = match parts.uri.path() {
            path if path.len() > 1 => path.trim_end_matches('/').to_owned(),
            _ => "/".to_owned(),
        };
        parts.at(url, path, found.map(|mut found| found.next()))
    }

    /// The same while a run lasts, without holding up its thread. The path keeps its query and a
    /// trailing slash.
    pub(super) async fn look_up(url: &str) -> Result<Self, EndpointError> {
        let parts = Parts::of(url)?;
        let found = parts.look_up().await;
        let path = parts.path_and_query();
        parts.at(url, path, found)
    }

    /// Refuses a public address.
    ///
    /// # Errors
    /// When the address is neither loopback nor private nor link-local.
    pub fn refuse_public(&self, url: &str) -> Result<(), EndpointError> {
        let address = self.address.ip();
        if is_private(address) {
            return Ok(());
        }
        Err(EndpointError::Public {
            url: url.into(),
            address,
        })
    }

    /// Whether connections to `other` reach it as well.
    pub(super) fn is_beside(&self, other: &Self) -> bool {
        (self.tls, &self.host, self.port) == (other.tls, &other.host, other.port)
    }

    /// This endpoint, if connections to `other` reach it as well.
    ///
    /// # Errors
    /// When scheme, host or port differ: a device keeps one connection in a session.
    pub fn beside(self, other: &Self, url: &str) -> Result<Self, EndpointError> {
        if self.is_beside(other) {
            return Ok(self);
        }
        let why = format!(
            "check-ins to another scheme, host or port than {} are not supported; only the path may \
             differ",
            other.host_header()
        );
        Err(EndpointError::NotUsable {
            url: url.into(),
            why,
        })
    }

    /// `Host` as a request carries it.
    pub fn host_header(&self) -> String {
        let host = if self.host.contains(':') {
            format!("[{}]", self.host)
        } else {
            self.host.clone()
        };
        match (self.tls, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }

    /// The name the server's certificate must carry.
    pub fn server_name(&self) -> Result<ServerName<'static>, EndpointError> {
        ServerName::try_from(self.host.clone()).map_err(|e| EndpointError::NotUsable {
            url: self.host.clone(),
            why: e.to_string(),
        })
    }
}

/// How many names are remembered; beyond it all are forgotten.
const NAMES_MAX: usize = 256;

/// Names that are resolved once.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: RefCell<BTreeMap<(String, u16), SocketAddr>>,
}

impl Names {
    /// As [`Endpoint::look_up`]; a name server is asked once for each host and port.
    pub(super) async fn look_up(&self, url: &str) -> Result<Endpoint, EndpointError> {
        let parts = Parts::of(url)?;
        let name = (parts.host.clone(), parts.port);
        let known = self.known.borrow().get(&name).copied();
        let found = match known {
            Some(address) => Ok(Some(address)),
            None => parts.look_up().await,
        };
        let path = parts.path_and_query();
        let endpoint = parts.at(url, path, found)?;
        let mut names = self.known.borrow_mut();
        if names.len() >= NAMES_MAX {
            names.clear();
        }
        names.insert(name, endpoint.address);
        Ok(endpoint)
    }
}

/// A URL taken apart.
struct Parts {
    tls: bool,
    host: String,
    port: u16,
    uri: http::Uri,
}

impl Parts {
    fn of(url: &str) -> Result<Self, EndpointError> {
        let unusable = |why: &str| EndpointError::NotUsable {
            url: url.into(),
            why: why.into(),
        };
        let uri: http::Uri = url.parse().map_err(|e| unusable(&format!("{e}")))?;
        let tls = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            Some(_) | None => return Err(unusable("it does not begin with http:// or https://")),
        };
        let host = uri.host().ok_or_else(|| unusable("it has no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Ok(Self {
            tls,
            host: host.to_owned(),
            port: uri.port_u16().unwrap_or(if tls { 443 } else { 80 }),
            uri,
        })
    }

    async fn look_up(&self) -> std::io::Result<Option<SocketAddr>> {
        let mut found = tokio::net::lookup_host((self.host.as_str(), self.port)).await?;
        Ok(found.next())
    }

    fn path_and_query(&self) -> String {
        let path = self.uri.path_and_query().map_or("/", |path| path.as_str());
        path.to_owned()
    }

    /// The endpoint at the address that was found.
    fn at(
        self,
        url: &str,
        path: String,
        found: std::io::Result<Option<SocketAddr>>,
    ) -> Result<Endpoint, EndpointError> {
        let address = found.and_then(|found| {
            let nowhere = || std::io::Error::other("no address");
            found.ok_or_else(nowhere)
        });
        let address = address.map_err(|source| EndpointError::Unresolved {
            url: url.into(),
            host: self.host.clone(),
            source,
        })?;
        Ok(Endpoint {
            tls: self.tls,
            host: self.host,
            port: self.port,
            path,
            address,
        })
    }
}

/// Loopback, private (RFC 1918, RFC 4193) and link-local addresses.
fn is_private(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_loopback() || v4.is_private() || v4.is_link_local(),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => is_private(IpAddr::V4(v4)),
            None => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_taken_apart() {
        let end = Endpoint::resolve("https://127.0.0.1:8443/mdm/").unwrap();
        assert!(end.tls);
        assert_eq!(end.host_header(), "127.0.0.1:8443");
        assert_eq!(end.path, "/mdm");
        assert_eq!(
            Endpoint::resolve("http://[::1]").unwrap().host_header(),
            "[::1]"
        );
        assert!(Endpoint::resolve("ftp://127.0.0.1").is_err());
        assert!(Endpoint::resolve("mdm.example").is_err());
    }

    #[test]
    fn only_loopback_private_and_link_local_addresses_are_not_public() {
        for private in [
            "127.3.2.1",
            "10.0.0.1",
            "192.168.1.1",
            "172.16.0.1",
            "::1",
            "fd00::1",
        ] {
            assert!(is_private(private.parse().unwrap()), "{private}");
        }
        for public in [
            "8.8.8.8",
            "172.32.0.1",
            "2001:db8::1",
            "0.0.0.0",
            "::ffff:8.8.8.8",
        ] {
            assert!(!is_private(public.parse().unwrap()), "{public}");
        }
    }
}
