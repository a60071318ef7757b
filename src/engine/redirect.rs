//! Redirects of a device's request: where a `Location` leads, and whether a device goes there.
//!
//! A device follows 3xx without asking anybody and remembers nothing: the next request starts at
//! the payload's URL again (protocol.md 2.4).

use super::endpoint::{Endpoint, EndpointError};
use super::run::Settings;
use crate::fact::Broken;
use crate::protocol::redaction::without_secrets;

/// How many redirects of one request are followed.
pub(super) const HOPS_MAX: usize = 5;

/// Whether a redirect may lead to a public address: the load generator's own rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublicTargets {
    /// It may.
    Allowed,
    /// Loopback and private addresses alone.
    Refused,
}

impl PublicTargets {
    /// As the command line has it.
    pub(super) const fn of_settings(settings: &Settings) -> Self {
        if settings.allow_public_target {
            Self::Allowed
        } else {
            Self::Refused
        }
    }
}

/// Why a redirect is not followed.
#[derive(Debug, thiserror::Error)]
pub(super) enum RedirectError {
    /// What the header says leads nowhere.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// It leads from TLS to plain HTTP, or the other way round.
    #[error("{location} changes between http and https, which no device is asked to follow")]
    Scheme {
        /// What the header said.
        location: String,
    },
    /// One follows another.
    #[error("more than {HOPS_MAX} redirects for one request")]
    TooMany,
}

impl RedirectError {
    /// What becomes of the request. Where it was sent may be a URL with a token, which no result has.
    pub(super) fn broken(&self) -> Broken {
        Broken::Malformed(without_secrets(format!("a redirect: {self}")))
    }
}

/// Whether an answer of this status says where to send the same request instead. 303 does not: it
/// asks for another one.
pub(super) const fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 307 | 308)
}

/// Where `location` leads, seen from `here`, whose path is that of the request that was redirected.
pub(super) async fn resolve(
    here: &Endpoint,
    location: &str,
    public: PublicTargets,
) -> Result<Endpoint, RedirectError> {
    let url = absolute(here, location);
    let next = Endpoint::look_up(&url).await?;
    if next.tls != here.tls {
        return Err(RedirectError::Scheme {
            location: location.to_owned(),
        });
    }
    if public == PublicTargets::Refused {
        next.refuse_public(&url)?;
    }
    Ok(next)
}

/// Whether it begins with a scheme (RFC 3986 3.1) and an authority.
fn has_scheme(location: &str) -> bool {
    location.split_once("://").is_some_and(|(scheme, _)| {
        let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(is_part)
    })
}

/// Whether it is a URL that leads to a web server.
pub(super) fn is_web(url: &str) -> bool {
    let scheme = url.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|it| {
        ["http", "https"]
            .iter()
            .any(|web| it.eq_ignore_ascii_case(web))
    })
}

/// `location` as a URL of its own (RFC 3986 5.2, without dot segments).
pub(super) fn absolute(here: &Endpoint, location: &str) -> String {
    let scheme = if here.tls { "https" } else { "http" };
    let origin = || format!("{scheme}://{}", here.host_header());
    if has_scheme(location) {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{}{location}", origin())
    } else {
        let folder = here.path.rfind('/').map_or("", |end| &here.path[..end]);
        format!("{}{folder}/{location}", origin())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_may_be_a_url_a_host_a_path_or_a_neighbour() {
        let here = Endpoint::resolve("https://127.0.0.1:8443/a/mdm").unwrap();
        for (location, url) in [
            ("http://10.0.0.1/x?y=1", "http://10.0.0.1/x?y=1"),
            ("//10.0.0.1/x", "https://10.0.0.1/x"),
            ("/x", "https://127.0.0.1:8443/x"),
            ("x", "https://127.0.0.1:8443/a/x"),
            ("x?to=http://h/", "https://127.0.0.1:8443/a/x?to=http://h/"),
            ("/x?to=http://h/", "https://127.0.0.1:8443/x?to=http://h/"),
            ("HTTPS://10.0.0.1/x", "HTTPS://10.0.0.1/x"),
        ] {
            assert_eq!(absolute(&here, location), url);
        }
    }

    #[tokio::test]
    async fn public_addresses_and_changes_of_scheme_are_refused() {
        let here = Endpoint::resolve("https://127.0.0.1:8443/mdm").unwrap();
        let refused = async |location: &str, public| {
            let refused = resolve(&here, location, public).await;
            refused.unwrap_err().to_string()
        };
        let public = refused("https://8.8.8.8/mdm", PublicTargets::Refused).await;
        assert!(public.contains("a public address"), "{public}");
        let plain = refused("http://127.0.0.1/mdm", PublicTargets::Allowed).await;
        assert!(plain.contains("between http and https"), "{plain}");
        let nothing = refused("ftp://127.0.0.1/", PublicTargets::Allowed).await;
        assert!(nothing.contains("no URL"), "{nothing}");
        let secret = "http://u:5ec@127.0.0.1/mdm?token=5ec";
        let told = resolve(&here, secret, PublicTargets::Allowed).await;
        let told = told.unwrap_err().broken().to_string();
        assert!(
            told.contains("127.0.0.1/mdm?token=") && !told.contains("5ec"),
            "{told}"
        );
        let next = resolve(&here, "/b?c=1", PublicTargets::Refused)
            .await
            .unwrap();
        assert_eq!(next.path, "/b?c=1");
    }
}
