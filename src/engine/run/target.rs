//! The target of a run: the embedded server started as a child, or somebody else's found.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::prepare::{random_bytes, read, unusable};
use super::{RunError, Settings};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

use crate::apns::connect::PUSH_HOSTS;
use crate::engine::adapter::{Adapter, AdminClient, Micromdm, Nanomdm, Product};
use crate::engine::authority::{Authority, Credential, LOCAL_NAMES};
use crate::engine::certificate_header::Encoding;
use crate::engine::clock::Clock;
use crate::engine::connection::Connector;
use crate::engine::endpoint::Endpoint;
use crate::engine::http2::{ALPN, ALPN_HTTP1};
use crate::engine::identity::{ClientTls, roots_of_pem, system_roots};
use crate::engine::push_client::PushTarget;
use crate::engine::serve::{self, Embedded, EmbeddedError, EnrollmentSettings, ServeSettings};
use crate::engine::state::State;
use crate::engine::wire::{Proof, Wire};
use crate::ids::hex_lower;
use crate::reference_server;
use crate::scenario::{
    ApiTarget, CertificateEncoding, EmbeddedTarget, HttpVersions, IdentityMode, Method, Scenario,
    Target,
};

/// A target that answers.
#[derive(Debug)]
pub(super) struct Reached {
    pub(super) server: Endpoint,
    pub(super) wire: Wire,
    /// The template of the devices' TLS; `None` for plain HTTP.
    pub(super) tls: Option<ClientTls>,
    pub(super) timeout: Duration,
    pub(super) admin: Admin,
    /// The child that is the embedded target.
    pub(super) embedded: Option<Embedded>,
    /// For people.
    pub(super) described: String,
}

impl Reached {
    /// Leads devices to where their profile says: CheckInURL and ServerURL, shown who they are by
    /// `identity`, with what they trust and what is pinned.
    pub(super) fn lead(
        &mut self,
        scenario: &Scenario,
        (checkin, server): (Endpoint, Endpoint),
        identity: &IdentityMode,
        roots: RootCertStore,
        pins: &[CertificateDer<'static>],
    ) -> Result<(), RunError> {
        let headers: &[(String, String)] = match &scenario.target {
            Target::Embedded(_) => &[],
            Target::Nanomdm(it) | Target::Micromdm(it) => &it.headers,
            Target::Observe(observe) => &observe.headers,
        };
        self.wire = Wire::new(&checkin, &server, proof(identity), headers);
        self.tls = None;
        if server.tls {
            let mut tls = ClientTls::new(Arc::new(roots), 0, "http/1.1")?;
            if !pins.is_empty() {
                tls = tls.pinned_to(pins)?;
            }
            self.tls = Some(tls.offering(offered(scenario)));
        }
        self.server = server;
        Ok(())
    }

    /// Whether somebody is there: what the admin API says, or that a connection can be made.
    async fn greet(&self, adapter: &Adapter) -> Result<String, RunError> {
        if let Adapter::Observe = adapter {
            let connected = Connector::new(&self.server)?.connect(None).await;
            let address = self.server.address;
            connected.map_err(|why| RunError::Unreachable { address, why })?;
        }
        Ok(adapter.greet().await?)
    }
}

/// What a device offers to speak.
const fn offered(scenario: &Scenario) -> &'static [&'static [u8]] {
    match scenario.transport.http {
        HttpVersions::One => &[ALPN_HTTP1],
        HttpVersions::Two => &[ALPN],
        HttpVersions::Auto => &[ALPN, ALPN_HTTP1],
    }
}

/// What the operator's adapter is made from, on the operator's thread.
#[derive(Clone, Debug)]
pub(super) enum Admin {
    Nanomdm { api: Api, product: Product },
    Micromdm(Api),
    Observe,
}

/// Where an admin API is, and what it asks for.
#[derive(Clone, Debug)]
pub(super) struct Api {
    base: Endpoint,
    tls: Option<ClientTls>,
    timeout: Duration,
    key: String,
}

impl Api {
    /// A client that says it is `user`.
    fn client(&self, clock: Clock, user: &str) -> Result<AdminClient, RunError> {
        let tls = self.tls.as_ref().map(|tls| tls.config_for(None));
        let (base, timeout, key) = (&self.base, self.timeout, &self.key);
        Ok(AdminClient::new(clock, base, tls, timeout, user, key)?)
    }
}

impl Admin {
    pub(super) fn adapter(&self, clock: Clock) -> Result<Adapter, RunError> {
        match self {
            Self::Observe => Ok(Adapter::Observe),
            Self::Nanomdm { api, product } => {
                let client = api.client(clock, "nanomdm")?;
                Ok(Adapter::Nanomdm(Box::new(Nanomdm::new(client, *product))))
            }
            Self::Micromdm(api) => {
                let client = api.client(clock, "micromdm")?;
                Ok(Adapter::Micromdm(Box::new(Micromdm::new(client))))
            }
        }
    }
}

/// What is needed to reach a target.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) settings: &'a Settings,
    pub(super) clock: Clock,
    pub(super) gateway: SocketAddr,
    pub(super) push: &'a Credential,
    pub(super) state: &'a State,
}

/// The embedded target's timeout for one request.
const EMBEDDED_TIMEOUT: Duration = Duration::from_secs(30);

/// Starts or finds the target, greets its admin API, and uploads the push certificate.
pub(super) async fn reach(request: Request<'_>, devices: &Authority) -> Result<Reached, RunError> {
    let settings = request.settings;
    let mut reached = match &request.scenario.target {
        Target::Embedded(_) => start_embedded(request, devices).await?,
        Target::Nanomdm(_) | Target::Micromdm(_) | Target::Observe(_) => find(
            request.scenario,
            settings.api_key.clone(),
            settings.allow_public_target,
        )?,
    };
    let offered = offered(request.scenario);
    reached.tls = reached.tls.map(|tls| tls.offering(offered));
    let adapter = reached.admin.adapter(request.clock)?;
    let version = reached.greet(&adapter).await?;
    reached.described = format!("{}, {version}", reached.described);
    adapter.upload_push_certificate(request.push).await?;
    Ok(reached)
}

/// Asks somebody else's target for its version, and changes nothing there.
///
/// # Errors
/// When it cannot be reached, or does not let us in.
pub async fn greet(
    scenario: &Scenario,
    api_key: Option<String>,
    allow_public_target: bool,
) -> Result<String, RunError> {
    let found = find(scenario, api_key, allow_public_target)?;
    let version = found.greet(&found.admin.adapter(Clock::start())?).await?;
    Ok(format!("{}, {version}", found.described))
}

/// Finds a target that is not embedded.
fn find(
    scenario: &Scenario,
    api_key: Option<String>,
    allow_public_target: bool,
) -> Result<Reached, RunError> {
    let resolve = |url: &str| {
        let endpoint = Endpoint::resolve(url)?;
        if !allow_public_target {
            endpoint.refuse_public(url)?;
        }
        Ok::<_, RunError>(endpoint)
    };
    let proof = proof(&scenario.enrollment.identity);
    match &scenario.target {
        Target::Embedded(_) => unreachable!("an embedded target is started, not found"),
        Target::Nanomdm(nanomdm) => {
            let api = api(nanomdm, resolve(&nanomdm.url)?, api_key)?;
            let server = below(&api.base, "/mdm");
            Ok(Reached {
                wire: Wire::new(&server, &server, proof, &nanomdm.headers),
                server,
                tls: api.tls.clone(),
                timeout: api.timeout,
                admin: Admin::Nanomdm {
                    api,
                    product: Product::Nanomdm,
                },
                embedded: None,
                described: format!("NanoMDM at {}", nanomdm.url),
            })
        }
        Target::Micromdm(micromdm) => {
            let api = api(micromdm, resolve(&micromdm.url)?, api_key)?;
            let checkin = below(&api.base, "/mdm/checkin");
            let server = below(&api.base, "/mdm/connect");
            Ok(Reached {
                wire: Wire::new(&checkin, &server, proof, &micromdm.headers),
                server,
                tls: api.tls.clone(),
                timeout: api.timeout,
                admin: Admin::Micromdm(api),
                embedded: None,
                described: format!("MicroMDM at {}", micromdm.url),
            })
        }
        Target::Observe(observe) => {
            let server = resolve(&observe.url)?;
            let checkin = match &observe.checkin_url {
                Some(url) => resolve(url)?.beside(&server, url)?,
                None => server.clone(),
            };
            Ok(Reached {
                wire: Wire::new(&checkin, &server, proof, &observe.headers),
                tls: client_tls(&server, observe.ca.as_deref())?,
                server,
                timeout: observe.timeout,
                admin: Admin::Observe,
                embedded: None,
                described: format!("observed target at {}", observe.url),
            })
        }
    }
}

/// The admin API of a target whose URL is `base`.
fn api(target: &ApiTarget, base: Endpoint, key: Option<String>) -> Result<Api, RunError> {
    let no_key = || RunError::NoApiKey {
        name: target.api_key.0.clone(),
    };
    Ok(Api {
        key: key.ok_or_else(no_key)?,
        tls: client_tls(&base, target.ca.as_deref())?,
        timeout: target.timeout,
        base,
    })
}

/// The endpoint at `path` below `base`.
fn below(base: &Endpoint, path: &str) -> Endpoint {
    let mut endpoint = base.clone();
    endpoint.path = format!("{}{path}", base.path.trim_end_matches('/'));
    endpoint
}

async fn start_embedded(request: Request<'_>, devices: &Authority) -> Result<Reached, RunError> {
    let identity = &request.scenario.enrollment.identity;
    let settings = embedded_settings(request, devices)?;
    let key = settings.api_key.clone();
    let embedded = Embedded::spawn(&request.settings.program, &settings).await?;
    let address = embedded.https.ok_or(EmbeddedError::Silent)?;
    let url = format!("https://{address}");
    let ca = request.state.device_authority.certificate_pem();
    let base = Endpoint::resolve(&url)?;
    let server = below(&base, "/mdm");
    let tls = Some(ClientTls::new(roots_of_pem(&ca)?, 0, "http/1.1")?);
    let timeout = EMBEDDED_TIMEOUT;
    Ok(Reached {
        wire: Wire::new(&server, &server, proof(identity), &[]),
        server,
        tls: tls.clone(),
        timeout,
        admin: Admin::Nanomdm {
            api: Api {
                base,
                tls,
                timeout,
                key,
            },
            product: Product::Reference,
        },
        embedded: Some(embedded),
        described: format!("embedded reference server at {url}"),
    })
}

/// The child gets everything through its standard input; it reads no state folder of its own.
fn embedded_settings(request: Request<'_>, devices: &Authority) -> Result<ServeSettings, RunError> {
    let now = request.clock.epoch().wall(request.clock.now());
    let certificate = request
        .state
        .device_authority
        .server_certificate(&LOCAL_NAMES, now)?;
    let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
    let rules = reference_server::Settings::default();
    let (network_users, defects) = match &request.scenario.target {
        Target::Embedded(target) => (target.network_users, target.defects),
        Target::Nanomdm(_) | Target::Micromdm(_) | Target::Observe(_) => {
            (rules.network_users, rules.defects)
        }
    };
    Ok(ServeSettings {
        listen_http: None,
        listen_https: Some(any_port),
        certificate: certificate.certificates_pem(),
        key: certificate.key_pem(),
        api_key: hex_lower(&random_bytes()),
        identity: match proof(&request.scenario.enrollment.identity) {
            Proof::Mtls => serve::IdentityMode::Mtls,
            Proof::Signature => serve::IdentityMode::Signature,
            Proof::Header { name, .. } => serve::IdentityMode::Header(name),
        },
        device_authority: devices.certificate_pem(),
        tickets: request.scenario.transport.resume,
        push: PushTarget {
            address: request.gateway,
            server_name: PUSH_HOSTS[0].into(),
            authority: Some(request.state.apns_authority.certificate_pem()),
            expires_after: Some(PUSH_LIFE),
        },
        push_certificate: None,
        push_topic: None,
        // The embedded server lives in the devices' time, as it does in a rehearsal.
        repush_after: rules.repush_after.div_f64(request.scenario.time_scale),
        repush_every: rules.repush_every.div_f64(request.scenario.time_scale),
        network_users,
        defects,
        seed: request.scenario.seed,
        enrollment: enrollment(request)?,
    })
}

/// How devices come by their identities there; `None` when mdmstorm issues them.
fn enrollment(request: Request<'_>) -> Result<Option<EnrollmentSettings>, RunError> {
    match (
        &request.scenario.target,
        &request.scenario.enrollment.method,
    ) {
        (Target::Embedded(rules), method) if *method != Method::Issued => {
            let (certificate, key) = request.state.enrollment_authority()?;
            Ok(Some(EnrollmentSettings {
                certificate,
                key,
                rules: EmbeddedTarget::clone(rules),
            }))
        }
        (
            Target::Embedded(_) | Target::Nanomdm(_) | Target::Micromdm(_) | Target::Observe(_),
            _,
        ) => Ok(None),
    }
}

/// How long the embedded target lets APNs keep a push.
const PUSH_LIFE: Duration = Duration::from_secs(7 * 24 * 3600);

fn client_tls(
    endpoint: &Endpoint,
    ca: Option<&std::path::Path>,
) -> Result<Option<ClientTls>, RunError> {
    if !endpoint.tls {
        return Ok(None);
    }
    let roots: Arc<RootCertStore> = match ca {
        Some(path) => {
            let purpose = "is the CA of the target's certificate";
            let roots = roots_of_pem(&read(path, purpose)?);
            roots.map_err(|error| unusable(path, purpose, &error))?
        }
        None => system_roots()?,
    };
    Ok(Some(ClientTls::new(roots, 0, "http/1.1")?))
}

fn proof(identity: &IdentityMode) -> Proof {
    match identity {
        IdentityMode::Mtls => Proof::Mtls,
        IdentityMode::Signature => Proof::Signature,
        IdentityMode::Header { name, encoding } => Proof::Header {
            name: name.clone(),
            encoding: match encoding {
                CertificateEncoding::Rfc9440 => Encoding::Rfc9440,
                CertificateEncoding::UrlPem => Encoding::UrlPem,
            },
        },
    }
}
