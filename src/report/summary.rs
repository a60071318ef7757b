//! From an account to a report: what is counted, grouped and judged.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::metric::{Metric, Owner, Phase};
use crate::record::account::{Account, DeviceTally, Pending, Tally};
use crate::record::setup::Orderer;

use super::caveat::{Caveat, CaveatLine};
use super::enrolling::EnrollmentReport;
use super::exit::Exit;
use super::latency::{Latency, count, millis, share};
use super::slow;
use super::threshold::evaluate;
use super::validity::{Evidence, Validity, judge};
use super::{
    Beside, CohortReport, Commands, Devices, HealthReport, Latencies, Outcome, PendingExample,
    PendingGroup, PhaseReport, Pushes, Report, RunFacts, SCHEMA_VERSION, StageReport, expect,
    failed, finding,
};

/// How many open commands of a cause are shown with their facts.
const EXAMPLES_MAX: usize = 5;
/// Below this the 99th percentile is left out.
const SAMPLE_MIN: u64 = 1_000;

impl Report {
    /// The report of a run.
    pub fn new(account: &Account, run: &RunFacts) -> Self {
        let mut latency = latencies(account, |_, _| true);
        for (phase, report) in &mut latency.phases {
            report.owners_ms = owners(account, *phase);
        }
        let health = health(account, run, &latency);
        let validity = health
            .signals
            .iter()
            .map(|signal| signal.verdict)
            .max()
            .unwrap_or_default();
        let thresholds: Vec<_> = run
            .thresholds
            .iter()
            .map(|threshold| evaluate(threshold, account))
            .collect();
        let expectations: Vec<_> = run
            .expectations
            .iter()
            .map(|expectation| expect::check(expectation, account))
            .collect();
        let missed = thresholds.iter().any(|result| !result.passed)
            || expectations.iter().any(|result| !result.passed);
        let findings = finding::all(run);
        let has_findings = findings.iter().any(finding::Finding::is_new);
        let exit_code = exit_code(account, run, validity, (has_findings, missed));
        let total = account.tally(|_, _| true);
        let pending = pending(account);
        Self {
            schema_version: SCHEMA_VERSION,
            outcome: if exit_code == 0 {
                Outcome::Pass
            } else {
                Outcome::Fail
            },
            validity,
            exit_code,
            sentence: sentence(account, &total, &pending),
            scenario: run.scenario.clone(),
            seed: run.seed,
            plan_hash: run.plan_hash.clone(),
            version: run.version.clone(),
            host: run.host.clone(),
            target: run.target.clone(),
            started: run.started.rfc3339(),
            duration_ms: millis(account.at.as_micros()),
            devices: devices(&account.all_devices()),
            enrollment: Latency::of(&account.enrollment),
            enrolling: EnrollmentReport::of(&account.enrolling),
            commands: commands(account, &total),
            pushes: pushes(account),
            providers_cut: account.providers_cut.clone(),
            caveats: caveats(account, run, &latency),
            latency,
            pending,
            slow: slow::slow(account),
            failed: failed::groups(account),
            findings,
            thresholds,
            expectations,
            cohorts: cohorts(account),
            stages: stages(account),
            requests: requests(account),
            beside: beside(account),
            health,
            assumptions: run.assumptions.clone(),
            bundle: run.bundle.clone(),
        }
    }
}

fn exit_code(
    account: &Account,
    run: &RunFacts,
    validity: Validity,
    (has_findings, missed): (bool, bool),
) -> u8 {
    let unreachable = run.target_unreachable || run.enrollment_failed || account.target_silent;
    let reasons = [
        (unreachable, Exit::TargetUnreachable),
        (run.incomplete, Exit::Incomplete),
        (validity == Validity::Invalid, Exit::NotTrustworthy),
        (run.interrupted, Exit::Interrupted),
        (has_findings, Exit::Findings),
        (missed, Exit::ThresholdMissed),
    ];
    let holding: Vec<Exit> = reasons
        .into_iter()
        .filter_map(|(holds, exit)| holds.then_some(exit))
        .collect();
    Exit::first(&holding)
}

fn sentence(account: &Account, total: &Tally, pending: &[PendingGroup]) -> String {
    if total.ordered == 0 && account.orderer == Orderer::Operator {
        return sentence_about_devices(account);
    }
    let (completed, ordered) = (count(total.completed), count(total.ordered));
    let mut text = format!("{completed} of {ordered} commands completed");
    if total.failed > 0 {
        text += &format!(", {} failed", count(total.failed));
    }
    if total.rejected > 0 {
        text += &format!(", {} were rejected", count(total.rejected));
    }
    if total.cancelled > 0 {
        text += &format!(", {} were cancelled", count(total.cancelled));
    }
    match pending.first() {
        None => text += "; none is pending.",
        Some(first) => {
            text += &format!(
                "; {} pending, {} of them {} ({}).",
                count(total.pending),
                count(first.count),
                first.cause,
                first.owner
            );
        }
    }
    text
}

/// What there is to say when nothing was ordered, as when devices do nothing but enrol.
fn sentence_about_devices(account: &Account) -> String {
    let devices = account.all_devices();
    let (enrolled, planned) = (count(devices.enrolled), count(devices.planned));
    let mut text = format!("{enrolled} of {planned} devices enrolled");
    if devices.enrollment_failed > 0 {
        text += &format!(", {} failed", count(devices.enrollment_failed));
    }
    text + "; nothing was ordered."
}

fn latencies(account: &Account, wanted: impl Fn(Option<u16>, u16) -> bool + Copy) -> Latencies {
    let of = |metric| Latency::of(&account.histograms.merged(metric, wanted));
    let phases = Phase::ALL
        .into_iter()
        .map(|phase| (phase, of(Metric::Phase(phase))))
        .filter(|(_, latency)| latency.count > 0)
        .map(|(phase, latency)| {
            let owners_ms = BTreeMap::new();
            (phase, PhaseReport { latency, owners_ms })
        })
        .collect();
    Latencies {
        push_to_completion: of(Metric::PushToCompletion),
        last_push_to_completion: of(Metric::LastPushToCompletion),
        server_time: of(Metric::ServerTime),
        phases,
    }
}

fn owners(account: &Account, phase: Phase) -> BTreeMap<String, f64> {
    let mut owners: BTreeMap<String, f64> = Owner::ALL
        .into_iter()
        .map(|owner| (owner.name().to_owned(), account.slices.owned(phase, owner)))
        .filter(|(_, micros)| *micros > 0)
        .map(|(owner, micros)| (owner, millis(micros)))
        .collect();
    // The one phase that is there without any time in it: the push came before the acceptance.
    if owners.is_empty() && phase == Phase::Dispatch {
        owners.insert(Owner::Target.name().to_owned(), 0.0);
    }
    owners
}

fn health(account: &Account, run: &RunFacts, latency: &Latencies) -> HealthReport {
    let beside = &account.beside;
    let lateness_p99_ms = millis(account.lateness.value_at_percentile(99.0));
    let signals = judge(&Evidence {
        health: &run.health,
        lateness_p99_ms,
        p50_ms: latency.push_to_completion.p50_ms,
        harness_failures: beside.harness_failures,
        requests: beside.answered + beside.lost + beside.harness_failures,
    });
    let achieved_share = if run.health.planned == 0 {
        1.0
    } else {
        share(run.health.achieved, run.health.planned)
    };
    HealthReport {
        lateness_p99_ms,
        cpu_percent: run.health.cpu_percent,
        dropped_events: run.health.dropped_events,
        open_sockets_max: run.health.open_sockets_max,
        connections: run.health.connections,
        cpu_ms: run.health.cpu.map(in_millis),
        target_cpu_ms: run.health.target_cpu.map(in_millis),
        harness_failures: beside.harness_failures,
        achieved_share,
        signals,
    }
}

fn in_millis(span: Duration) -> f64 {
    millis(u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
}

fn caveats(account: &Account, run: &RunFacts, latency: &Latencies) -> Vec<CaveatLine> {
    let samples = latency.push_to_completion.count;
    let open = account.pending.len() as u64;
    let clipped = account.histograms.clipped();
    let unjudged = run.findings.unjudged_events;
    let own = [
        (run.interrupted, Caveat::Interrupted),
        (account.orderer == Orderer::Elsewhere, Caveat::Observed),
        (samples < SAMPLE_MIN, Caveat::SmallSample(samples)),
        (open > 0, Caveat::Censored(open)),
        (
            !run.assumptions.is_empty(),
            Caveat::AssumedDefaults(run.assumptions.len()),
        ),
        (clipped > 0, Caveat::Clipped(clipped)),
        (account.histograms.is_crowded(), Caveat::CrowdedSeries),
        (unjudged > 0, Caveat::UnjudgedEvents(unjudged)),
    ];
    let own = own
        .into_iter()
        .filter_map(|(holds, caveat)| holds.then_some(caveat));
    let mut lines: Vec<CaveatLine> = Vec::new();
    for caveat in run.caveats.iter().cloned().chain(own) {
        // A driver may have named one of ours already.
        if lines.iter().all(|line| line.name != caveat.name()) {
            lines.push(caveat.line());
        }
    }
    lines
}

fn pending(account: &Account) -> Vec<PendingGroup> {
    let mut groups: BTreeMap<_, Vec<&Pending>> = BTreeMap::new();
    for pending in &account.pending {
        groups
            .entry((pending.cause, pending.owner))
            .or_default()
            .push(pending);
    }
    let mut groups: Vec<PendingGroup> = groups
        .into_iter()
        .map(|((cause, owner), mut members)| {
            members.sort_by_key(|pending| (std::cmp::Reverse(pending.age_micros), pending.order));
            PendingGroup {
                cause: cause.name().to_owned(),
                owner: owner.name().to_owned(),
                count: members.len() as u64,
                oldest_ms: members
                    .first()
                    .map_or(0.0, |pending| millis(pending.age_micros)),
                remedy: cause.remedy().to_owned(),
                shares: slow::shares(
                    account,
                    members.iter().map(|it| ((it.cohort, it.request), 1)),
                ),
                reasons: reasons(&members),
                examples: members
                    .iter()
                    .take(EXAMPLES_MAX)
                    .map(|pending| example(account, pending))
                    .collect(),
            }
        })
        .collect();
    // The sort is stable, so that causes with the same count stay in the order of the table.
    groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    groups
}

/// What the NotNow of these commands is for.
fn reasons(members: &[&Pending]) -> BTreeMap<String, u64> {
    let mut reasons = BTreeMap::new();
    for reason in members.iter().filter_map(|pending| pending.reason.clone()) {
        *reasons.entry(reason).or_default() += 1;
    }
    reasons
}

pub(super) fn example(account: &Account, pending: &Pending) -> PendingExample {
    PendingExample {
        order: pending.order.0,
        channel: pending.channel.to_string(),
        cohort: account.cohorts[usize::from(pending.cohort)].name.clone(),
        request: account.requests[usize::from(pending.request)].clone(),
        age_ms: millis(pending.age_micros),
        phase: pending.phase.name().to_owned(),
        evidence: pending.evidence.clone(),
    }
}

fn cohorts(account: &Account) -> BTreeMap<String, CohortReport> {
    (0_u16..)
        .zip(&account.cohorts)
        .map(|(index, cohort)| {
            let tally = account.tally(|cohort, _| cohort == index);
            let report = CohortReport {
                devices: devices(&account.devices[usize::from(index)]),
                commands: commands(account, &tally),
                pending_of_target: account
                    .pending
                    .iter()
                    .filter(|pending| pending.cohort == index && pending.owner == Owner::Target)
                    .count() as u64,
                latency: latencies(account, |cohort, _| cohort == Some(index)),
            };
            (cohort.name.clone(), report)
        })
        .collect()
}

fn stages(account: &Account) -> Vec<StageReport> {
    (0_u16..)
        .zip(&account.stages)
        .map(|(index, stage)| {
            let tally = account.tally(|_, stage| stage == index);
            let samples = account
                .histograms
                .merged(Metric::PushToCompletion, |_, stage| stage == index);
            StageReport {
                name: stage.name.clone(),
                warm_up: stage.warm_up,
                commands: commands(account, &tally),
                push_to_completion: Latency::of(&samples),
            }
        })
        .collect()
}

fn requests(account: &Account) -> BTreeMap<String, Latency> {
    (0_u16..)
        .zip(&account.requests)
        .filter_map(|(index, request)| {
            let samples = account
                .histograms
                .of_request(Metric::PushToCompletion, index)?;
            Some((request.clone(), Latency::of(samples)))
        })
        .collect()
}

const fn devices(tally: &DeviceTally) -> Devices {
    Devices {
        planned: tally.planned,
        enrolled: tally.enrolled,
        enrollment_failed: tally.enrollment_failed,
    }
}

fn commands(account: &Account, tally: &Tally) -> Commands {
    Commands {
        ordered: (account.orderer == Orderer::Operator).then_some(tally.ordered),
        completed: tally.completed,
        failed: tally.failed,
        rejected: tally.rejected,
        cancelled: tally.cancelled,
        pending: tally.pending,
        completed_without_push: tally.completed_without_push,
    }
}

const fn pushes(account: &Account) -> Pushes {
    let tally = &account.pushes;
    Pushes {
        received: tally.received,
        delivered: tally.delivered,
        coalesced: tally.coalesced,
        rejected: tally.rejected,
        unanswered: tally.unanswered,
        discarded: tally.discarded,
        ignored: tally.ignored,
        lost: tally.lost,
        reported_accepted: tally.reported_accepted,
        reported_failed: tally.reported_failed,
    }
}

const fn beside(account: &Account) -> Beside {
    let tally = &account.beside;
    Beside {
        late: tally.late,
        duplicate: tally.duplicate,
        ghost: tally.ghost,
        violations: tally.violations,
        not_now: tally.not_now,
        http_errors: tally.http_errors,
        lost: tally.lost,
    }
}
