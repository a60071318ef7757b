//! The gateway as a scenario sets it up: where it listens, whom it trusts, how much it takes.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::Target;
use super::cohort::Names;
use super::error::Problems;
use super::fault::{self, PushFault};
use super::found::Found;
use super::resolve::{Resolving, path};
use crate::apns::provider::Environment;
use crate::apns::service::{Rate, STREAMS, Service};

/// Apple's port for push providers.
const APNS_PORT: u16 = 2197;

/// The gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct Apns {
    /// Where it listens; port 0 for any free one.
    pub listen: SocketAddr,
    /// Where its CONNECT proxy listens, if it is wanted.
    pub connect_proxy: Option<SocketAddr>,
    /// Where it takes pushes by plain HTTP/1.1, if that is wanted.
    pub plain_listen: Option<SocketAddr>,
    /// What the CONNECT proxy may tunnel to beside the gateway, each as `host:port`.
    pub allow_hosts: Vec<String>,
    /// The certificate of the push topic; `None` for that of the state folder.
    pub push_certificate: Option<PathBuf>,
    /// Its key; there exactly when the certificate is.
    pub push_key: Option<PathBuf>,
    /// Whether a push without an expiration is kept for a device that cannot be reached.
    pub store_without_expiration: bool,
    /// How many streams a provider may have open on one connection.
    pub streams: u32,
    /// Whether a connection may have one stream after a rejected push, until one is accepted.
    pub lower_streams: bool,
    /// How often a token may be pushed to; `None` for any number.
    pub rate: Option<Rate>,
    /// The keys that bearer tokens may be signed with.
    pub provider_keys: Vec<ProviderKeySpec>,
    /// What goes wrong with pushes from the beginning, in the order of the file.
    pub faults: Vec<PushFault>,
}

/// A key that a provider signs its bearer tokens with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderKeySpec {
    /// Its name, `kid` in a token.
    pub key_id: String,
    /// Whose it is, `iss` in a token.
    pub team_id: String,
    /// The PEM file with the public key.
    pub public_key: PathBuf,
    /// The topics it is for; `None` for all.
    pub topics: Option<Vec<String>>,
    /// The service it is for; `None` for both.
    pub environment: Option<Environment>,
}

impl Apns {
    /// Leads the paths of certificates and keys to where they are in `folder`.
    pub(super) fn locate(&mut self, folder: &Path) {
        let own = [&mut self.push_certificate, &mut self.push_key];
        let keys = self.provider_keys.iter_mut().map(|it| &mut it.public_key);
        for path in own.into_iter().flatten().chain(keys) {
            *path = folder.join(&*path);
        }
    }

    /// The service as it is at the beginning.
    pub const fn service(&self) -> Service {
        Service {
            is_out: false,
            refuses_connect: false,
            streams: self.streams,
            lowers_streams: self.lower_streams,
            rate: self.rate,
        }
    }
}

pub(super) fn apns(
    found: &Found,
    target: &Target,
    names: &Names<'_>,
    resolving: &mut Resolving,
) -> Apns {
    let usual_port = match target {
        Target::Embedded(_) => 0,
        Target::Nanomdm(_) | Target::Micromdm(_) | Target::Observe(_) => APNS_PORT,
    };
    let section = found.table("apns");
    if let Some(section) = section {
        together(
            section,
            "push-certificate",
            "push-key",
            &mut resolving.problems,
        );
        if !section.is_given("store-without-expiration") {
            resolving.assumed.insert("apns.store-without-expiration");
        }
        if !section.is_given("streams") {
            resolving.assumed.insert("apns.streams");
        }
    }
    let address = |key| section.and_then(|it| it.address(key).copied());
    let path = |key| section.and_then(|it| path(it, key));
    let flag = |key| section.and_then(|it| it.flag(key).copied());
    let tables = |key| section.map(|it| it.tables(key)).unwrap_or_default();
    let problems = &mut resolving.problems;
    Apns {
        listen: address("listen")
            .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, usual_port))),
        connect_proxy: address("connect-proxy"),
        plain_listen: address("plain-listen"),
        allow_hosts: section
            .and_then(|it| it.words("allow-hosts").cloned())
            .unwrap_or_default(),
        push_certificate: path("push-certificate"),
        push_key: path("push-key"),
        store_without_expiration: flag("store-without-expiration") != Some(false),
        streams: section
            .and_then(|it| it.count("streams").copied())
            .unwrap_or(STREAMS),
        lower_streams: flag("lower-streams-after-rejection") == Some(true),
        rate: section.and_then(|it| it.push_rate("rate").copied()),
        provider_keys: provider_keys(tables("provider-keys"), problems),
        faults: tables("faults")
            .iter()
            .filter_map(|table| fault::read(table, names, problems))
            .collect(),
    }
}

fn provider_keys(tables: &[Found], problems: &mut Problems) -> Vec<ProviderKeySpec> {
    let mut keys: Vec<ProviderKeySpec> = Vec::new();
    for table in tables {
        let text = |key| table.text(key).cloned().unwrap_or_default();
        let key = ProviderKeySpec {
            key_id: text("key-id"),
            team_id: text("team-id"),
            public_key: path(table, "public-key").unwrap_or_default(),
            topics: table.words("topics").cloned(),
            environment: match table.text("environment").map(String::as_str) {
                Some("sandbox") => Some(Environment::Sandbox),
                Some("production") => Some(Environment::Production),
                Some(_) | None => None,
            },
        };
        let is_same = |it: &ProviderKeySpec| it.key_id == key.key_id && it.team_id == key.team_id;
        if !key.key_id.is_empty() && keys.iter().any(is_same) {
            problems.add(
                table.place_of("key-id"),
                format!("a second key of this team is called \"{}\"", key.key_id),
                "another key-id: a token names its key by it",
            );
        }
        keys.push(key);
    }
    keys
}

/// A certificate is of no use without its key, nor the key without it.
pub(super) fn together(found: &Found, certificate: &str, key: &str, problems: &mut Problems) {
    let (given, missing) = match (found.is_given(certificate), found.is_given(key)) {
        (true, false) => (certificate, key),
        (false, true) => (key, certificate),
        (true, true) | (false, false) => return,
    };
    problems.add(
        found.place_of(given),
        format!("{given} stands without {missing}"),
        format!("add {missing}, or leave both out"),
    );
}
