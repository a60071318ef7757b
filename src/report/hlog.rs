//! Every latency distribution of a run as a HdrHistogram interval log (V2, deflated), one tagged
//! line each, so that any HdrHistogram tool can read, merge and compare them.

use hdrhistogram::serialization::V2DeflateSerializer;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};

use crate::record::account::Account;
use crate::record::histogram::Series;
use crate::time::SimTime;

/// `histograms.hlog`. Values are microseconds; tags are `metric;cohort=..;stage=..` or
/// `metric;request=..`, with `other` for what had no room of its own.
///
/// # Panics
///
/// Never: the log is written to memory.
pub fn render(account: &Account) -> String {
    let mut bytes = Vec::new();
    let mut serializer = V2DeflateSerializer::new();
    let mut log = IntervalLogWriterBuilder::new()
        .add_comment("mdmstorm latencies in microseconds")
        .begin_log_with(&mut bytes, &mut serializer)
        .expect("a log in memory can be written");
    let duration = account.at.since(SimTime::ZERO);
    for (metric, series, histogram) in account.histograms.all() {
        let name = |names: Option<&String>| names.map_or("other", String::as_str).to_owned();
        let stage = |index: u16| {
            let stage = account.stages.get(usize::from(index));
            name(stage.map(|stage| &stage.name))
        };
        let tag = match series {
            Series::Part {
                cohort,
                stage: in_stage,
            } => {
                let cohort = account.cohorts.get(usize::from(cohort));
                let cohort = name(cohort.map(|cohort| &cohort.name));
                format!(
                    "{};cohort={cohort};stage={}",
                    metric.name(),
                    stage(in_stage)
                )
            }
            Series::Other(in_stage) => {
                format!("{};cohort=other;stage={}", metric.name(), stage(in_stage))
            }
            Series::Request(request) => {
                let request = name(account.requests.get(usize::from(request)));
                format!("{};request={request}", metric.name())
            }
        };
        // The format ends a tag at a comma, space or line end.
        let tag: String = tag
            .chars()
            .map(|c| {
                if c == ',' || c.is_whitespace() {
                    '-'
                } else {
                    c
                }
            })
            .collect();
        let tag = Tag::new(&tag).expect("the tag has neither comma nor white space");
        log.write_histogram(histogram, std::time::Duration::ZERO, duration, Some(tag))
            .expect("a log in memory can be written");
    }
    String::from_utf8(bytes).expect("an interval log is ASCII but for tags, which are UTF-8")
}
