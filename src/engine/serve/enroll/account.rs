//! Account-driven enrolment: from a Managed Apple Account to the service of its organisation, which
//! wants an access token before it hands out a profile (protocol.md 7.6).

use bytes::Bytes;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;

use super::profile::{By, Wanted};
use super::{Asked, Enrolling, refused};
use crate::engine::serve::routes::{json_answer, percent_encoded};

/// Which service an organisation's domain names, for its users' own devices and for its own.
pub(super) fn discovery(asked: &Asked) -> Response<Full<Bytes>> {
    let user = asked.parameter("user-identifier").unwrap_or_default();
    if !user.contains('@') {
        return refused(
            StatusCode::BAD_REQUEST,
            "expected user-identifier=user@domain",
        );
    }
    let user = percent_encoded(&user);
    let server = |version: &str| {
        let mode = version.trim_start_matches("mdm-");
        let url = format!("{}/account?mode={mode}&user={user}", asked.base);
        json!({ "Version": version, "BaseURL": url })
    };
    let servers = json!({ "Servers": [server("mdm-byod"), server("mdm-adde")] });
    json_answer(StatusCode::OK, &servers)
}

/// Hands out a profile for an access token, and without one says where to get it. Here 401 does not
/// end an enrolment: there is none yet.
pub(super) fn enroll(asked: &Asked, enrolling: &Enrolling, topic: String) -> Response<Full<Bytes>> {
    let token = asked.head.headers.get(AUTHORIZATION);
    let token = token.and_then(|value| value.to_str().ok());
    let token = token.and_then(|value| value.strip_prefix("Bearer "));
    let is_right = match (&enrolling.rules.account_token, token) {
        (Some(wanted), Some(token)) => wanted == token.trim(),
        (None, Some(token)) => !token.trim().is_empty(),
        (_, None) => false,
    };
    if !is_right {
        let mut answer = refused(StatusCode::UNAUTHORIZED, "an access token is wanted");
        let sign_in = format!(
            "Bearer method=\"apple-as-web\", url=\"{}/account/sign-in\"",
            asked.base
        );
        if let Ok(value) = HeaderValue::try_from(sign_in) {
            answer.headers_mut().insert(WWW_AUTHENTICATE, value);
        }
        return answer;
    }
    if let Err(why) = enrolling.vouching.machine_info(&asked.body) {
        return refused(StatusCode::BAD_REQUEST, &why);
    }
    let wanted = Wanted {
        by: By::Scep,
        is_user_enrollment: asked.parameter("mode").as_deref() == Some("byod"),
        account: asked.parameter("user"),
    };
    enrolling.hand_out(asked, topic, wanted)
}
