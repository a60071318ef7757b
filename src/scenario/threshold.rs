//! Thresholds: `push-to-completion{cohort=carts} p99` and its limit.

use super::error::{Problems, suggest};
use super::found::{Found, Limit as Written};
use super::resolve::Resolving;
use super::{Cohort, Stage, value};
use crate::metric::{Aggregate, Limit, Metric, Threshold};

const RIGHT: &str = "as \"push-to-completion{cohort=carts} p99\" or \"pending count\"";

/// All thresholds; the one that applies when a scenario names none.
pub(super) fn all(
    found: &Found,
    cohorts: &[Cohort],
    stages: &[Stage],
    resolving: &mut Resolving,
) -> Vec<Threshold> {
    if !found.is_present("thresholds") {
        return vec![usual()];
    }
    let known = Known { cohorts, stages };
    found
        .tables("thresholds")
        .iter()
        .filter_map(|table| threshold(table, &known, &mut resolving.problems))
        .collect()
}

/// No pending command may be the target's fault (design section 4).
fn usual() -> Threshold {
    Threshold {
        expression: "pending-owned-by-target count <= 0".to_owned(),
        metric: Metric::PendingTarget,
        cohort: None,
        stage: None,
        aggregate: Aggregate::Count,
        limit: Limit::AtMost(0.0),
    }
}

/// What a threshold may refer to.
struct Known<'a> {
    cohorts: &'a [Cohort],
    stages: &'a [Stage],
}

/// The four limits: key and sign.
const LIMITS: [(&str, &str); 4] = [
    ("below", "<"),
    ("above", ">"),
    ("at-most", "<="),
    ("at-least", ">="),
];

fn limit_of(sign: &str, bound: f64) -> Limit {
    match sign {
        "<" => Limit::Below(bound),
        ">" => Limit::Above(bound),
        "<=" => Limit::AtMost(bound),
        _ => Limit::AtLeast(bound),
    }
}

fn threshold(found: &Found, known: &Known<'_>, problems: &mut Problems) -> Option<Threshold> {
    let given: Vec<_> = LIMITS
        .iter()
        .filter(|(key, _)| found.is_present(key))
        .collect();
    let limit = match given.as_slice() {
        [limit] => Some(*limit),
        [] => {
            let message = "a threshold has no limit";
            problems.add(
                &found.place,
                message,
                "add below, above, at-most or at-least",
            );
            None
        }
        [first, second, ..] => {
            let message = format!("a threshold has both {} and {}", first.0, second.0);
            problems.add(
                found.place_of(second.0),
                message,
                "one limit; add a second threshold",
            );
            None
        }
    };
    let text = found.text("metric")?;
    let selector = match selector(text, known) {
        Ok(selector) => selector,
        Err((message, right)) => {
            problems.add(found.place_of("metric"), message, right);
            return None;
        }
    };
    let (key, sign) = limit?;
    let written = *found.limit(key)?;
    let (aggregate, number, shown) = match bound(&selector, written) {
        Ok(bound) => bound,
        Err(right) => {
            let message = format!("{key} does not fit \"{text}\"");
            problems.add(found.place_of(key), message, right);
            return None;
        }
    };
    Some(Threshold {
        expression: format!("{text} {sign} {shown}"),
        metric: selector.metric,
        cohort: selector.cohort,
        stage: selector.stage,
        aggregate,
        limit: limit_of(sign, number),
    })
}

struct Selector {
    metric: Metric,
    cohort: Option<String>,
    stage: Option<String>,
    /// `None` for a count without aggregate: its limit decides between count and share.
    aggregate: Option<Aggregate>,
}

/// What `text` selects, or what is wrong and what would be right.
fn selector(text: &str, known: &Known<'_>) -> Result<Selector, (String, String)> {
    let (head, tail) = match text.split_once('{') {
        Some((metric, rest)) => {
            let Some((labels, aggregate)) = rest.split_once('}') else {
                return Err((
                    "metric has \"{\" without \"}\"".to_owned(),
                    RIGHT.to_owned(),
                ));
            };
            ((metric.trim(), Some(labels)), aggregate.trim())
        }
        None => match text.trim().split_once(char::is_whitespace) {
            Some((metric, aggregate)) => ((metric, None), aggregate.trim()),
            None => ((text.trim(), None), ""),
        },
    };
    let (name, labels) = head;
    let Some(metric) = Metric::all().find(|metric| metric.name() == name) else {
        let names = Metric::all().map(Metric::name);
        return Err((
            format!("there is no metric \"{name}\""),
            suggest(name, names),
        ));
    };
    let mut selector = Selector {
        metric,
        cohort: None,
        stage: None,
        aggregate: aggregate(metric, tail)?,
    };
    if let (true, Some(labels)) = (metric.is_of_enrollment(), labels) {
        return Err((
            format!("{name} is of all devices and has no \"{{{labels}}}\""),
            format!("as \"{name}\" without braces"),
        ));
    }
    for label in labels.into_iter().flat_map(|labels| labels.split(',')) {
        let Some((label, value)) = label.split_once('=') else {
            return Err((
                format!("metric has the label \"{label}\""),
                RIGHT.to_owned(),
            ));
        };
        let value = value.trim();
        let cohorts = || known.cohorts.iter().map(|cohort| cohort.name.as_str());
        let stages = || known.stages.iter().map(|stage| stage.name.as_str());
        let wrong = match label.trim() {
            "cohort" if cohorts().any(|name| name == value) => {
                selector.cohort = Some(value.to_owned());
                continue;
            }
            "stage" if stages().any(|name| name == value) => {
                selector.stage = Some(value.to_owned());
                continue;
            }
            "cohort" => (
                format!("there is no cohort \"{value}\""),
                suggest(value, cohorts()),
            ),
            "stage" => (
                format!("there is no stage \"{value}\""),
                suggest(value, stages()),
            ),
            other => (
                format!("metric has the unknown label \"{other}\""),
                suggest(other, ["cohort", "stage"]),
            ),
        };
        return Err(wrong);
    }
    Ok(selector)
}

fn aggregate(metric: Metric, text: &str) -> Result<Option<Aggregate>, (String, String)> {
    let wrong = |right: &str| {
        Err((
            format!("{} has no \"{text}\"", metric.name()),
            right.to_owned(),
        ))
    };
    let aggregate = match text {
        "" => None,
        "max" => Some(Aggregate::Max),
        "mean" => Some(Aggregate::Mean),
        "count" => Some(Aggregate::Count),
        "share" => Some(Aggregate::Share),
        other => match other.strip_prefix('p').map(str::parse::<f64>) {
            Some(Ok(percentile)) if (0.0..=100.0).contains(&percentile) => {
                Some(Aggregate::Percentile(percentile))
            }
            Some(Ok(_) | Err(_)) | None => {
                return wrong("one of p50, p90, p99, p99.9, max, mean, count, share");
            }
        },
    };
    match (metric.is_latency(), aggregate) {
        (true, None) => Err((
            format!("{} is a latency and needs an aggregate", metric.name()),
            format!(
                "as \"{} p99\"; also p50, p99.9, max, mean, count",
                metric.name()
            ),
        )),
        (true, Some(Aggregate::Share)) => wrong("one of p50, p99, max, mean, count"),
        (false, Some(Aggregate::Percentile(_) | Aggregate::Max | Aggregate::Mean)) => {
            wrong("count or share")
        }
        (true | false, aggregate) => Ok(aggregate),
    }
}

/// The aggregate, the bound as a number (latencies in microseconds), and how it is shown.
fn bound(selector: &Selector, limit: Written) -> Result<(Aggregate, f64, String), &'static str> {
    if selector.metric.is_latency() && selector.aggregate != Some(Aggregate::Count) {
        let Written::Span(span) = limit else {
            return Err("a length of time with its unit, as \"30s\"");
        };
        let aggregate = selector.aggregate.unwrap_or(Aggregate::Max);
        return Ok((aggregate, span.as_micros() as f64, value::written(span)));
    }
    match (selector.aggregate, limit) {
        (None | Some(Aggregate::Share), Written::Share(share)) => {
            Ok((Aggregate::Share, share, format!("{}%", share * 100.0)))
        }
        (Some(Aggregate::Share), Written::Number(share)) if (0.0..=1.0).contains(&share) => {
            Ok((Aggregate::Share, share, share.to_string()))
        }
        (Some(Aggregate::Share), Written::Number(_) | Written::Span(_)) => {
            Err("a share, as \"1%\" or 0.01")
        }
        (_, Written::Number(number)) if number >= 0.0 => {
            Ok((Aggregate::Count, number, number.to_string()))
        }
        (_, Written::Number(_) | Written::Share(_) | Written::Span(_)) => {
            Err("a number, 0 or more; of all orders, a percentage as \"1%\"")
        }
    }
}
