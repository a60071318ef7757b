//! Values a user may write: spans of time with their units, distributions, rates, shares, URLs.
//!
//! Each reader takes the text and answers with the value or with what is wrong, as the end of a
//! sentence that begins with the key.

use std::time::Duration;

use jiff::SpanRelativeTo;

use crate::apns::service::Rate;
use crate::seed::Dist;

/// No span in a scenario is longer; sums of spans then stay far from any limit.
const LONGEST_DAYS: u64 = 400;

/// `30s`, `1h30m`, `2d`: a length of time with its unit.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    bounded(text, LONGEST_DAYS)
}

/// A length of time of at most so many days.
pub(super) fn bounded(text: &str, longest_days: u64) -> Result<Duration, String> {
    let trimmed = text.trim();
    if trimmed.parse::<f64>().is_ok() {
        return Err(format!("is \"{text}\", which has no unit"));
    }
    let span = trimmed
        .parse::<jiff::Span>()
        .and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()))
        .map_err(|_| format!("is \"{text}\", which is no length of time"))?;
    if span.is_negative() {
        return Err(format!("is \"{text}\", which is negative"));
    }
    let span = span.unsigned_abs();
    if span > Duration::from_secs(longest_days * 24 * 3600) {
        return Err(format!(
            "is \"{text}\", which is longer than {longest_days} days"
        ));
    }
    Ok(span)
}

/// `5s` or `3m..15m`.
pub(super) fn constant_or_range(text: &str) -> Result<Dist, String> {
    let Some((low, high)) = text.split_once("..") else {
        return duration(text).map(Dist::Constant);
    };
    let (low, high) = (duration(low)?, duration(high)?);
    if low > high {
        return Err(format!("is \"{text}\", which ends before it begins"));
    }
    Ok(Dist::Uniform { low, high })
}

/// `50/s`, `10/m`: per second.
pub(super) fn rate(text: &str) -> Result<f64, String> {
    let Some((number, unit)) = text.split_once('/') else {
        return Err(format!("is \"{text}\", which has no unit of time"));
    };
    let seconds = match unit.trim() {
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3_600.0,
        "d" => 86_400.0,
        _ => return Err(format!("is \"{text}\", and \"{unit}\" is no unit of time")),
    };
    let Ok(number) = number.trim().parse::<f64>() else {
        return Err(format!("is \"{text}\", and \"{number}\" is no number"));
    };
    let per_second = number / seconds;
    if number > 0.0 && per_second < RATE_MIN {
        return Err(format!(
            "is \"{text}\", but a rate is at least one in a year"
        ));
    }
    if number.is_nan() || number <= 0.0 || number > RATE_MAX {
        return Err(format!(
            "is \"{text}\", but a rate is above 0 and at most {RATE_MAX}"
        ));
    }
    Ok(per_second)
}

/// `5 per 1m`: so many in a length of time.
pub(super) fn push_rate(text: &str) -> Result<Rate, String> {
    let wrong = || format!("is \"{text}\"");
    let (pushes, per) = text.split_once(" per ").ok_or_else(wrong)?;
    let pushes = pushes.trim().parse().map_err(|_| wrong())?;
    let per = duration(per)?;
    if pushes == 0 || per.is_zero() {
        return Err(format!("is \"{text}\", which lets nothing through"));
    }
    Ok(Rate { pushes, per })
}

/// `host:port`, as CONNECT names a server.
pub(super) fn host_and_port(text: &str) -> Result<String, String> {
    let is_good = text.rsplit_once(':').is_some_and(|(host, port)| {
        let is_plain = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c == '/');
        is_plain && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if is_good {
        Ok(text.to_owned())
    } else {
        Err(format!("has \"{text}\", which is no host with a port"))
    }
}

/// Any text that is not empty.
pub(super) fn not_empty(text: &str) -> Result<String, String> {
    match text {
        "" => Err("has an empty text".to_owned()),
        text => Ok(text.to_owned()),
    }
}

/// Far above what one machine can order; keeps rate times duration within a number of orders.
const RATE_MAX: f64 = 1e6;

/// Once in a year: slower is never, and would not fit into a length of time.
const RATE_MIN: f64 = 1.0 / (366.0 * 86_400.0);

/// `1%` as a share.
pub(super) fn percent(text: &str) -> Option<f64> {
    let number = text.trim().strip_suffix('%')?.trim().parse::<f64>().ok()?;
    Some(number / 100.0)
}

/// A share between 0 and 1.
pub(super) fn share(number: f64, written: &str) -> Result<f64, String> {
    if (0.0..=1.0).contains(&number) {
        Ok(number)
    } else {
        Err(format!("is {written}, which is not between 0 and 1"))
    }
}

/// A URL of a server: http or https, a host, perhaps a port and a path.
pub(super) fn url(text: &str) -> Result<String, String> {
    if text.contains('@') {
        // The password itself must not be repeated.
        return Err("carries a user name or password; secrets come from the environment".into());
    }
    let wrong = |why: &str| Err(format!("is \"{text}\", {why}"));
    let Some((scheme, rest)) = text.split_once("://") else {
        return wrong("which has no scheme");
    };
    if !matches!(scheme, "http" | "https") {
        return wrong("which is neither http nor https");
    }
    let authority = rest.split('/').next().unwrap_or_default();
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return wrong("which contains white space");
    }
    if text.contains(['?', '#']) {
        return wrong("which has a query or a fragment");
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    };
    if host.is_empty() {
        return wrong("which has no host");
    }
    if let Some(port) = port
        && !port.parse::<u16>().is_ok_and(|port| port > 0)
    {
        return wrong("whose port is not a number from 1 to 65535");
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// A name of a cohort or stage: it stands in metrics, options and file names.
pub(super) fn name(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() || text.len() > 64 || !text.chars().all(plain) {
        return Err(format!("is \"{text}\""));
    }
    Ok(text.to_owned())
}

/// `span` as a scenario would write it: `1h 30m`, `500ms`.
pub fn written(span: Duration) -> String {
    let mut micros = u64::try_from(span.as_micros()).unwrap_or(u64::MAX);
    let units = [
        ("d", 86_400_000_000),
        ("h", 3_600_000_000),
        ("m", 60_000_000),
        ("s", 1_000_000),
        ("ms", 1_000),
        ("us", 1),
    ];
    let mut parts = Vec::new();
    for (unit, size) in units {
        if micros >= size {
            parts.push(format!("{}{unit}", micros / size));
            micros %= size;
        }
    }
    if parts.is_empty() {
        return "0s".to_owned();
    }
    parts.join(" ")
}

/// `dist` as a scenario would write it.
pub fn written_dist(dist: &Dist) -> String {
    match dist {
        Dist::Constant(span) => written(*span),
        Dist::Uniform { low, high } => format!("{}..{}", written(*low), written(*high)),
        Dist::LogNormal { median, p95 } => {
            format!(
                "log-normal median {} p95 {}",
                written(*median),
                written(*p95)
            )
        }
        Dist::Exponential { mean } => format!("exponential mean {}", written(*mean)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_needs_its_unit_and_takes_days_of_24_hours() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(duration("1h30m"), Ok(Duration::from_secs(5_400)));
        assert_eq!(duration("1d"), Ok(Duration::from_secs(86_400)));
        assert_eq!(duration("0s"), Ok(Duration::ZERO));
        for wrong in ["30", "-5s", "1 month", "401d", "", "soon", "1.5"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_range_runs_forward() {
        assert!(constant_or_range("3m..15m").is_ok());
        assert!(constant_or_range("15m..3m").is_err());
        assert!(constant_or_range("3..15m").is_err());
    }

    #[test]
    fn a_rate_is_per_second_whatever_its_unit() {
        assert_eq!(rate("50/s"), Ok(50.0));
        assert_eq!(rate("30/m"), Ok(0.5));
        for wrong in ["50", "-1/s", "0/s", "x/s", "5/y", "inf/s", "nan/s"] {
            assert!(rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_push_rate_is_a_count_in_a_span() {
        let per = Duration::from_secs(60);
        assert_eq!(push_rate("5 per 1m"), Ok(Rate { pushes: 5, per }));
        for wrong in [
            "5",
            "5/m",
            "0 per 1m",
            "5 per 0s",
            "-1 per 1m",
            "x per 1m",
            "5 per 1",
        ] {
            assert!(push_rate(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_host_to_tunnel_to_has_its_port() {
        for right in ["mdm.example.com:443", "[::1]:8443"] {
            assert_eq!(host_and_port(right), Ok(right.to_owned()));
        }
        for wrong in [
            "mdm.example.com",
            ":443",
            "a:0",
            "a:x",
            "https://a:443",
            "a b:1",
        ] {
            assert!(host_and_port(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_url_needs_scheme_and_host_and_never_carries_a_secret() {
        assert_eq!(url("http://[::1]:9000/"), Ok("http://[::1]:9000".into()));
        assert!(url("https://mdm.example.com/mdm").is_ok());
        let wrong = [
            "mdm.example.com",
            "ftp://a",
            "http://",
            "http://u:p@h",
            "http://h:0",
            "http://h:x",
            "http://h?x",
        ];
        for wrong in wrong {
            assert!(url(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn spans_are_written_as_they_are_read() {
        for text in ["1h 30m", "500ms", "0s", "2d"] {
            assert_eq!(duration(text).map(written), Ok(text.to_owned()));
        }
    }
}
