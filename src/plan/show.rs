//! The plan as text: what `plan` prints and what the golden tests hold.

use std::fmt;
use std::time::Duration;

use super::{Part, Plan};
use crate::scenario::written;

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
        self.cohorts(f)?;
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
        }
        Ok(())
    }

    fn stages(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plan = self.0;
        let mut counts = vec![0_u32; plan.commands.len()];
        for order in &plan.orders {
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
                let to = match command.to {
                    Some(id) => plan.cohorts[usize::from(id.0)].name.as_str(),
                    None => "all",
                };
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
        let timeline = &self.0.timeline;
        let (Some(first), Some(last)) = (timeline.first(), timeline.last()) else {
            return Ok(());
        };
        writeln!(
            f,
            "\ntimeline\n  {} changes from {} to {}",
            timeline.len(),
            written(millis(first.at)),
            written(millis(last.at)),
        )
    }

    fn first_orders(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.orders.is_empty() {
            return Ok(());
        }
        writeln!(f, "\nfirst orders")?;
        for order in self.0.orders.iter().take(FIRST_ORDERS) {
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

fn millis(span: Duration) -> Duration {
    Duration::from_millis(span.as_millis() as u64)
}
