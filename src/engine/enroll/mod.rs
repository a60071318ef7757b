//! How a device comes by its identity: by issuing, by a profile with SCEP, ACME or PKCS#12 in it,
//! over the air, by automated or account-driven enrolment.
//!
//! Each method is plain code from top to bottom in a file of its own. Every step is noted as it ends
//! ([`Trail`]), and what goes wrong ends that errand alone, with a name ([`refusal`]).

mod account_driven;
mod acme;
mod automated;
mod bearer;
mod issued;
mod outfit;
mod over_the_air;
mod pkcs12;
mod profile;
mod refusal;
mod scep;
mod seat;
mod trail;
mod vouched;
mod wanted;
mod way;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

pub(super) use self::bearer::Bearer;
pub(super) use self::outfit::Outfit;
pub(super) use self::profile::Laid;
use self::refusal::Name;
pub(super) use self::refusal::Stop;
use self::seat::Seat;
pub(super) use self::trail::{News, Reports, Trail};
pub(super) use self::way::Way;
use super::clock::Clock;
use super::fetch::{Fetch, Fetched, Fetcher, Trust};
use super::identity::{Doors, Identities, OwnIdentity};
use super::roster::Keeper;
use crate::device::contract::{Errand, Obtained};
use crate::device::traits::Traits;
use crate::fact::{IdentityStep, Obtaining};
use crate::ids::{Crowd, DeviceId};
use crate::protocol::profile::{EnrollmentProfile, Identity};
use crate::scenario::Method;

/// A device whose clock is further off asks for itself, as what it signs has another time.
const HANDED_OVER_AHEAD_MAX: Duration = Duration::from_secs(10);

/// Gets identities for the devices of one worker.
#[derive(Debug)]
pub(super) struct Enroller {
    clock: Clock,
    crowd: Crowd,
    fetcher: Fetcher,
    way: Arc<Way>,
    identities: Arc<Identities>,
    /// A place for each device that may be enrolling at once.
    places: Arc<Semaphore>,
    /// What devices trust once they have the profile of all.
    trust: OnceCell<Option<Trust>>,
    keeper: Option<Keeper>,
    /// Whether a device has what was laid down before the run in its name.
    is_handed_over: Cell<bool>,
    /// The challenge that a device last had a certificate for. Bounded by the worker's devices.
    spent: RefCell<BTreeMap<DeviceId, String>>,
}

impl Enroller {
    pub(super) const fn clock(&self) -> Clock {
        self.clock
    }

    /// The device has enrolled with the identity it has, and with what its challenge gave it.
    pub(super) fn enrolled(&self, device: DeviceId) {
        self.spent.borrow_mut().remove(&device);
        self.identities.settle(device);
    }

    /// Who `errand` is for: a device with `traits`.
    pub(super) fn bearer(&self, errand: &Errand, traits: &Traits) -> Bearer {
        Bearer::of(errand, traits, &self.crowd, self.clock)
    }

    /// A place among the devices that may be enrolling at once.
    pub(super) async fn seat(&self) -> Seat {
        Seat::take(Arc::clone(&self.places)).await
    }

    /// Does one errand.
    pub(super) async fn obtain(&self, errand: &Errand, bearer: &Bearer, trail: &Trail) -> Obtained {
        let identity = Box::pin(self.identity(errand, bearer, trail)).await;
        let kept = match identity {
            // A copy lasts as long as the run: a later one would find the device with an identity that
            // is another's, and nothing that says so.
            Ok(identity) if errand.why == Obtaining::Clone => {
                self.identities.put(errand.device, Arc::new(identity));
                Ok(())
            }
            Ok(identity) => {
                if errand.why == Obtaining::Renew {
                    self.identities.set_aside(errand.device);
                }
                self.keep(errand.device, identity, trail).await
            }
            Err(stop) => Err(stop),
        };
        match kept {
            Ok(()) => Obtained::Identity,
            Err(stop) => stop.told(),
        }
    }

    /// What the profile of all devices says, before a run: fetched as `errand`'s device would.
    ///
    /// # Errors
    /// When there is no profile, or none that enrols anybody.
    pub(super) async fn lay_down(&self, errand: &Errand, traits: &Traits) -> Result<Laid, Stop> {
        let bearer = self.bearer(errand, traits);
        let trail = Trail::new(self.clock, errand.device, self.seat().await, None);
        self.laid_for(&bearer, &trail).await
    }

    async fn identity(
        &self,
        errand: &Errand,
        bearer: &Bearer,
        trail: &Trail,
    ) -> Result<OwnIdentity, Stop> {
        let renews = match errand.why {
            Obtaining::Clone => return self.copied(errand),
            Obtaining::Restore => return self.restored(errand),
            Obtaining::Renew => self.identities.copied(errand.device),
            Obtaining::Enroll => None,
        };
        match &self.way.enrollment.method {
            Method::Issued => {
                let since = trail.begin();
                let right = self.clock.epoch().wall(self.clock.now());
                let minted = issued::mint(&self.way.authority, &bearer.names.udid, right);
                trail.end(IdentityStep::Key, since, minted)
            }
            Method::Scep(scep) => {
                let payload = self.way.scep(scep, &bearer.names);
                self.by_payload(&payload, "", bearer, renews, None, trail)
                    .await
            }
            Method::Acme(acme) => {
                let payload = self.way.acme(acme, &bearer.names);
                self.by_payload(&payload, "", bearer, renews, None, trail)
                    .await
            }
            Method::Profile(source) if !source.each_device => {
                let laid = self.laid();
                let trust = self.trust_of_all()?;
                self.by_profile(&laid.profile, bearer, renews, trust, trail)
                    .await
            }
            Method::Profile(_)
            | Method::Ota(_)
            | Method::Automated { .. }
            | Method::AccountDriven { .. } => {
                let own = match self.handed_over(errand, bearer) {
                    Some(laid) => laid,
                    None => self.laid_for(bearer, trail).await?,
                };
                let since = trail.begin();
                let (doors, trust) = match self.fits(&own.profile) {
                    Ok(fits) => fits,
                    stopped => trail.end(IdentityStep::Profile, since, stopped)?,
                };
                let identity = self
                    .by_profile(&own.profile, bearer, renews, trust.as_ref(), trail)
                    .await?;
                Ok(OwnIdentity { doors, ..identity })
            }
        }
    }

    /// Where a device's own profile leads, and whom the device trusts from then on.
    fn fits(&self, own: &EnrollmentProfile) -> Result<(Option<Arc<Doors>>, Option<Trust>), Stop> {
        let doors = profile::own_doors(own, &self.laid().profile)?;
        Ok((doors.map(Arc::new), self.trusting(own)?))
    }

    /// What was laid down before the run in this device's name, if that is as good as what it would
    /// get now: signed by the same clock, and used by nobody.
    fn handed_over(&self, errand: &Errand, bearer: &Bearer) -> Option<Laid> {
        let is_meant = self.way.made_out_to == Some(errand.device);
        let is_on_time = bearer.ahead_us.unsigned_abs() < HANDED_OVER_AHEAD_MAX.as_micros() as u64;
        let is_new = errand.why == Obtaining::Enroll && is_on_time;
        let is_unused = is_meant && is_new && !self.is_handed_over.replace(true);
        is_unused.then(|| self.laid().clone())
    }

    /// The profile that this device gets.
    async fn laid_for(&self, bearer: &Bearer, trail: &Trail) -> Result<Laid, Stop> {
        match &self.way.enrollment.method {
            Method::Profile(source) => self.profile_at(source, bearer, trail).await,
            Method::Ota(source) => self.over_the_air(source, bearer, trail).await,
            Method::Automated { url, machine_info } => {
                self.automated(url, *machine_info, bearer, trail).await
            }
            Method::AccountDriven {
                account, service, ..
            } => {
                self.account_driven(account, service.as_deref(), bearer, trail)
                    .await
            }
            Method::Issued | Method::Scep(_) | Method::Acme(_) => {
                unreachable!("these methods have no profile")
            }
        }
    }

    fn laid(&self) -> &Laid {
        let laid = self.way.laid.as_ref();
        laid.expect("a method with a profile has fetched one before the run")
    }

    async fn by_profile(
        &self,
        profile: &EnrollmentProfile,
        bearer: &Bearer,
        renews: Option<OwnIdentity>,
        trust: Option<&Trust>,
        trail: &Trail,
    ) -> Result<OwnIdentity, Stop> {
        let name = &profile.identifier;
        self.by_payload(&profile.identity, name, bearer, renews, trust, trail)
            .await
    }

    /// The identity that a payload gives. `name` is what a Mac calls it when the payload does not.
    pub(super) async fn by_payload(
        &self,
        payload: &Identity,
        name: &str,
        bearer: &Bearer,
        renews: Option<OwnIdentity>,
        trust: Option<&Trust>,
        trail: &Trail,
    ) -> Result<OwnIdentity, Stop> {
        match payload {
            Identity::Scep(payload) => {
                let asked = scep::Asked {
                    payload,
                    name,
                    bearer,
                    renews,
                    trust,
                    trail,
                };
                self.scep(asked).await
            }
            Identity::Acme(payload) => {
                // What is renewed does not matter: it is a new order.
                let asked = acme::Asked {
                    payload,
                    name,
                    bearer,
                    trust,
                    trail,
                };
                Box::pin(self.acme(asked)).await
            }
            Identity::Pkcs12(payload) => {
                let since = trail.begin();
                trail.end(IdentityStep::Key, since, pkcs12::read(payload))
            }
        }
    }

    /// The identity of the device that this one is a copy of.
    fn copied(&self, errand: &Errand) -> Result<OwnIdentity, Stop> {
        let original = errand.original.and_then(|it| self.identities.copied(it));
        original.ok_or_else(|| {
            let what = "the device that this one is a copy of has no identity";
            Stop::not_yet(Name::KeyUnavailable, what)
        })
    }

    /// The identity that the device had before it renewed it.
    fn restored(&self, errand: &Errand) -> Result<OwnIdentity, Stop> {
        self.identities.before(errand.device).ok_or_else(|| {
            // It was renewed in an earlier run, which kept the new one alone.
            let what = "the identity that the device had before is gone";
            Stop::never(Name::KeyUnavailable, what)
        })
    }

    /// From now on the device has the identity: on disk first, if there is a roster, so that no later
    /// run can be without it.
    async fn keep(
        &self,
        device: DeviceId,
        identity: OwnIdentity,
        trail: &Trail,
    ) -> Result<(), Stop> {
        let identity = Arc::new(identity);
        if let Some(keeper) = &self.keeper {
            let since = trail.begin();
            let kept = keeper.keep_identity(device, Arc::clone(&identity)).await;
            let kept = kept.map_err(|error| Stop::never(Name::RosterFailed, error.to_string()));
            trail.end(IdentityStep::Kept, since, kept)?;
        }
        self.identities.put(device, identity);
        Ok(())
    }

    /// Fetches as the device would, by its clock.
    async fn fetch(
        &self,
        bearer: &Bearer,
        trail: &Trail,
        fetch: Fetch<'_>,
    ) -> Result<Fetched, Stop> {
        let fetch = Fetch {
            ahead_us: bearer.ahead_us,
            ours: Some(trail.ours()),
            ..fetch
        };
        let fetched = self.fetcher.fetch(fetch).await;
        fetched.map_err(|broken| Stop::broken(&broken))
    }

    /// What a device trusts that has the profile of all.
    fn trust_of_all(&self) -> Result<Option<&Trust>, Stop> {
        if let Some(trust) = self.trust.get() {
            return Ok(trust.as_ref());
        }
        let trust = self.trusting(&self.laid().profile)?;
        Ok(self.trust.get_or_init(|| trust).as_ref())
    }

    /// What a device trusts that has this profile; `None` for what it trusted before.
    fn trusting(&self, profile: &EnrollmentProfile) -> Result<Option<Trust>, Stop> {
        if profile.trusted.is_empty() {
            return Ok(None);
        }
        let trust = self
            .fetcher
            .trusting(&profile::certificates(&profile.trusted));
        let trust = trust.map_err(|error| {
            let what = format!("a certificate of the profile cannot be trusted: {error}");
            Stop::never(Name::ImpossiblePayload, what)
        });
        trust.map(Some)
    }
}

/// A text as a query carries it.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte));
            }
            other => escaped.push_str(&format!("%{other:02X}")),
        }
    }
    escaped
}
