//! How devices talk to the target below their requests.

use super::error::Problems;
use super::found::Found;

/// How devices talk to the target below their requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Transport {
    /// Which versions of HTTP they offer.
    pub http: HttpVersions,
    /// Whether a device keeps a TLS session ticket from one connection to the next.
    pub resume: bool,
}

/// Which versions of HTTP a device offers in the TLS handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HttpVersions {
    /// HTTP/1.1 alone.
    One,
    /// HTTP/2 alone.
    Two,
    /// Both, HTTP/2 first.
    Auto,
}

/// The words for them.
pub(super) const VERSIONS: [&str; 3] = ["1.1", "2", "auto"];

/// What the target's section says; what is wrong in it is noted.
pub(super) fn transport(found: &Found, problems: &mut Problems) -> Transport {
    let target = found.table("target");
    let kinds = ["embedded", "nanomdm", "micromdm", "observe"];
    let target = target.and_then(|target| kinds.iter().find_map(|kind| target.table(kind)));
    let word = target.and_then(|target| target.text("http"));
    let http = match word.map(String::as_str) {
        Some("2") => HttpVersions::Two,
        Some("auto") => HttpVersions::Auto,
        Some(_) | None => HttpVersions::One,
    };
    if let Some(target) = target
        && http == HttpVersions::Two
        && target
            .text("url")
            .is_some_and(|url| url.starts_with("http://"))
    {
        problems.add(
            target.place_of("http"),
            "http is \"2\", which is agreed on in a TLS handshake, but the target's URL is not https",
            "an https url, or http = \"1.1\"",
        );
    }
    let resume = target.and_then(|target| target.flag("resume"));
    Transport {
        http,
        resume: resume.copied().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Scenario, ScenarioErrors};

    fn parsed(rest: &str) -> Result<Scenario, ScenarioErrors> {
        let cohort = "[[cohorts]]\nname = \"carts\"\ncount = 10\n";
        Scenario::parse(&format!("name = \"test\"\n{rest}\n{cohort}"), "test.toml")
    }

    #[test]
    fn a_scenario_that_says_nothing_means_http_1_1_and_no_tickets() {
        for target in ["[target.embedded]", "[target.observe]\nurl = \"https://a\""] {
            let Transport { http, resume } = parsed(target).unwrap().transport;
            assert_eq!((http, resume), (HttpVersions::One, false));
        }
        let both = parsed("[target.embedded]\nhttp = \"auto\"\nresume = true").unwrap();
        let (http, resume) = (HttpVersions::Auto, true);
        assert_eq!(both.transport, Transport { http, resume });
    }

    #[test]
    fn http_2_without_tls_is_an_error_with_a_way_out() {
        let wrong = parsed("[target.observe]\nurl = \"http://127.0.0.1\"\nhttp = \"2\"");
        let wrong = wrong.unwrap_err().to_string();
        assert!(
            wrong.contains("http is \"2\", which is agreed on in a TLS handshake"),
            "{wrong}"
        );
        assert!(wrong.contains("an https url, or http = \"1.1\""), "{wrong}");
        let right = parsed("[target.observe]\nurl = \"http://127.0.0.1\"\nhttp = \"auto\"");
        assert!(right.is_ok());
    }

    #[test]
    fn a_threshold_on_enrolment_is_of_all_devices() {
        let limit = |metric: &str| {
            let threshold = format!("[[thresholds]]\nmetric = \"{metric}\"\nat-most = \"1s\"");
            parsed(&format!("[target.embedded]\n{threshold}"))
        };
        assert!(limit("enrollment p99").is_ok());
        let wrong = limit("enrollment{cohort=carts} p99")
            .unwrap_err()
            .to_string();
        assert!(wrong.contains("enrollment is of all devices"), "{wrong}");
    }
}
