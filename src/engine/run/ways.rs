//! How the devices of a run come by their identities, before the first one sets out: the profile that
//! all have in common is fetched here, and says where the target is and what holds there.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::num::NonZeroUsize;
use std::sync::Arc;

use rustls::RootCertStore;
use tokio::sync::Semaphore;

use super::prepare::{read, unusable};
use super::target::Reached;
use super::{RunError, Settings};
use crate::device::contract::Errand;
use crate::device::environment::Terms;
use crate::engine::authority::Authority;
use crate::engine::clock::Clock;
use crate::engine::endpoint::Endpoint;
use crate::engine::enroll::{Enroller, Laid, Outfit, Stop, Way};
use crate::engine::identity::{Identities, roots_of_pem, system_roots};
use crate::engine::permits::Permits;
use crate::engine::pki::key_maker::{KeyMaker, Making};
use crate::engine::pki::keys::KeyKind;
use crate::engine::redirect::PublicTargets;
use crate::engine::state::State;
use crate::fact::{Obtaining, Refusal};
use crate::ids::{DeviceId, RequestId};
use crate::plan::Plan;
use crate::protocol::profile::{Identity, Key, MdmPayload};
use crate::scenario::{self, IdentityMode, Keys, Method, ProfileFrom, Scenario, Target};

/// What a run has to know of enrolment before it begins.
pub(super) struct Found {
    pub(super) outfit: Outfit,
    pub(super) terms: Terms,
    /// The topic that devices listen to, when a profile says which.
    pub(super) topic: Option<String>,
    /// What the profile says, for people.
    pub(super) told: Option<String>,
}

/// What [`find`] looks at.
pub(super) struct Search<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) plan: &'a Plan,
    pub(super) settings: &'a Settings,
    pub(super) state: &'a State,
    pub(super) authority: Arc<Authority>,
    pub(super) clock: Clock,
    /// The devices that have no identity yet.
    pub(super) newcomers: &'a [DeviceId],
    /// How many threads make keys.
    pub(super) threads: NonZeroUsize,
}

/// A server may ask a device that many times for another version before the profile is given up.
const UPDATES_MAX: usize = 2;

/// Finds the way, and leads the target's endpoints to where the profile says.
///
/// # Errors
/// When the profile cannot be had, or is none that devices can use.
#[expect(
    clippy::too_many_lines,
    reason = "one thing after another, each with what those before it gave"
)]
pub(super) async fn find(search: Search<'_>, target: &mut Reached) -> Result<Found, RunError> {
    let Search {
        scenario, settings, ..
    } = search;
    let enrollment = &scenario.enrollment;
    let scheme = if target.server.tls { "https" } else { "http" };
    let mut way = Way {
        enrollment: enrollment.clone(),
        target: format!("{scheme}://{}", target.server.host_header()),
        authority: Arc::clone(&search.authority),
        secret: secret(scenario, settings)?,
        file: file(scenario)?,
        laid: None,
        made_out_to: None,
        keys: keys(&search, BTreeMap::new()).await?,
    };
    let mut outfit = Outfit {
        way: Arc::new(way.clone()),
        crowd: search.state.crowd.clone(),
        roots: roots(scenario, search.state, target)?,
        public: PublicTargets::of_settings(settings),
        timeout: target.timeout,
    };
    let mut found = enrollment.terms();
    let without_profile = match &enrollment.method {
        Method::Issued => Some(None),
        Method::Scep(scep) => Some(Some(rsa(scep.key_size))),
        Method::Acme(acme) => Some(match acme.key {
            scenario::KeyKind::Rsa(bits) => Some(rsa(bits)),
            scenario::KeyKind::Ec(_) => None,
        }),
        Method::Profile(_)
        | Method::Ota(_)
        | Method::Automated { .. }
        | Method::AccountDriven { .. } => None,
    };
    if let Some(kind) = without_profile {
        if let Some(kind) = kind {
            way.keys = keys(&search, BTreeMap::from([(kind, search.newcomers.len())])).await?;
            outfit.way = Arc::new(way);
        }
        return Ok(Found {
            outfit,
            terms: found,
            topic: None,
            told: None,
        });
    }
    let (laid, made_out_to) = lay_down(&search, &outfit).await?;
    let identity = match (enrollment.is_identity_given, laid.profile.mdm.sign_message) {
        (true, _) => enrollment.identity.clone(),
        (false, true) => IdentityMode::Signature,
        (false, false) => IdentityMode::Mtls,
    };
    lead(target, scenario, settings, &laid, &identity, &outfit).await?;
    found = terms(&laid.profile.mdm, found, &identity);
    let topic = Some(laid.profile.mdm.topic.clone());
    let told = Some(told(&laid));
    let kind = match &laid.profile.identity {
        Identity::Scep(scep) => Some(rsa(scep.key_size)),
        Identity::Acme(acme) => match acme.key {
            Key::Rsa(bits) => Some(rsa(bits)),
            Key::Ec(_) => None,
        },
        Identity::Pkcs12(_) => None,
    };
    if let Some(kind) = kind {
        // Over the air each device has one identity to ask with, and one to keep.
        let each = 1 + usize::from(matches!(enrollment.method, Method::Ota(_)));
        way.keys = keys(
            &search,
            BTreeMap::from([(kind, each * search.newcomers.len())]),
        )
        .await?;
    }
    (way.laid, way.made_out_to) = (Some(laid), made_out_to);
    outfit.way = Arc::new(way);
    Ok(Found {
        outfit,
        terms: found,
        topic,
        told,
    })
}

/// Whoever makes keys; it begins with those that are expected.
async fn keys(
    search: &Search<'_>,
    expected: BTreeMap<KeyKind, usize>,
) -> Result<Arc<KeyMaker>, RunError> {
    let pool = match search.scenario.enrollment.keys {
        Keys::Fresh => None,
        Keys::Pool => Some(search.state.folder.clone()),
    };
    let making = Making {
        threads: search.threads,
        pool,
    };
    let started = tokio::task::spawn_blocking(move || KeyMaker::start(making, &expected)).await;
    let started = started.expect("making keys does not panic");
    started.map_err(|error| {
        RunError::Enrollment(Refusal {
            name: "key-unavailable".to_owned(),
            what: error.to_string(),
        })
    })
}

const fn rsa(bits: u32) -> KeyKind {
    match bits {
        4096 => KeyKind::Rsa4096,
        _ => KeyKind::Rsa2048,
    }
}

/// Fetches the profile as the first device would that has no identity yet. Where that uses something
/// up, a certificate or a challenge, the device is named: it is to have this profile.
async fn lay_down(
    search: &Search<'_>,
    outfit: &Outfit,
) -> Result<(Laid, Option<DeviceId>), RunError> {
    let clock = search.clock;
    let permits = Permits::unbounded();
    outfit.fetcher(clock, permits.clone())?;
    let (identities, places) = (Identities::default(), Semaphore::new(1));
    let (identities, places) = (Arc::new(identities), Arc::new(places));
    let outfit = outfit.clone();
    let enroller = Enroller::new(outfit, clock, permits, identities, places, None);
    let device = search.newcomers.first().copied().unwrap_or_default();
    let uses_up = match &search.scenario.enrollment.method {
        Method::Profile(source) => source.each_device,
        Method::Ota(_) => true,
        Method::Issued
        | Method::Scep(_)
        | Method::Acme(_)
        | Method::Automated { .. }
        | Method::AccountDriven { .. } => false,
    };
    let traits = &search.plan.cohorts[usize::from(search.plan.cohort_of(device).0)].traits;
    let mut errand = Errand {
        id: RequestId(0),
        device,
        why: Obtaining::Enroll,
        original: None,
        os_version: traits.os_version.clone(),
        wall: clock.epoch().wall(clock.now()),
        asked: clock.now(),
    };
    for _ in 0..=UPDATES_MAX {
        match enroller.lay_down(&errand, traits).await {
            Ok(laid) => return Ok((laid, uses_up.then_some(device))),
            Err(Stop::NotYet(why) | Stop::Never(why)) => return Err(RunError::Enrollment(why)),
            Err(Stop::UpdateFirst { os_version }) => match os_version {
                Some(version) if version != errand.os_version => errand.os_version = version,
                Some(_) | None => break,
            },
        }
    }
    Err(RunError::Enrollment(Refusal {
        name: "update-required".to_owned(),
        what: "the server wants one version after another before it hands out a profile".to_owned(),
    }))
}

/// Leads the target's endpoints, its TLS and what is written to it to where the profile says.
async fn lead(
    target: &mut Reached,
    scenario: &Scenario,
    settings: &Settings,
    laid: &Laid,
    identity: &IdentityMode,
    outfit: &Outfit,
) -> Result<(), RunError> {
    let resolve = async |url: &str| {
        let url = scenario.enrollment.rewritten(url);
        let endpoint = Endpoint::look_up(&url).await?;
        if !settings.allow_public_target {
            endpoint.refuse_public(&url)?;
        }
        Ok::<_, RunError>(endpoint)
    };
    let mdm = &laid.profile.mdm;
    let server = resolve(&mdm.server_url).await?;
    let checkin = match &mdm.checkin_url {
        Some(url) => resolve(url).await?.beside(&server, url)?,
        None => server.clone(),
    };
    if *identity == IdentityMode::Mtls && !server.tls {
        return Err(RunError::Enrollment(Refusal {
            name: "impossible-payload".to_owned(),
            what: "SignMessage is false, so that TLS has to say who a device is, but ServerURL \
                   leads to plain HTTP: SignMessage, https, or proof in [enrollment.identity]"
                .to_owned(),
        }));
    }
    let mut roots = RootCertStore::clone(&outfit.roots);
    for root in laid.trusted() {
        roots
            .add(root)
            .map_err(crate::engine::identity::TlsError::from)?;
    }
    let mut pins = laid.profile.server_pins.clone();
    pins.extend_from_slice(&laid.profile.checkin_pins);
    let pins = pins.into_iter().map(Into::into).collect::<Vec<_>>();
    target.lead(scenario, (checkin, server), identity, roots, &pins)
}

/// What the MDM payload lays down beside the way to it.
fn terms(mdm: &MdmPayload, way: Terms, identity: &IdentityMode) -> Terms {
    Terms {
        signs: *identity == IdentityMode::Signature,
        access_rights: mdm.access_rights,
        check_out_when_removed: mdm.check_out_when_removed,
        per_user_connections: mdm.has(MdmPayload::PER_USER_CONNECTIONS),
        bootstrap_token: mdm.has(MdmPayload::BOOTSTRAP_TOKEN),
        get_token: mdm.has(MdmPayload::GET_TOKEN),
        is_user_enrollment: mdm.is_user_enrollment,
        ..way
    }
}

/// What the profile says, and what of it changes nothing here.
fn told(laid: &Laid) -> String {
    let profile = &laid.profile;
    let mdm = &profile.mdm;
    let identity = match &profile.identity {
        Identity::Scep(scep) => format!("SCEP at {}, RSA-{}", scep.url, scep.key_size),
        Identity::Acme(acme) => {
            let key = match acme.key {
                Key::Ec(bits) => format!("P-{bits}"),
                Key::Rsa(bits) => format!("RSA-{bits}"),
            };
            let attested = if acme.attest { "" } else { " not" };
            format!("ACME at {}, {key},{attested} attested", acme.directory)
        }
        Identity::Pkcs12(_) => "PKCS#12, the same for whoever has this profile".to_owned(),
    };
    let signer = laid.signer.as_deref();
    let mut told = format!(
        "profile   {}, {}\n          ServerURL {}, CheckInURL {}\n          topic {}, {}\n          \
         identity by {identity}",
        profile.identifier,
        signer.map_or_else(|| "not signed".to_owned(), |it| format!("signed by {it}")),
        mdm.server_url,
        mdm.checkin_url.as_deref().unwrap_or("the same"),
        mdm.topic,
        if mdm.sign_message {
            "messages are signed"
        } else {
            "TLS says who a device is"
        },
    );
    for ignored in &profile.ignored {
        let _ = write!(
            told,
            "\n          ignored: {} ({})",
            ignored.what, ignored.why
        );
    }
    told
}

fn secret(scenario: &Scenario, settings: &Settings) -> Result<Option<String>, RunError> {
    let Some(name) = scenario.enrollment.secret() else {
        return Ok(None);
    };
    let no_secret = || RunError::NoSecret {
        name: name.0.clone(),
    };
    let secret = settings.enrollment_secret.clone();
    secret.ok_or_else(no_secret).map(Some)
}

fn file(scenario: &Scenario) -> Result<Option<Vec<u8>>, RunError> {
    let (Method::Profile(source) | Method::Ota(source)) = &scenario.enrollment.method else {
        return Ok(None);
    };
    let ProfileFrom::File(path) = &source.from else {
        return Ok(None);
    };
    let file = std::fs::read(path).map_err(|source| RunError::File {
        path: path.clone(),
        purpose: "is the enrolment profile",
        source,
    });
    file.map(Some)
}

/// What devices trust before they have a profile.
fn roots(
    scenario: &Scenario,
    state: &State,
    target: &Reached,
) -> Result<Arc<RootCertStore>, RunError> {
    let ca = match &scenario.target {
        Target::Embedded(_) => {
            let pem = state.device_authority.certificate_pem();
            return Ok(roots_of_pem(&pem)?);
        }
        Target::Nanomdm(it) | Target::Micromdm(it) => it.ca.as_deref(),
        Target::Observe(observe) => observe.ca.as_deref(),
    };
    let Some(path) = ca else {
        return match system_roots() {
            // Whoever goes nowhere by TLS needs none.
            Err(_) if !target.server.tls => Ok(Arc::new(RootCertStore::empty())),
            roots => Ok(roots?),
        };
    };
    let purpose = "is the CA of the target's certificate";
    let roots = roots_of_pem(&read(path, purpose)?);
    roots.map_err(|error| unusable(path, purpose, &error))
}
