//! Over the air, in three phases: a payload that says what to tell, a SCEP profile for who tells it,
//! and the enrolment profile for who tells it again with that identity (protocol.md 7.2).

use http::HeaderValue;
use http::header::CONTENT_TYPE;

use super::Enroller;
use super::bearer::Bearer;
use super::profile::{self, Laid};
use super::refusal::{Name, Stop};
use super::trail::Trail;
use crate::engine::fetch::Fetch;
use crate::engine::identity::OwnIdentity;
use crate::engine::pki::certificate::Certificate;
use crate::engine::pki::cms::MessageError;
use crate::engine::pki::enveloped_data;
use crate::engine::pki::keys::DeviceKey;
use crate::fact::IdentityStep;
use crate::protocol::profile::{Document, Identity, ProfileError};
use crate::scenario::Source;

const SIGNED: HeaderValue = HeaderValue::from_static("application/pkcs7-signature");

impl Enroller {
    pub(super) async fn over_the_air(
        &self,
        source: &Source,
        bearer: &Bearer,
        trail: &Trail,
    ) -> Result<Laid, Stop> {
        let since = trail.begin();
        let body = self.body_of(source, bearer, trail).await;
        let service = body.and_then(|body| match profile::open(&body)?.0 {
            Document::Service(service) => Ok(service),
            Document::Profile(_) => {
                let found =
                    "found a configuration profile in the place of a Profile Service payload";
                let found = found.to_owned();
                Err(Stop::profile(&ProfileError::NotProfile { found }))
            }
        });
        let service = trail.end(IdentityStep::Profile, since, service)?;
        let url = self.way.enrollment.rewritten(&service.url);
        let answer = service.answer(&bearer.attributes());

        let signed = self.vouched(&answer, bearer);
        let since = trail.begin();
        let given = match signed {
            Ok(signed) => self.identity_given(&url, &signed, bearer, trail).await,
            Err(stop) => Err(stop),
        };
        let (payload, name) = trail.end(IdentityStep::Attributes, since, given)?;
        let identity =
            Box::pin(self.by_payload(&payload, &name, bearer, None, None, trail)).await?;

        let signed = self.signed(&answer, &identity, &[], bearer);
        let since = trail.begin();
        let laid = match signed {
            Ok(signed) => {
                let told = self.post_signed(&url, &signed, bearer, trail).await;
                told.and_then(|body| trail.working(|| opened(&body, &identity)))
            }
            Err(stop) => Err(stop),
        };
        trail.end(IdentityStep::MdmProfile, since, laid)
    }

    /// The second phase: what the device says, signed by its maker's certificate, is answered with a
    /// profile that gives it an identity.
    async fn identity_given(
        &self,
        url: &str,
        signed: &[u8],
        bearer: &Bearer,
        trail: &Trail,
    ) -> Result<(Identity, String), Stop> {
        let body = self.post_signed(url, signed, bearer, trail).await?;
        let (document, _) = profile::open(&body)?;
        let Document::Profile(profile) = document else {
            let found = "found a second Profile Service payload".to_owned();
            return Err(Stop::profile(&ProfileError::NotProfile { found }));
        };
        let name = profile.identifier.clone();
        let identity = profile.identity();
        Ok((identity.map_err(|error| Stop::profile(&error))?, name))
    }

    async fn post_signed(
        &self,
        url: &str,
        signed: &[u8],
        bearer: &Bearer,
        trail: &Trail,
    ) -> Result<Vec<u8>, Stop> {
        let headers = [(CONTENT_TYPE, SIGNED)];
        let post = Fetch {
            headers: &headers,
            ..Fetch::post(url, signed)
        };
        let fetched = self.fetch(bearer, trail, post).await?;
        Ok(profile::with_profile("what the device said", fetched)?.body)
    }
}

/// What the third phase is answered with: the enrolment profile, which may be encrypted to the
/// identity that the device told everything with again.
fn opened(body: &[u8], identity: &OwnIdentity) -> Result<Laid, Stop> {
    let key = DeviceKey::from_pkcs8(&identity.key);
    let key = key.map_err(|error| Stop::never(Name::KeyUnavailable, error.to_string()))?;
    let unreadable = |what: String| Stop::never(Name::NotProfile, what);
    let certificate = Certificate::read(&identity.chain[0]);
    let certificate = certificate.map_err(|error| unreadable(error.to_string()))?;
    match enveloped_data::open(body, &key, &certificate) {
        Ok(opened) => profile::enrolling(&opened),
        // It need not be encrypted.
        Err(MessageError::Structure { .. } | MessageError::Encoding(_)) => profile::enrolling(body),
        Err(error) => Err(unreadable(error.to_string())),
    }
}
