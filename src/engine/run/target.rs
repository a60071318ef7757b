//! The target of a run: the embedded server started as a child, or somebody else's found.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::prepare::{random_bytes, read, unusable};
use super::{RunError, Settings};
use crate::apns::connect::PUSH_HOSTS;
use crate::engine::adapter::{Adapter, AdminClient, Nanomdm, Product};
use crate::engine::authority::{Authority, Credential, LOCAL_NAMES};
use crate::engine::clock::Clock;
use crate::engine::connection::Connector;
use crate::engine::endpoint::Endpoint;
use crate::engine::identity::{ClientTls, roots_of_pem, system_roots};
use crate::engine::push_client::PushTarget;
use crate::engine::serve::{self, Embedded, EmbeddedError, ServeSettings};
use crate::engine::state::State;
use crate::engine::wire::{Proof, Wire};
use crate::ids::hex_lower;
use crate::reference_server;
use crate::scenario::{IdentityMode, Scenario, Target};

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

/// What the operator's adapter is made from, on the operator's thread.
#[derive(Clone, Debug)]
pub(super) enum Admin {
    Nanomdm {
        base: Endpoint,
        tls: Option<ClientTls>,
        timeout: Duration,
        key: String,
        product: Product,
    },
    Observe,
}

impl Admin {
    pub(super) fn adapter(&self, clock: Clock) -> Result<Adapter, RunError> {
        match self {
            Self::Observe => Ok(Adapter::Observe),
            Self::Nanomdm {
                base,
                tls,
                timeout,
                key,
                product,
            } => {
                let tls = tls.as_ref().map(|tls| tls.config_for(None));
                let client = AdminClient::new(clock, base, tls, *timeout, "nanomdm", key)?;
                Ok(Adapter::Nanomdm(Box::new(Nanomdm::new(client, *product))))
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
        Target::Embedded => start_embedded(request, devices).await?,
        Target::Nanomdm(_) | Target::Observe(_) => find(
            request.scenario,
            settings.api_key.clone(),
            settings.allow_public_target,
        )?,
    };
    let adapter = reached.admin.adapter(request.clock)?;
    let version = reached.greet(&adapter).await?;
    reached.described = format!("{}, {version}", reached.described);
    adapter.upload_push_certificate(&pem(request.push)).await?;
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
        Target::Embedded => unreachable!("an embedded target is started, not found"),
        Target::Nanomdm(nanomdm) => {
            let base = resolve(&nanomdm.url)?;
            let no_key = || RunError::NoApiKey {
                name: nanomdm.api_key.0.clone(),
            };
            let key = api_key.ok_or_else(no_key)?;
            let tls = client_tls(&base, nanomdm.ca.as_deref())?;
            let mut server = base.clone();
            server.path = format!("{}/mdm", base.path.trim_end_matches('/'));
            let timeout = nanomdm.timeout;
            Ok(Reached {
                wire: Wire::new(&server, &server, proof, &nanomdm.headers),
                server,
                tls: tls.clone(),
                timeout,
                admin: Admin::Nanomdm {
                    base,
                    tls,
                    timeout,
                    key,
                    product: Product::Nanomdm,
                },
                embedded: None,
                described: format!("NanoMDM at {}", nanomdm.url),
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

async fn start_embedded(request: Request<'_>, devices: &Authority) -> Result<Reached, RunError> {
    let identity = &request.scenario.enrollment.identity;
    let settings = embedded_settings(request, devices)?;
    let key = settings.api_key.clone();
    let embedded = Embedded::spawn(&request.settings.program, &settings).await?;
    let address = embedded.https.ok_or(EmbeddedError::Silent)?;
    let url = format!("https://{address}");
    let ca = request.state.device_authority.certificate_pem();
    let base = Endpoint::resolve(&url)?;
    let mut server = base.clone();
    server.path = "/mdm".into();
    let tls = Some(ClientTls::new(roots_of_pem(&ca)?, 0, "http/1.1")?);
    let timeout = EMBEDDED_TIMEOUT;
    Ok(Reached {
        wire: Wire::new(&server, &server, proof(identity), &[]),
        server,
        tls: tls.clone(),
        timeout,
        admin: Admin::Nanomdm {
            base,
            tls,
            timeout,
            key,
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
    Ok(ServeSettings {
        listen_http: None,
        listen_https: Some(any_port),
        certificate: certificate.certificates_pem(),
        key: certificate.key_pem(),
        api_key: hex_lower(&random_bytes()),
        identity: match proof(&request.scenario.enrollment.identity) {
            Proof::Mtls => serve::IdentityMode::Mtls,
            Proof::Signature => serve::IdentityMode::Signature,
            Proof::Header(name) => serve::IdentityMode::Header(name),
        },
        device_authority: devices.certificate_pem(),
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
    })
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
    let roots: Arc<rustls::RootCertStore> = match ca {
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
        IdentityMode::Header { name } => Proof::Header(name.clone()),
    }
}

fn pem(credential: &Credential) -> String {
    format!("{}{}", credential.certificates_pem(), credential.key_pem())
}
