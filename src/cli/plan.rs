//! `mdmstorm plan`: what will happen, and what it needs of this machine.

use std::fmt::Write as _;

use super::args::PlanArgs;
use super::load;
use super::print::{Stop, say};
use crate::engine::limits::{Limits, memory_needed};
use crate::plan::{Part, Plan};
use crate::scenario::Scenario;

/// Full TLS handshakes with a client certificate that one core makes in a second (measured).
const HANDSHAKES_PER_CORE: usize = 2_000;

pub(super) fn run(args: &PlanArgs) -> Result<u8, Stop> {
    let scenario = load::scenario(&args.scenario)?;
    let mut plan = load::plan(&scenario, &args.scenario.scenario)?;
    if let Some(part) = args.shard.and_then(|(index, of)| Part::new(index, of)) {
        plan = plan.split(part);
    }
    if args.orders {
        say(&orders(&plan));
        return Ok(0);
    }
    say(&format!(
        "{plan}{}{}{}",
        expectations(&scenario),
        needs(&scenario, &plan),
        load::notes(&plan)
    ));
    Ok(0)
}

/// One line per order: index, due in scenario time, device, request type.
fn orders(plan: &Plan) -> String {
    let mut text = String::new();
    for order in plan.by_due() {
        let command = &plan.commands[usize::from(order.command)];
        let _ = writeln!(
            text,
            "{}\t{:.6}\t{}\t{}",
            order.index.0,
            order.due().as_secs_f64(),
            order.channel,
            command.request_type
        );
    }
    text
}

/// What the scenario says will come of it, a line each; nothing when it says nothing.
fn expectations(scenario: &Scenario) -> String {
    let mut text = String::new();
    for (number, expect) in scenario.expects.iter().enumerate() {
        let title = if number == 0 { "\nexpect\n" } else { "" };
        let _ = writeln!(text, "{title}  {}", expect.text);
    }
    text
}

/// What this machine must have, and what it has.
fn needs(scenario: &Scenario, plan: &Plan) -> String {
    let (limits, needs) = (Limits::of_this_machine(), plan.needs());
    let peak = needs.peak_orders_per_second as usize;
    let memory = memory_needed(u64::from(needs.devices), u64::from(needs.orders)) >> 20;
    let mut text = String::from("\nthis machine\n");
    let have = limits
        .memory
        .map_or_else(|| "unknown".into(), |m| format!("{} MiB", m >> 20));
    let _ = writeln!(text, "  memory      {memory} MiB needed, {have} free");
    let _ = writeln!(
        text,
        "  sockets     {} for devices at once",
        limits.sockets(scenario.operator.in_flight)
    );
    if let Some(ports) = limits.ports {
        let _ = writeln!(text, "  ports       {ports} per source address");
    }
    let rate = HANDSHAKES_PER_CORE * limits.cores;
    let _ = writeln!(
        text,
        "  handshakes  about {rate} a second on {} cores",
        limits.cores
    );
    let enrolling = f64::from(needs.devices) / scenario.enrollment.rate;
    if enrolling > scenario.enrollment.within.as_secs_f64() {
        let _ = writeln!(
            text,
            "  warning: enrolling takes {enrolling:.0} s at {:.0} a second, and enrollment.within ends \
             before that; raise rate or within",
            scenario.enrollment.rate
        );
    }
    if peak > rate {
        let _ = writeln!(
            text,
            "  warning: {peak} devices wake in the busiest second, which is more than this machine \
             can connect; the wait will show as harness time"
        );
    }
    text
}
