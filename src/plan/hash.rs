//! The plan's fingerprint: two runs with the same one were asked to do the same.

use super::Plan;

/// What the draws are made with. Part of the hash, so that a change of generator shows.
const GENERATOR: &str = "chacha8 rand-0.10 rand_distr-0.6";

/// What of a plan's commands is in a fingerprint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Contents {
    /// All of it.
    Whole,
    /// The request types alone: who has no files can make it again.
    RequestTypes,
}

/// 64 hexadecimal digits. `time_scale` is left out: the plan is in scenario time.
pub(super) fn of(plan: &Plan, contents: Contents) -> String {
    let mut hasher = blake3::Hasher::new();
    let mut text = |text: &str| {
        hasher.update(&(text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    };
    text(env!("CARGO_PKG_VERSION"));
    text(GENERATOR);
    text(&plan.seed.0.to_string());
    for cohort in &plan.cohorts {
        // The derived form names every trait, so that a new one is covered from its first day.
        text(&format!("{} {:?}", cohort.count, cohort.traits));
    }
    for command in &plan.commands {
        match contents {
            Contents::Whole => {
                let mut xml = Vec::new();
                plist::Value::Dictionary(command.dictionary.clone())
                    .to_writer_xml(&mut xml)
                    .expect("a vector takes all bytes");
                text(&String::from_utf8_lossy(&xml));
            }
            Contents::RequestTypes => text(&command.request_type),
        }
        text(&format!("{} {}", command.stage, command.serial));
    }
    for stage in &plan.stages {
        text(&format!("{stage:?}"));
    }
    for order in &plan.orders {
        let mut bytes = [0_u8; 15];
        bytes[..8].copy_from_slice(&order.due_us.to_le_bytes());
        bytes[8..12].copy_from_slice(&order.channel.device.0.to_le_bytes());
        bytes[12] = order.channel.user;
        bytes[13..].copy_from_slice(&order.command.to_le_bytes());
        hasher.update(&bytes);
    }
    for entry in &plan.timeline {
        hasher.update(format!("{entry:?}").as_bytes());
    }
    hasher.update(format!("{:?}", plan.push).as_bytes());
    for happening in &plan.happenings {
        hasher.update(format!("{happening:?}").as_bytes());
    }
    for (again, first) in &plan.reissues {
        hasher.update(format!("{} {}", again.0, first.0).as_bytes());
    }
    hasher.update(format!("{:?}", plan.starts).as_bytes());
    hasher.finalize().to_hex().to_string()
}
