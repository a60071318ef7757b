//! Bearer tokens: the JSON Web Tokens of providers without a certificate (Apple, "Establishing a
//! token-based connection to APNs").
//!
//! A token is read and its signature verified once; while a connection repeats it, the comparison of
//! its text is all that a push costs.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;

use super::provider::Environment;
use crate::protocol::push::Reason;
use crate::time::WallTime;

/// How long a token is good for after it was issued.
const TOKEN_AGE_MAX: Duration = Duration::from_secs(3600);

/// How soon a connection may bring another token.
const TOKEN_CHANGE_MIN: Duration = Duration::from_secs(20 * 60);

/// How far a provider's clock may be ahead of this machine's, so that rounding does not count.
const CLOCK_AHEAD_MAX: Duration = Duration::from_secs(60);

/// A key that a provider may sign its tokens with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderKey {
    /// Its name, `kid` in a token.
    pub key_id: String,
    /// Whose it is, `iss` in a token.
    pub team_id: String,
    /// The topics it is for; `None` for all of the team's.
    pub topics: Option<Vec<String>>,
    /// The service it is for; `None` for both.
    pub environment: Option<Environment>,
    /// The P-256 point, uncompressed (SEC 1).
    pub public: Vec<u8>,
}

/// Whether `signature` (r and s, 32 bytes each) is of `message` by the P-256 key `public`.
pub type Verify = fn(public: &[u8], message: &[u8], signature: &[u8]) -> bool;

/// The keys that tokens may be signed with.
#[derive(Debug, Default)]
pub(super) struct Keys {
    all: Vec<ProviderKey>,
    verify: Option<Verify>,
}

impl Keys {
    pub(super) const fn new(all: Vec<ProviderKey>, verify: Verify) -> Self {
        Self {
            all,
            verify: Some(verify),
        }
    }
}

/// What one connection has shown of tokens.
#[derive(Debug, Default)]
pub(super) struct Bearer(Option<Held>);

/// The token that a connection is known by.
#[derive(Debug)]
struct Held {
    text: Box<str>,
    /// Which of the keys it is signed with.
    key: usize,
    issued: WallTime,
    /// When this connection first brought it.
    since: WallTime,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    iat: i64,
}

impl Bearer {
    /// Whether a token has been taken.
    pub(super) const fn is_held(&self) -> bool {
        self.0.is_some()
    }

    /// The key behind the `authorization` of a push.
    pub(super) fn check<'k>(
        &mut self,
        now: WallTime,
        authorization: Option<&str>,
        environment: Environment,
        keys: &'k Keys,
    ) -> Result<&'k ProviderKey, Reason> {
        let token = token(authorization)?;
        let is_known = self.0.as_ref().is_some_and(|held| &*held.text == token);
        if !is_known {
            let fresh = keys.read(token, now)?;
            check_age(fresh.issued, now)?;
            let key = &keys.all[fresh.key];
            if key.environment.is_some_and(|it| it != environment) {
                return Err(Reason::BadEnvironmentKeyIdInToken);
            }
            if let Some(held) = &self.0 {
                // Keys of one team are related (Apple does not say what makes them so).
                let is_related = keys.all.get(held.key).map(|it| &it.team_id) == Some(&key.team_id);
                if !is_related {
                    return Err(Reason::UnrelatedKeyIdInToken);
                }
                if since(now, held.since) < TOKEN_CHANGE_MIN {
                    return Err(Reason::TooManyProviderTokenUpdates);
                }
            }
            self.0 = Some(fresh);
        }
        let held = self.0.as_ref().ok_or(Reason::InvalidProviderToken)?;
        check_age(held.issued, now)?;
        keys.all.get(held.key).ok_or(Reason::InvalidProviderToken)
    }
}

impl Keys {
    /// Reads a token and verifies its signature.
    fn read(&self, token: &str, now: WallTime) -> Result<Held, Reason> {
        self.try_read(token, now)
            .ok_or(Reason::InvalidProviderToken)
    }

    fn try_read(&self, token: &str, now: WallTime) -> Option<Held> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).ok();
        let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
        let claims: Claims = serde_json::from_slice(&decode(claims)?).ok()?;
        if header.alg != "ES256" {
            return None;
        }
        let of_token = |key: &ProviderKey| key.key_id == header.kid && key.team_id == claims.iss;
        let key = self.all.iter().position(of_token)?;
        let verify = self.verify?;
        let is_genuine = verify(
            &self.all[key].public,
            signed.as_bytes(),
            &decode(signature)?,
        );
        is_genuine.then(|| Held {
            text: token.into(),
            key,
            issued: WallTime::from_unix_micros(claims.iat.saturating_mul(1_000_000)),
            since: now,
        })
    }
}

/// The token in `authorization: bearer <token>`.
fn token(authorization: Option<&str>) -> Result<&str, Reason> {
    let text = authorization.unwrap_or_default().trim();
    if text.is_empty() || text.eq_ignore_ascii_case("bearer") {
        return Err(Reason::MissingProviderToken);
    }
    let (scheme, token) = text.split_once(' ').ok_or(Reason::InvalidProviderToken)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Reason::InvalidProviderToken);
    }
    Ok(token.trim())
}

/// A token of the future is refused as one that is too old is: the provider's clock is wrong.
fn check_age(issued: WallTime, now: WallTime) -> Result<(), Reason> {
    if since(now, issued) > TOKEN_AGE_MAX || since(issued, now) > CLOCK_AHEAD_MAX {
        return Err(Reason::ExpiredProviderToken);
    }
    Ok(())
}

/// How long `later` is after `earlier`; zero when it is before.
fn since(later: WallTime, earlier: WallTime) -> Duration {
    let micros = later.unix_micros().saturating_sub(earlier.unix_micros());
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}
