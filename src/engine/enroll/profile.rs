//! Enrolment profiles: how they are fetched, whose signature they carry, and what they lay down.

use std::collections::BTreeSet;

use rustls::pki_types::CertificateDer;

use super::Enroller;
use super::bearer::Bearer;
use super::refusal::{Name, Stop};
use super::trail::Trail;
use crate::engine::fetch::{Fetch, Fetched};
use crate::engine::identity::Doors;
use crate::engine::pki::profile_signature;
use crate::fact::IdentityStep;
use crate::protocol::profile::{Document, EnrollmentProfile, MdmPayload, Profile, ProfileError};
use crate::scenario::{ProfileFrom, Source};

/// What a profile lays down for all devices of a run.
#[derive(Clone, Debug)]
pub(in crate::engine) struct Laid {
    pub(in crate::engine) profile: EnrollmentProfile,
    /// Who signed it, for people.
    pub(in crate::engine) signer: Option<String>,
}

impl Laid {
    /// The certificates that a device trusts from now on.
    pub(in crate::engine) fn trusted(&self) -> Vec<CertificateDer<'static>> {
        certificates(&self.profile.trusted)
    }
}

pub(super) fn certificates(listed: &[Vec<u8>]) -> Vec<CertificateDer<'static>> {
    listed.iter().cloned().map(CertificateDer::from).collect()
}

/// The path and query of a URL, at least `/`.
fn path_of(url: &str) -> String {
    let after = url.split_once("://").map_or(url, |(_, after)| after);
    let begins = after.find(['/', '?']);
    match begins.map(|begins| &after[begins..]) {
        None => "/".to_owned(),
        Some(path) if path.starts_with('?') => format!("/{path}"),
        Some(path) => path.to_owned(),
    }
}

/// The paths of a payload's URLs.
pub(super) fn doors_of(mdm: &MdmPayload) -> Doors {
    let server = path_of(&mdm.server_url);
    Doors {
        checkin: mdm
            .checkin_url
            .as_deref()
            .map_or_else(|| server.clone(), path_of),
        server,
    }
}

/// Where a device's own profile leads, if that is elsewhere than all devices' does.
///
/// # Errors
/// When it differs from it in anything that a run has for all devices.
pub(super) fn own_doors(
    own: &EnrollmentProfile,
    all: &EnrollmentProfile,
) -> Result<Option<Doors>, Stop> {
    let set = |listed: &[Vec<u8>]| listed.iter().cloned().collect::<BTreeSet<_>>();
    let pins = |profile: &EnrollmentProfile| {
        [&profile.server_pins, &profile.checkin_pins].map(|pins| set(pins))
    };
    let certificates = [
        ("what is pinned", pins(own) != pins(all)),
        (
            "what the device is to trust",
            set(&own.trusted) != set(&all.trusted),
        ),
    ];
    let (own, all) = (&own.mdm, &all.mdm);
    let origin = |url: &str| {
        let path = path_of(url);
        url.strip_suffix(&path).unwrap_or(url).to_owned()
    };
    let checkin = |mdm: &MdmPayload| mdm.checkin_url.as_deref().map(origin);
    let differs = [
        ("Topic", own.topic != all.topic),
        (
            "ServerURL's host",
            origin(&own.server_url) != origin(&all.server_url),
        ),
        ("CheckInURL's host", checkin(own) != checkin(all)),
        ("SignMessage", own.sign_message != all.sign_message),
        ("AccessRights", own.access_rights != all.access_rights),
        (
            "CheckOutWhenRemoved",
            own.check_out_when_removed != all.check_out_when_removed,
        ),
        ("ServerCapabilities", own.capabilities != all.capabilities),
        (
            "EnrollmentMode",
            own.is_user_enrollment != all.is_user_enrollment,
        ),
    ];
    let mut differs = differs.iter().chain(&certificates);
    if let Some((what, _)) = differs.find(|(_, differs)| *differs) {
        let what = format!("{what} is another than in the profile that was fetched before the run");
        return Err(Stop::never(Name::ProfileChanged, what));
    }
    let (own, all) = (doors_of(own), doors_of(all));
    Ok((own != all).then_some(own))
}

/// The profile or payload in what was fetched, and who signed it.
pub(super) fn open(body: &[u8]) -> Result<(Document, Option<String>), Stop> {
    let opened = profile_signature::open(body);
    let opened = opened.map_err(|error| Stop::never(Name::SignatureBroken, error.to_string()))?;
    let document = Document::decode(&opened.content);
    let document = document.map_err(|error| Stop::profile(&error))?;
    Ok((document, opened.signer))
}

/// The profile that enrols, in what was fetched.
pub(super) fn enrolling(body: &[u8]) -> Result<Laid, Stop> {
    let (document, signer) = open(body)?;
    let Document::Profile(profile) = document else {
        let found = "found a Profile Service payload: this server enrols over the air".to_owned();
        return Err(Stop::profile(&ProfileError::NotProfile { found }));
    };
    laid(profile, signer)
}

pub(super) fn laid(profile: Profile, signer: Option<String>) -> Result<Laid, Stop> {
    let profile = profile
        .enrollment()
        .map_err(|error| Stop::profile(&error))?;
    Ok(Laid { profile, signer })
}

/// An answer with a profile; another status is a refusal.
pub(super) fn with_profile(what: &str, fetched: Fetched) -> Result<Fetched, Stop> {
    match fetched.status {
        200 => Ok(fetched),
        401 | 403 => {
            let said = format!("{what} was answered with {}", fetched.status);
            Err(Stop::never(Name::EnrollmentRefused, said))
        }
        _ => Err(Stop::status(what, &fetched)),
    }
}

impl Enroller {
    /// The profile at `source`.
    pub(super) async fn profile_at(
        &self,
        source: &Source,
        bearer: &Bearer,
        trail: &Trail,
    ) -> Result<Laid, Stop> {
        let since = trail.begin();
        let body = self.body_of(source, bearer, trail).await;
        trail.end(
            IdentityStep::Profile,
            since,
            body.and_then(|body| enrolling(&body)),
        )
    }

    /// What is in the file, or at the URL.
    pub(super) async fn body_of(
        &self,
        source: &Source,
        bearer: &Bearer,
        trail: &Trail,
    ) -> Result<Vec<u8>, Stop> {
        let url = match &source.from {
            ProfileFrom::File(_) => {
                let file = self.way.file.clone();
                return Ok(file.expect("the file was read before the run"));
            }
            ProfileFrom::Url(url) => self.way.url(url, &bearer.names),
        };
        let fetched = self.fetch(bearer, trail, Fetch::get(&url)).await?;
        Ok(with_profile("the profile", fetched)?.body)
    }
}
