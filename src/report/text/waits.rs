//! Why commands are pending, were open for long, or failed.

use std::collections::BTreeMap;

use super::{Paint, heading, line};
use crate::report::latency::{count, show};
use crate::report::{CauseShare, Report};

/// Commands that are open at the end, by cause.
pub(super) fn pending(text: &mut String, report: &Report, paint: Paint) {
    if report.pending.is_empty() {
        return;
    }
    heading(text, paint, "pending");
    for group in &report.pending {
        let cause = paint.doubtful(&group.cause);
        line(
            text,
            &format!(
                "   {:>6}  {cause}  owner {}, oldest {}",
                count(group.count),
                group.owner,
                show(Some(group.oldest_ms)),
            ),
        );
        tell_shares(text, &group.shares);
        if !group.reasons.is_empty() {
            let reasons = reasons(&group.reasons);
            line(text, &format!("           NotNow for {reasons}"));
        }
        if let Some(example) = group.examples.first() {
            let (request, channel) = (&example.request, &example.channel);
            let evidence = &example.evidence;
            line(
                text,
                &format!("           {request} on {channel}: {evidence}"),
            );
        }
        line(text, &format!("           try: {}", group.remedy));
    }
}

/// The most cohorts and request types that are shown of a cause.
const SHARES_SHOWN: usize = 4;

fn tell_shares(text: &mut String, shares: &[CauseShare]) {
    if shares.len() > 1 {
        line(text, &format!("           {}", self::shares(shares)));
    }
}

/// Cohorts and request types, the most first: `InstallProfile of carts 40, ... and 3 more`.
pub(in crate::report) fn shares(shares: &[CauseShare]) -> String {
    let mut parts: Vec<String> = shares
        .iter()
        .take(SHARES_SHOWN)
        .map(|share| {
            let number = count(share.count);
            format!("{} of {} {number}", share.request, share.cohort)
        })
        .collect();
    if let Some(more) = shares.len().checked_sub(SHARES_SHOWN).filter(|it| *it > 0) {
        parts.push(format!("and {more} more"));
    }
    parts.join(", ")
}

/// Commands that were open for long, by cause.
pub(super) fn slow(text: &mut String, report: &Report, paint: Paint) {
    if report.slow.causes.is_empty() {
        return;
    }
    let after = show(report.slow.after_ms);
    heading(text, paint, &format!("open for longer than {after}"));
    for group in &report.slow.causes {
        let (number, cause) = (count(group.count), paint.doubtful(&group.cause));
        let owner = &group.owner;
        line(text, &format!("   {number:>6}  {cause}  owner {owner}"));
        tell_shares(text, &group.shares);
    }
}

/// Reasons of NotNow, the most frequent first: `locked 40, before-first-unlock 2`.
pub(in crate::report) fn reasons(reasons: &BTreeMap<String, u64>) -> String {
    let mut reasons: Vec<_> = reasons.iter().collect();
    reasons.sort_by_key(|(_, times)| std::cmp::Reverse(**times));
    let parts = reasons
        .iter()
        .map(|(why, n)| format!("{why} {}", count(**n)));
    parts.collect::<Vec<_>>().join(", ")
}

/// Commands that failed, by error.
pub(super) fn failed(text: &mut String, report: &Report, paint: Paint) {
    if report.failed.is_empty() {
        return;
    }
    heading(text, paint, "failed");
    let mut told = None;
    for group in &report.failed {
        let (number, request, error) = (count(group.count), &group.request, group.line());
        let cause = group
            .cause
            .as_deref()
            .map_or_else(String::new, |cause| format!("  {}", paint.doubtful(cause)));
        line(text, &format!("   {number:>6}  {request}: {error}{cause}"));
        if let Some(remedy) = group.remedy.as_ref().filter(|it| told != Some(*it)) {
            line(text, &format!("           try: {remedy}"));
            told = Some(remedy);
        }
    }
}
