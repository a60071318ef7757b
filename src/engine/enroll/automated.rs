//! Automated enrolment: signed MachineInfo is answered with the enrolment profile, or with the
//! version that has to be installed first (protocol.md 7.5).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::header::CONTENT_TYPE;
use http::{HeaderName, HeaderValue};

use super::Enroller;
use super::bearer::Bearer;
use super::profile::{self, Laid};
use super::refusal::{Name, Stop};
use super::trail::Trail;
use crate::engine::fetch::{Fetch, Fetched};
use crate::fact::IdentityStep;
use crate::protocol::plist as xml;
use crate::scenario::MachineInfoBy;

/// What signed MachineInfo is sent as.
const SIGNED: HeaderValue = HeaderValue::from_static("application/pkcs7-signature");

/// What older systems send it in.
const DEVICE_INFO: HeaderName = HeaderName::from_static("x-apple-aspen-deviceinfo");

/// The code of a 403 that wants a newer system (Apple, ErrorCodeSoftwareUpdateRequired).
const UPDATE_REQUIRED: &str = "com.apple.softwareupdate.required";

impl Enroller {
    pub(super) async fn automated(
        &self,
        url: &str,
        by: MachineInfoBy,
        bearer: &Bearer,
        trail: &Trail,
    ) -> Result<Laid, Stop> {
        let info = self.vouched(&xml::encode(&bearer.machine_info(false)), bearer);
        let since = trail.begin();
        let laid = match info {
            Ok(info) => {
                self.answered_with_profile(url, by, &info, (bearer, trail))
                    .await
            }
            Err(stop) => Err(stop),
        };
        trail.end(IdentityStep::Profile, since, laid)
    }

    async fn answered_with_profile(
        &self,
        url: &str,
        by: MachineInfoBy,
        info: &[u8],
        (bearer, trail): (&Bearer, &Trail),
    ) -> Result<Laid, Stop> {
        let url = self.way.url(url, &bearer.names);
        let fetched = match by {
            MachineInfoBy::Post => {
                let headers = [(CONTENT_TYPE, SIGNED)];
                let post = Fetch {
                    headers: &headers,
                    ..Fetch::post(&url, info)
                };
                self.fetch(bearer, trail, post).await?
            }
            MachineInfoBy::Header => {
                let value = HeaderValue::from_str(&BASE64.encode(info));
                let headers = [(DEVICE_INFO, value.expect("base64 is fit for a header"))];
                let fetch = Fetch {
                    headers: &headers,
                    ..Fetch::get(&url)
                };
                self.fetch(bearer, trail, fetch).await?
            }
        };
        let fetched = profile_or_update(fetched)?;
        profile::enrolling(&fetched.body)
    }
}

/// An answer with a profile; a 403 may ask for an update first.
pub(super) fn profile_or_update(fetched: Fetched) -> Result<Fetched, Stop> {
    if fetched.status != 403 {
        return profile::with_profile("MachineInfo", fetched);
    }
    let Some(told) = Told::read(&fetched.body) else {
        return profile::with_profile("MachineInfo", fetched);
    };
    if told.code == UPDATE_REQUIRED {
        return Err(match told.os_version {
            Some(Wanted::Other) => {
                let what = "an update is wanted first, but to what is no version";
                Stop::never(Name::EnrollmentRefused, what)
            }
            Some(Wanted::Version(version)) => Stop::UpdateFirst {
                os_version: Some(version),
            },
            None => Stop::UpdateFirst { os_version: None },
        });
    }
    let code: String = told.code.chars().take(80).collect();
    let what = format!("MachineInfo was answered with 403 and {code:?}");
    Err(Stop::never(Name::EnrollmentRefused, what))
}

/// What a 403 says, as JSON or a property list.
struct Told {
    code: String,
    /// `None` for the latest.
    os_version: Option<Wanted>,
}

/// To what a device is told to update.
enum Wanted {
    Version(String),
    /// Nothing that a device could become.
    Other,
}

impl Wanted {
    fn of(text: Option<&str>) -> Self {
        const LENGTH_MAX: usize = 32;
        let is_version = |text: &&str| {
            let mut parts = text.split('.');
            let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
            let is_number = |part: &str| is_digits(part) && part.parse::<u32>().is_ok();
            text.len() <= LENGTH_MAX && parts.all(is_number)
        };
        let version = text.filter(is_version).map(str::to_owned);
        version.map_or(Self::Other, Self::Version)
    }
}

impl Told {
    fn read(body: &[u8]) -> Option<Self> {
        if let Ok(json) = serde_json::from_slice::<serde_json::Value>(body) {
            let version = json["details"].get("OSVersion");
            return Some(Self {
                code: json["code"].as_str()?.to_owned(),
                os_version: version.map(|version| Wanted::of(version.as_str())),
            });
        }
        let root = xml::decode(body).ok()?.into_dictionary()?;
        let details = root.get("details").and_then(plist::Value::as_dictionary);
        let version = details.and_then(|details| details.get("OSVersion"));
        Some(Self {
            code: root.get("code")?.as_string()?.to_owned(),
            os_version: version.map(|version| Wanted::of(version.as_string())),
        })
    }
}
