//! The plan as text: what `plan` prints and what the golden tests hold.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::push::{named, written_fault, written_rate, written_share};
use super::{Part, Plan};
use crate::apns::fault::{Fault, Strikes};
use crate::apns::service::ServiceChange;
use crate::device::contract::Change;
use crate::device::traits::{Shape, Traits};
use crate::ids::CohortId;
use crate::scenario::{Deed, PushFault, written, written_dist, written_week_time, written_windows};
use crate::seed::Dist;

/// How many orders are shown one by one.
const FIRST_ORDERS: usize = 10;

/// A plan as stable text.
#[derive(Debug)]
pub struct Shown<'a>(pub(super) &'a Plan);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.0;
        writeln!(f, "plan {}", plan.name)?;
        writeln!(f, "  hash        {}", &plan.hash[..16])?;
        writeln!(f, "  seed        {}", plan.seed.0)?;
        if plan.part != Part::WHOLE {
            writeln!(
                f,
                "  part        {} (device id modulo {})",
                plan.part,
                plan.part.of()
            )?;
        }
        if plan.time_scale == 1.0 {
            writeln!(f, "  length      {}", written(plan.length()))?;
        } else {
            let real = millis(plan.real(plan.length()));
            let length = written(plan.length());
            let scale = plan.time_scale;
            writeln!(
                f,
                "  length      {length}, real {} (time-scale {scale})",
                written(real)
            )?;
        }
        if !plan.starts.is_zero() {
            writeln!(f, "  starts      {}", written_week_time(plan.starts))?;
        }
        self.cohorts(f)?;
        self.pushes(f)?;
        self.stages(f)?;
        self.timeline(f)?;
        self.first_orders(f)?;
        let needs = plan.needs();
        writeln!(f, "\nneeds")?;
        writeln!(f, "  devices     {:>9}", needs.devices)?;
        writeln!(f, "  orders      {:>9}", needs.orders)?;
        let peak = needs.peak_orders_per_second;
        writeln!(
            f,
            "  peak        {peak:>9} orders in one second of real time"
        )
    }
}

impl Shown<'_> {
    fn cohorts(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\ncohorts")?;
        for cohort in &self.0.cohorts {
            let traits = &cohort.traits;
            writeln!(
                f,
                "  {:<18} {:>9} {} {} ({}), devices {}..{}",
                cohort.name,
                cohort.count,
                traits.product,
                traits.os_version,
                traits.build,
                cohort.first.0,
                cohort.first.0 + cohort.count - 1,
            )?;
            life(traits, f)?;
        }
        Ok(())
    }

    fn pushes(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines = self.0.push.lines(self.0);
        if !lines.is_empty() {
            writeln!(f, "\npushes")?;
        }
        lines.iter().try_for_each(|line| writeln!(f, "  {line}"))
    }

    fn stages(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.0;
        let mut counts = vec![0_u32; plan.commands.len()];
        let first = plan.orders.iter();
        for order in first.filter(|order| !plan.reissues.contains_key(&order.index)) {
            counts[usize::from(order.command)] += 1;
        }
        for (number, stage) in plan.stages.iter().enumerate() {
            let real = plan.real(stage.to - stage.from);
            let warm_up = if stage.warm_up { ", warm-up" } else { "" };
            writeln!(
                f,
                "\nstage {} {}..{}{warm_up}",
                stage.name,
                written(stage.from),
                written(stage.to)
            )?;
            for (command, count) in plan.commands.iter().zip(&counts) {
                if usize::from(command.stage) != number {
                    continue;
                }
                let to = named(plan, command.to);
                let rate = f64::from(*count) / real.as_secs_f64();
                let serial = if command.serial { ", serial" } else { "" };
                writeln!(
                    f,
                    "  {:<26} to {to:<14} {count:>9} orders, real {rate:.2}/s{serial}",
                    command.request_type,
                )?;
            }
        }
        Ok(())
    }

    fn timeline(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.0;
        if plan.timeline.is_empty() && plan.happenings.is_empty() && plan.reissues.is_empty() {
            return Ok(());
        }
        writeln!(f, "\ntimeline")?;
        let mut kinds: BTreeMap<Change, (u32, Duration, Duration)> = BTreeMap::new();
        for entry in &plan.timeline {
            let kind = kinds.entry(entry.change).or_insert((0, entry.at, entry.at));
            *kind = (kind.0 + 1, kind.1.min(entry.at), kind.2.max(entry.at));
        }
        for (change, (count, first, last)) in kinds {
            let from = written(millis(first));
            let until = if last == first {
                format!("at {from}")
            } else {
                format!("from {from} to {}", written(millis(last)))
            };
            writeln!(f, "  {:<26} {count:>9} devices {until}", changed(change))?;
        }
        for happening in &plan.happenings {
            let at = written(happening.at);
            writeln!(f, "  {} at {at}", self.deed(&happening.what))?;
        }
        let again = plan.orders.iter();
        let again = again.filter(|order| plan.reissues.contains_key(&order.index));
        let again = again.count();
        if again > 0 {
            writeln!(f, "  reissue {again:>28} orders if still open")?;
        }
        Ok(())
    }

    fn deed(&self, deed: &Deed) -> String {
        let to = |of: Option<CohortId>| named(self.0, of);
        match deed {
            Deed::BlankPush(of) => format!("blank-push to {}", to(*of)),
            Deed::ExpirePushCertificate => "expire-push-certificate".to_owned(),
            Deed::RenewPushCertificate => "renew-push-certificate".to_owned(),
            Deed::FaultPushes(PushFault {
                of,
                strikes: Strikes::Share(share),
                fault: Fault::Drop,
            }) => format!("lose-pushes {} of {}", written_share(*share), to(*of)),
            Deed::FaultPushes(fault) => format!("fault-pushes {}", written_fault(self.0, fault)),
            Deed::HealPushes(of) => format!("heal-pushes of {}", to(*of)),
            Deed::Service(change) => service(*change),
        }
    }

    fn first_orders(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.orders.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nfirst orders")?;
        for order in self.0.by_due().into_iter().take(FIRST_ORDERS) {
            writeln!(
                f,
                "  {:>7} {:>10.6}s  {}  {}",
                order.index.0,
                order.due().as_secs_f64(),
                order.channel,
                self.0.commands[usize::from(order.command)].request_type,
            )?;
        }
        Ok(())
    }
}

/// A change of the push service, named as a scenario does.
fn service(change: ServiceChange) -> String {
    match change {
        ServiceChange::Out(true) => "push-outage".to_owned(),
        ServiceChange::Out(false) => "end-push-outage".to_owned(),
        ServiceChange::RefuseConnect(true) => "refuse-connect".to_owned(),
        ServiceChange::RefuseConnect(false) => "allow-connect".to_owned(),
        ServiceChange::Streams(streams) => format!("limit-streams to {streams}"),
        ServiceChange::Rate(None) => "throttle-pushes no more".to_owned(),
        ServiceChange::Rate(Some(rate)) => {
            format!("throttle-pushes to {}", written_rate(rate))
        }
        ServiceChange::GoAway(reason) => format!("send-goaway {}", reason.name()),
    }
}

/// What the devices of a cohort live through, a line for each condition.
fn life(traits: &Traits, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut line = |name: &str, text: String| writeln!(f, "    {name:<20} {text}");
    if traits.users > 0 {
        line("users", traits.users.to_string())?;
    }
    for rhythm in &traits.rhythms {
        let text = match &rhythm.shape {
            Shape::Alternates {
                inside,
                outside,
                begins_inside,
            } => format!(
                "for {}, every {}; {} begin so",
                written_dist(inside),
                written_dist(outside),
                written_share(*begins_inside)
            ),
            Shape::Daily {
                windows,
                days,
                spread,
            } => {
                let spread = if *spread == Dist::ZERO {
                    String::new()
                } else {
                    format!(", spread {}", written_dist(spread))
                };
                format!("{}{spread}", written_windows(windows, *days))
            }
        };
        line(rhythm.condition.name(), text)?;
    }
    for begins in &traits.begins {
        let text = format!("{} begin so", written_share(begins.share));
        line(begins.condition.name(), text)?;
    }
    Ok(())
}

fn changed(change: Change) -> String {
    match change {
        Change::Enter(condition) => format!("enter {}", condition.name()),
        Change::Leave(condition) => format!("leave {}", condition.name()),
        Change::Reboot => "reboot".to_owned(),
        Change::SetClock(ahead) => {
            let sign = if ahead < 0 { '-' } else { '+' };
            let by = Duration::from_micros(ahead.unsigned_abs());
            format!("set clock {sign}{}", written(by))
        }
        Change::SyncClock => "sync clock".to_owned(),
        Change::EndRule(number) => format!("end rule {number}"),
        Change::RotateToken => "rotate token".to_owned(),
        Change::Reenroll => "re-enroll".to_owned(),
        Change::RenewIdentity => "renew identity".to_owned(),
        Change::RemoveProfile => "remove profile".to_owned(),
        Change::EraseAndReenroll => "erase and re-enroll".to_owned(),
        Change::Wish(wish) => wish.name().to_owned(),
        Change::CloneOf(device) => format!("clone of device {}", device.0),
    }
}

fn millis(span: Duration) -> Duration {
    Duration::from_millis(span.as_millis() as u64)
}
