//! From an HTTP request to the machine and back.

use std::convert::Infallible;
use std::sync::Arc;

use base64::Engine as _;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::json;

use super::Shared;
use super::enroll::{self, Asked};
use super::peer::Peer;
use crate::ids::CommandUuid;
use crate::protocol::checkin::CHECKIN_CONTENT_TYPE;
use crate::protocol::plist::MAX_BODY;
use crate::reference_server::{Reply, Submission, WithPush};

/// The administrator's name, NanoMDM's.
const ADMINISTRATOR: &str = "nanomdm";

/// Answers one request.
pub(super) async fn answer(
    request: Request<Incoming>,
    peer: Peer,
    shared: Arc<Shared>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = match read(&head.headers, body).await {
        Ok(body) => body,
        Err(refused) => return Ok(refused),
    };
    let path = head.uri.path();
    Ok(match &shared.enrolling {
        _ if path == "/mdm" => device(&head, &body, peer, &shared).await,
        Some(enrolling) if enroll::is_way_in(path) => {
            enroll::answer(Asked::new(head, body), enrolling, &shared).await
        }
        Some(_) | None => administrator(&head, &body, &shared).await,
    })
}

async fn read(headers: &HeaderMap, body: Incoming) -> Result<Bytes, Response<Full<Bytes>>> {
    let too_large = || {
        let problem = format!("a body is at most {MAX_BODY} bytes");
        error(StatusCode::PAYLOAD_TOO_LARGE, &problem)
    };
    let stated = headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok());
    let stated: Option<usize> = stated.and_then(|text| text.parse().ok());
    if stated.is_some_and(|stated| stated > MAX_BODY) {
        return Err(too_large());
    }
    match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => Ok(body.to_bytes()),
        Err(problem) if problem.is::<LengthLimitError>() => Err(too_large()),
        Err(problem) => Err(error(StatusCode::BAD_REQUEST, &problem.to_string())),
    }
}

/// A device's check-in or its ask for work.
async fn device(
    head: &Parts,
    request: &[u8],
    peer: Peer,
    shared: &Shared,
) -> Response<Full<Bytes>> {
    if head.method != Method::PUT && head.method != Method::POST {
        return error(StatusCode::METHOD_NOT_ALLOWED, "devices use PUT");
    }
    let identity = match shared.door.identify(peer, &head.headers, request) {
        Ok(identity) => identity,
        // 400, never 401: a device that is told 401 removes its enrolment.
        Err(problem) => return error(StatusCode::BAD_REQUEST, &problem),
    };
    let kind = head.headers.get(CONTENT_TYPE);
    let is_check_in =
        kind.is_some_and(|kind| kind.as_bytes().starts_with(CHECKIN_CONTENT_TYPE.as_bytes()));
    let Reply {
        status,
        body,
        delay,
    } = shared.call(|server, now| {
        if is_check_in {
            server.check_in(now, Some(identity), request)
        } else {
            server.connect(now, Some(identity), request)
        }
    });
    if is_check_in && status == 200 {
        shared.register.checked_in(identity, request);
    }
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = StatusCode::from_u16(status).expect("the machine answers with HTTP");
    let kind = HeaderValue::from_static("application/xml");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

async fn administrator(head: &Parts, body: &[u8], shared: &Shared) -> Response<Full<Bytes>> {
    if !is_administrator(&head.headers, &shared.api_key) {
        let mut refused = error(StatusCode::UNAUTHORIZED, "wrong user or API key");
        let challenge = HeaderValue::from_static("Basic realm=\"nanomdm\"");
        refused.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        return refused;
    }
    let (path, query) = (head.uri.path(), head.uri.query().unwrap_or_default());
    let is_put = head.method == Method::PUT;
    let is_get = head.method == Method::GET;
    if let Some(ids) = path.strip_prefix("/v1/enqueue/")
        && is_put
    {
        let with_push = match parameter(query, "nopush") {
            Some(value) if value != "0" => WithPush::No,
            _ => WithPush::Yes,
        };
        let ids = ids_of(ids);
        let submission = shared.call(|server, now| server.enqueue(now, &ids, body, with_push));
        return submit(submission, shared).await;
    }
    if let Some(ids) = path.strip_prefix("/v1/push/")
        && (is_put || is_get)
    {
        let ids = ids_of(ids);
        let submission = shared.call(|server, now| server.push(now, &ids));
        return submit(submission, shared).await;
    }
    if let Some(command) = path.strip_prefix("/v1/queue/")
        && head.method == Method::DELETE
    {
        return cancel(command, shared);
    }
    if let Some(id) = path.strip_prefix("/v1/queue/")
        && is_get
    {
        return queue(id, shared);
    }
    match path {
        "/v1/pushcert" if is_put => put_push_certificate(body, shared),
        "/v1/pushcert" if is_get => {
            let topic = parameter(query, "topic").unwrap_or_default();
            match shared.push_clients.find(&topic) {
                Some(_) => json_answer(StatusCode::OK, &json!({ "topic": topic })),
                None => error(
                    StatusCode::NOT_FOUND,
                    &format!("no push certificate for the topic {topic:?}"),
                ),
            }
        }
        "/v1/enrollments" if is_get => {
            let challenges = shared.enrolling.as_ref().map(|it| it.challenge_counts());
            let udid = parameter(query, "udid");
            let challenges = challenges.unwrap_or_default();
            let seen = shared.register.json(udid.as_deref(), challenges);
            json_answer(StatusCode::OK, &seen)
        }
        "/version" if is_get => {
            let version = json!({ "version": env!("CARGO_PKG_VERSION") });
            json_answer(StatusCode::OK, &version)
        }
        _ => error(StatusCode::NOT_FOUND, "no such resource"),
    }
}

/// Sends the pushes of a request and answers once all of them are answered, as NanoMDM does.
async fn submit(submission: Submission, shared: &Shared) -> Response<Full<Bytes>> {
    let mut answer = submission.answer;
    for (order, result) in shared.send(submission.pushes).await {
        answer.pushed(&order.id, &result);
    }
    let status = StatusCode::from_u16(answer.status()).expect("the machine answers with HTTP");
    json_bytes(status, answer.json())
}

/// The open commands of an enrollment. NanoMDM has nothing like it.
fn queue(id: &str, shared: &Shared) -> Response<Full<Bytes>> {
    let id = percent_decoded(id);
    match shared.call(|server, _| server.queue(&id)) {
        Some(open) => {
            let open: Vec<&str> = open.iter().map(|uuid| &*uuid.0).collect();
            json_answer(StatusCode::OK, &json!({ "open": open }))
        }
        None => error(StatusCode::NOT_FOUND, "no device is enrolled under this id"),
    }
}

/// Takes a queued command back, `<id>/<CommandUUID>`. NanoMDM has nothing like it.
fn cancel(command: &str, shared: &Shared) -> Response<Full<Bytes>> {
    let Some((id, uuid)) = command.split_once('/') else {
        return error(
            StatusCode::NOT_FOUND,
            "expected /v1/queue/<id>/<CommandUUID>",
        );
    };
    let (id, uuid) = (percent_decoded(id), percent_decoded(uuid));
    let uuid = CommandUuid(uuid.into());
    if shared.call(|server, _| server.cancel(&id, &uuid)) {
        json_answer(StatusCode::OK, &json!({ "cancelled": uuid.0.as_ref() }))
    } else {
        error(StatusCode::NOT_FOUND, "no such command is open for this id")
    }
}

fn put_push_certificate(pem: &[u8], shared: &Shared) -> Response<Full<Bytes>> {
    let Ok(pem) = std::str::from_utf8(pem) else {
        let problem = "expected the push certificate and its key as PEM";
        return error(StatusCode::BAD_REQUEST, problem);
    };
    match shared.push_clients.add(pem, &shared.push) {
        Ok((topic, validity)) => {
            let until = validity.until.rfc3339();
            json_answer(
                StatusCode::OK,
                &json!({ "topic": topic, "not_after": until }),
            )
        }
        Err(problem) => error(StatusCode::BAD_REQUEST, &problem.to_string()),
    }
}

fn is_administrator(headers: &HeaderMap, api_key: &str) -> bool {
    let given = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Basic "))
        .and_then(|text| base64::engine::general_purpose::STANDARD.decode(text).ok());
    let wanted = format!("{ADMINISTRATOR}:{api_key}");
    given.is_some_and(|given| {
        aws_lc_rs::constant_time::verify_slices_are_equal(&given, wanted.as_bytes()).is_ok()
    })
}

/// The ids in a path, separated by commas.
fn ids_of(path: &str) -> Vec<String> {
    let path = percent_decoded(path);
    path.split(',')
        .filter(|id| !id.is_empty())
        .map(str::to_owned)
        .collect()
}

/// The value of a parameter in a query, decoded.
pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&');
    pairs
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| percent_decoded(value))
}

/// `text` with `%41` as `A`; a percent sign before anything else stays what it is.
fn percent_decoded(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match digits.and_then(crate::ids::hex_decode) {
            Some(decoded) if byte == b'%' => {
                bytes.extend(decoded);
                rest = &after[2..];
            }
            _ => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `text` as it may stand in a query.
pub(super) fn percent_encoded(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                encoded.push(char::from(byte));
            }
            other => encoded.push_str(&format!("%{other:02X}")),
        }
    }
    encoded
}

fn error(status: StatusCode, problem: &str) -> Response<Full<Bytes>> {
    json_answer(status, &json!({ "error": problem }))
}

/// An answer in JSON.
pub(super) fn json_answer(status: StatusCode, value: &serde_json::Value) -> Response<Full<Bytes>> {
    json_bytes(status, value.to_string().into_bytes())
}

fn json_bytes(status: StatusCode, body: Vec<u8>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_and_parameters_are_taken_from_the_address() {
        assert_eq!(ids_of("A,B%2CC,"), ["A", "B", "C"]);
        assert_eq!(percent_decoded("a%2g%"), "a%2g%");
        assert_eq!(parameter("x=1&nopush=1", "nopush").as_deref(), Some("1"));
        assert_eq!(parameter("nopush", "nopush"), None);
    }

    #[test]
    fn only_the_api_key_opens_the_administrators_door() {
        let headers = |value: &str| {
            let text = base64::engine::general_purpose::STANDARD.encode(value);
            let value = HeaderValue::from_str(&format!("Basic {text}")).unwrap();
            HeaderMap::from_iter([(AUTHORIZATION, value)])
        };
        assert!(is_administrator(&headers("nanomdm:key"), "key"));
        assert!(!is_administrator(&headers("nanomdm:other"), "key"));
        assert!(!is_administrator(&HeaderMap::new(), "key"));
    }
}
