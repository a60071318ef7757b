//! Account-driven enrolment: the account's domain names a service, the service wants a sign-in, and
//! a token for that is answered with the profile (protocol.md 7.6).

use http::HeaderValue;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};

use super::automated::profile_or_update;
use super::bearer::Bearer;
use super::profile::{self, Laid};
use super::refusal::{Name, Stop};
use super::trail::Trail;
use super::{Enroller, escaped};
use crate::engine::fetch::Fetch;
use crate::fact::IdentityStep;
use crate::protocol::plist as xml;
use crate::scenario::Method;

const WELL_KNOWN: &str = "/.well-known/com.apple.remotemanagement";
const SIGNED: HeaderValue = HeaderValue::from_static("application/pkcs7-signature");

/// What the embedded target takes, which takes any.
const ANY_TOKEN: &str = "mdmstorm";

impl Enroller {
    pub(super) async fn account_driven(
        &self,
        account: &str,
        service: Option<&str>,
        bearer: &Bearer,
        trail: &Trail,
    ) -> Result<Laid, Stop> {
        let info = self.vouched(&xml::encode(&bearer.machine_info(true)), bearer);
        let since = trail.begin();
        let found = self.service_of(account, service, bearer, trail).await;
        let signed_in = match (found, info) {
            (Ok(url), Ok(info)) => self.sign_in(url, info, bearer, trail).await,
            (Err(stop), _) | (_, Err(stop)) => Err(stop),
        };
        let (url, info) = trail.end(IdentityStep::Discovery, since, signed_in)?;
        let since = trail.begin();
        let laid = self.with_token(&url, &info, bearer, trail).await;
        trail.end(IdentityStep::Profile, since, laid)
    }

    /// The BaseURL that the account's domain names for this kind of enrolment.
    async fn service_of(
        &self,
        account: &str,
        service: Option<&str>,
        bearer: &Bearer,
        trail: &Trail,
    ) -> Result<String, Stop> {
        let Method::AccountDriven { byod, .. } = &self.way.enrollment.method else {
            unreachable!("only account-driven devices ask for the service");
        };
        let account = bearer.names.fill(account);
        let origin = match (service, account.rsplit_once('@')) {
            (Some(service), _) => self.way.url(service, &bearer.names),
            (None, Some((_, domain))) => {
                self.way.enrollment.rewritten(&format!("https://{domain}"))
            }
            (None, None) => unreachable!("an account has a domain"),
        };
        let url = format!(
            "{}{WELL_KNOWN}?user-identifier={}&model-family={}",
            origin.trim_end_matches('/'),
            escaped(&account),
            bearer.model_family(),
        );
        let fetched = self.fetch(bearer, trail, Fetch::get(&url)).await?;
        if fetched.status != 200 {
            return Err(Stop::status("service discovery", &fetched));
        }
        let version = if *byod { "mdm-byod" } else { "mdm-adde" };
        let base = serde_json::from_slice::<serde_json::Value>(&fetched.body)
            .ok()
            .and_then(|json| {
                let servers = json["Servers"].as_array()?.iter();
                let mut fitting = servers.filter(|server| server["Version"] == version);
                Some(fitting.next()?["BaseURL"].as_str()?.to_owned())
            });
        let base = base.ok_or_else(|| {
            let what = format!("service discovery names no server for {version}");
            Stop::never(Name::EnrollmentRefused, what)
        })?;
        Ok(self.way.enrollment.rewritten(&base))
    }

    /// The first try, without a token: the server has to ask for one. What signing in on the web
    /// would give comes from the scenario.
    async fn sign_in(
        &self,
        url: String,
        info: Vec<u8>,
        bearer: &Bearer,
        trail: &Trail,
    ) -> Result<(String, Vec<u8>), Stop> {
        let headers = [(CONTENT_TYPE, SIGNED)];
        let post = Fetch {
            headers: &headers,
            ..Fetch::post(&url, &info)
        };
        let fetched = self.fetch(bearer, trail, post).await?;
        if fetched.status != 401 {
            return Err(Stop::status("MachineInfo without a token", &fetched));
        }
        let asks = fetched.header("www-authenticate").unwrap_or_default();
        let is_known = asks.starts_with("Bearer")
            && ["apple-as-web", "apple-oauth2"]
                .iter()
                .any(|method| asks.contains(&format!("method=\"{method}\"")));
        if !is_known {
            let what = "the server asks for no sign-in that devices know: WWW-Authenticate is \
                        neither apple-as-web nor apple-oauth2";
            return Err(Stop::never(Name::EnrollmentRefused, what));
        }
        Ok((url, info))
    }

    async fn with_token(
        &self,
        url: &str,
        info: &[u8],
        bearer: &Bearer,
        trail: &Trail,
    ) -> Result<Laid, Stop> {
        let token = self.way.secret.as_deref().unwrap_or(ANY_TOKEN);
        let token = HeaderValue::from_str(&format!("Bearer {token}"));
        let mut token = token.map_err(|_| {
            let what = "the access token has characters that no header can carry";
            Stop::never(Name::TokenRefused, what)
        })?;
        token.set_sensitive(true);
        let any = HeaderValue::from_static("*/*");
        let headers = [
            (CONTENT_TYPE, SIGNED),
            (AUTHORIZATION, token),
            (ACCEPT, any),
        ];
        let post = Fetch {
            headers: &headers,
            ..Fetch::post(url, info)
        };
        let fetched = self.fetch(bearer, trail, post).await?;
        if fetched.status == 401 {
            let what = "the server did not take the access token";
            return Err(Stop::never(Name::TokenRefused, what));
        }
        profile::enrolling(&profile_or_update(fetched)?.body)
    }
}
